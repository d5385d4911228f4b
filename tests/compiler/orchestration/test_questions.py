"""Questions of agents: whom they go to, hop by hop, and what happens when nobody answers."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.orchestration.questions import Questions
from compiler.prism import EffectFailed
from schemas.events import QuestionAnswered, QuestionAsked, TaskCancelRequested, TaskRequested
from schemas.patterns import CompiledPattern, WorkspaceSpec
from shared.ids import digest


def role(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "capabilities": ["x"], **more}


class Desk:
    """The questions of an execution whose developer may ask the lead, who reports to the boss."""

    def __init__(self, routing: list[dict[str, Any]] | None = None, **escalation: Any) -> None:
        rules = {"routing": routing or [], "escalation": escalation}
        roles = {
            "dev": role("dev", reportsTo="lead", **rules),
            "lead": role("lead", reportsTo="boss"),
            "boss": role("boss"),
            "security": role("security", expertise=["api_design"]),
            "quiet": role("quiet", reportsTo="lead"),
        }
        pattern = CompiledPattern(
            name="p", version="1", format="org-chart", digest="", program="", source="", roles=roles,
            workspace=WorkspaceSpec(enabled=False),
        )  # fmt: skip
        self.failed: list[tuple[str, EffectFailed]] = []
        self.questions = Questions("e1", pattern, {}, lambda task, error: self.failed.append((task, error)), digest)

    def ask(self, text: str = "Which port?", who: str = "dev", options: list[str] | None = None) -> list[Any]:
        asked = QuestionAsked(
            execution_id="e1", question_id="q1", question=text, options=options or [], task_id="t1", role=who
        )
        return list(self.questions.asked(asked))

    def heard(self, task_id: str, result: Any, *, failed: bool) -> list[Any]:
        return list(self.questions.heard(task_id, result, failed=failed))

    def path(self, text: str) -> list[list[str]]:
        """The roles that are asked one hop after the other, when none of them answers."""
        hops: list[list[str]] = []
        events = self.ask(text)
        while events and isinstance(events[0], TaskRequested):
            hops.append([event.role for event in events])
            given = events
            events = []
            for event in given:
                events = self.heard(event.task_id, None, failed=True)
        return hops


@pytest.mark.parametrize(
    ("routing", "escalation", "text", "hops"),
    [
        ([], {}, "x?", [["lead"], ["boss"]]),
        ([], {"maxDepth": 1}, "x?", [["lead"]]),
        ([], {"maxDepth": 0}, "x?", []),
        ([], {"defaultBehavior": "surface_to_user"}, "x?", []),
        ([], {"topicRoutes": {"security": "security"}}, "Is this a Security risk?", [["security"], ["lead"], ["boss"]]),
        ([], {"topicRoutes": {"security": "security"}}, "insecurity?", [["lead"], ["boss"]]),
        ([{"to": ["boss"], "topics": ["money"]}], {}, "money?", [["boss"], ["lead"]]),
        ([{"to": ["boss"], "topics": ["money"]}], {}, "time?", [["lead"], ["boss"]]),
        ([{"to": ["boss", "security"]}], {"maxDepth": 2}, "x?", [["boss"], ["security"]]),
        ([{"to": ["boss", "security"], "broadcast": True}], {}, "x?", [["boss", "security"], ["lead"]]),
        ([{"to": ["dev", "boss"]}], {}, "x?", [["boss"], ["lead"]]),
        ([], {"defaultBehavior": "broadcast"}, "x?", [["lead", "boss", "security", "quiet"]]),
        ([{"to": ["boss"]}], {"defaultBehavior": "broadcast"}, "x?", [["boss"], ["lead", "security", "quiet"]]),
        ([], {"defaultBehavior": "broadcast", "maxDepth": 0}, "x?", []),
        ([], {}, "Is this API design right?", [["security"], ["lead"], ["boss"]]),
        ([{"to": ["boss"]}], {}, "api-design?", [["security"], ["boss"], ["lead"]]),
        ([{"to": ["boss"], "topics": ["api_design"]}], {}, "api design?", [["boss"], ["security"], ["lead"]]),
    ],
)
def test_topic_then_rule_then_up(
    routing: list[dict[str, Any]], escalation: dict[str, Any], text: str, hops: list[list[str]]
) -> None:
    """Nobody is asked twice, nobody asks itself, and never more levels than allowed.

    Experts of a topic are asked after the roles that a rule names; `broadcast` asks all who are left at once.
    """
    assert Desk(routing, **escalation).path(text) == hops


def test_an_answer_ends_it() -> None:
    """It reaches the task that asked, and says which role gave it."""
    desk = Desk(timeoutMs=5)
    (hop,) = desk.ask()
    assert (hop.timeout_ms, hop.text, hop.context["asked_by"]) == (5, "dev asks: Which port?", "dev")
    (answer,) = desk.heard(hop.task_id, "8080", failed=False)
    assert isinstance(answer, QuestionAnswered)
    assert (answer.value, answer.by, answer.task_id, answer.question_id) == ("8080", "role:lead", "t1", "q1")
    assert not desk.questions.owns(hop.task_id)


def test_an_answer_that_is_no_option_is_none() -> None:
    """Then the next one is asked."""
    desk = Desk()
    (hop,) = desk.ask(options=["yes", "no"])
    (second,) = desk.heard(hop.task_id, "perhaps", failed=False)
    assert second.role == "boss"
    (answer,) = desk.heard(second.task_id, {"answer": " Yes "}, failed=False)
    assert answer.value == "yes"


def test_a_person_may_answer_first() -> None:
    """Whoever was asked is told to stop; a late answer is nobody's."""
    desk = Desk([{"to": ["lead", "boss"], "broadcast": True}])
    hops = desk.ask()
    stopped = desk.questions.answered("q1")
    assert [type(event) for event in stopped] == [TaskCancelRequested, TaskCancelRequested]
    assert not any(desk.questions.owns(hop.task_id) for hop in hops)
    assert desk.questions.answered("q1") == []


def test_the_first_answer_of_a_broadcast_counts() -> None:
    """The others are told to stop."""
    desk = Desk([{"to": ["lead", "boss"], "broadcast": True}])
    _, boss = desk.ask()
    answer, stopped = desk.heard(boss.task_id, "ok", failed=False)
    assert (answer.by, type(stopped)) == ("role:boss", TaskCancelRequested)


def test_nobody_answers() -> None:
    """It waits for a person, goes on without, or fails the task, as the file says; silence is never an answer."""
    for rule, expected in (("surface_to_user", 0), ("return_best_effort", 1), ("fail", 0)):
        desk = Desk(onMaxDepth=rule, maxDepth=1)
        (hop,) = desk.ask()
        events = desk.heard(hop.task_id, None, failed=True)
        assert len(events) == expected
        assert [task for task, _ in desk.failed] == (["t1"] if rule == "fail" else [])
        assert all(event.value is None and event.by == "role:" for event in events)


def test_whose_questions_stay_with_people() -> None:
    """Those of roles without rules, and those that the program asks itself."""
    desk = Desk()
    assert desk.ask(who="quiet") == []
    own = QuestionAsked(execution_id="e1", question_id="q2", question="?", digest="d", task_id="t1", role="dev")
    assert desk.questions.asked(own) == []


def test_a_question_ends_with_the_task_that_asked() -> None:
    """And with the execution."""
    desk = Desk()
    desk.ask()
    assert [type(event) for event in desk.questions.ended("t1")] == [TaskCancelRequested]
    desk.ask()
    assert [type(event) for event in desk.questions.close()] == [TaskCancelRequested]


def test_the_tasks_of_a_long_question_are_told_apart() -> None:
    """Their ids are cut at 128 characters: two that would be the same get a hash; one alone stays as it was."""
    desk = Desk()
    asked = QuestionAsked(execution_id="e1", question_id="q" * 140, question="?", task_id="t1", role="dev")
    events: list[Any] = list(desk.questions.asked(asked))
    seen: list[str] = []
    while events and isinstance(events[0], TaskRequested):
        seen += [event.task_id for event in events]
        events = [following for event in events for following in desk.heard(event.task_id, None, failed=True)]
    assert seen[0] == "q" * 128
    assert len(set(seen)) == len(seen) > 1
    assert max(map(len, seen)) == 128
