"""The life of one task as a pure state machine: `evolve` folds events, `decide` and `owed` say what has to be appended.

Every executor that reads the log of a task comes to the same state, which is how one goes on where another was killed.
Nothing here waits, reads a clock or draws a number: times and the jitter of a back-off are handed in.

An attempt ends badly in one of two ways. It *failed*: the agent did it, whose attempts are counted. Or it was *lost*:
the platform broke under it, or nobody knows what became of the agent. Losses cost no attempt and have bounds of their
own, so that nothing is tried for ever.
"""

from __future__ import annotations

from typing import Literal, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from schemas.base import Failure, Json, LossKind, Model, Score, Usage
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

MAX_LOSSES = 200
"""So many attempts a task may lose, however they were lost, before the platform is called unstable."""

MAX_INTERRUPTIONS = 20
"""So many of them may be lost for a reason that nobody knows, which may be the task itself."""

MAX_STALLED_MS = 3_600_000
"""So long a task may do nothing but lose attempts, or wait for the workspace service."""

PROGRESS_MS = 60_000
"""A lost attempt that an agent was at for so long was progress."""

PLATFORM: frozenset[str] = frozenset({"runtime_lost", "runtime_failed", "session_unreachable", "workspace_away"})
"""Losses that are certainly the platform's."""

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
        "secret_missing",
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
    note: str | UnsetType = UNSET


class Faulted(Model, frozen=True, kw_only=True):
    """The turn ended badly: said by the agent, or found out by the executor. `loss`: through no fault of its agent."""

    error: Failure
    loss: LossKind | None = None
    usage: Usage | None = None


Outcome = Answered | Faulted


class TaskState(Model, frozen=True, kw_only=True):
    """Where a task stands. `clock_from_ms` is when its time limit began to count, None while it does not.

    `spent` is what earlier attempts consumed. `losses` are the interruptions by kind, `stalled_from_ms` is when the
    first loss since the last progress was, None where there is none.
    """

    request: TaskRequested
    attempts: int = 3
    phase: Phase = "placing"
    attempt: int = 1
    failures: int = 0
    interruptions: int = 0
    losses: dict[str, int] = {}
    stalled_from_ms: int | None = None
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

    @property
    def was_lost(self) -> bool:
        """Whether the attempt before this one ended with the loss of its agent."""
        return self.stalled_from_ms is not None


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
            return _again(state, event, at_ms)
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


def _again(state: TaskState, event: TaskRetrying, at_ms: int) -> TaskState:
    if event.interrupted:
        losses, stalled = _with(state, _kind(event)), _stalled_from(state, event.loss, at_ms)
    else:
        losses, stalled = state.losses, None
    return msgspec.structs.replace(
        state,
        phase="placing",
        attempt=state.attempt + 1,
        failures=state.failures + (0 if event.interrupted else 1),
        interruptions=state.interruptions + (1 if event.interrupted else 0),
        losses=losses,
        stalled_from_ms=stalled,
        clock_from_ms=None if event.interrupted else state.clock_from_ms,
        delay_ms=event.delay_ms,
        started_ms=0,
        agent_id="",
        path="",
        finished=None,
        committed=None,
        trouble=None,
        spent=_sum(state.spent, event.usage),
    )


def _kind(event: TaskRetrying) -> str:
    """How an attempt was lost; of older logs, which do not say it, as the code of the failure has it."""
    if isinstance(event.loss, str):
        return event.loss
    return "runtime_lost" if event.error.code == "interrupted" else event.error.code


def _with(state: TaskState, kind: str) -> dict[str, int]:
    return {**state.losses, kind: state.losses.get(kind, 0) + 1}


def _stalled_from(state: TaskState, loss: object, at_ms: int) -> int:
    """Since when nothing but losses happens, with one now. An attempt that an agent was at for long was progress."""
    worked = loss != "session_unreachable" and state.started_ms and at_ms - state.started_ms >= PROGRESS_MS
    return at_ms if state.stalled_from_ms is None or worked else state.stalled_from_ms


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
            return [completed(state, outcome, at_ms=at_ms)]
        case Faulted(error=error, loss=loss, usage=usage):
            return [failed(state, error, loss=loss, jitter=jitter, usage=usage, at_ms=at_ms)]
        case _:
            assert_never(outcome)


def owed(state: TaskState, *, jitter: float, at_ms: int, waited_ms: int = 0) -> list[Event]:
    """What the state alone demands: the end of an attempt whose worktree is done with, or could not be prepared.

    `waited_ms` is how long the workspace service has been waited for.
    """
    if state.phase == "preparing" and state.trouble is not None:
        return [failed(state, state.trouble, jitter=jitter)]
    if waited_ms >= MAX_STALLED_MS:
        return [unstable(state, "workspace_away", f"The workspace service did not answer for {_minutes(waited_ms)}.")]
    finished, committed = state.finished, state.committed
    if state.phase != "committing" or finished is None or committed is None:
        return []
    if finished.outcome == "ok" and committed.error is None:
        return [completed(state, finished, at_ms=at_ms, committed=committed)]
    error = finished.error if finished.outcome != "ok" else committed.error
    error = error or Failure(code="task_failed", message="The agent gave no reason.")
    loss: LossKind | None = None
    if finished.outcome == "interrupted":
        loss = "runtime_lost" if isinstance(finished.loss, UnsetType) else finished.loss
    return [failed(state, error, loss=loss, jitter=jitter, usage=finished.usage, at_ms=at_ms)]


def completed(
    state: TaskState,
    said: Answered | TaskFinished,
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
        result=said.result,
        confidence=said.confidence,
        confidence_source="" if said.confidence is None else "self_report",
        commit=committed.commit if committed else "",
        files=committed.files if committed else [],
        usage=_sum(state.spent, said.usage),
        duration_ms=max(0, at_ms - state.started_ms),
        step=request.step,
        note=said.note,
    )


def failed(
    state: TaskState,
    error: Failure,
    *,
    loss: LossKind | None = None,
    jitter: float,
    usage: Usage | None = None,
    at_ms: int = 0,
) -> TaskRetrying | TaskFailed:
    """The end of a bad attempt, which consumed `usage`: another one, or the end of the task.

    `loss`: it was lost, which is no attempt of the agent's. `at_ms` is now.
    """
    if error.code in FINAL:
        return _ended(state, error, loss, usage)
    if loss is not None:
        lost = state.interruptions + 1
        if lost >= MAX_LOSSES or at_ms - _stalled_from(state, loss, at_ms) >= MAX_STALLED_MS:
            return unstable(state, loss, error.message, usage)
        unknown = state.interruptions - sum(state.losses.get(kind, 0) for kind in PLATFORM)
        if loss not in PLATFORM and unknown >= MAX_INTERRUPTIONS:
            return _ended(state, error, loss, usage)
    elif state.failures + 1 >= state.attempts:
        return _ended(state, error, loss, usage)
    return TaskRetrying(
        execution_id=state.request.execution_id,
        task_id=state.request.task_id,
        attempt=state.attempt,
        error=error,
        delay_ms=backoff_ms(state, interrupted=loss is not None, jitter=jitter),
        interrupted=loss is not None,
        usage=usage,
        loss=UNSET if loss is None else loss,
        losses=state.interruptions + (loss is not None) or UNSET,
        failures=state.failures + (loss is None),
        attempts=state.attempts,
    )


def unstable(state: TaskState, loss: LossKind, last: str, usage: Usage | None = None) -> TaskFailed:
    """The end of a task that the platform has lost too often, or for too long. `last` tells of the last loss."""
    losses = _with(state, loss)
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(losses.items(), key=lambda one: (-one[1], one[0])))
    times = "once" if sum(losses.values()) == 1 else f"{sum(losses.values())} times"
    message = (
        f"The platform lost this task {times} ({counts}); the agent has used {state.failures} of its "
        f"{state.attempts} attempts. The last loss: {last} `parallax doctor` and the logs of the services say more; "
        f"run it again when they are well."
    )
    return _ended(state, Failure(code="platform_unstable", message=message, where=state.request.role), loss, usage)


def _ended(state: TaskState, error: Failure, loss: LossKind | None, usage: Usage | None) -> TaskFailed:
    losses = state.losses if loss is None else _with(state, loss)
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
        losses=losses or UNSET,
    )


def _minutes(milliseconds: int) -> str:
    return f"{milliseconds // 60_000} minutes"


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
            kind, error = ("failed" if outcome.loss is None else "interrupted"), outcome.error
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
        loss=outcome.loss or UNSET if isinstance(outcome, Faulted) else UNSET,
        note=outcome.note if isinstance(outcome, Answered) else UNSET,
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
        builds_on=request.builds_on,
    )


def cancelled(state: TaskState, reason: str) -> TaskCancelled:
    """The fact that nobody is at the task any more."""
    request = state.request
    return TaskCancelled(
        execution_id=request.execution_id, task_id=request.task_id, effect=request.effect, reason=reason
    )
