"""Taking executions over: bringing the program of an execution to where its log ends, and claiming it first.

The claim comes before the reading: it is fenced, so that of several engines one gets the execution, and everything
the former owner still managed to append is in the log by then.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from schemas.base import Failure
from schemas.commands import PatternFile
from schemas.engines import OpenExecution
from schemas.events import ExecutionClaimed, ExecutionFailed, ExecutionStarted
from services.pattern_engine.admission import start_of
from services.pattern_engine.history import History, first_difference, owed, rebuild
from services.pattern_engine.requests import Desk
from services.pattern_engine.run import Run
from shared.bus import EventTooLarge, Fence, StaleFence
from shared.bus.lives import Lives, when_survived
from shared.shortening import shortened

_log = structlog.get_logger(__name__)

_LONGEST_REASON = 2_000


class Estate(Desk, Protocol):
    """What taking over needs of the engine."""

    lives: Lives

    def ended(self, execution_id: str) -> None:
        """The log says that the execution is over."""
        ...


async def adopt(estate: Estate, execution_id: str, known: OpenExecution, reason: str) -> None:
    """Makes an open execution a live run of this engine. Does nothing when another engine is quicker."""
    run = Run(estate, execution_id)
    estate.runs[execution_id] = run
    try:
        run.epoch, run.fence = known.epoch, known.fence
        if known.engine != estate.engine_id:
            await _claim(estate, run, known, reason)
        history = History([record async for record in estate.bus.read(execution_id)])
        if history.ending is not None:
            estate.ended(execution_id)
            _leave(estate, run)
            return
        if history.accepted is None or history.engine != estate.engine_id:
            # what is followed may lag behind the log: by now somebody else has claimed it
            _leave(estate, run)
            return
        run.fence, run.epoch = history.fence, history.epoch
        if history.claims_in_a_row > 1:
            await _revive_marked(estate, run, history)
        else:
            await _revive(estate, run, history)
    except StaleFence:
        _leave(estate, run)
    except BaseException:
        _leave(estate, run)
        raise


def _leave(estate: Estate, run: Run) -> None:
    run.close()
    if estate.runs.get(run.id) is run:
        del estate.runs[run.id]


async def _claim(estate: Estate, run: Run, known: OpenExecution, reason: str) -> None:
    claim = ExecutionClaimed(
        execution_id=run.id,
        engine=estate.engine_id,
        epoch=known.epoch + 1,
        former=known.engine,
        reason=reason,
    )
    (run.fence,) = await estate.bus.append_all([claim], fence=Fence(run.id, known.fence))
    run.epoch = claim.epoch
    _log.info("execution_claimed", execution_id=run.id, epoch=claim.epoch, former=known.engine, reason=reason)


async def _revive_marked(estate: Estate, run: Run, history: History) -> None:
    """Revives an execution that former owners claimed and said nothing of: it may be what ended or blocked them."""
    why_not, release = await estate.lives.begin(run.id)
    if why_not:
        _log.error("execution_given_up", execution_id=run.id, reason=why_not)
        what = f"It cannot be gone on with: {why_not} Ask for it again once the cause is mended."
        await _end(estate, run, Failure(code="internal_error", message=what))
        return

    async def survive() -> None:
        release()
        await estate.lives.end(run.id)

    try:
        await _revive(estate, run, history)
        estate.spawn_short(when_survived(survive), name=f"survive-{run.id}")
    except BaseException:
        release()
        raise


async def _revive(estate: Estate, run: Run, history: History) -> None:
    if history.started is None:
        started = await _start_late(estate, run, history)
        if started is None:
            return
    try:
        rebuilt = await rebuild(history, estate.sources)
    except Exception as error:  # noqa: BLE001 - whatever it is, it would be the same each time: it ends this execution
        _log.exception("execution_not_rebuilt", execution_id=run.id, exc_info=error)
        said = f"The program cannot be run again from its log: {type(error).__name__}: {error}"
        what = shortened(said, _LONGEST_REASON)
        await _end(estate, run, Failure(code="internal_error", message=what))
        return
    difference = first_difference(history, rebuilt.produced)
    run.open(rebuilt.conductor, history, run.fence)
    if difference is not None:
        _log.error("execution_diverged", execution_id=run.id, difference=difference)
        what = f"Run again from its log, the program decided something else at effect {difference['effect']!r}."
        await run.fail(Failure(code="internal_error", message=what))
        return
    missing = owed(history, rebuilt.produced)
    if missing and history.paused:
        run.held = missing
    elif missing:
        await run.catch_up(missing)
    if not run.closed:
        run.go()


async def _end(estate: Estate, run: Run, error: Failure) -> None:
    """Ends an execution that has no program to run."""
    event = ExecutionFailed(execution_id=run.id, error=error)
    await estate.bus.append_all([event], fence=Fence(run.id, run.fence))
    _leave(estate, run)


async def _start_late(estate: Estate, run: Run, history: History) -> ExecutionStarted | None:
    """Starts an execution whose engine accepted it and died before the program was fixed."""
    accepted = history.accepted
    if accepted is None:
        return None
    brought = accepted.source
    pattern = estate.compile(brought) if isinstance(brought, PatternFile) else estate.lookup(accepted.pattern)
    if isinstance(pattern, list):
        reason = shortened(" ".join(problem.what for problem in pattern), _LONGEST_REASON)
        await _end(estate, run, Failure(code="pattern_unavailable", message=reason))
        return None
    started = start_of(accepted, pattern, accepted.input, estate.engine_id, run.epoch)
    try:
        (run.fence,) = await estate.bus.append_all([started], fence=Fence(run.id, run.fence))
    except EventTooLarge as error:
        await _end(estate, run, Failure(code="event_too_large", message=str(error), where=error.where))
        return None
    history.started = started
    history.by_id[started.event_id] = started
    return started
