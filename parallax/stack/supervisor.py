"""Starts a plan's servers and services side by side, keeps them alive, writes down how they are, stops them in order.

Services are started at the same moment as the servers: each waits for what it needs by itself, as it has to anyway when
a server is restarted under it. The order matters only at the end: services first, so that they can still say goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from parallax.stack.child import Child, all_of
from parallax.stack.plan import Plan, server_environ, service_command, service_environ
from parallax.stack.servers import Server
from shared.paths import StackPart, StackRecord, record_file
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
        self._all_ready = False
        self.interrupted = False
        """Whether it was a person's Ctrl-C that ended it."""
        self._began = time.monotonic()
        environ = service_environ(plan)
        self._servers = [self._server(server) for server in plan.servers]
        self._services = [self._service(name, environ) for name in plan.services]
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
            give_up=getattr(server, "give_up", None),
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
        )

    def _write(self) -> None:
        place = record_file(self._plan.data)
        fresh = place.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(msgspec.json.encode(self.record))
        fresh.replace(place)

    def _changed(self, _child: Child, what: str) -> None:
        if not self._leaving.is_set() and what:
            self._say(what)
        with contextlib.suppress(OSError):  # a full disk must not end the supervision
            self._write()

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
        """Runs the stack until `leave`, and stops it in order."""
        loop = asyncio.get_running_loop()
        for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(which, self._signalled, which)
        self._write()
        keeping = [asyncio.create_task(child.supervise()) for child in [*self._servers, *self._services]]
        waiting = asyncio.create_task(self._announce())
        looking = asyncio.create_task(self._look_after())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            done, _ = await asyncio.wait([leaving, waiting, looking, *keeping], return_when=asyncio.FIRST_COMPLETED)
            while leaving not in done and done <= {waiting}:
                done, _ = await asyncio.wait([leaving, looking, *keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {leaving}:
                task.result()  # a supervising task never ends by itself: its error ends the stack
        finally:
            self._leaving.set()
            waiting.cancel()
            looking.cancel()
            await self._stop()
            for task in [*keeping, leaving]:
                task.cancel()
            await asyncio.wait([*keeping, leaving, waiting, looking])
            self._all_ready = False
            self._write()

    async def _announce(self) -> None:
        for child in [*self._servers, *self._services]:
            await child.ready.wait()
        self._all_ready = True
        self._write()
        if self._on_ready is not None:
            self._on_ready(self.record, time.monotonic() - self._began)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(30.0)
            for child in [*self._servers, *self._services]:
                child.tidy()

    async def _stop(self) -> None:
        await all_of([child.stop(grace_s=SERVICE_GRACE_S) for child in self._services])
        await all_of([child.stop(grace_s=SERVER_GRACE_S) for child in self._servers])
