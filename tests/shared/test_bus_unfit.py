"""Servers that cannot keep our promises are refused with a sentence; one that is full is waited for."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from parallax.stack.binaries import server_account
from parallax.stack.servers import Nats, free_ports, spawn
from schemas.events import ExecutionAccepted
from services.pattern_engine.service import PatternEngine
from shared import subjects
from shared.bus import Bus, UnfitServer
from shared.bus.streams import STREAMS, api
from shared.ids import new_id
from shared.testing import eventually
from tests.shared.conftest import Connect, OwnServer
from tests.shared.events import accepted, fact


@pytest.fixture
async def without_streams(server_dir: Path, nats_url: str) -> AsyncGenerator[str]:
    """The URL of a nats-server without JetStream."""
    assert nats_url
    port, monitor = free_ports(2)
    directory = server_dir / f"plain-{new_id()[-8:]}"
    server = Nats(directory, server_account(), port=port, monitor_port=monitor)
    server.prepare()
    config = directory / "nats.conf"
    kept = [line for line in config.read_text().splitlines() if not line.startswith("jetstream")]
    config.write_text("\n".join(kept) + "\n")
    process = spawn(server, server_account(), log=server_dir / f"{directory.name}.log", environ={"PATH": os.defpath})
    try:
        await eventually(lambda: asyncio.to_thread(server.is_ready), timeout_s=20)
        yield server.url
    finally:
        process.kill()
        process.wait()


async def test_a_server_without_jetstream_is_refused(without_streams: str) -> None:
    """The message says what is missing and how to switch it on."""
    bus = await Bus.connect(without_streams, "test", timeout_s=10)
    try:
        with pytest.raises(UnfitServer, match="JetStream switched off; switch it on"):
            await bus.ensure_streams()
    finally:
        await bus.close()


async def test_a_service_says_so_and_ends(without_streams: str) -> None:
    """A process that cannot work on its server ends with the sentence and exit code 1, instead of waiting for ever."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PatternEngine.__module__.rpartition(".")[0],
        env={**os.environ, "PARALLAX_NATS_URL": without_streams},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, words = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "JetStream switched off" in words.decode()


async def test_a_stream_of_our_name_that_cannot_be_ours_is_refused(own_server: OwnServer) -> None:
    """One that is kept in memory would lose the log with the server: it is named, and not used."""
    bus = await Bus.connect(own_server.url, "test", timeout_s=10)
    try:
        name = subjects.STREAM_EVENTS
        config = {"name": name, "subjects": [subjects.APPEND_ALL], "storage": "memory"}
        await api(bus.connection, f"STREAM.CREATE.{name}", config)
        with pytest.raises(UnfitServer, match=f"{name} that cannot be made"):
            await bus.ensure_streams()
    finally:
        await bus.close()


async def test_settings_that_somebody_changed_are_set_again_at_start(own_server: OwnServer, connect: Connect) -> None:
    """Every setting is read back; what differs is put right."""
    bus = await connect(own_server.url)
    name = subjects.STREAM_REQUESTS
    before: dict[str, Any] = (await api(bus.connection, f"STREAM.INFO.{name}"))["config"]
    await api(bus.connection, f"STREAM.UPDATE.{name}", {**before, "max_age": 600_000_000_000})
    await bus.ensure_streams()
    after = (await api(bus.connection, f"STREAM.INFO.{name}"))["config"]
    assert after["max_age"] == STREAMS[name]["max_age"]


async def test_a_log_that_takes_nothing_more_is_waited_for(own_server: OwnServer, connect: Connect, key: str) -> None:
    """While the server refuses for want of room, appends wait; when there is room again they are stored, in order."""
    bus = await connect(own_server.url)
    await bus.append(accepted(key))
    name = subjects.STREAM_EVENTS
    config: dict[str, Any] = (await api(bus.connection, f"STREAM.INFO.{name}"))["config"]
    await api(bus.connection, f"STREAM.UPDATE.{name}", {**config, "max_bytes": 200, "discard": "new"})
    appends = [asyncio.create_task(bus.append(fact(key, number))) for number in range(20)]
    done, _ = await asyncio.wait(appends, timeout=0.5)
    assert not done
    await bus.ensure_streams()
    seqs = await asyncio.wait_for(asyncio.gather(*appends), 20)
    assert seqs == sorted(seqs)
    records = [record async for record in bus.read(key)]
    assert isinstance(records[0].data, ExecutionAccepted)
    assert len({record.id for record in records}) == len(records) == 21
