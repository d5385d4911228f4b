"""The fold as a table: these events, these rows; and the same rows whatever the batches were."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.base import Failure, Problem
from schemas.events import (
    AgentLost,
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionRejected,
    QuestionAnswered,
    QuestionAsked,
    TaskCancelled,
    TaskRequested,
    TaskStarted,
    TaskWaiting,
)
from services.projector.fold import apply, touched, touched_through
from services.projector.rows import Fact, Key, Row, Rows, unfit
from tests.services.projector.stories import beginning, ending, story, work

NAME = "x"
Tables = dict[Key, Row]


def fold(tables: Tables, facts: list[Fact]) -> None:
    """Folds one batch as the store does: only the rows that were asked for are there."""
    rows = Rows({key: dict(tables[key]) for fact in facts for key in touched(fact) if key in tables})
    further = {key for fact in facts for key in touched_through(rows, fact) if not rows.has(*key)}
    rows.add({key: dict(tables[key]) for key in further if key in tables})
    for fact in facts:
        apply(rows, fact)
    tables.update(rows.changed)


def facts_of(events: list[Event]) -> list[Fact]:
    """Events with places and times."""
    return [
        Fact(seq=number, time=datetime.fromtimestamp(1_700_000_000 + number, UTC), event=event)
        for number, event in enumerate(events, 1)
    ]


def tables_of(events: list[Event]) -> Tables:
    """The rows of some events in one batch, of an execution that was accepted."""
    tables: Tables = {}
    known = events[:1] and events[0].TYPE in {"execution.accepted", "execution.rejected"}
    fold(tables, facts_of(events if known else [beginning(NAME)[0], *events]))
    return tables


FAILURE = Failure(code="task_failed", message="no")
CASES: list[tuple[list[Event], Key, dict[str, Any]]] = [
    (beginning(NAME)[:1], ("executions", NAME), {"status": "pending", "pattern_name": "team", "first_seq": 1}),
    (beginning(NAME), ("executions", NAME), {"status": "running", "engine": "other", "pattern_version": "1.0.0"}),
    ([*beginning(NAME), ExecutionPaused(execution_id=NAME, number=1)], ("executions", NAME), {"status": "paused"}),
    (
        [*beginning(NAME), QuestionAsked(execution_id=NAME, question_id="q", question="?")],
        ("executions", NAME),
        {"status": "waiting", "open_questions": 1},
    ),
    (
        [
            *beginning(NAME),
            QuestionAsked(execution_id=NAME, question_id="q", question="?"),
            QuestionAnswered(execution_id=NAME, question_id="q", value=True, by="me"),
        ],
        ("executions", NAME),
        {"status": "running", "open_questions": 0},
    ),
    (story(NAME), ("executions", NAME), {"status": "completed", "result": [1], "pr_url": "https://forge/1"}),
    (
        [*beginning(NAME), ExecutionFailed(execution_id=NAME, error=FAILURE)],
        ("executions", NAME),
        {"status": "failed", "error": {"code": "task_failed", "message": "no", "where": ""}},
    ),
    (
        [*beginning(NAME), ExecutionCancelled(execution_id=NAME, reason="enough")],
        ("executions", NAME),
        {"status": "cancelled", "error": {"code": "cancelled", "message": "enough"}},
    ),
    (
        [ExecutionRejected(execution_id=NAME, errors=[Problem(where="pattern", what="w")], pattern="p" * 5000)],
        ("executions", NAME),
        {"status": "rejected", "pattern_name": "p" * 256},
    ),
    (
        [*beginning(NAME), ExecutionCancelled(execution_id=NAME), ExecutionCompleted(execution_id=NAME)],
        ("executions", NAME),
        {"status": "cancelled"},
    ),
    (story(NAME), ("tasks", "x-1"), {"status": "completed", "attempt": 2, "error": None, "confidence": 0.5}),
    (story(NAME), ("tasks", "x-2"), {"status": "failed", "attempt": 3, "agent_id": "x-r-1"}),
    (
        [*work(NAME)[:1], TaskCancelled(execution_id=NAME, task_id="x-1", effect="1")],
        ("tasks", "x-1"),
        {"status": "cancelled"},
    ),
    (story(NAME), ("agent_participations", "x/x-r-1"), {"tasks_completed": 1, "tasks_failed": 1, "role": "r"}),
    (story(NAME), ("agents", "x-r-1"), {"status": "stopped", "type": "custom", "capabilities": ["work"]}),
    ([*work(NAME), AgentLost(execution_id=NAME, agent_id="x-r-1")], ("agents", "x-r-1"), {"status": "lost"}),
    (story(NAME), ("questions", "x-q"), {"status": "answered", "answered_by": "me", "value": {"a": [1, None]}}),
    (work(NAME), ("questions", "x-asked"), {"status": "withdrawn", "value": None, "answered_by": None}),
    (work(NAME), ("executions", NAME), {"status": "pending", "open_questions": 0}),
    ([*beginning(NAME), *work(NAME)], ("executions", NAME), {"status": "running", "open_questions": 0}),
    (story(NAME), ("verifications", "x-v"), {"status": "completed", "score": 1.0, "passed": True}),
    (story(NAME), ("workspaces", NAME), {"status": "conflicted", "conflicts": ["a.py"], "repo": "/r"}),
    (story(NAME), ("pull_requests", NAME), {"url": "https://forge/1"}),
    (story(NAME), ("confidence_points", "x-1"), {"score": 0.5, "source": "self_report", "agent_id": "x-r-1"}),
    ([*story(NAME), *story("y")], ("patterns", "team"), {"executions": 2, "version": "1.0.0"}),
]


@pytest.mark.parametrize(("events", "key", "expected"), CASES)
def test_these_events_are_these_rows(events: list[Event], key: Key, expected: dict[str, Any]) -> None:
    """A row says what the events before it said."""
    row = tables_of(events)[key]
    assert {name: row.get(name) for name in expected} == expected


def test_events_of_an_execution_that_nobody_accepted_make_no_rows() -> None:
    """Whoever wrote them is none of us; an execution of them would be pending for ever."""
    tables: Tables = {}
    fold(tables, facts_of(beginning(NAME)[1:]))
    assert tables == {}


def test_events_after_the_end_change_nothing_of_the_execution() -> None:
    """The ending stands; only the place of the last event moves."""
    before = tables_of(story(NAME))["executions", NAME]
    late = TaskStarted(
        execution_id=NAME, task_id="x-9", attempt=1, effect="9", role="r", session="r-1", agent_id="x-r-1"
    )
    after = tables_of([*story(NAME), late])["executions", NAME]
    assert {**after, "last_seq": 0} == {**before, "last_seq": 0}


def test_words_about_waiting_change_no_row() -> None:
    """But for the place of the last event, the rows are those without them."""
    events = story(NAME)
    asked = next(place for place, event in enumerate(events) if isinstance(event, TaskRequested))
    task: Any = events[asked]
    wait = TaskWaiting(
        execution_id=NAME, task_id=task.task_id, attempt=1, role=task.role, reason="no_agent", message="nobody"
    )
    talkative = tables_of([*events[: asked + 1], wait, *events[asked + 1 :]])
    plain = tables_of(events)
    places = {"first_seq", "last_seq", "seq", "time"}
    assert {key: _without(row, places) for key, row in talkative.items() if key[0] != "events"} == {
        key: _without(row, places) for key, row in plain.items() if key[0] != "events"
    }


def _without(row: Row, names: set[str]) -> dict[str, Any]:
    """A row without what tells only where it stands in the log, and when."""
    return {name: value for name, value in row.items() if name not in names and not name.endswith("_at")}


@pytest.mark.parametrize("seed", range(20))
def test_batches_make_no_difference(seed: int) -> None:
    """Events of several executions, cut into batches anyhow, give the rows that one batch gives."""
    chance = random.Random(seed)
    queues = [story(name) for name in ("a", "b", "c")]
    events: list[Event] = []
    while queues:
        queue = chance.choice(queues)
        events.append(queue.pop(0))
        queues = [one for one in queues if one]
    facts = facts_of(events)
    cut: Tables = {}
    at = 0
    while at < len(facts):
        size = chance.randint(1, 7)
        fold(cut, facts[at : at + size])
        at += size
    assert cut == tables_of(events)


@pytest.mark.parametrize(
    "event",
    [
        QuestionAsked(execution_id=NAME, question_id="q", question="?", deadline_at=10**18),
        QuestionAsked(execution_id=NAME, question_id="q", question="?", deadline_at=-1),
        QuestionAsked(execution_id=NAME, question_id="q" * 5000, question="?"),
        QuestionAsked(execution_id=NAME, question_id="q\x00", question="?"),
        ExecutionCompleted(execution_id=NAME, effects=2**70),
    ],
)
def test_what_cannot_be_a_row_is_said_to_be_unfit(event: Event) -> None:
    """Numbers that no column holds and keys that no index takes are found before they get to the database."""
    assert unfit(event)


def test_whole_lives_are_fit() -> None:
    """Nothing that our own services write is left out."""
    assert [unfit(event) for event in [*story(NAME), *ending(NAME)]] == [""] * 37
