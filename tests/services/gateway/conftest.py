"""The house that the tests of the gateway share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.service import Gateway
from services.projector.service import Projector
from shared import subjects
from shared.bus import Bus
from shared.config import load
from shared.testing import eventually
from tests.services.gateway.house import PATTERN, House, projections


@pytest.fixture
async def house(nats_url: str, postgres_url: str, etcd_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """A gateway at work."""
    (tmp_path / "noop.prism").write_text(PATTERN, encoding="utf-8")
    settings = load(
        {
            "PARALLAX_NATS_URL": nats_url,
            "PARALLAX_DATABASE_URL": postgres_url,
            "PARALLAX_ETCD_ENDPOINTS": etcd_url,
            "PARALLAX_PATTERNS_DIR": str(tmp_path),
            "PARALLAX_API_URL": "http://127.0.0.1:0",
        }
    )
    bus = await Bus.connect(settings, name="gateway")
    await bus.ensure_streams()
    projector = Projector(settings, bus)
    gateway = Gateway(settings, bus)
    await projector.begin()
    await gateway.begin()
    await eventually(lambda: projections(bus), timeout_s=20)
    place = House(gateway, bus)
    worker = await bus.work(
        durable=f"test-{uuid.uuid4().hex[:8]}",
        stream="requests",
        filters=[subjects.REQUEST, *(subjects.command("*", verb) for verb in subjects.COMMAND_VERBS)],
        handler=place.handle,
    )
    yield place
    await worker.stop()
    await gateway.halt()
    await projector.halt()
    await bus.close()
