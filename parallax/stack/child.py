"""One process of the stack, kept alive: started, waited for until it is ready, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable
from pathlib import Path

from parallax.stack.binaries import Account
from parallax.stack.errors import UnfitMachineError
from shared.paths import StackPart
from shared.processes import process_identity

LONGEST_BACKOFF_S = 2.0
TICK_S = 0.5
UNANSWERED_S = 3.0
"""A service that has said nothing for so long is shown as not answering; it says something each second."""
BLOCKED_S = 30.0
"""A service that has said nothing for so long is ended and started again: it is stopped, or its event loop blocked."""
FIRST_WORD_S = 60.0
"""The same for one that has not said its first word yet."""
UNWELL_S = 5.0
"""A server that answers, and says for so long that it cannot serve, is started again once there is room on its disk."""
ENOUGH_ROOM_BYTES = 64 * 1024 * 1024
HOPELESS_DEATHS = 5
"""So many deaths in a row before it was ever ready, and a start is given up."""

STEADY_S = 10.0
"""A process that has lived this long is not one that keeps dying."""

_LOG_LIMIT = 32 * 1024 * 1024

Changed = Callable[["Child", str], None]
"""Called at every change of a child with what happened, as a sentence ("" for nothing to tell)."""


class Child:
    """A server or a service under supervision."""

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        command: Callable[[], list[str]],
        environ: dict[str, str],
        log: Path,
        changed: Changed,
        directory: Path,
        account: Account | None = None,
        prepare: Callable[[], None] | None = None,
        probe: Callable[[], bool] | None = None,
        complaint: Callable[[], str] | None = None,
        room: Path | None = None,
        address: str = "",
        stop_signal: signal.Signals = signal.SIGTERM,
        blocked_s: float = BLOCKED_S,
        unwell_s: float = UNWELL_S,
    ) -> None:
        self.name = name
        self.kind = kind
        self.address = address
        self.state = "starting"
        self.restarts = 0
        self.note = ""
        self.ready = asyncio.Event()
        self._command = command
        self._environ = environ
        self._log = log
        self._changed = changed
        self._directory = directory
        self._account = account or Account()
        self._prepare = prepare
        self._probe = probe
        self._complaint = complaint
        self._room = room
        self.hopeless = ""
        """Why it can never be ready as things are, as a sentence."""
        self._heard_at = 0.0
        self._verdict = ""
        self._stop_signal = stop_signal
        self._blocked_s = blocked_s
        self._unwell_s = unwell_s
        self._process: Process | None = None
        self._identity = ""
        self._stopping = False
        self._early_deaths = 0

    @property
    def part(self) -> StackPart:
        """What the record says about it."""
        alive = self._process is not None and self._process.returncode is None
        return StackPart(
            name=self.name,
            kind=self.kind,
            pid=self._process.pid if self._process is not None and alive else None,
            identity=self._identity if alive else "",
            state=self.state,
            address=self.address,
            restarts=self.restarts,
            note=self.note,
        )

    async def supervise(self) -> None:
        """Keeps it running until `stop` is called."""
        while not self._stopping:
            began = time.monotonic()
            reason = await self._live_once()
            if self._stopping:
                return
            was_ready = self.ready.is_set()
            self.ready.clear()
            self._early_deaths = 0 if time.monotonic() - began > STEADY_S else self._early_deaths + 1
            self.restarts += 1
            self.state = "starting" if was_ready or self._early_deaths < 3 else "failed"
            self.note = reason
            if self._early_deaths >= HOPELESS_DEATHS and not was_ready:
                self.hopeless = self.hopeless or f"{self.name} cannot run: it {reason}"
            told = self._early_deaths <= 3 or self._early_deaths % 10 == 0  # one that keeps dying says the same again
            self._changed(self, f"{self.name} {reason}; starting it again (restart {self.restarts})" if told else "")
            delay = 0.0 if self._early_deaths <= 1 else min(0.1 * 2 ** (self._early_deaths - 2), LONGEST_BACKOFF_S)
            await asyncio.sleep(delay)

    async def _live_once(self) -> str:
        """Starts the process and waits for its end; what ended it."""
        try:
            if self._prepare is not None:
                await asyncio.to_thread(self._prepare)
            if self._stopping:
                return ""
            process, notified = await self._spawn()
        except UnfitMachineError as error:
            self.hopeless = str(error)
            return f"cannot be started: {error}"
        except Exception as error:  # noqa: BLE001 -- whatever hinders a start is tried again, and told
            return f"cannot be started: {error}"
        watching = asyncio.create_task(self._watch(process, notified))
        try:
            code = await process.wait()
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        if self._verdict:
            said, self._verdict = self._verdict, ""
            return said
        said = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = self._last_words() if code > 0 else ""
        return f"{said}: {last}" if last else said

    async def _spawn(self) -> tuple[Process, int | None]:
        self._rotate()
        environ = dict(self._environ)
        receiving: int | None = None
        sending: int | None = None
        if self._probe is None:
            receiving, sending = os.pipe()
            environ["PARALLAX_NOTIFY_FD"] = str(sending)
        try:
            with self._log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *_tied_to_us(self._command(), self._stop_signal),
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=STDOUT,
                    cwd=self._directory,
                    env=environ,
                    start_new_session=True,
                    pass_fds=() if sending is None else (sending,),
                    user=self._account.uid,
                    group=self._account.gid,
                    extra_groups=[] if self._account.is_other else None,
                    umask=0o077 if self._account.is_other else -1,
                )
        except BaseException:
            if receiving is not None:
                os.close(receiving)
            raise
        finally:
            if sending is not None:
                os.close(sending)
        self._process = process
        self._identity = process_identity(process.pid)
        self._changed(self, "")
        if self._stopping:
            self._signal(self._stop_signal)
        return process, receiving

    async def _watch(self, process: Process, notified: int | None) -> None:
        if self._probe is not None:
            await self._watch_by_asking(process, self._probe)
        elif notified is not None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_by_listening(notified))
                group.create_task(self._watch_the_silence(process))

    async def _watch_by_asking(self, process: Process, probe: Callable[[], bool]) -> None:
        misses = 0
        unwell_since = 0.0
        while process.returncode is None:
            if await asyncio.to_thread(probe):
                misses, unwell_since = 0, 0.0
                self._is_ready(self.address)
                await asyncio.sleep(1.0)
            elif not self.ready.is_set():
                await asyncio.sleep(0.015)
            else:
                misses += 1
                complaint = await asyncio.to_thread(self._complaint) if self._complaint is not None else ""
                if misses >= 3:
                    self._mark_degraded(complaint or "does not answer")
                unwell_since = (unwell_since or time.monotonic()) if complaint else 0.0
                if unwell_since and time.monotonic() - unwell_since > self._unwell_s and self._has_room():
                    self._verdict = f"said that it cannot serve ({complaint}) and was ended"
                    self._signal(self._stop_signal)
                    return
                await asyncio.sleep(0.3)

    def _has_room(self) -> bool:
        try:
            return self._room is None or shutil.disk_usage(self._room).free > ENOUGH_ROOM_BYTES
        except OSError:
            return False

    def _mark_degraded(self, note: str) -> None:
        if self.state == "ready" or (self.state == "degraded" and self.note != note):
            told = self.state == "ready"
            self.state, self.note = "degraded", note
            self._changed(self, f"{self.name} {note}" if told else "")

    async def _watch_the_silence(self, process: Process) -> None:
        """Ends a process that says nothing for too long. Time in which we ourselves did not run does not count."""
        quiet_s = 0.0
        heard_at = self._heard_at = 0.0
        while process.returncode is None:
            began = time.monotonic()
            await asyncio.sleep(TICK_S)
            late = time.monotonic() - began > 2 * TICK_S
            if self._heard_at != heard_at:
                heard_at, quiet_s = self._heard_at, 0.0
            elif not late:
                quiet_s += TICK_S
            if quiet_s >= UNANSWERED_S and heard_at:
                self._mark_degraded("does not answer")
            if quiet_s >= (self._blocked_s if heard_at else max(self._blocked_s, FIRST_WORD_S)):
                self._verdict = f"did not answer for {quiet_s:.0f} s and was ended"
                self._signal(signal.SIGKILL)
                return

    async def _watch_by_listening(self, notified: int) -> None:
        reader = asyncio.StreamReader()
        with os.fdopen(notified, "rb") as pipe:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
            try:
                while line := await reader.readline():
                    self._heard_at = time.monotonic()
                    self._heard(line)
            finally:
                transport.close()

    def _heard(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            state, address = str(message["state"]), str(message.get("address") or "")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if state == "ready":
            self._is_ready(address)
        elif state == "degraded":
            self._mark_degraded(str(message.get("note") or "cannot serve"))

    def _is_ready(self, address: str) -> None:
        if self.state == "ready" and self.ready.is_set():
            return
        again = f"{self.name} answers again" if self.state == "degraded" else f"{self.name} is ready again"
        said = again if self.state == "degraded" or self.restarts > 0 else ""
        self.state, self.note, self.address = "ready", "", address or self.address
        self.ready.set()
        self._changed(self, said)

    async def stop(self, *, grace_s: float) -> None:
        """Asks it to end, and ends it after `grace_s` seconds."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(self._stop_signal)
            self._signal(signal.SIGCONT)  # a frozen one could not hear us
            try:
                await asyncio.wait_for(process.wait(), grace_s)
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await process.wait()
        self.state, self.note = "stopped", ""
        self.ready.clear()
        self._changed(self, "")

    def kill(self) -> None:
        """Ends it at once."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(which)

    def _last_words(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
                lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        except OSError:
            return ""
        return lines[-1][-300:] if lines else ""

    def _rotate(self) -> None:
        """Keeps one old log; a running writer appends, so the file may be emptied under it."""
        with contextlib.suppress(OSError):
            if self._log.stat().st_size > _LOG_LIMIT:
                shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
                os.truncate(self._log, 0)

    def tidy(self) -> None:
        """Does what is due from time to time: a log that has grown large is cut."""
        self._rotate()


def _tied_to_us(command: list[str], stop_signal: signal.Signals) -> list[str]:
    """The command, so run that the kernel asks it to end when the supervisor dies, where the system can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--", *command] if setpriv else command


async def all_of(jobs: list[Awaitable[None]]) -> None:
    """Awaits them side by side."""

    async def one(job: Awaitable[None]) -> None:
        await job

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(one(job))
