"""The real servers that tests run against, started once for a run and thrown away at its end.

A server that cannot be had skips the tests that need it on a laptop, and fails them where PARALLAX_REQUIRE names it
(`PARALLAX_REQUIRE=nats,postgres,etcd`), so that a suite is never green for being empty.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from parallax.stack.binaries import server_account
from parallax.stack.errors import StackError
from parallax.stack.servers import Etcd, Nats, Postgres, Server, free_ports, spawn

NEEDS = {"nats_url": "nats", "postgres_url": "postgres", "etcd_url": "etcd", "stack": "stack", "wheel": "index"}


def pytest_configure() -> None:
    """Lets the programs that tests start hear Ctrl-C: a shell has it ignored by what it runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks a test by the servers that it uses, so that nobody has to remember it."""
    for item in items:
        names: tuple[str, ...] = getattr(item, "fixturenames", ())
        for fixture, mark in NEEDS.items():
            if fixture in names:
                item.add_marker(mark)


def missing(part: str, reason: str) -> None:
    """Skips the test for want of `part`, or fails it where PARALLAX_REQUIRE names that part."""
    required = {name.strip() for name in os.environ.get("PARALLAX_REQUIRE", "").split(",")}
    if part in required:
        pytest.fail(f"{part} is required here: {reason}", pytrace=False)
    pytest.skip(f"{part}: {reason}")


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see none of the PARALLAX_* settings of whoever runs them."""
    for name in [name for name in os.environ if name.startswith("PARALLAX_") and name != "PARALLAX_REQUIRE"]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server_dir() -> Generator[Path]:
    """A directory for the servers' files, which their unprivileged user can enter."""
    place = Path(tempfile.mkdtemp(prefix="parallax-tests-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@contextmanager
def running(server: Server, log: Path) -> Generator[str]:
    """Runs one server for the length of the block and gives its URL."""
    account = server_account()
    try:
        server.prepare()
        process = spawn(server, account, log=log, environ={"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"})
    except StackError as error:
        missing(server.name, str(error))
        raise
    try:
        deadline = time.monotonic() + 20
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{server.name} did not start: {log.read_text()[-2000:]}", pytrace=False)
            time.sleep(0.01)  # the server is another process; there is nothing to wait on
        yield server.url
    finally:
        process.send_signal(server.stop_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def nats_url(server_dir: Path) -> Generator[str]:
    """The URL of a real nats-server with JetStream, sync_interval always; the module's own: use ids of your own.

    A server costs some 50 ms. A log that all modules shared would hand each service the work that the tests of another
    room left undone.
    """
    port, monitor = free_ports(2)
    place = server_dir / f"nats-{uuid.uuid4().hex[:8]}"
    server = Nats(place, server_account(), port=port, monitor_port=monitor)
    with running(server, place.with_suffix(".log")) as url:
        yield url
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def etcd_url(server_dir: Path) -> Generator[str]:
    """The endpoint (`host:port`) of a real etcd; shared by the run: use a key prefix of your own."""
    port, peer = free_ports(2)
    with running(
        Etcd(server_dir / "etcd", server_account(), port=port, peer_port=peer), server_dir / "etcd.log"
    ) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server(server_dir: Path) -> Generator[str]:
    """The URL of a real Postgres, for the fixture below."""
    (port,) = free_ports(1)
    server = Postgres(server_dir / "postgres", server_account(), port=port)
    with running(server, server_dir / "postgres.log") as url:
        yield url


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def postgres_url(postgres_server: str) -> Generator[str]:
    """The URL of an empty database of this test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    asyncio.run(_execute(postgres_server, f'CREATE DATABASE "{name}"'))
    yield postgres_server.rpartition("/")[0] + f"/{name}"
    asyncio.run(_execute(postgres_server, f'DROP DATABASE "{name}" WITH (FORCE)'))
