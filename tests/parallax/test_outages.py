"""A command that waits for a server says so, once, and says when it is back."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from parallax.cli import clients
from parallax.cli.common import UnreachableError


@pytest.mark.parametrize("away_s", [0.02, 0.4])
async def test_an_outage_is_told_once_and_so_is_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], away_s: float
) -> None:
    """A restart that is over at once is not worth a word; the address is shown without its password."""
    monkeypatch.setattr(clients, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(clients, "_OUTAGE_TOLD_AFTER_S", 0.1)
    bus = SimpleNamespace(connected=True)
    client: Any = SimpleNamespace(bus=bus)
    async with clients.outages_told(client, "nats://ada:secret@127.0.0.1:4222"):
        bus.connected = False
        await asyncio.sleep(away_s)
        bus.connected = True
        await asyncio.sleep(0.1)
    said = capsys.readouterr().err.splitlines()
    expected = [
        "The server at 127.0.0.1:4222 does not answer; waiting for it to come back. `parallax status` tells more.",
        "The server is back.",
    ]
    assert said == (expected if away_s > 0.1 else [])


async def test_a_server_without_a_single_stream_is_no_parallax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers without services: said within seconds, and not waited for in silence."""
    monkeypatch.setattr(clients, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(clients, "_STREAMS_WITHIN_S", 0.05)
    streams = {"streams": 0}

    async def server() -> dict[str, int]:
        return streams

    client: Any = SimpleNamespace(bus=SimpleNamespace(server=server))
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:4222 holds nothing of Parallax"):
        await clients.streams_there(client, "nats://127.0.0.1:4222")
    streams["streams"] = 6
    await clients.streams_there(client, "nats://127.0.0.1:4222")
