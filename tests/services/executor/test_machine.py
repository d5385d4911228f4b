"""The life of a task as tables: what an event makes of a state, and what a state owes to the log."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from schemas.agents import AgentSpec
from schemas.base import Failure, LossKind, Usage
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
    MAX_LOSSES,
    MAX_STALLED_MS,
    PLATFORM,
    PROGRESS_MS,
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
    ("code", "loss", "failures", "kind"),
    [
        ("task_failed", None, 0, TaskRetrying),
        ("task_failed", None, 1, TaskFailed),
        ("agent_killed", None, 0, TaskRetrying),
        ("agent_killed", None, 1, TaskFailed),
        ("agent_lost", "agent_lost", 1, TaskRetrying),
        ("agent_lost", "runtime_lost", 1, TaskRetrying),
        ("agent_lost", "session_unreachable", 1, TaskRetrying),
        ("task_timeout", None, 0, TaskFailed),
        ("no_agent", None, 0, TaskFailed),
        ("program_not_found", None, 0, TaskFailed),
        ("result_too_large", None, 0, TaskFailed),
        ("too_many_questions", None, 0, TaskFailed),
        ("agent_silent", None, 0, TaskRetrying),
        ("agent_silent", None, 1, TaskFailed),
    ],
)
def test_a_bad_end_is_retried_while_it_may_help(
    code: str, loss: LossKind | None, failures: int, kind: type[Event]
) -> None:
    """A loss is no attempt; what another attempt cannot mend fails at once."""
    state = msgspec.structs.replace(after(started()), failures=failures)
    fault = Faulted(error=Failure(code=code, message="m"), loss=loss)
    (event,) = decide(state, fault, jitter=0.5, at_ms=0)
    assert isinstance(event, kind)


KINDS: tuple[LossKind, ...] = get_args(LossKind)
MINUTE_MS = 60_000


def lose(state: TaskState, loss: LossKind, *, at_ms: int, worked_ms: int = 0) -> tuple[TaskState, Event]:
    """The state after another attempt that was lost `worked_ms` after its beginning, and what that was to the log."""
    state = evolve(state, started(attempt=state.attempt), at_ms - worked_ms)
    error = Failure(code="agent_lost", message="The runtime is gone.")
    (event,) = decide(state, Faulted(error=error, loss=loss), jitter=0.0, at_ms=at_ms)
    return evolve(state, event, at_ms), event


@pytest.mark.parametrize("loss", KINDS)
def test_a_loss_costs_no_attempt_and_the_log_says_so(loss: LossKind) -> None:
    """What counts as what stands in `task.retrying`; the attempts of the agent are as many as before."""
    state, event = lose(after(), loss, at_ms=5_000)
    assert isinstance(event, TaskRetrying)
    assert (event.interrupted, event.loss, event.losses, event.failures, event.attempts) == (True, loss, 1, 0, 2)
    state = evolve(state, started(attempt=2), 6_000)
    (event,) = decide(state, Faulted(error=FAULT), jitter=0.0, at_ms=7_000)
    assert isinstance(event, TaskRetrying)
    assert (event.interrupted, event.loss, event.losses, event.failures, event.attempts) == (False, UNSET, 1, 1, 2)
    state = evolve(evolve(state, event, 7_000), started(attempt=3), 7_100)
    (event,) = decide(state, Faulted(error=FAULT), jitter=0.0, at_ms=8_000)
    assert isinstance(event, TaskFailed)
    assert (event.error, event.attempts, event.losses) == (FAULT, 3, {loss: 1})


@pytest.mark.parametrize("loss", KINDS)
def test_losses_have_an_end_too(loss: LossKind) -> None:
    """Two hundred where the platform broke, twenty where nobody knows why: that may be the task itself."""
    state, most = after(), MAX_LOSSES - 1 if loss in PLATFORM else MAX_INTERRUPTIONS
    for number in range(most):
        state, event = lose(state, loss, at_ms=1_000 + number)
        assert isinstance(event, TaskRetrying), number
    state, event = lose(state, loss, at_ms=9_000)
    assert isinstance(event, TaskFailed)
    assert event.losses == {loss: most + 1}
    assert event.error.code == ("platform_unstable" if loss in PLATFORM else "agent_lost")


def test_an_unstable_platform_is_named_with_every_loss() -> None:
    """By kind and count, the most frequent first, with what the agent used itself and what happened last."""
    state = after()
    for number in range(MAX_LOSSES - 1):
        state, _ = lose(state, "runtime_lost" if number % 3 else "session_unreachable", at_ms=1_000 + number)
    state, event = lose(state, "runtime_lost", at_ms=2_000)
    assert isinstance(event, TaskFailed)
    assert event.losses == {"runtime_lost": 133, "session_unreachable": 67}
    assert event.error.message == (
        "The platform lost this task 200 times (runtime_lost 133, session_unreachable 67); the agent has used 0 of its "
        "2 attempts. The last loss: The runtime is gone. `parallax doctor` and the logs of the services say more; run "
        "it again when they are well."
    )
    assert state.phase == "ended"


@pytest.mark.parametrize(
    ("minutes", "worked_ms", "kind"),
    [
        ([0, 30, 59], 0, TaskRetrying),
        ([0, 30, 60], 0, TaskFailed),
        ([0, 30, 60], PROGRESS_MS, TaskRetrying),
        ([0, 60, 120, 180], PROGRESS_MS, TaskRetrying),
        ([0, 60], PROGRESS_MS - 1, TaskFailed),
    ],
)
def test_an_hour_without_progress_ends_a_task(minutes: list[int], worked_ms: int, kind: type[Event]) -> None:
    """From the first loss; a lost attempt that its agent was at for a minute was progress."""
    state, event, begin = after(), None, 10 * MAX_STALLED_MS
    for minute in minutes:
        state, event = lose(state, "runtime_lost", at_ms=begin + minute * MINUTE_MS, worked_ms=worked_ms)
    assert isinstance(event, kind)
    assert not isinstance(event, TaskFailed) or event.error.code == "platform_unstable"


@pytest.mark.parametrize("workspace", [False, True])
def test_what_was_left_out_of_a_result_stands_in_the_log(workspace: bool) -> None:
    """By way of the turn's end, where there is a workspace."""
    state = (
        after(started(), workspace=workspace)
        if not workspace
        else after(PREPARE, prepared(), started(), workspace=True)
    )
    (event,) = decide(state, Answered(result=1, note="left out"), jitter=0.0, at_ms=0)
    if workspace:
        state = evolve(evolve(state, event), of(WorkspaceCommitted, TURN))
        (event,) = owed(state, jitter=0.0, at_ms=0)
    assert isinstance(event, TaskCompleted)
    assert event.note == "left out"


def test_a_failure_of_the_agent_is_progress() -> None:
    """It had its turn: the hour begins anew."""
    begin = 10 * MAX_STALLED_MS
    state, _ = lose(after(attempts=5), "runtime_lost", at_ms=begin)
    state = evolve(state, retrying(attempt=2), begin + 30 * MINUTE_MS)
    _, event = lose(state, "runtime_lost", at_ms=begin + 61 * MINUTE_MS)
    assert isinstance(event, TaskRetrying)


def test_a_session_that_nobody_reaches_is_no_progress_however_long_it_is_tried() -> None:
    """Its time-out may be longer than a minute."""
    begin = 10 * MAX_STALLED_MS
    state, _ = lose(after(), "session_unreachable", at_ms=begin, worked_ms=5 * MINUTE_MS)
    _, event = lose(state, "session_unreachable", at_ms=begin + 60 * MINUTE_MS, worked_ms=5 * MINUTE_MS)
    assert isinstance(event, TaskFailed)


@pytest.mark.parametrize("history", [(PREPARE,), (PREPARE, prepared(), started(), finished())])
def test_a_workspace_service_that_is_away_for_an_hour_is_an_unstable_platform(history: tuple[Event, ...]) -> None:
    """Nobody waits for ever, before the turn or after it."""
    state = after(*history, workspace=True)
    assert owed(state, jitter=0.5, at_ms=0, waited_ms=MAX_STALLED_MS - 1) == []
    (event,) = owed(state, jitter=0.5, at_ms=0, waited_ms=MAX_STALLED_MS)
    assert isinstance(event, TaskFailed)
    assert (event.error.code, event.losses) == ("platform_unstable", {"workspace_away": 1})
    assert "did not answer for 60 minutes" in event.error.message


@pytest.mark.parametrize(
    ("code", "kind"), [("interrupted", "runtime_lost"), ("agent_lost", "agent_lost"), ("agent_killed", "agent_killed")]
)
def test_a_log_of_before_goes_on(code: str, kind: str) -> None:
    """Its `task.retrying` says neither the loss nor the counts."""
    error = Failure(code=code, message="m")
    old = msgspec.json.decode(
        msgspec.json.encode({**WORK, "attempt": 1, "error": error, "delay_ms": 1, "interrupted": True}),
        type=TaskRetrying,
    )
    state = after(started(), old, started(attempt=2))
    assert (state.phase, state.attempt, state.failures, state.interruptions) == ("running", 2, 0, 1)
    assert state.losses == {kind: 1}
    (event,) = decide(state, Faulted(error=FAULT, loss="runtime_lost"), jitter=0.0, at_ms=2_000)
    assert isinstance(event, TaskRetrying)
    assert event.losses == 2
    encoded = msgspec.json.decode(msgspec.json.encode(old))
    assert not {"loss", "losses", "failures", "attempts"} & set(encoded)


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
