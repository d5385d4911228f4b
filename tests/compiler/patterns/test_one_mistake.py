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
    assert CHART.count(right) == 1, right
    text = CHART.replace(right, wrong)
    changed = next(
        number
        for number, (old, new) in enumerate(zip(CHART.split("\n"), text.split("\n"), strict=False), start=1)
        if old != new
    )
    (found,) = load_pattern(text, filename="team.yaml").diagnostics
    assert (found.code, found.line, found.severity) == (code, changed, "error")
    assert found.hint
    assert found.column > 0
