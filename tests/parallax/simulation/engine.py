"""The log of a simulated run in the engine: what it decides over the same facts, and where that differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from parallax.simulation.clock import START_MS
from parallax.simulation.records import Outcome
from services.pattern_engine.conductor import Sources
from services.pattern_engine.history import History, first_difference, rebuild
from shared.bus import Recorded


def recorded(outcome: Outcome) -> list[Recorded]:
    """The log of a run as the engine reads one."""
    start = datetime.fromtimestamp(START_MS / 1000, UTC)
    return [
        Recorded(
            seq=number,
            subject="",
            execution_id=entry.event.execution_id,
            type=entry.type,
            time=start + timedelta(milliseconds=entry.at_ms),
            id=entry.event.event_id,
            data=entry.event,
            source="",
            correlation="",
            causation="",
            traceparent="",
        )
        for number, entry in enumerate(outcome.events, 1)
    ]


def never(*_: Any) -> Any:
    """Every value is in the log."""
    raise AssertionError("the engine made a value that the log does not hold")


async def difference(outcome: Outcome) -> dict[str, Any] | None:
    """Where the engine's decisions part from the simulated ones."""
    history = History(recorded(outcome))
    sources = Sources(now_ms=lambda: START_MS, random=never)
    rebuilt = await rebuild(history, sources)
    found = first_difference(history, rebuilt.produced)
    assert rebuilt.conductor.effects == outcome.effects or outcome.status != "completed"
    rebuilt.conductor.close()
    return found
