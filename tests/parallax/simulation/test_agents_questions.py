"""What agents of a simulated run ask in the middle of a task: who answers, when, and what their clocks do."""

from __future__ import annotations

from typing import Any

from tests.parallax.simulation.charts import chart, compiled, played

RULES = """\
escalation: {defaultBehavior: route_to_reports_to, timeoutMs: 90000, onMaxDepth: fail}
"""


def asking(rules: str = RULES) -> Any:
    text = chart("- {type: assign, id: one, role: writer, task: do, onError: continue}\n")
    return compiled(text.replace("workflow:\n", "  " + rules + "workflow:\n", 1))


def test_an_agents_question_goes_up_and_its_time_is_not_the_tasks() -> None:
    """The boss answers after a minute; the writer's own minute is cut in two by it."""
    outcome = played(asking(), {"roles": {"writer": {"asks": 1, "questions": ["Why?"]}}, "people": {"answers": 0}})
    assert outcome.path == "one > asks: boss"
    assert (outcome.seconds, outcome.agents_asked, outcome.hops) == (120, 1, 1)
    answer = outcome.tasks[1]
    assert (answer.kind, answer.role, answer.text) == ("answer", "boss", "writer asks: Why?")


def test_a_time_limit_stands_still_while_an_agent_waits_for_an_answer() -> None:
    """A minute of work and a minute of waiting are within seventy seconds."""
    step = "- {type: assign, id: one, role: writer, task: do, timeoutMs: 70000}\n"
    outcome = played(compiled(chart(step)), {"default": {"asks": 1}})
    assert (outcome.path, outcome.seconds) == ("one > asks: a person", 120)


def test_a_person_may_answer_an_agents_question_first() -> None:
    """Whoever was asked in the team is stopped then."""
    world = {"roles": {"writer": {"asks": 1}}, "people": {"seconds": 10}}
    outcome = played(asking(), world)
    assert (outcome.path, outcome.seconds) == ("one > asks: a person", 70)
    assert [task.status for task in outcome.tasks] == ["completed", "withdrawn"]


def test_a_question_that_nobody_answers_fails_the_task_or_holds_it_for_ever() -> None:
    """As `onMaxDepth` says; without rules it waits for a person."""
    world = {"roles": {"writer": {"asks": 1}, "boss": {"seconds": 100}}, "people": {"answers": 0}}
    failed = played(asking(), world)
    assert (failed.status, failed.tasks[0].status) == ("completed", "withdrawn")
    assert failed.result["error"]["code"] == "question_unanswered"
    alone = played(compiled(chart("- {type: assign, id: one, role: writer, task: do}\n")), world)
    assert alone.waits_for == ["the task 'one', whose agent asked what nobody answers: What is meant here?"]
