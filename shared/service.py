"""The life of a service: settings, logging, the bus, readiness, and leaving in order.

The first SIGTERM (or Ctrl-C) asks politely: nothing more is fetched, what is in hand is finished within a grace
period, what was said is flushed, exit 0. The second one kills. A task that is meant to run for ever and ends ends
the process with 1, because a service that is half dead is worse than one that a supervisor starts again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, ClassVar

import msgspec
import structlog
import uvloop

from schemas.base import Model
from shared import log, subjects
from shared.bus import Bus, BusError, UnfitServer
from shared.clock import SYSTEM_CLOCK, Clock
from shared.config import BadSettings, Settings, load

_log = structlog.get_logger(__name__)

BEAT_S = 1.0
"""How often a service tells whoever started it that its event loop turns."""

_UNCONNECTED_S = 3.0

GRACE_S = 10.0
"""How long what is in hand may take once a service was asked to leave."""


class Pong(Model, frozen=True, kw_only=True):
    """What a service answers on `parallax.services.<name>.ping`."""

    name: str
    pid: int
    state: str
    address: str = ""


class Service:
    """Base of all services. A subclass has a `name`, begins in `start` and takes nothing more after `stop`."""

    name: ClassVar[str] = ""

    def __init__(self, settings: Settings, bus: Bus, clock: Clock = SYSTEM_CLOCK) -> None:
        self.settings = settings
        self.bus = bus
        self.clock = clock
        self.state = "starting"
        self.ended = asyncio.Event()
        """Set when an eternal task has ended, which none may."""
        self._eternal: set[asyncio.Task[Any]] = set()
        self._short: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Begins to hear. When this returns, the service is ready."""

    async def stop(self) -> None:
        """Takes nothing more, and finishes what is in hand. Eternal tasks are cancelled afterwards."""

    @property
    def address(self) -> str:
        """Where the service is reached."""
        return f"nats:{subjects.service_ping(self.name)}"

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Starts a task that is to run until the service stops. Should it end before that, the process does too."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}:{name}")
        self._eternal.add(task)
        task.add_done_callback(self._eternal_ended)
        return task

    def spawn_short(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Starts a task that comes to an end. A failure is logged and harms nobody else."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}:{name}")
        self._short.add(task)
        task.add_done_callback(self._short_ended)
        return task

    async def begin(self) -> None:
        """`start`. Who finds the service ready is heard by it."""
        await self.bus.serve(subjects.service_ping(self.name), dict[str, Any], self._ping)
        await self.start()
        with suppress(TimeoutError):  # a server that is away has us heard when it is back
            await self.bus.flush()
        self.state = "ready"

    async def halt(self, grace_s: float = GRACE_S) -> None:
        """`stop` within a grace period, then ends all tasks. The bus stays open."""
        self.state = "stopping"
        try:
            async with asyncio.timeout(grace_s):
                await self.stop()
        except TimeoutError:
            _log.warning("stop_took_too_long", grace_s=grace_s)
        except Exception as error:  # noqa: BLE001 - whatever a service fails with, its tasks are ended
            _log.exception("stop_failed", exc_info=error)
        tasks = [*self._eternal, *self._short]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2.0)

    def pong(self) -> Pong:
        """What a ping is answered."""
        return Pong(name=self.name, pid=os.getpid(), state=self.state, address=self.address)

    async def _ping(self, _body: object) -> Pong:
        return self.pong()

    def _eternal_ended(self, task: asyncio.Task[Any]) -> None:
        self._eternal.discard(task)
        if self.state == "stopping" or task.cancelled():
            if not task.cancelled() and task.exception() is not None:
                _log.info("task_ended_late", task=task.get_name(), error=str(task.exception()))
            return
        _log.critical("eternal_task_ended", task=task.get_name(), exc_info=task.exception())
        self.ended.set()

    def _short_ended(self, task: asyncio.Task[Any]) -> None:
        self._short.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("task_failed", task=task.get_name(), exc_info=task.exception())


def run_service(kind: type[Service]) -> None:
    """Runs a service until it is asked to leave. Ends the process: 0 left in order, 1 failed, 2 bad settings."""
    settings = settings_or_exit()
    log.configure(kind.name, settings.log_level)
    for secret in settings.secrets():
        log.add_secret(secret)
    sys.exit(uvloop.run(_life(kind, settings)))


def settings_or_exit() -> Settings:
    """The settings, or a sentence for each thing that is wrong with them, and exit 2."""
    try:
        return load()
    except BadSettings as bad:
        for problem in bad.problems:
            sys.stderr.write(f"{problem}\n")
        sys.exit(2)


async def _life(kind: type[Service], settings: Settings) -> int:
    leaving = _until_signalled()
    beat = Heartbeat(settings)
    opening = asyncio.get_running_loop().create_task(Bus.connect(settings, name=kind.name))
    if not await _either(opening, leaving):
        return 0
    bus = opening.result()
    service: Service | None = None
    code = 1
    try:
        await bus.ensure_streams()
        service = kind(settings, bus)
        beat.service = service
        beginning = asyncio.get_running_loop().create_task(service.begin())
        if not await _either(beginning, leaving):
            return 0
        beginning.result()
        beat.beat()
        _log.info("ready", address=service.address, pid=os.getpid())
        await _first_of(leaving, service.ended)
        code = 1 if service.ended.is_set() else 0
    except (BadSettings, UnfitServer) as error:
        code = 2 if isinstance(error, BadSettings) else 1
        _log.critical("bad_settings" if code == 2 else "unfit_server", error=str(error))
        sys.stderr.write(f"{error}\n")
    except Exception as error:  # noqa: BLE001 - the boundary: everything becomes a log line and exit 1
        _log.critical("service_failed", error=str(error), exc_info=error)
    finally:
        if service is not None:
            await service.halt()
        with suppress(BusError, TimeoutError):
            await bus.flush()
        await bus.close()
        _log.info("stopped", code=code)
    return code


def _until_signalled() -> asyncio.Event:
    """Set by the first signal, which also gives the second one its usual, deadly meaning back."""
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        _log.info("asked_to_leave", signal=number.name)
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        leaving.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    return leaving


async def _either(task: asyncio.Task[Any], leaving: asyncio.Event) -> bool:
    """Whether the task ended before anybody asked to leave; else it is cancelled."""
    waiting = asyncio.get_running_loop().create_task(leaving.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return True
    task.cancel()
    await asyncio.wait({task})
    return False


async def _first_of(*events: asyncio.Event) -> None:
    tasks = [asyncio.get_running_loop().create_task(event.wait()) for event in events]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


class Heartbeat:
    """Tells whoever started the process how it is, on the descriptor that PARALLAX_NOTIFY_FD names, a line each second.

    It comes from the event loop: a process that is stopped, or whose loop is blocked, falls silent by itself.
    """

    def __init__(self, settings: Settings) -> None:
        self.service: Service | None = None
        self._handle = settings.notify_fd
        self._loop = asyncio.get_running_loop()
        self._connected_at = self._loop.time()
        if self._handle is not None:
            os.set_blocking(self._handle, False)  # whoever does not read must not stop us
            self._again()

    def _again(self) -> None:
        self.beat()
        if self._handle is not None:
            self._loop.call_later(BEAT_S, self._again)

    def beat(self) -> None:
        """Says now how the service is."""
        if self._handle is None:
            return
        line = msgspec.json.encode(self._message()) + b"\n"
        try:
            os.write(self._handle, line)
        except BlockingIOError:
            return  # the next one says the same
        except OSError as error:
            _log.warning("notify_failed", error=str(error))
            self._handle = None

    def _message(self) -> dict[str, str]:
        service = self.service
        if service is None or service.state != "ready":
            return {"state": "starting"}
        now = self._loop.time()
        if service.bus.connected:
            self._connected_at = now
        if now - self._connected_at > _UNCONNECTED_S:
            return {"state": "degraded", "note": "has no connection to NATS"}
        return {"state": "ready", "address": service.address}
