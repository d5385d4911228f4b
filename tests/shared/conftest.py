"""Connections to the bus, and a server of a test's own that can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from parallax.stack.binaries import server_account
from parallax.stack.servers import Nats, free_ports, spawn
from shared.bus import Bus
from shared.ids import new_id
from shared.testing import eventually

Connect = Callable[..., Awaitable[Bus]]


class OwnServer:
    """A nats-server that is killed and started again as a test likes."""

    def __init__(self, directory: Path) -> None:
        port, monitor = free_ports(2)
        self._server = Nats(directory, server_account(), port=port, monitor_port=monitor)
        self._log = directory.parent / f"{directory.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self._server.url

    async def start(self) -> None:
        """Runs it, and waits until it answers."""
        self._server.prepare()
        self._process = spawn(self._server, server_account(), log=self._log, environ={"PATH": os.defpath})
        await eventually(lambda: asyncio.to_thread(self._server.is_ready), timeout_s=20)

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def kill_and_restart(self) -> None:
        """kill -9, and up again on the same files."""
        self.kill()
        await self.start()


@pytest.fixture
async def own_server(server_dir: Path, nats_url: str) -> AsyncIterator[OwnServer]:
    """A server of this test's own; `nats_url` sees to it that there is one to be had at all."""
    assert nats_url
    server = OwnServer(server_dir / f"nats-{new_id()[-8:]}")
    try:
        await server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects to a server, with the streams there; everything is closed at the end of the test."""
    opened: list[Bus] = []

    async def make(url: str, name: str = "test") -> Bus:
        bus = await Bus.connect(url, name, timeout_s=10)
        opened.append(bus)
        await bus.ensure_streams()
        return bus

    yield make
    for bus in opened:
        await bus.close()


@pytest.fixture
async def bus(nats_url: str, connect: Connect) -> Bus:
    """A connection to the server that the whole run shares."""
    return await connect(nats_url)


@pytest.fixture
def key() -> str:
    """An execution id that no other test has."""
    return new_id()
