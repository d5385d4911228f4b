"""Flat patterns as the original Parallax documents them: other names for the same keys, and what they mean when run."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.orchestration import flat
from compiler.patterns import load_pattern
from tests.compiler.drive import Life, run, scripted

PIPELINE = """
name: pipeline
version: 1.0.0
input:
  document: {type: string, required: true}
  kind: {type: string, enum: [image, text], default: text}
steps:
  - id: extract
    agents: {capabilities: [extraction], min: 2}
    aggregation: {strategy: merge, method: deep, fields: [names, places]}
    output: entities
  - id: route
    type: switch
    value: $input.kind
    cases:
      text: {next: read-text}
      default: {next: read-image}
  - {id: read-text, agents: {capabilities: [reading]}, task: "Read ${entities.result.names}", output: reading}
  - {id: read-image, agents: {capabilities: [vision]}, task: Look}
  - id: both
    type: parallel
    branches:
      - {id: first-part, capability: analysis, task: One, output: one}
      - {id: second-part, agents: {capabilities: [analysis]}, task: "Two ${route.result}", output: two}
  - {id: combine, type: merge, inputs: [$one, $two], output: combined}
output: {entities: $entities.result, route: $route.result, one: $one.result, all: $combined.result}
"""


def play(text: str, given: dict[str, Any], **script: list[Any]) -> Life:
    result = load_pattern(text, filename="older.yaml")
    assert result.diagnostics == []
    assert result.pattern is not None
    return run(result.pattern, scripted(**script), input=given)


@pytest.mark.parametrize(
    ("kind", "role", "other"), [("text", "read-text", "read-image"), ("image", "read-image", "read-text")]
)
def test_a_pipeline_of_an_older_file(kind: str, role: str, other: str) -> None:
    """`output` of one word names the step's record, a case may go to a step below, which then runs there only."""
    script: dict[str, list[Any]] = {
        "extract": [({"names": ["A"], "x": 1}, 0.9), ({"places": ["B"]}, 0.8)],
        role: [("seen", 0.9)],
        "first-part": [("one", 0.9)],
        "second-part": [("two", 0.9)],
    }
    life = play(PIPELINE, {"document": "D", "kind": kind}, **script)
    assert life.error is None
    roles = [task.role for task in life.tasks]
    assert roles == ["extract", "extract", role, "first-part", "second-part"]
    assert other not in roles
    assert life.tasks[3].agent.capabilities == ["analysis"]
    assert life.tasks[4].text == "Two seen"
    assert life.value == {
        "entities": {"names": ["A"], "places": ["B"]}, "route": "seen", "one": "one", "all": "one\n\ntwo",
    }  # fmt: skip


def flat_of(aggregation: str, output: str, results: list[Any]) -> Life:
    text = f"""
name: votes
description: Say.
agents: {{capabilities: [x], min: {len(results)}}}
aggregation: {aggregation}
output: {output}
"""
    return play(text, {}, agents=results)


def test_a_weight_for_everybody_who_is_not_named() -> None:
    """`default` stands for all others."""
    rules = "{strategy: voting, method: weighted, weights: {agent-1: 3, default: 2}}"
    assert flat_of(rules, "$vote.distribution", [("a", 1.0), ("b", 1.0), ("b", 1.0)]).value == {"a": 3, "b": 4}


def test_fields_of_a_consensus_may_have_thresholds_of_their_own() -> None:
    """And the others the one of the whole."""
    rules = "{strategy: consensus, threshold: 0.9, fields: [{name: p, threshold: 0.6}, {name: q}]}"
    results = [({"p": 1, "q": 1}, 0.9), ({"p": 1, "q": 1}, 0.9), ({"p": 2, "q": 2}, 0.9)]
    assert flat_of(rules, "$consensus.result", results).value == {"p": 1}


def test_a_consensus_needs_its_votes() -> None:
    """Fewer valid results than `minVotes` agree about nothing."""
    rules = flat.Rules(strategy="consensus", min_votes=3)
    made = flat.combine([{"a": 1}, {"a": 1}], rules)
    assert flat.plain(made)["result"] is None


@pytest.mark.parametrize(("word", "value"), [("weighted", 2), ("highest-confidence", 1), ("first", 3)])
def test_conflicts_by_the_weight_of_their_holders(word: str, value: int) -> None:
    """Weighted: the value whose holders are surest together."""
    rules = f"{{strategy: consensus, conflictResolution: {word}}}"
    results = [({"a": 3}, 0.1), ({"a": 2}, 0.6), ({"a": 2}, 0.6), ({"a": 1}, 0.9)]
    assert flat_of(rules, "$consensus.result", results).value == {"a": value}


def test_a_fallback_with_a_type() -> None:
    """One of type default is its value; one that escalates has nobody to go to, and is refused."""
    text = """
name: gate
description: Say.
agents: {capabilities: [x]}
validation: {minConfidence: 0.9, onFailure: fallback, fallback: {type: default, value: {answer: none of them}}}
"""
    assert play(text, {}, agents=[("x", 0.1)]).value == {"answer": "none of them"}
    (found,) = load_pattern(
        text.replace("type: default, value: {answer: none of them}", "type: escalate, to: people"), filename="x.yaml"
    ).diagnostics
    assert (found.code, found.line, bool(found.hint)) == ("unsupported", 5, True)


def test_a_case_goes_to_a_step_that_is_there() -> None:
    """Below the switch, and for one case only."""
    text = PIPELINE.replace("next: read-image", "next: read-text").replace("next: read-text", "next: read-text", 1)
    found = load_pattern(text, filename="x.yaml").diagnostics
    assert [(one.code, one.line) for one in found] == [("unknown-reference", 17)]
    missing = load_pattern(PIPELINE.replace("next: read-image", "next: read-images"), filename="x.yaml").diagnostics
    assert [(one.code, one.hint) for one in missing] == [("unknown-reference", "Did you mean 'read-image'?")]


def test_references_in_double_braces() -> None:
    """As `${}`, with or without a dollar; a name that means nothing is an error here too."""
    rules = "{strategy: voting}"
    text = "{$template: \"It is {{$vote.result}}, {{ vote.confidence >= 0.5 ? 'sure' : 'not sure' }}.\"}"
    assert flat_of(rules, text, [("a", 0.9), ("a", 0.9)]).value == "It is a, sure."
    wrong = "name: x\ndescription: Say.\nagents: {capabilities: [x]}\noutput: {$template: 'It is {{sentiment}}'}\n"
    (found,) = load_pattern(wrong, filename="x.yaml").diagnostics
    assert (found.code, found.line) == ("unknown-reference", 4)


def test_a_step_reads_as_its_result() -> None:
    """Steps under `execution`, one after the other, each with the one capability it asks for."""
    text = """
name: chain
description: Say.
execution:
  strategy: sequential
  steps:
    - {capability: research, output: found}
    - {capability: analysis, input: {found: $found, plain: $found.result}}
"""
    life = play(text, {}, step_0=[({"a": 1}, 0.9)])
    assert life.tasks[1].text == "Say.\n\nfound:\n  a: 1\nplain:\n  a: 1"
    assert [task.agent.capabilities for task in life.tasks] == [["research"], ["analysis"]]


def test_the_second_dialect_is_refused_with_what_to_write() -> None:
    """Each of its keys by name: nothing of it is ignored, and nothing is taken for something else."""
    text = """\
name: older
agents: {capabilities: [a], min: 2}
groups: [{name: a}]
confidence: min
fallback: {to: person}
output: {c: $avgConfidence}
"""
    found = load_pattern(text, filename="older.yaml").diagnostics
    assert [(one.line, one.code, one.severity) for one in found] == [
        (3, "unsupported", "error"),
        (4, "unsupported", "error"),
        (5, "unsupported", "error"),
        (6, "unknown-output", "error"),
    ]
    assert "steps" in found[0].message
    assert "minConfidence" in found[1].message
    assert "onFailure: fallback" in found[2].message
    assert "$results" in found[3].hint
