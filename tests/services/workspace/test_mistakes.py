"""A mistake of ours in the service: whoever asked is answered, and the message is among the dead letters."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from schemas.events import (
    Event,
    TaskFinished,
    WorkspaceCommitted,
    WorkspaceConflicted,
    WorkspaceFailed,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrationRequested,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceRequested,
)
from services.workspace import service
from tests.services.workspace.caller import Caller, bus_at, service_at

TURN: dict[str, Any] = {"task_id": "t", "attempt": 1, "role": "r", "session": "r-1"}


def asked(execution_id: str) -> list[tuple[Event, type[Event]]]:
    """Every request, and what answers it."""
    return [
        (WorkspaceRequested(execution_id=execution_id), WorkspaceFailed),
        (WorkspacePrepareRequested(execution_id=execution_id, **TURN), WorkspacePrepared),
        (TaskFinished(execution_id=execution_id, agent_id="a", outcome="ok", **TURN), WorkspaceCommitted),
        (
            WorkspaceIntegrationRequested(execution_id=execution_id, effect="1", digest="d", commits=[]),
            WorkspaceConflicted,
        ),
        (WorkspaceFinalizeRequested(execution_id=execution_id), WorkspaceFinalized),
    ]


async def test_every_request_is_answered(nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No execution waits for an answer that never comes."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(service, "_step", broken)
    monkeypatch.setattr(random, "uniform", lambda *_: 0.01)  # the worker's back-off
    async with bus_at(nats_url) as bus, service_at(nats_url, tmp_path / "ws"):
        caller = Caller(bus)
        for request, kind in asked(caller.id):
            await bus.append(request)
            answer = await caller.answer(kind)
            assert "a mistake of ours" in str(answer)
