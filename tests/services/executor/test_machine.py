"""The life of a task as tables: what an event makes of a state, and what a state owes to the log."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.agents import AgentSpec
from schemas.base import Failure, Usage
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
from services.executor.machine import (
    MAX_INTERRUPTIONS,
    Answered,
    Faulted,
    TaskState,
    backoff_ms,
    decide,
    evolve,
    opened,
    owed,
)

Fact = TypeVar("Fact", bound=Event)

FAULT = Failure(code="task_failed", message="no")
WORK: dict[str, Any] = {"execution_id": "e", "task_id": "t"}
TURN: dict[str, Any] = {**WORK, "attempt": 1, "role": "r", "session": "r-1"}


def of(kind: type[Fact], fields: dict[str, Any]) -> Fact:
    """An event of these fields."""
    return kind(**fields)


def request(**fields: Any) -> TaskRequested:
    """A task of two attempts."""
    base = {**WORK, "effect": "1", "digest": "d", "role": "r", "text": "do", "agent": AgentSpec(), "attempts": 2}
    return of(TaskRequested, {**base, **fields})


def started(**fields: Any) -> TaskStarted:
    """The attempt is with an agent."""
    return of(TaskStarted, {**TURN, "effect": "1", "agent_id": "a", **fields})


def retrying(**fields: Any) -> TaskRetrying:
    """The attempt was a bad one."""
    return of(TaskRetrying, {**WORK, "attempt": 1, "error": FAULT, "delay_ms": 10, **fields})


def finished(**fields: Any) -> TaskFinished:
    """The turn is over."""
    return of(TaskFinished, {**TURN, "agent_id": "a", "outcome": "ok", "result": 1, **fields})


def committed(**fields: Any) -> WorkspaceCommitted:
    """Its work is committed."""
    return of(WorkspaceCommitted, {**WORK, "attempt": 1, "role": "r", "session": "r-1", "commit": "c", **fields})


def prepared(**fields: Any) -> WorkspacePrepared:
    """The worktree is there."""
    return of(WorkspacePrepared, {**TURN, "path": "/w", **fields})


def completed(**fields: Any) -> TaskCompleted:
    """The task is done."""
    return of(TaskCompleted, {**TURN, "effect": "1", "agent_id": "a", **fields})


PREPARE = WorkspacePrepareRequested(**TURN)
FAILED = TaskFailed(**WORK, effect="1", role="r", error=FAULT, attempts=1)
CANCELLED = TaskCancelled(**WORK, effect="1", reason="x")


def after(*events: Event, **fields: Any) -> TaskState:
    """The state after a history."""
    state = opened(request(**fields), retries=2)
    for number, event in enumerate(events):
        state = evolve(state, event, at_ms=1000 + number)
    return state


@pytest.mark.parametrize(
    ("history", "phase", "attempt"),
    [
        ((), "placing", 1),
        ((started(),), "running", 1),
        ((started(), completed()), "ended", 1),
        ((started(), FAILED), "ended", 1),
        ((started(), CANCELLED), "ended", 1),
        ((completed(), retrying()), "ended", 1),
        ((started(), retrying()), "placing", 2),
        ((started(), retrying(), retrying()), "placing", 2),
        ((started(), retrying(), started()), "placing", 2),
        ((started(), retrying(), started(attempt=2)), "running", 2),
        ((started(attempt=2),), "placing", 1),
        ((started(task_id="other"),), "placing", 1),
        ((PREPARE,), "preparing", 1),
        ((prepared(),), "starting", 1),
        ((PREPARE, prepared()), "starting", 1),
        ((PREPARE, prepared(attempt=2)), "preparing", 1),
        ((PREPARE, prepared(error=FAULT)), "preparing", 1),
        ((PREPARE, prepared(), started(), finished()), "committing", 1),
        ((finished(),), "committing", 1),
        ((committed(),), "placing", 1),
        ((PREPARE, prepared(), started(), finished(), committed()), "committing", 1),
        ((PREPARE, prepared(), started(), finished(), committed(), completed()), "ended", 1),
        ((PREPARE, prepared(), started(), finished(attempt=2)), "running", 1),
    ],
)
def test_events_move_a_task_forward(history: tuple[Event, ...], phase: str, attempt: int) -> None:
    """Repeats, and events of other tasks and other attempts, change nothing; after the end nothing does."""
    state = after(*history, workspace=True)
    assert (state.phase, state.attempt) == (phase, attempt)


def test_the_first_finish_of_an_attempt_counts() -> None:
    """Two agents, or two executors, may both say how it ended: a task completes at most once, with one result."""
    state = after(started(), finished(result="first"), finished(result="second"), committed(), workspace=True)
    (event,) = owed(state, jitter=0.5, at_ms=2000)
    assert isinstance(event, TaskCompleted)
    assert (event.result, event.commit) == ("first", "c")


@pytest.mark.parametrize("history", [(), (PREPARE,), (started(), retrying()), (started(), completed())])
def test_a_late_answer_is_nothing(history: tuple[Event, ...]) -> None:
    """Of an attempt that is over, or has not begun."""
    for outcome in (Answered(result=1), Faulted(error=FAULT)):
        assert decide(after(*history), outcome, jitter=0.5, at_ms=0) == []


@pytest.mark.parametrize(
    ("code", "interrupted", "failures", "kind"),
    [
        ("task_failed", False, 0, TaskRetrying),
        ("task_failed", False, 1, TaskFailed),
        ("agent_lost", True, 1, TaskRetrying),
        ("task_timeout", False, 0, TaskFailed),
        ("no_agent", False, 0, TaskFailed),
        ("program_not_found", False, 0, TaskFailed),
        ("result_too_large", False, 0, TaskFailed),
        ("too_many_questions", False, 0, TaskFailed),
        ("agent_silent", False, 0, TaskRetrying),
    ],
)
def test_a_bad_end_is_retried_while_it_may_help(code: str, interrupted: bool, failures: int, kind: type[Event]) -> None:
    """An interruption is no attempt; what another attempt cannot mend fails at once."""
    state = msgspec.structs.replace(after(started()), failures=failures)
    fault = Faulted(error=Failure(code=code, message="m"), interrupted=interrupted)
    (event,) = decide(state, fault, jitter=0.5, at_ms=0)
    assert isinstance(event, kind)


def test_interruptions_have_an_end_too() -> None:
    """A task that kills every agent it is given is not tried for ever."""
    state = msgspec.structs.replace(after(started()), interruptions=MAX_INTERRUPTIONS)
    (event,) = decide(state, Faulted(error=FAULT, interrupted=True), jitter=0.5, at_ms=0)
    assert isinstance(event, TaskFailed)


@given(
    failures=st.integers(0, 100),
    interruptions=st.integers(0, 100),
    jitter=st.floats(0, 1, exclude_max=True),
    by=st.booleans(),
)
def test_the_back_off_grows_and_is_bounded(failures: int, interruptions: int, jitter: float, by: bool) -> None:
    """Twice as long each time, at most thirty seconds, with full jitter."""
    state = msgspec.structs.replace(after(), failures=failures, interruptions=interruptions)
    most = backoff_ms(state, interrupted=by, jitter=1.0)
    assert 0 <= backoff_ms(state, interrupted=by, jitter=jitter) <= most <= 30_000
    more = msgspec.structs.replace(state, failures=failures + 1, interruptions=interruptions + 1)
    assert most <= backoff_ms(more, interrupted=by, jitter=1.0) <= 2 * most


def test_the_retries_are_those_of_the_request_or_of_the_settings() -> None:
    """And there is one attempt at least."""
    assert opened(request(attempts=None), retries=2).attempts == 3
    assert opened(request(attempts=5), retries=2).attempts == 5
    assert opened(request(attempts=0), retries=2).attempts == 1


def test_the_time_limit_counts_over_failed_attempts_but_not_over_interruptions() -> None:
    """A retry does not get the time anew; who lost its agent through no fault of its own does."""
    assert after(started()).clock_from_ms == 1000
    assert after(started(), retrying(), started(attempt=2)).clock_from_ms == 1000
    assert after(started(), retrying(interrupted=True), started(attempt=2)).clock_from_ms == 1002


@pytest.mark.parametrize(
    ("finish", "commit", "kind", "code"),
    [
        ({}, {}, TaskCompleted, ""),
        ({"outcome": "failed", "error": FAULT}, {}, TaskRetrying, "task_failed"),
        ({"outcome": "failed"}, {}, TaskRetrying, "task_failed"),
        ({"outcome": "interrupted", "error": FAULT}, {}, TaskRetrying, "task_failed"),
        ({}, {"error": Failure(code="commit_failed", message="disk")}, TaskRetrying, "commit_failed"),
    ],
)
def test_a_turn_in_a_worktree_ends_with_its_commit(
    finish: dict[str, Any], commit: dict[str, Any], kind: type[Event], code: str
) -> None:
    """Nothing is owed before it; a commit that failed is no success."""
    history = (PREPARE, prepared(), started(), finished(**finish))
    assert owed(after(*history, workspace=True), jitter=0.5, at_ms=0) == []
    (event,) = owed(after(*history, committed(**commit), workspace=True), jitter=0.5, at_ms=0)
    assert isinstance(event, kind)
    assert isinstance(event, TaskCompleted) or (isinstance(event, TaskRetrying) and event.error.code == code)


HISTORY = st.lists(
    st.sampled_from(
        [
            *(started(attempt=number) for number in (1, 2)),
            *(retrying(attempt=number) for number in (1, 2)),
            retrying(interrupted=True),
            PREPARE,
            *(prepared(attempt=number) for number in (1, 2)),
            *(finished(attempt=number) for number in (1, 2)),
            *(committed(attempt=number) for number in (1, 2)),
            completed(),
            CANCELLED,
        ]
    ),
    max_size=20,
)


@given(HISTORY, st.booleans())
def test_a_history_and_the_same_with_repeats_come_to_one_state(history: list[Event], workspace: bool) -> None:
    """Whatever is delivered twice in a row is heard once; an end stays the end; attempts never go back."""
    state, repeated = after(workspace=workspace), after(workspace=workspace)
    for event in history:
        before = state
        state = evolve(state, event, 1)
        repeated = evolve(evolve(repeated, event, 1), event, 1)
        assert state.attempt >= before.attempt
        assert before.phase != "ended" or state == before
        due = owed(state, jitter=0.5, at_ms=2)
        assert len(due) <= 1
        for one in due:  # what is owed settles the debt
            assert owed(evolve(state, one, 2), jitter=0.5, at_ms=2) == []
    assert state == repeated


@pytest.mark.parametrize("workspace", [False, True])
def test_what_failed_attempts_consumed_is_counted(workspace: bool) -> None:
    """The end of a task, good or bad, says what all its attempts consumed; each retry what its own did."""
    state = opened(request(workspace=workspace), 0)

    def ends(state: TaskState, outcome: Answered | Faulted) -> tuple[TaskState, Event]:
        state = evolve(state, started(attempt=state.attempt), 0)
        (event,) = decide(msgspec.structs.replace(state, phase="running"), outcome, jitter=0.0, at_ms=0)
        if workspace:
            state = evolve(msgspec.structs.replace(state, phase="running"), event)
            state = evolve(state, of(WorkspaceCommitted, {**TURN, "attempt": state.attempt}))
            (event,) = owed(state, jitter=0.0, at_ms=0)
        return evolve(state, event), event

    state, retrying = ends(state, Faulted(error=FAULT, usage=Usage(input_tokens=3, turns=1)))
    assert isinstance(retrying, TaskRetrying)
    assert retrying.usage == Usage(input_tokens=3, turns=1)
    _, completed = ends(state, Answered(usage=Usage(input_tokens=4, turns=1)))
    _, failed = ends(state, Faulted(error=FAULT, usage=Usage(input_tokens=5, turns=1)))
    assert isinstance(completed, TaskCompleted)
    assert completed.usage == Usage(input_tokens=7, turns=2)
    assert isinstance(failed, TaskFailed)
    assert failed.usage == Usage(input_tokens=8, turns=2)
