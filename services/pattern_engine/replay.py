"""Replay: an execution's program run again against its log, and the verdict whether it decides the same."""

from __future__ import annotations

from compiler.prism import PrismError
from schemas.commands import ReplayQuery, ReplayReport
from services.pattern_engine.conductor import Sources
from services.pattern_engine.history import History, first_difference, rebuild
from shared.bus import Bus


async def replay(bus: Bus, sources: Sources, query: ReplayQuery) -> ReplayReport:
    """Runs `query.execution_id` again, without an agent and without writing anything."""
    execution_id = query.execution_id
    history = History([record async for record in bus.read(execution_id)])
    if history.accepted is None:
        error = "it was rejected" if history.ending is not None else "the log knows no such execution"
        return ReplayReport(
            execution=execution_id, effects=0, identical=False, error=f"There is nothing to run: {error}."
        )
    if history.started is None:
        return ReplayReport(
            execution=execution_id, effects=0, identical=False, error="The execution has not started yet."
        )
    try:
        rebuilt = await rebuild(history, sources)
    except PrismError as error:
        return ReplayReport(execution=execution_id, effects=0, identical=False, error=str(error))
    difference = first_difference(history, rebuilt.produced)
    effects = rebuilt.conductor.effects
    rebuilt.conductor.close()
    return ReplayReport(
        execution=execution_id, effects=effects, identical=difference is None, first_difference=difference
    )
