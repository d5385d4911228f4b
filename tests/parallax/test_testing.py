"""`parallax.testing`: unit tests of patterns, with functions for agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import parallax
from parallax.testing import (
    AgentError,
    Budget,
    Question,
    Result,
    SimulationRefused,
    Task,
    assert_completed,
    assert_failed,
    simulate,
    simulate_many,
)
from tests.parallax.simulation.charts import PATTERNS, chart, compiled, prism

TEAM = PATTERNS / "startup-team.yaml"
ONE = compiled(chart("- {type: assign, id: one, role: writer, task: do it}\n"))


def test_what_a_test_does_not_speak_of_goes_well() -> None:
    """Every agent does good work in a minute, every reviewer approves it."""
    outcome = assert_completed(simulate(TEAM))
    assert outcome.path == "plan > implementation > review: approve > {tests, documentation} > release: approve"
    assert outcome.seconds == 5 * 60 + 5
    assert outcome.cost == pytest.approx(0.6)
    assert outcome.confidence == 0.9
    assert [event.type for event in outcome.events][-1] == "execution.completed"


def test_a_function_plays_an_agent_and_sees_what_the_agent_would_see() -> None:
    """The task's text, its context with the attempt and the critique, its session, its input."""
    seen: list[Task] = []

    def developer(task: Task) -> Result:
        seen.append(task)
        return Result("built", confidence=0.9)

    def cto(task: Task) -> Any:
        if "answer" not in task.context:
            return "the plan"
        revised = "Revised" in task.text
        return {"verdict": "approve"} if revised else {"verdict": "revise", "critique": "no tests"}

    outcome = simulate(TEAM, agents={"developer": developer, "cto": cto}, input={"task": "a clock"})
    assert assert_failed(outcome, "not_approved").revisions == 1
    first, second = seen
    assert "a clock" in first.text
    assert "the plan" in first.text
    assert (first.role, first.step, first.attempt, first.workspace) == ("developer", "implementation", 1, None)
    assert first.context == {"attempt": 1}
    assert second.context == {"attempt": 1, "critique": "no tests", "revision": True}
    assert second.session == first.session == "developer-1"
    assert second.id != first.id


def test_the_handler_of_a_real_agent_plays_in_a_test_too() -> None:
    """`parallax.Result`, `async def`, progress: the same function as under `@agent.task`."""

    async def handler(task: Any) -> parallax.Result:
        await task.progress("reading")
        return parallax.Result({"said": task.text}, confidence=0.7)

    outcome = simulate(ONE, agents={"writer": handler})
    assert outcome.result["result"] == {"said": "do it"}
    assert outcome.confidence == 0.7


def test_a_function_that_waits_is_told_that_it_cannot() -> None:
    """Time in a simulation is not real."""
    import asyncio

    async def handler(task: Any) -> None:
        del task
        await asyncio.sleep(1)

    failed = assert_failed(simulate(ONE, agents={"writer": handler}), "task_failed")
    assert failed.error is not None
    assert "cannot wait for anything" in failed.error.message


async def test_it_is_told_so_in_a_test_that_is_a_coroutine_as_well() -> None:
    """Where there is a loop that could wait."""
    test_a_function_that_waits_is_told_that_it_cannot()


def test_what_a_function_raises_is_the_failure_of_the_attempt() -> None:
    """It is tried again as in the platform, and may succeed then."""

    def flaky(task: Task) -> str:
        if task.attempt < 3:
            raise AgentError(f"attempt {task.attempt}")
        return "done"

    outcome = assert_completed(simulate(ONE, agents={"writer": flaky}))
    assert (outcome.repeats, outcome.result["result"]) == (2, "done")

    def broken(task: Task) -> str:
        raise KeyError(task.role)

    failed = assert_failed(simulate(ONE, agents={"writer": broken}), "task_failed")
    assert failed.tasks[0].error is not None
    assert failed.tasks[0].error.message == "KeyError: 'writer'"


def test_a_failed_assertion_in_a_function_is_the_tests() -> None:
    """It is not taken for the failure of an agent."""

    def strict(task: Task) -> None:
        assert task.input == "something"

    with pytest.raises(AssertionError, match="something"):
        simulate(ONE, agents={"writer": strict})


def test_a_result_may_say_how_long_it_took_what_it_cost_and_how_good_it_is() -> None:
    """The truth is not shown to the pattern."""

    def writer(task: Task) -> Result:
        del task
        return Result("x", confidence=0.9, seconds=7, cost_usd=2.5, quality=0.3)

    outcome = simulate(ONE, agents={"writer": writer})
    assert (outcome.seconds, outcome.cost, outcome.quality, outcome.confidence) == (7, 2.5, 0.3, 0.9)
    with pytest.raises(AgentError, match="quality"):
        Result("x", quality=2)


def test_agents_may_be_described_instead() -> None:
    """The words of an agents file, for a role or for all."""
    outcome = simulate(ONE, agents={"writer": {"results": ["mine"]}, "default": {"seconds": 3}})
    assert (outcome.result["result"], outcome.seconds) == ("mine", 3)


def test_people_are_a_function_too() -> None:
    """It is asked what a person would be asked; None is silence."""
    asked: list[Question] = []

    def person(question: Question) -> str | None:
        asked.append(question)
        return "approve" if len(asked) == 1 else None

    gates = "".join(
        f"- {{type: approve, id: g{number}, approver: human, subject: 'gate {number}?'}}\n" for number in (1, 2)
    )
    outcome = simulate(compiled(chart(gates)), people=person)
    assert outcome.status == "stalled"
    assert outcome.waits_for == ["a person, who does not answer, with no deadline: gate 2?"]
    assert [question.question for question in asked] == ["gate 1?", "gate 2?"]
    with pytest.raises(AssertionError, match="stalled, waiting for a person"):
        assert_completed(outcome)


def test_signals_are_named() -> None:
    """When they come, and with what."""
    pattern = prism('wait("go").data')
    assert simulate(pattern, signals={"go": {"seconds": 5, "data": [1]}}).result == [1]
    assert simulate(pattern).status == "stalled"


def test_a_world_is_a_file_or_data(tmp_path: Path) -> None:
    """Instead of the calm one; `{}` is the one of the command."""
    (tmp_path / "agents.yaml").write_text("default: {seconds: 1}\n")
    assert simulate(ONE, world=tmp_path / "agents.yaml", agents={"writer": lambda task: task.text}).seconds == 1
    outcomes = list(simulate_many(ONE, runs=200, world={}))
    assert len({outcome.seconds for outcome in outcomes}) > 100
    assert any(outcome.repeats for outcome in outcomes)
    assert all(outcome.events == [] for outcome in outcomes)


def test_many_runs_are_those_that_one_would_be() -> None:
    """The number of a run and the seed say everything."""
    many = list(simulate_many(TEAM, seed=4, runs=range(5, 8), world={}))
    one = simulate(TEAM, seed=4, run=6, world={})
    assert [outcome.run for outcome in many] == [5, 6, 7]
    assert (many[1].path, many[1].cost, many[1].seconds, many[1].tasks) == (one.path, one.cost, one.seconds, one.tasks)


def test_budgets_and_time_limits() -> None:
    """As a request would have them."""
    assert_failed(simulate(TEAM, budget=Budget(cost_usd=0.15)), "budget_exceeded")
    assert_failed(simulate(TEAM, timeout=90), "execution_timeout")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"agents": {"cot": lambda task: None}}, "no role 'cot'; it has cto, developer, tester, writer"),
        ({"agents": {"cto": {"secnds": 3}}}, "Did you mean 'seconds'?"),
        ({"world": {"default": {"quality": 3}}}, "between 0 and 1"),
        ({"input": {"tsk": "x"}}, "there is no input field 'tsk'"),
        ({"people": {"answers": 2}}, "between 0 and 1"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_simulated_is_refused(more: dict[str, Any], words: str) -> None:
    """With the reason, before anything runs."""
    with pytest.raises(SimulationRefused) as refused:
        simulate(TEAM, **more)
    assert words in str(refused.value)


def test_a_pattern_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    """Each with its line, so that the failed test says what to mend."""
    path = tmp_path / "bad.yaml"
    path.write_text(chart("- {type: assign, id: one, role: wirter, task: do}\n- {type: asign}\n"))
    with pytest.raises(SimulationRefused, match=r"(?s)bad\.yaml:12:.*bad\.yaml:13:") as refused:
        simulate(path)
    assert refused.value.broken
    assert len(refused.value.diagnostics) == 2


def test_a_wrong_ending_is_told_in_words() -> None:
    """What happened instead, and the path."""
    with pytest.raises(AssertionError, match="the run completed with "):
        assert_failed(simulate(ONE), "not_approved")
    with pytest.raises(AssertionError, match=r"the run failed with task_failed: (.*)\n  one: task_failed"):
        assert_completed(simulate(ONE, agents={"writer": {"failure": {"error": 1}}}))
