"""Flat patterns, run: votes are counted, agreement is field by field, what is refused is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.orchestration import flat
from compiler.patterns import load_pattern
from compiler.prism import EffectFailed
from tests.compiler.drive import Life, run, scripted

HEAD = """
name: team
description: Look at this.
input: {about: {type: string, required: true}}
agents: {capabilities: [analysis], min: 3, taskTimeout: 2s}
"""


def live(text: str, *answers: Any, **more: list[Any]) -> Life:
    result = load_pattern(HEAD + text, filename="flat.yaml")
    assert result.pattern is not None, result.diagnostics
    return run(result.pattern, scripted(agents=list(answers), **more), input={"about": "it"}, workspace=False)


def test_every_agent_is_asked_the_same_at_once() -> None:
    """The description and the input are the task; without a strategy the surest result wins."""
    life = live("", ("a", 0.2), ("b", 0.9), ("c", 0.4))
    assert (life.value, life.confidence) == ("b", 0.9)
    assert [task.text for task in life.tasks] == ["Look at this.\n\nabout: it"] * 3
    assert {task.timeout_ms for task in life.tasks} == {2000}
    assert life.tasks[0].input == {"about": "it"}


VOTE = "aggregation: {strategy: voting, method: METHOD, fields: [choice]MORE}\noutput: $vote\n"


@pytest.mark.parametrize(
    ("method", "more", "votes", "wins"),
    [
        ("majority", "", "aab", "a"),
        ("majority", "", "abc", None),
        ("unanimous", "", "aab", None),
        ("unanimous", "", "aaa", "a"),
        ("plurality", "", "abb", "b"),
        ("plurality", "", "abc", None),
        ("majority", ", minVotes: 3", "aab", None),
        ("majority", ", threshold: 0.7", "aab", None),
        ("majority", ", threshold: 0.6", "aab", "a"),
        ("weighted", ", weights: {agent-3: 5}", "aab", "b"),
        ("weighted", ", weights: {agent-3: 5}, minVotes: 2", "aab", None),
    ],
)
def test_voting_counts_every_option(method: str, more: str, votes: str, wins: str | None) -> None:
    """By the named field, whatever else the results say; a tie elects nobody."""
    answers = [({"choice": vote, "why": number}, 0.5) for number, vote in enumerate(votes)]
    life = live(VOTE.replace("METHOD", method).replace("MORE", more), *answers)
    assert life.error is None
    assert (life.value["result"], life.value["agreed"]) == (wins, wins is not None)
    if not more:
        assert life.value["distribution"] == {vote: votes.count(vote) for vote in dict.fromkeys(votes)}


def test_results_that_lack_a_field_do_not_agree_about_it() -> None:
    """Two that say nothing are no majority of anything."""
    text = "aggregation: {strategy: consensus, fields: [a, b], threshold: 0.6}\noutput: $consensus\n"
    life = live(text, ({"a": 1}, 1.0), ({"a": 1, "b": 2}, 1.0), ({"a": 3}, 1.0))
    assert life.value["result"] == {"a": 1}
    assert life.value["disputed"] == ["b"]
    assert life.value["agreement"] == pytest.approx((2 / 3 + 1 / 3) / 2)


@pytest.mark.parametrize(
    ("how", "expected"), [("highest_confidence", 3), ("first", 1), ("last", 2), ("omit", None)]
)  # fmt: skip
def test_disputes_are_settled_as_the_file_says(how: str, expected: int | None) -> None:
    """By who was surest, first or last, or not at all."""
    text = f"aggregation: {{strategy: consensus, conflictResolution: {how}}}\noutput: $consensus.result.x\n"
    life = live(text, ({"x": 1, "s": 0}, 0.1), ({"x": 3, "s": 0}, 0.9), ({"x": 2, "s": 0}, 0.5))
    assert life.value == expected


@pytest.mark.parametrize(
    ("rules", "results", "merged"),
    [
        ("method: deep", [{"a": {"x": 1}}, {"a": {"y": [1]}}, {"a": {"y": [1, 2]}}], {"a": {"x": 1, "y": [1, 2]}}),
        ("method: shallow", [{"a": {"x": 1}}, {"a": {"y": 1}}, {"b": 1}], {"a": {"x": 1}, "b": 1}),
        ("method: concat, deduplication: false", [[1], [1, 2], [2]], [1, 1, 2, 2]),
        ("method: union", [[1], [1, 2], 3], [1, 2, 3]),
        ("method: deep, conflictResolution: omit", [{"a": 1, "b": 1}, {"a": 2}, {}], {"b": 1}),
        ("method: deep, conflictResolution: last", [{"a": 1}, {"a": 2}, {}], {"a": 2}),
    ],
)
def test_merging(rules: str, results: list[Any], merged: Any) -> None:
    """Each method, with duplicates and conflicts treated as the file says."""
    life = live(f"aggregation: {{strategy: merge, {rules}}}\n", *results)
    assert life.value == merged


def test_unsure_and_failed_results_decide_nothing() -> None:
    """They are counted; with fewer valid ones than wanted the step fails."""
    text = "execution: {minConfidence: 0.5, minResults: 2}\noutput: {all: $results, good: $validResults}\n"
    failed = EffectFailed("task_failed", "no")
    life = live(text, ("a", 0.6), failed, ("b", 0.7))
    assert life.value == {"all": ["a", None, "b"], "good": ["a", "b"]}
    assert life.confidence == 0.7
    few = live(text, ("a", 0.6), failed, ("b", 0.1))
    assert few.error is not None
    assert few.error.code == "too_few_results"


def test_a_result_that_is_refused_is_tried_again_then_replaced() -> None:
    """`retry` asks everybody again after the delay; nobody vouches for a fallback."""
    text = (
        "validation: {onFailure: retry, maxRetries: 1, retryDelay: 5, fallback: {count: 0}, "
        "schema: {type: object, required: [count], properties: {count: {type: integer}}}}\n"
    )
    life = live(text, "x", "x", "x", ({"count": 4}, 0.9), "y", "y")
    assert (life.value, life.confidence) == ({"count": 4}, 0.9)
    assert [kind for kind in life.kinds() if kind != "agents"] == ["sleep"]
    lost = live(text, *["x"] * 6)
    assert (lost.value, lost.confidence) == ({"count": 0}, None)
    strict = live("validation: {minConfidence: 0.9}\n", ("a", 0.5), "b", "c")
    assert strict.error is not None
    assert (strict.error.code, "0.9 is wanted" in strict.error.message) == ("validation_failed", True)


def test_output_is_values_and_templates() -> None:
    """`$…` alone is the value, `$template` a text; what the team did is there too."""
    text = (
        "aggregation: {strategy: voting}\n"
        "output: {w: $vote.result, q: $input.about, n: $execution.agentCount, f: $first, "
        't: {$template: "${vote.result} about ${input.about}"}, d: $execution.duration}\n'
    )
    result = load_pattern(HEAD + text, filename="flat.yaml")
    assert result.pattern is not None
    clock = iter([1000, 1500])
    tasks = scripted(agents=["a", "b", "a"])
    life = run(
        result.pattern, lambda one, path: next(clock) if type(one).__name__ == "Now" else tasks(one, path),
        input={"about": "it"},
    )  # fmt: skip
    assert life.value == {"w": "a", "q": "it", "n": 3, "f": "a", "t": "a about it", "d": 500}


STEPS = """
aggregationX: 0
steps:
  - {id: look, agents: {capabilities: [a], min: 2}, aggregation: {strategy: merge}, output: {kind: $merged.kind}}
  - id: way
    type: switch
    on: $look.kind
    cases:
      code: {id: fix, task: "fix ${input.about}"}
      text: {id: write, execution: {strategy: sequential}}
  - id: both
    type: parallel
    steps:
      - {id: p, task: "p ${way.result}"}
      - {id: q, task: q}
  - {id: all, type: merge, sources: [$p, $q], aggregation: {strategy: merge, method: union}}
""".replace("aggregationX: 0\n", "")


def test_steps_follow_from_one_another() -> None:
    """A switch takes one way, parallel steps run at once, a merge joins them."""
    life = live(
        STEPS, look=[{"kind": "code"}, {"x": 1}], fix=["f", "f", "f"], p=["1", "1", "1"], q=["2", "2", "2"]
    )  # fmt: skip
    assert life.error is None, life.error
    assert life.kinds()[:5] == ["look", "look", "fix", "fix", "fix"]
    assert {task.text for task in life.tasks if task.role == "p"} == {"p f"}
    assert life.value == ["1", "2"]
    lost = live(STEPS, look=[{"kind": "other"}, {}])
    assert lost.error is not None
    assert "only for code, text" in lost.error.message


def test_a_race_ends_with_the_first() -> None:
    """The others are called off."""
    life = live("execution: {strategy: race}\naggregation: {strategy: first}\n", "quick", "x", "x")
    assert life.value == "quick"
    assert len(life.cancelled) == 2


def test_the_shape_of_a_vote_does_not_depend_on_the_order_of_keys() -> None:
    """Objects are compared by value."""
    rules = flat.Rules(strategy="voting")
    record = flat.combine([{"result": {"a": 1.0, "b": 2.0}}, {"result": {"b": 2.0, "a": 1.0}}], rules)
    assert record["vote"]["agreed"] is True
