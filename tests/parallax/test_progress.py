"""The fold that the live view, the plain lines and `parallax show` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from parallax.cli.progress import Progress, gist, shorten, summary
from parallax.client_errors import ExecutionCancelled, ExecutionFailed, RequestRejected
from parallax.client_events import Data, Event, status_of
from parallax.client_execution import outcome_of
from schemas.events import ExecutionPaused, QuestionAnswered, QuestionAsked
from tests.parallax.lives import (
    BEGIN,
    ID,
    as_events,
    cancelled_life,
    completed_life,
    failed_life,
    opening,
    rejected_life,
)


def folded(events: list[Event]) -> tuple[Progress, list[str]]:
    """The fold of a life, and the lines it gave."""
    progress = Progress()
    lines = [f"{line.who}: {line.what}" for event in events for line in progress.apply(event)]
    return progress, lines


def test_a_completed_life_names_who_did_what_with_what_confidence() -> None:
    """Every task, the integration and the verification are a row, finished, with note and confidence."""
    progress, lines = folded(completed_life())
    rows = {row.who: row for row in progress.rows.values() if not row.key.startswith("integrate")}
    assert (progress.status, progress.pattern, progress.open_rows) == ("completed", "demo-tidy", [])
    assert (rows["linter"].what, rows["linter"].confidence, rows["linter"].note) == ("lint", 0.9, "linter is done")
    assert (rows["moderniser"].what, rows["moderniser"].attempt, rows["moderniser"].confidence) == ("Tidy up.", 2, None)
    assert rows["verify"].note == "passed (5 passed)"
    assert progress.files == ["a.py", "b.py"]
    assert "linter: did lint, confidence 0.90: linter is done" in lines
    assert "moderniser: will be tried again: the program ended with 3" in lines
    assert lines[-1] == "engine: completed"


def test_time_is_the_logs_and_not_the_watchers() -> None:
    """A row's duration runs from its first start to its end, however late somebody looks."""
    progress, _ = folded(completed_life())
    later = BEGIN + timedelta(hours=1)
    assert progress.rows[f"{ID}-1"].seconds(later) == pytest.approx(0.3)
    assert progress.seconds(later) == pytest.approx(1.6)


def test_what_runs_when_an_execution_ends_is_shown_as_stopped() -> None:
    """Nothing spins after the end."""
    progress, lines = folded(cancelled_life())
    assert [row.state for row in progress.rows.values()] == ["stopped"]
    assert lines[-1] == "engine: cancelled no longer wanted"


def test_a_task_that_waits_says_for_what() -> None:
    """As a sentence about its role, until it is begun; a word that comes after the task's end is none."""
    accepted, started, *_ = completed_life()
    wait = {"task_id": "t", "attempt": 1, "role": "reviewer", "reason": "no_agent"}
    wait["message"] = "no agent offers code_review"
    begun = {"task_id": "t", "attempt": 1, "role": "reviewer", "step": "review", "agent_id": "a"}
    done = {"task_id": "t", "role": "reviewer", "result": "fine"}

    def at(number: int, kind: str, data: Mapping[str, object]) -> Event:
        return Event(seq=number, type=kind, execution_id=ID, time=BEGIN, id=str(number), source="test", data=Data(data))

    asked = at(3, "task.requested", {"task_id": "t", "role": "reviewer", "step": "review", "text": "look"})
    progress, lines = folded([accepted, started, asked, at(4, "task.waiting", wait)])
    assert lines[-1] == "reviewer: waits: no agent offers code_review"
    assert [(row.state, row.note) for row in progress.rows.values()] == [
        ("waiting", "waits: no agent offers code_review")
    ]
    progress.apply(at(5, "task.started", begun))
    assert [(row.state, row.note) for row in progress.rows.values()] == [("running", "")]
    progress.apply(at(6, "task.completed", done))
    assert progress.apply(at(7, "task.waiting", wait)) == []
    assert [row.state for row in progress.rows.values()] == ["done"]


def test_a_failed_task_says_why() -> None:
    """The message of the failure is in the row and in the line."""
    progress, lines = folded(failed_life())
    assert progress.rows[f"{ID}-1"].note == "linter gave up"
    assert "linter: failed at Tidy up.: linter gave up" in lines


@pytest.mark.parametrize(
    ("life", "status"),
    [
        (completed_life, "completed"),
        (failed_life, "failed"),
        (cancelled_life, "cancelled"),
        (rejected_life, "rejected"),
        (lambda: completed_life()[:-1], "running"),
        (lambda: completed_life()[:1], "pending"),
    ],
)
def test_the_status_follows_from_the_log(life, status: str) -> None:
    """Each prefix of a life has one status."""
    assert status_of(life()) == status


def test_an_open_question_is_what_waiting_means() -> None:
    """Whoever asks, an agent in its task too; an answer ends it, and a pause counts for more."""
    events = completed_life()[:3]
    asked = as_events([*opening(), QuestionAsked(execution_id=ID, question_id="q", question="Ship it?")])
    answered = as_events([*opening(), QuestionAsked(execution_id=ID, question_id="q", question="Ship it?")])
    answered += as_events([QuestionAnswered(execution_id=ID, question_id="q", value="yes")])
    assert (status_of(events), status_of(asked), status_of(answered)) == ("running", "waiting", "running")
    assert (folded(asked)[0].standing, folded(answered)[0].standing) == ("waiting", "running")
    paused = as_events([ExecutionPaused(execution_id=ID, number=1)])
    assert status_of([*asked, *paused]) == "paused"


def test_an_error_of_many_lines_is_told_by_its_first_and_its_last() -> None:
    """What failed, and what the program said at its end; the middle is for whoever looks further."""
    message = "it ended with exit code 1: Traceback\n  File x\n    y\nValueError: no such parcel"
    assert gist(message) == "it ended with exit code 1: Traceback … ValueError: no such parcel"
    assert gist("one line") == "one line"


def test_a_good_ending_becomes_an_outcome() -> None:
    """Value, confidence and its source, branch and commit come from `execution.completed`."""
    outcome = outcome_of(completed_life()[-1])
    assert outcome.value == {"summary": "tidy now"}
    assert (outcome.confidence, outcome.confidence_source) == (1.0, "verification")
    assert (outcome.branch, outcome.commit) == (f"parallax/{ID}/result", "fedcba9876543210")


def test_bad_endings_raise_what_they_are() -> None:
    """Failed, cancelled and rejected are three errors, each with what the log says."""
    with pytest.raises(ExecutionFailed, match="linter gave up") as failed:
        outcome_of(failed_life()[-1])
    assert (failed.value.code, failed.value.where) == ("task_failed", "step lint")
    with pytest.raises(ExecutionCancelled, match="no longer wanted"):
        outcome_of(cancelled_life()[-1])
    with pytest.raises(RequestRejected, match="There is no pattern") as rejected:
        outcome_of(rejected_life()[-1])
    assert rejected.value.hint == "Did you mean demo-tidy?"


def test_event_data_reads_as_a_mapping_and_by_name() -> None:
    """`event.data["x"]` and `event.data.x` are the same; an unknown name says which there are."""
    data = completed_life()[0].data
    assert data["pattern"] == data.pattern == "demo-tidy"
    with pytest.raises(AttributeError, match=r"it has .*pattern"):
        _ = data.nothing_of_the_kind


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("first line\nsecond", "first line"),
        ({"summary": "short", "more": 1}, "short"),
        ({"n": 1}, '{"n": 1}'),
        (None, ""),
        (["é"], '["é"]'),
        ("x" * 100, "x" * 71 + "…"),
    ],
)
def test_a_result_in_a_few_words(value, words: str) -> None:
    """The result's own summary, its first line, or its JSON, cut to a line."""
    assert summary(value) == words


def test_a_blank_text_has_no_first_line() -> None:
    """Empty stays empty."""
    assert shorten(" \n ") == ""


@pytest.mark.parametrize("merged", [False, True])
def test_a_check_of_everybodys_work_is_credited_to_nobody(merged: bool) -> None:
    """Behind a parallel step a verification is about the result, though the log names who was last in it."""

    def at(number: int, kind: str, data: Mapping[str, object]) -> Event:
        return Event(seq=number, type=kind, execution_id=ID, time=BEGIN, id=str(number), source="test", data=Data(data))

    about = {"verification_id": "v", "task_id": f"{ID}-2", "role": "last"}
    asked = at(1, "verification.requested", {**about, "oracles": [{"run": "pytest"}], "merged": merged})
    found = at(2, "verification.completed", {**about, "score": 1.0, "passed": True, "oracles": []})
    progress, _ = folded([asked, found])
    assert [row.key for row in progress.judged(f"{ID}-2")] == ([] if merged else ["verify v"])
    assert [(row.who, row.state) for row in progress.rows.values()] == [("verify", "done")]
