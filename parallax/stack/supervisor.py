"""Starts a plan's servers and services side by side, keeps them alive, writes down how they are, stops them in order.

Services are started at the same moment as the servers: each waits for what it needs by itself, as it has to anyway when
a server is restarted under it. The order matters only at the end: services first, so that they can still say goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from parallax.stack.child import Child, all_of
from parallax.stack.errors import StackError
from parallax.stack.plan import Plan, server_environ, service_command, service_environ
from parallax.stack.servers import Server
from shared.paths import ALIVE_EVERY_S, StackPart, StackRecord, mark_alive, write_record
from shared.processes import process_identity

SERVICE_GRACE_S = 10.0
SERVER_GRACE_S = 10.0


class Supervisor:
    """The life of one embedded stack. Its caller holds the lock of the data directory."""

    def __init__(
        self, plan: Plan, *, say: Callable[[str], None], on_ready: Callable[[StackRecord, float], None] | None = None
    ) -> None:
        self._plan = plan
        self._say = say
        self._on_ready = on_ready
        self._identity = process_identity(os.getpid())
        self._leaving = asyncio.Event()
        self._hopeless = asyncio.Event()
        self._unwritten = False
        self._all_ready = False
        self.interrupted = False
        """Whether it was a person's Ctrl-C that ended it."""
        self._began = time.monotonic()
        self._servers = [self._server(server) for server in plan.servers]
        self._services = [self._service(name, service_environ(plan, name)) for name in plan.services]
        self._external = [
            StackPart(name=name, kind="server", pid=None, state="ready", address=address, note="not ours")
            for name, address in plan.external.items()
        ]

    def _server(self, server: Server) -> Child:
        return Child(
            server.name,
            "server",
            command=server.command,
            environ=server_environ(self._plan.data),
            log=self._plan.log(server.name),
            changed=self._changed,
            directory=Path("/"),
            account=self._plan.account,
            prepare=server.prepare,
            probe=server.is_ready,
            complaint=getattr(server, "complaint", None),
            room=server.directory,
            address=server.url,
            stop_signal=server.stop_signal,
        )

    def _service(self, name: str, environ: dict[str, str]) -> Child:
        return Child(
            name,
            "service",
            command=lambda: service_command(name),
            environ=environ,
            log=self._plan.log(name),
            changed=self._changed,
            directory=self._plan.data,
        )

    @property
    def record(self) -> StackRecord:
        """How everything is now."""
        return StackRecord(
            data=str(self._plan.data),
            pid=os.getpid(),
            identity=self._identity,
            ready=self._all_ready,
            environ=self._plan.environ,
            parts=[*(child.part for child in self._servers), *self._external, *(c.part for c in self._services)],
            directories=self._plan.directories,
        )

    def _write(self) -> None:
        self._unwritten = True
        write_record(self._plan.data, self.record)
        self._unwritten = False

    def _changed(self, child: Child, what: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not end the supervision
            if not self._leaving.is_set() and what:
                self._say(what)
        with contextlib.suppress(OSError):
            self._write()
        if child.hopeless and not self._all_ready and self._is_to_blame(child):
            self._hopeless.set()

    def _is_to_blame(self, child: Child) -> bool:
        """A service that dies while a server is not there yet dies of that."""
        return child in self._servers or all(server.ready.is_set() for server in self._servers)

    def _signalled(self, which: signal.Signals) -> None:
        self.interrupted = self.interrupted or which is signal.SIGINT
        self.leave()

    def leave(self) -> None:
        """Begins to stop everything; said a second time, ends everything at once."""
        if self._leaving.is_set():
            for child in [*self._services, *self._servers]:
                child.kill()
        self._leaving.set()

    async def run(self) -> None:
        """Runs the stack until `leave`, and stops it in order.

        Raises StackError when a part of it cannot become ready as things are.
        """
        loop = asyncio.get_running_loop()
        for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(which, self._signalled, which)
        self._write()
        keeping = [asyncio.create_task(child.supervise()) for child in [*self._servers, *self._services]]
        waiting = asyncio.create_task(self._announce())
        looking = asyncio.create_task(self._look_after())
        leaving = asyncio.create_task(self._leaving.wait())
        failing = asyncio.create_task(self._fail())
        try:
            ending = [leaving, failing, looking, *keeping]
            done, _ = await asyncio.wait([waiting, *ending], return_when=asyncio.FIRST_COMPLETED)
            while leaving not in done and done <= {waiting}:
                done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {leaving}:
                task.result()  # a supervising task never ends by itself: its error ends the stack
        finally:
            self._leaving.set()
            waiting.cancel()
            looking.cancel()
            await self._stop()
            for task in [*keeping, leaving, failing]:
                task.cancel()
            await asyncio.wait([*keeping, leaving, failing, waiting, looking])
            self._all_ready = False
            with contextlib.suppress(OSError):
                self._write()

    async def _fail(self) -> None:
        await self._hopeless.wait()
        reasons = [child.hopeless for child in [*self._servers, *self._services] if child.hopeless]
        raise StackError(f"{reasons[0]} (the logs are in {self._plan.data / 'logs'})")

    async def _announce(self) -> None:
        for child in [*self._servers, *self._services]:
            await child.ready.wait()
        self._all_ready = True
        self._write()
        if self._on_ready is not None:
            self._on_ready(self.record, time.monotonic() - self._began)

    async def _look_after(self) -> None:
        for tick in itertools.count():
            await asyncio.sleep(ALIVE_EVERY_S)
            with contextlib.suppress(OSError):
                mark_alive(self._plan.data)
                if self._unwritten:
                    self._write()
            if tick % 30 == 0:
                for child in [*self._servers, *self._services]:
                    child.tidy()

    async def _stop(self) -> None:
        await all_of([child.stop(grace_s=SERVICE_GRACE_S) for child in self._services])
        await all_of([child.stop(grace_s=SERVER_GRACE_S) for child in self._servers])
