"""The life of one task as a pure state machine: `evolve` folds events, `decide` and `owed` say what has to be appended.

Every executor that reads the log of a task comes to the same state, which is how one goes on where another was killed.
Nothing here waits, reads a clock or draws a number: times and the jitter of a back-off are handed in.
"""

from __future__ import annotations

from typing import Literal, assert_never

import msgspec

from schemas.base import Failure, Json, Model, Score, Usage
from schemas.events import (
    Event,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskFinished,
    TaskRequested,
    TaskRetrying,
    TaskStarted,
    WorkspaceCommitted,
    WorkspacePrepared,
    WorkspacePrepareRequested,
)

Phase = Literal["placing", "preparing", "starting", "running", "committing", "ended"]

MAX_INTERRUPTIONS = 20
"""So often a task may lose its agent through no fault of its own."""

FINAL = frozenset(
    {
        "task_timeout",
        "no_agent",
        "bad_session",
        "program_not_found",
        "unsupported_agent",
        "result_too_large",
        "too_many_questions",
        "question_too_large",
        "not_interactive",
        "not_handled",
    }
)
"""Failures that another attempt cannot mend."""

_BACKOFF_MS = 200
_BACKOFF_MOST_MS = 30_000
_INTERRUPTED_MS = 50
_INTERRUPTED_MOST_MS = 5_000


class Answered(Model, frozen=True, kw_only=True):
    """The agent says that the turn ended well."""

    result: Json = None
    confidence: Score | None = None
    usage: Usage | None = None


class Faulted(Model, frozen=True, kw_only=True):
    """The turn ended badly: said by the agent, or found out by the executor."""

    error: Failure
    interrupted: bool = False
    usage: Usage | None = None


Outcome = Answered | Faulted


class TaskState(Model, frozen=True, kw_only=True):
    """Where a task stands. `clock_from_ms` is when its time limit began to count, None while it does not.

    `spent` is what earlier attempts consumed.
    """

    request: TaskRequested
    attempts: int = 3
    phase: Phase = "placing"
    attempt: int = 1
    failures: int = 0
    interruptions: int = 0
    session: str = ""
    agent_id: str = ""
    path: str = ""
    clock_from_ms: int | None = None
    started_ms: int = 0
    delay_ms: int = 0
    finished: TaskFinished | None = None
    committed: WorkspaceCommitted | None = None
    trouble: Failure | None = None
    spent: Usage | None = None


def opened(request: TaskRequested, retries: int) -> TaskState:
    """A task of which nothing but the request is known. `retries` counts where the request does not say otherwise."""
    attempts = request.attempts if request.attempts is not None else 1 + retries
    return TaskState(request=request, attempts=max(1, attempts), session=request.session)


def evolve(state: TaskState, event: Event, at_ms: int = 0) -> TaskState:
    """The state after an event of the log. Events of other tasks, of other attempts, and repeats change nothing."""
    if state.phase == "ended" or getattr(event, "task_id", None) != state.request.task_id:
        return state
    match event:
        case TaskCompleted() | TaskFailed() | TaskCancelled():
            return msgspec.structs.replace(state, phase="ended")
        case TaskRetrying(attempt=attempt) if attempt == state.attempt:
            return _again(state, event)
        case WorkspacePrepareRequested(attempt=attempt) if attempt == state.attempt and state.phase == "placing":
            return msgspec.structs.replace(state, phase="preparing", session=event.session)
        case WorkspacePrepared(attempt=attempt) if attempt == state.attempt and state.phase in ("placing", "preparing"):
            if event.error is not None:
                return msgspec.structs.replace(state, phase="preparing", session=event.session, trouble=event.error)
            return msgspec.structs.replace(
                state, phase="starting", session=event.session, path=event.path, trouble=None
            )
        case TaskStarted(attempt=attempt) if attempt == state.attempt and state.phase in ("placing", "starting"):
            clock = at_ms if state.clock_from_ms is None else state.clock_from_ms
            return msgspec.structs.replace(
                state,
                phase="running",
                session=event.session,
                agent_id=event.agent_id,
                clock_from_ms=clock,
                started_ms=at_ms,
            )
        case TaskFinished(attempt=attempt) if attempt == state.attempt and state.finished is None:
            return msgspec.structs.replace(
                state, phase="committing", finished=event, session=event.session, agent_id=event.agent_id
            )
        case WorkspaceCommitted(attempt=attempt) if attempt == state.attempt and state.phase == "committing":
            return msgspec.structs.replace(state, committed=event)
        case _:
            return state


def _again(state: TaskState, event: TaskRetrying) -> TaskState:
    return msgspec.structs.replace(
        state,
        phase="placing",
        attempt=state.attempt + 1,
        failures=state.failures + (0 if event.interrupted else 1),
        interruptions=state.interruptions + (1 if event.interrupted else 0),
        clock_from_ms=None if event.interrupted else state.clock_from_ms,
        delay_ms=event.delay_ms,
        agent_id="",
        path="",
        finished=None,
        committed=None,
        trouble=None,
        spent=_sum(state.spent, event.usage),
    )


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    return other if one is None else one.plus(other)


def waited(state: TaskState) -> TaskState:
    """The state after its back-off was waited out."""
    return msgspec.structs.replace(state, delay_ms=0)


def seated(state: TaskState, session: str) -> TaskState:
    """The state with the session that was chosen for the task."""
    return msgspec.structs.replace(state, session=session)


def handed_over(state: TaskState, agent_id: str) -> TaskState:
    """The state with another agent for the same attempt: the one before would not take it."""
    return msgspec.structs.replace(state, agent_id=agent_id)


def decide(state: TaskState, outcome: Outcome, *, jitter: float, at_ms: int) -> list[Event]:
    """What the end of the running turn is to the log. `jitter` in [0, 1) is the back-off's. A late one is nothing."""
    if state.phase != "running":
        return []
    if state.request.workspace:
        return [_finished(state, outcome)]
    match outcome:
        case Answered():
            return [completed(state, outcome.result, outcome.confidence, outcome.usage, at_ms=at_ms)]
        case Faulted():
            interrupted = outcome.interrupted
            return [failed(state, outcome.error, interrupted=interrupted, jitter=jitter, usage=outcome.usage)]
        case _:
            assert_never(outcome)


def owed(state: TaskState, *, jitter: float, at_ms: int) -> list[Event]:
    """What the state alone demands: the end of an attempt whose worktree is done with, or could not be prepared."""
    if state.phase == "preparing" and state.trouble is not None:
        return [failed(state, state.trouble, interrupted=False, jitter=jitter)]
    finished, committed = state.finished, state.committed
    if state.phase != "committing" or finished is None or committed is None:
        return []
    if finished.outcome == "ok" and committed.error is None:
        return [
            completed(state, finished.result, finished.confidence, finished.usage, at_ms=at_ms, committed=committed)
        ]
    error = finished.error if finished.outcome != "ok" else committed.error
    error = error or Failure(code="task_failed", message="The agent gave no reason.")
    interrupted = finished.outcome == "interrupted"
    return [failed(state, error, interrupted=interrupted, jitter=jitter, usage=finished.usage)]


def completed(
    state: TaskState,
    result: Json,
    confidence: float | None,
    usage: Usage | None,
    *,
    at_ms: int,
    committed: WorkspaceCommitted | None = None,
) -> TaskCompleted:
    """The good end of a task."""
    request = state.request
    return TaskCompleted(
        execution_id=request.execution_id,
        task_id=request.task_id,
        effect=request.effect,
        role=request.role,
        session=state.session,
        agent_id=state.agent_id,
        attempt=state.attempt,
        result=result,
        confidence=confidence,
        confidence_source="" if confidence is None else "self_report",
        commit=committed.commit if committed else "",
        files=committed.files if committed else [],
        usage=_sum(state.spent, usage),
        duration_ms=max(0, at_ms - state.started_ms),
        step=request.step,
    )


def failed(
    state: TaskState, error: Failure, *, interrupted: bool, jitter: float, usage: Usage | None = None
) -> TaskRetrying | TaskFailed:
    """The end of a bad attempt, which consumed `usage`: another one, or the end of the task."""
    again = state.interruptions < MAX_INTERRUPTIONS if interrupted else state.failures + 1 < state.attempts
    if again and error.code not in FINAL:
        return TaskRetrying(
            execution_id=state.request.execution_id,
            task_id=state.request.task_id,
            attempt=state.attempt,
            error=error,
            delay_ms=backoff_ms(state, interrupted=interrupted, jitter=jitter),
            interrupted=interrupted,
            usage=usage,
        )
    return TaskFailed(
        execution_id=state.request.execution_id,
        task_id=state.request.task_id,
        effect=state.request.effect,
        role=state.request.role,
        error=error,
        attempts=state.attempt,
        session=state.session,
        step=state.request.step,
        usage=_sum(state.spent, usage),
    )


def backoff_ms(state: TaskState, *, interrupted: bool, jitter: float) -> int:
    """The wait before the next attempt: exponential, capped, with full jitter."""
    if interrupted:
        most = min(_INTERRUPTED_MOST_MS, _INTERRUPTED_MS * 2 ** min(state.interruptions, 10))
    else:
        most = min(_BACKOFF_MOST_MS, _BACKOFF_MS * 2 ** min(state.failures, 10))
    return round(most * jitter)


def _finished(state: TaskState, outcome: Outcome) -> TaskFinished:
    request = state.request
    match outcome:
        case Answered():
            kind, error = "ok", None
        case Faulted():
            kind, error = ("interrupted" if outcome.interrupted else "failed"), outcome.error
        case _:
            assert_never(outcome)
    return TaskFinished(
        execution_id=request.execution_id,
        task_id=request.task_id,
        attempt=state.attempt,
        role=request.role,
        session=state.session,
        agent_id=state.agent_id,
        outcome=kind,
        result=outcome.result if isinstance(outcome, Answered) else None,
        confidence=outcome.confidence if isinstance(outcome, Answered) else None,
        usage=outcome.usage,
        error=error,
    )


def started(state: TaskState, agent_id: str) -> TaskStarted:
    """The fact that the attempt was handed to an agent."""
    request = state.request
    return TaskStarted(
        execution_id=request.execution_id,
        task_id=request.task_id,
        attempt=state.attempt,
        effect=request.effect,
        role=request.role,
        session=state.session,
        agent_id=agent_id,
        step=request.step,
    )


def prepare_requested(state: TaskState) -> WorkspacePrepareRequested:
    """The wish for the session's worktree, before the attempt."""
    request = state.request
    return WorkspacePrepareRequested(
        execution_id=request.execution_id,
        task_id=request.task_id,
        attempt=state.attempt,
        role=request.role,
        session=state.session,
    )


def cancelled(state: TaskState, reason: str) -> TaskCancelled:
    """The fact that nobody is at the task any more."""
    request = state.request
    return TaskCancelled(
        execution_id=request.execution_id, task_id=request.task_id, effect=request.effect, reason=reason
    )
