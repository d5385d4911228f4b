"""`/stats`: counts over everything, from the tables; and of one execution, from its log."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from litestar import get
from litestar.datastructures import State

from schemas.events import (
    ENDINGS,
    Event,
    QuestionAnswered,
    QuestionAsked,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskStarted,
    VerificationCompleted,
)
from services.gateway.bodies import Name
from services.gateway.context import context_of
from services.gateway.reads import history, rows, view_of_log
from shared.bus import Recorded

_TASK_STATES: dict[type[Event], str] = {
    TaskRequested: "requested",
    TaskStarted: "running",
    TaskCompleted: "completed",
    TaskFailed: "failed",
    TaskCancelled: "cancelled",
}


@get("/stats", summary="Counts")
async def stats(state: State) -> dict[str, Any]:
    """How many executions there are in each status, and how far the projections are behind the log."""
    context = context_of(state)
    counted = await rows(context.database, "SELECT status, count(*) AS n FROM executions GROUP BY status")
    position = await rows(context.database, "SELECT position FROM projection_positions WHERE name = 'log'")
    async with asyncio.timeout(5.0):
        last = await context.bus.last_seq()
    reached = position[0]["position"] if position else 0
    return {
        "executions": {row["status"]: row["n"] for row in counted},
        "log": {"last_seq": last, "projected": reached, "behind": max(0, last - reached)},
    }


@get("/executions/{name:str}/stats", summary="Counts of an execution")
async def execution_stats(state: State, name: Name) -> dict[str, Any]:
    """Its events, tasks by how they stand, attempts, verifications and questions; and the seconds it has taken."""
    context = context_of(state)
    records = await history(context.bus, await context.must_know(name))
    view = view_of_log(name, records)
    return {"execution_id": name, "status": view.status if view is not None else "pending", **counts(records)}


def counts(records: list[Recorded]) -> dict[str, Any]:
    """What there is in the log of one execution, by kind. `seconds` is from its first event to its ending, or last."""
    tasks: dict[str, str] = {}
    attempts = 0
    checks: Counter[str] = Counter()
    asked, answered = set[str](), set[str]()
    ended = None
    for record in records:
        event = record.data
        if not isinstance(event, Event):
            continue
        if (standing := _TASK_STATES.get(type(event))) is not None:
            tasks[getattr(event, "task_id", "")] = standing
        attempts += isinstance(event, TaskStarted)
        if isinstance(event, VerificationCompleted):
            checks["passed" if event.passed else "failed"] += 1
        elif isinstance(event, QuestionAsked):
            asked.add(event.question_id)
        elif isinstance(event, QuestionAnswered):
            answered.add(event.question_id)
        elif event.TYPE in ENDINGS and ended is None:
            ended = record.time
    last = ended or (records[-1].time if records else None)
    return {
        "events": len(records),
        "tasks": dict(Counter(tasks.values())),
        "attempts": attempts,
        "verifications": dict(checks),
        "questions": {"asked": len(asked), "answered": len(answered & asked)},
        "seconds": round((last - records[0].time).total_seconds(), 3) if last is not None else 0.0,
    }
