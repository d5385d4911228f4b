"""Today's code decides what yesterday's decided: every recorded history replays identically."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import (
    SEMANTICS,
    Event,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    TaskRequested,
    TaskWaiting,
)
from services.pattern_engine.conductor import Sources
from services.pattern_engine.history import History, first_difference, owed, rebuild
from shared.bus import Recorded
from tests.histories.corpus import PLACE, encoded, read
from tests.histories.scenarios import DECISIONS

HISTORIES = sorted(PLACE.glob("*.jsonl"))


def unasked() -> int:
    """Deadlines are recorded, so the time that a replay is run at must not matter."""
    return random.randrange(10**12)


def no_dice() -> float:
    """Random numbers are recorded: a replay that draws one has parted from its history."""
    raise AssertionError("a replay drew a random number")


SOURCES = Sources(now_ms=unasked, random=no_dice)


def test_the_corpus_holds_every_way_to_end() -> None:
    """Completed, failed by program, budget and clock, and cancelled; with tasks, timers, signals and workspaces."""
    kinds = {record.type for path in HISTORIES for record in read(path)}
    assert {
        "execution.completed", "execution.failed", "execution.cancelled", "execution.paused", "execution.resumed",
        "task.requested", "task.completed", "timer.set", "timer.fired", "signal.received", "effect.recorded",
        "workspace.requested", "workspace.integrated", "workspace.finalized", "workspace.conflicted",
        "verification.requested", "verification.completed", "question.asked", "question.answered", "task.failed",
        "task.retrying", "http.requested", "http.completed",
    } <= kinds  # fmt: skip


MEANT: dict[str, tuple[str, Any]] = {
    "review-approve": ("completed", 0.8),
    "review-revise": ("completed", 0.8),
    "review-endless": ("completed", 0.7),
    "review-reject": ("completed", 0.8),
    "review-reject-decided": ("completed", 0.7),
    "review-unread": ("completed", None),
    "review-evidence": ("completed", 0.0),
    "review-parallel": ("completed", 0.8),
    "review-broken": ("completed", None),
    "approve-role": ("completed", 0.8),
    "deny-role": ("failed", "not_approved"),
    "deny-role-continue": ("completed", 0.7),
    "deny-role-decided": ("completed", 0.7),
    "approve-person": ("completed", None),
    "deny-person": ("failed", "not_approved"),
    "late-person": ("failed", "not_approved"),
    "deny-person-decided": ("completed", 0.7),
    "verified-pass": ("completed", 1.0),
    "verified-fail": ("completed", 0.0),
    "verified-nothing": ("completed", None),
    "verified-list": ("completed", 0.86),
    "checks-pass": ("completed", 1.0),
    "checks-fail": ("failed", "verification_failed"),
    "checks-nothing": ("failed", "verification_failed"),
    "checks-fail-continue": ("completed", 0.7),
    "checks-fail-decided": ("completed", 0.7),
    "checks-merged": ("completed", 1.0),
    "retry-better": ("completed", 1.0),
    "retry-no-better": ("completed", 0.0),
    "retry-nothing": ("completed", None),
    "escalated": ("completed", 1.0),
    "escalated-best": ("completed", 0.0),
    "escalated-fail": ("failed", "verification_failed"),
    "escalated-person": ("completed", 0.0),
    "attempts": ("completed", None),
    "question-person": ("completed", 0.9),
    "question-role": ("completed", 0.9),
    "selected": ("completed", 0.9),
    "calls": ("completed", None),
    "gates": ("completed", None),
    "asks-http": ("completed", None),
    "conflict": ("failed", "workspace_conflict"),
    "conflict-continue": ("completed", 0.7),
    "pushed": ("completed", 0.7),
    "votes": ("completed", None),
}
"""How the first meaning of gates, policies and the rest ended, by the name of the history: the confidence of what was
completed, the code of what failed. Executions that began under that meaning keep it."""


def test_the_corpus_holds_every_way_to_decide() -> None:
    """Review, approval, verification, retry, escalation, question, selection, call, HTTP, conflict and push are there.

    A changed expectation here is a changed meaning of an execution that somebody has in a log.
    """
    assert set(MEANT) == set(DECISIONS)
    found: dict[str, tuple[str, Any]] = {}
    for name in MEANT:
        ending = read(PLACE / f"{name}.jsonl")[-1].data
        if isinstance(ending, ExecutionFailed):
            found[name] = ("failed", ending.error.code)
        else:
            assert isinstance(ending, ExecutionCompleted)
            found[name] = ("completed", ending.confidence)
    assert found == MEANT


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays_identically(path: Path) -> None:
    """Each event can be read, and the program makes every decision that was recorded, byte for byte."""
    records = read(path)
    assert all(isinstance(record.data, Event) for record in records), [record.data for record in records]
    assert all(record.data.event_id == record.id for record in records)
    history = History(records)
    rebuilt = await rebuild(history, SOURCES)
    assert first_difference(history, rebuilt.produced) is None
    rebuilt.conductor.close()


async def test_words_about_waiting_decide_nothing() -> None:
    """With a `task.waiting` behind every task that was asked for, the program makes the same decisions."""
    records = read(PLACE / "team.jsonl")
    talkative: list[Recorded] = []
    for record in records:
        talkative.append(record)
        if isinstance(record.data, TaskRequested):
            waiting = TaskWaiting(
                execution_id=record.execution_id,
                task_id=record.data.task_id,
                attempt=1,
                role=record.data.role,
                reason="no_agent",
                message="no agent offers it",
            )
            talkative.append(replace(record, type=waiting.TYPE, id=waiting.event_id, data=waiting))
    assert len(talkative) > len(records)
    plain, full = History(records), History(talkative)
    rebuilt = await rebuild(full, SOURCES)
    assert first_difference(full, rebuilt.produced) is None
    assert (full.decisions, [record.data for record in full.facts]) == (
        plain.decisions, [record.data for record in plain.facts]
    )  # fmt: skip
    rebuilt.conductor.close()


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_history_that_breaks_off_anywhere_goes_on_as_it_did(path: Path) -> None:
    """Cut after any event, the rebuilt program owes nothing that the whole history does not hold."""
    records = read(path)
    whole = {record.id: record.data for record in records}
    begun = next(place for place, record in enumerate(records) if record.type == "execution.started") + 1
    for cut in range(begun, len(records)):
        history = History(records[:cut])
        rebuilt = await rebuild(history, Sources(now_ms=unasked, random=lambda: 0.5))
        assert first_difference(history, rebuilt.produced) is None, cut
        for event in owed(history, rebuilt.produced):
            if isinstance(event, TaskRequested):
                assert event == whole[event.event_id], cut
        rebuilt.conductor.close()


async def test_a_changed_decision_is_found() -> None:
    """A history in which one task was asked something else does not replay identically, and the place is named."""
    records = read(PLACE / "team.jsonl")
    place = next(place for place, record in enumerate(records) if isinstance(record.data, TaskRequested))
    task = records[place].data
    assert isinstance(task, TaskRequested)
    records[place] = replace(records[place], data=msgspec.structs.replace(task, text="something else"))
    history = History(records)
    rebuilt = await rebuild(history, SOURCES)
    difference = first_difference(history, rebuilt.produced)
    assert difference is not None
    assert difference["effect"] == task.effect
    rebuilt.conductor.close()


def test_what_began_before_meanings_were_numbered_has_the_first_one() -> None:
    """A log without the field means 1, what starts today says its number, and the event of a 1 is written as before."""
    for path in HISTORIES:
        for record in read(path):
            if isinstance(record.data, ExecutionStarted):
                assert record.data.meaning == 1
                assert b"semantics" not in encoded(record.data)
                today = msgspec.structs.replace(record.data, semantics=SEMANTICS)
                assert msgspec.json.decode(encoded(today), type=ExecutionStarted).meaning == SEMANTICS == 3
