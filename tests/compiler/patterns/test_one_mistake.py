"""One mistake in a chart that others refer to is one diagnostic: nothing that only follows from it is reported."""

from __future__ import annotations

import pytest

from compiler.patterns import load_pattern

CHART = """\
name: team
structure:
  name: s
  roles:
    lead: {id: lead, name: Lead, agentType: claude, capabilities: [planning]}
    dev:
      id: dev
      name: Dev
      agentType: command
      agentConfig: {command: [python, -m, dev]}
      capabilities: [coding]
      reportsTo: lead
      confidence: {retryBelow: 0.5, escalateBelow: 0.2}
      verify: {oracles: [{type: agent}, {type: command, run: make test, weight: 2}], combine: weighted}
  routing:
    - {from: dev, to: lead, topics: [design], messageTypes: [question]}
  escalation: {defaultBehavior: route_to_reports_to, maxDepth: 2}
workflow:
  name: w
  input:
    task: {type: string, minLength: 3}
    many: {type: array, items: {type: integer}}
  steps:
    - {type: assign, id: plan, role: lead, task: "Plan ${input.task}"}
    - type: parallel
      id: both
      strategy: quorum
      minResults: 1
      steps:
        - {type: assign, id: one, role: dev, task: "One ${plan.result}"}
        - {type: assign, id: two, role: dev, task: "Two ${plan}"}
    - {type: aggregate, id: best, method: weighted, sources: [one, two], weights: {dev: 2}}
    - type: condition
      id: sure
      check: best.confidence > 0.5
      then: {type: assign, id: done, role: lead, task: "Finish ${best.result}"}
    - {type: review, id: seen, reviewer: lead, subject: "${done} ${both[0].result}"}
  output: seen.verdict
metadata: {minAgents: 1, maxAgents: 3}
"""


def test_the_chart_is_clean() -> None:
    """Without a mistake nothing is reported."""
    result = load_pattern(CHART, filename="team.yaml")
    assert result.pattern is not None
    assert result.diagnostics == []


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ("name: team\n", "nam: team\n", "unknown-key"),
        ("structure:\n", "structur:\n", "unknown-key"),
        ("  roles:\n", "  role:\n", "unknown-key"),
        ("workflow:\n", "work_flow:\n", "unknown-key"),
        ("  steps:\n    - {type: assign, id: plan", "  step:\n    - {type: assign, id: plan", "unknown-key"),
        ("  input:\n", "  inputs:\n", "unknown-key"),
        ("  output: seen", "  ouput: seen", "unknown-key"),
        ("      id: dev\n", "      id: developer\n", "role-id-mismatch"),
        ("    dev:\n", "    d.e.v:\n", "bad-role-id"),
        ("agentType: command", "agentType: comand", "unknown-agent-type"),
        ("agentType: command", "agenttype: command", "unknown-key"),
        ("agentConfig: {command:", "agentConfig: {comand:", "unknown-key"),
        ("agentConfig:", "agentconfig:", "unknown-key"),
        ("[python, -m, dev]", "python -m dev", "wrong-type"),
        ("capabilities: [coding]", "capabilites: [coding]", "unknown-key"),
        ("capabilities: [coding]", "capabilities: coding", "wrong-type"),
        ("reportsTo: lead", "reportTo: lead", "unknown-key"),
        ("reportsTo: lead", "reportsTo: leed", "unknown-role"),
        ("escalateBelow: 0.2", "escalateBelow: 0.7", "impossible-policy"),
        ("escalateBelow: 0.2", "escalateBelow: 20%", "wrong-type"),
        ("combine: weighted", "combine: weigted", "bad-value"),
        ("type: agent}", "type: agnet}", "unknown-oracle"),
        ("to: lead, topics", "to: leed, topics", "unknown-role"),
        ("[question]", "[questoin]", "bad-value"),
        ("route_to_reports_to", "route_to_report_to", "bad-value"),
        ("maxDepth: 2", "maxDepth: two", "wrong-type"),
        ("type: string, min", "type: strng, min", "unknown-type"),
        ("type: array, items", "type: list, items", "unknown-type"),
        ("type: assign, id: plan", "type: asign, id: plan", "unknown-step-type"),
        ("type: assign, id: plan", "typ: assign, id: plan", "unknown-key"),
        ("type: assign, id: plan", "type: assign, ids: plan", "unknown-key"),
        ('role: lead, task: "Plan', 'rol: lead, task: "Plan', "unknown-key"),
        ('role: lead, task: "Plan', 'role: led, task: "Plan', "unknown-role"),
        ('task: "Plan ${input.task}"', "task: 5", "wrong-type"),
        ("${input.task}", "${input.tusk}", "unknown-field"),
        ("${input.task}", "${input.task", "unclosed-reference"),
        ("type: parallel", "type: paralel", "unknown-step-type"),
        ("strategy: quorum", "strategy: quorom", "bad-value"),
        (
            "      steps:\n        - {type: assign, id: one",
            "      stepz:\n        - {type: assign, id: one",
            "unknown-key",
        ),
        ("method: weighted", "method: wieghted", "unknown-method"),
        ("weights: {dev: 2}", "weights: {deb: 2}", "unknown-role"),
        ("sources: [one, two]", "sources: [one, too]", "unknown-reference"),
        ("check: best", "chek: best", "unknown-key"),
        ("check: best.confidence >", "check: best.confidence =>", "bad-expression"),
        ("best.confidence > 0.5", "best.confidence > 'high'", "type-mismatch"),
        ("      then:", "      than:", "unknown-key"),
        ("type: condition", "type: conditional", "unknown-step-type"),
        ("reviewer: lead", "reviwer: lead", "unknown-key"),
        ("reviewer: lead", "reviewer: human", "unknown-role"),
        ("${both[0].result}", "${both[2].result}", "unknown-field"),
        ("output: seen.verdict", "output: seen.verdit", "unknown-field"),
        ("minAgents: 1", "minAgents: 4", "impossible-instances"),
    ],
)
def test_one_mistake_is_one_diagnostic(right: str, wrong: str, code: str) -> None:
    """In the line where it was made, with a hint."""
    _holds(CHART, right, wrong, code)


def test_a_key_that_differs_from_its_id_is_said_once() -> None:
    """At the id; whoever names the role by the one or by the other is not to blame."""
    (found,) = load_pattern(CHART.replace("    dev:\n", "    developer:\n"), filename="team.yaml").diagnostics
    assert (found.code, found.line, found.hint) == ("role-id-mismatch", 7, "Write id: developer.")


def _holds(chart: str, right: str, wrong: str, code: str) -> None:
    assert chart.count(right) == 1, right
    text = chart.replace(right, wrong)
    changed = next(
        number
        for number, (old, new) in enumerate(zip(chart.split("\n"), text.split("\n"), strict=False), start=1)
        if old != new
    )
    (found,) = load_pattern(text, filename="team.yaml").diagnostics
    assert (found.code, found.line, found.severity) == (code, changed, "error")
    assert found.hint
    assert found.column > 0


FLAT = """\
name: flat
version: 1.0.0
description: Look at it.
author: me
tags: [a]
input:
  question: {type: string, minLength: 3}
  kind: {type: string, enum: [bug, idea], default: bug}
steps:
  - id: ask
    agents: {capabilities: [review], min: 3, max: 4, prefer: [claude], taskTimeout: 30s}
    task: "Look at ${input.question}"
    execution: {strategy: parallel, timeout: 5m, waitForAll: false, minResults: 2, minConfidence: 0.2}
    aggregation: {strategy: voting, method: majority, minVotes: 2, fields: [verdict]}
    validation: {minConfidence: 0.4, onFailure: retry, maxRetries: 2, retryDelay: 1s}
    output: {said: $vote.result, sure: $vote.confidence}
  - id: choose
    type: switch
    on: $input.kind
    cases:
      bug: {id: fix, agents: {capabilities: [coding]}, task: "Fix ${ask.said}"}
      idea: {id: think, agents: {capabilities: [writing]}, task: "Think ${ask.said}"}
  - id: both
    type: parallel
    steps:
      - {id: left, agents: {capabilities: [coding]}, task: "L ${choose.result}"}
      - {id: right, agents: {capabilities: [coding]}, task: R}
  - id: joined
    type: merge
    sources: [$left, $right]
    aggregation: {strategy: merge, method: deep, conflictResolution: last, deduplication: true}
output:
  what: $joined.result
  said: $ask.said
  text: {$template: "On ${input.question}: ${joined.result}"}
"""


def test_the_flat_pattern_is_clean() -> None:
    """Without a mistake nothing is reported."""
    result = load_pattern(FLAT, filename="flat.yaml")
    assert result.pattern is not None
    assert result.diagnostics == []


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ("name: flat", "nam: flat", "unknown-key"),
        ("tags: [a]", "tags: a", "wrong-type"),
        ("input:\n", "inputs:\n", "unknown-key"),
        ("minLength: 3", "minLen: 3", "unknown-key"),
        ("type: string, minLength", "type: strng, minLength", "unknown-type"),
        ("enum: [bug, idea]", "enum: bug", "wrong-type"),
        ("default: bug", "default: bag", "bad-default"),
        ("steps:\n  - id: ask", "step:\n  - id: ask", "unknown-key"),
        ("capabilities: [review]", "capabilites: [review]", "unknown-key"),
        ("min: 3", "min: 5", "impossible-instances"),
        ("prefer: [claude]", "prefer: [claud]", "unknown-agent-type"),
        ("taskTimeout: 30s", "taskTimeout: 30sec", "wrong-type"),
        ('task: "Look', 'tsk: "Look', "unknown-key"),
        ('${input.question}"\n', '${input.qestion}"\n', "unknown-field"),
        ("strategy: parallel", "strategy: paralel", "bad-value"),
        ("timeout: 5m", "timeout: soon", "wrong-type"),
        ("waitForAll: false", "waitForAll: no", "yaml-boolean"),
        ("minResults: 2", "minResults: 4", "out-of-range"),
        ("minConfidence: 0.2", "minConfidence: 20", "out-of-range"),
        ("strategy: voting", "strategy: votting", "unknown-method"),
        ("strategy: voting", "stratgy: voting", "unknown-key"),
        ("method: majority", "method: majorty", "unknown-method"),
        ("method: majority", "method: deep", "bad-value"),
        ("minVotes: 2", "minVotes: 9", "out-of-range"),
        ("fields: [verdict]", "fields: verdict", "wrong-type"),
        ("onFailure: retry", "onFailure: retri", "bad-value"),
        ("onFailure: retry", "onfailure: retry", "unknown-key"),
        ("maxRetries: 2", "maxRetries: -2", "out-of-range"),
        ("retryDelay: 1s", "retryDelay: later", "wrong-type"),
        ("$vote.result", "$vot.result", "unknown-output"),
        ("$vote.confidence", "$vote.confidance", "unknown-field"),
        ("type: switch", "type: swich", "unknown-step-type"),
        ("type: switch", "typ: switch", "unknown-key"),
        ("on: $input.kind", "on: $input.knd", "unknown-field"),
        ("cases:\n", "casses:\n", "unknown-key"),
        ("bug: {id: fix", "bag: {id: fix", "unreachable-step"),
        ("${choose.result}", "${chose.result}", "unknown-reference"),
        ("type: parallel", "type: paralell", "unknown-step-type"),
        ("    steps:\n", "    stepz:\n", "unknown-key"),
        ("type: merge", "type: merg", "unknown-step-type"),
        ("sources: [$left, $right]", "sources: [$left, $rigth]", "unknown-output"),
        ("sources:", "source:", "unknown-key"),
        ("method: deep", "method: deap", "unknown-method"),
        ("conflictResolution: last", "conflictResolution: lasst", "bad-value"),
        ("deduplication: true", "deduplication: yes", "yaml-boolean"),
        ("what: $joined.result", "what: $joint.result", "unknown-output"),
        ("text: {$template", "text: {$templat", "unknown-key"),
        ('${joined.result}"', '${joined.result"', "unclosed-reference"),
        ("output:\n  what", "outputs:\n  what", "unknown-key"),
    ],
)
def test_one_mistake_in_a_flat_pattern_is_one_diagnostic(right: str, wrong: str, code: str) -> None:
    """In the line where it was made, with a hint."""
    _holds(FLAT, right, wrong, code)
