"""Which work a verdict, a check or a person is about: what came before that place of the program."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.orchestration.verdicts import INSTRUCTION
from parallax.simulation.records import TaskRecord
from parallax.simulation.works import Works, again, is_verdict, task_ids
from schemas.agents import AgentSpec
from schemas.effects import Task


def work(path: str, quality: float, *, step: str = "s", text: str = "do", session: str = "") -> TaskRecord:
    return TaskRecord(task_id=f"t{path}", path=path, role="r", step=step, text=text, quality=quality, session=session)


def works(**qualities: float) -> Works:
    """Works at paths, written p1_2_1 for 1.2.1."""
    made = Works()
    for name, quality in qualities.items():
        record = work(name[1:].replace("_", "."), quality)
        made.by_task[record.task_id] = record
        made.done(record, f"commit-{name}")
    return made


def asks(context: Any = None, *, step: str = "s", session: str = "") -> Task:
    return Task(role="r", text="do", agent=AgentSpec(), step=step, context=context, session=session)


@pytest.mark.parametrize(
    ("place", "quality"),
    [
        ("1", None),
        ("3", 0.22),
        ("2.1.2", 0.21),
        ("2.2.2", 0.22),
        ("2.1.1", 0.1),
        ("2.3.1", 0.1),
        ("2.1.3.1.1", 0.21),
        ("4", 0.3),
        ("12", 0.3),
    ],
)
def test_the_latest_work_is_that_before_a_place_in_program_order(place: str, quality: float | None) -> None:
    """In the same branch, else around it; what runs beside a branch is not before it."""
    made = works(p3=0.3, p2_2_1=0.22, p1=0.1, p2_1_1=0.21)
    assert made.latest(place) == quality


def test_a_verdict_is_about_the_worst_work_in_its_subject() -> None:
    """Else about the commit that is named, else about the work before."""
    made = works(p1=0.9, p2=0.4, p3=0.7)
    subject = [{"task_id": "t1", "result": 1}, {"inner": [{"task_id": "t2"}]}]
    assert made.judged(asks({"subject": subject}), "4") == 0.4
    assert made.judged(asks({"subject": "a text", "commit": "commit-p1"}), "4") == 0.9
    assert made.judged(asks({"subject": "a text"}), "4") == 0.7
    assert made.judged(asks(), "1") is None


def test_an_earlier_attempt_is_by_the_same_session_where_there_is_one() -> None:
    """Of the same step and with the same words."""
    made = Works()
    for path, quality, session in (("1.1.1", 0.1, "r-1"), ("1.2.1", 0.2, "r-2")):
        made.done(work(path, quality, session=session), "")
    assert made.before(asks(session="r-1"), "2") == 0.1
    assert made.before(asks(session="r-9"), "2") == 0.2
    assert made.before(asks(step="other"), "2") is None


def test_why_a_task_is_done_again_is_read_from_its_context() -> None:
    """The words are those that the program's library writes there."""
    assert [again(asks(context)) for context in (None, "text", {"critique": "x"}, {"critique": "x", "attempt": 2})] == [
        "", "", "", "retry",
    ]  # fmt: skip
    assert again(asks({"revision": True, "critique": "x"})) == "revision"
    assert again(asks({"escalated_from": "r", "critique": "x"})) == "escalation"
    assert is_verdict(asks({"answer": INSTRUCTION}))
    assert not is_verdict(asks({"answer": "yes"}))


def test_ids_are_found_at_any_depth_but_not_for_ever() -> None:
    """A value that is nested very deep ends the search."""
    deep: Any = {"task_id": "t"}
    for _ in range(100):
        deep = [deep]
    assert task_ids({"a": [{"task_id": "x", "inner": {"task_id": "y"}}, {"b": {"task_id": "z"}}]}) == ["x", "z"]
    assert task_ids(deep) == []
