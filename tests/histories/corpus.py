"""Recorded histories: the log of one execution as JSON lines, written by a real run and read by every later version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from schemas.events import Event
from shared import subjects
from shared.bus import Recorded
from shared.bus.messages import moment_of, recorded

PLACE = Path(__file__).parent / "corpus"


def line_of(record: Recorded) -> str:
    """One event as it was stored."""
    assert isinstance(record.data, Event)
    body: dict[str, Any] = {
        "seq": record.seq,
        "type": record.type,
        "time": record.time.isoformat(),
        "id": record.id,
        "data": json.loads(encoded(record.data)),
    }
    return json.dumps(body, ensure_ascii=False)


def encoded(event: Event) -> bytes:
    """The body of an event as the log holds it."""
    return msgspec.json.encode(event)


def read(path: Path) -> list[Recorded]:
    """A history as a reader of the log would get it."""
    return list(_records(path.read_text(encoding="utf-8").splitlines()))


def _records(lines: Iterable[str]) -> Iterable[Recorded]:
    for line in lines:
        body = json.loads(line)
        assert moment_of(body["time"]) is not None
        headers = {"ce-time": body["time"], "ce-id": body["id"]}
        subject = subjects.event_of_type(body["data"]["execution_id"], body["type"])
        payload = json.dumps(body["data"]).encode()
        yield recorded(subjects.STREAM_EVENTS, body["seq"], subject, headers, payload)
