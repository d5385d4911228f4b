"""Files written for the original Parallax load unchanged, or a key that cannot be honoured is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.patterns import load_pattern
from schemas.effects import Signalled, Verify, Wait
from tests.compiler.drive import run, scripted, simply

OLDER = Path(__file__).parent / "older"


@pytest.mark.parametrize("name", ["startup.yaml", "review.yaml"])
def test_an_older_file_loads_without_a_word_and_runs(name: str) -> None:
    """`type` for `agentType`, `.1` for `[1]`, `timeout`, `wait` with a condition, `threadConfig`, bare sources."""
    result = load_pattern((OLDER / name).read_text("utf-8"), filename=name)
    assert result.diagnostics == []
    assert result.pattern is not None
    approve = {"verdict": "approve", "confidence": 0.9}
    answer = scripted(cto=["plan", approve, approve, approve, approve, approve], lead=[approve])
    life = run(result.pattern, lambda request, path: _world(answer, request, path), input={"task": "t", "code": "c"})
    assert life.error is None, life.error
    assert life.value is not None


def _world(answer: object, request: object, path: str) -> object:
    if isinstance(request, Wait):
        return Signalled(received=True)
    return answer(request, path) if callable(answer) else simply(request, path)


def test_what_a_thread_says_reaches_the_agent() -> None:
    """The objective as context, the environment as environment, the rest for the coding agent's adapter."""
    pattern = load_pattern((OLDER / "startup.yaml").read_text("utf-8"), filename="startup.yaml").pattern
    assert pattern is not None
    answer = scripted(cto=["plan", *[{"verdict": "approve"}] * 6])
    life = run(pattern, lambda request, path: _world(answer, request, path), input={"task": "t"})
    task = next(task for task in life.tasks if task.role == "dev")
    assert task.context == {"objective": "Write code"}
    assert task.agent.env == {"A": "b"}
    assert task.agent.config == {
        "model": "sonnet", "maxTurns": 10, "approvalPreset": "auto-edit", "policy": {"maxTurns": 3},
    }  # fmt: skip


def test_keys_that_cannot_be_honoured_are_refused_and_nothing_else() -> None:
    """Each where it stands; no key is taken and then ignored."""
    result = load_pattern((OLDER / "refused.yaml").read_text("utf-8"), filename="refused.yaml")
    assert result.pattern is None
    assert {one.code for one in result.diagnostics} == {"unsupported"}
    lines = [one.source_line.split(":")[0].strip(" -{") for one in result.diagnostics]
    assert lines == ["type", "branchStrategy", "createPr"]


OLDER_TEAM = """
name: older
workspace: {enabled: true, branchStrategy: feature_branch}
structure:
  name: Team
  roles:
    lead:
      name: Lead
      agentType: claude
      capabilities: [remediation, strategic_thinking, html5]
    dev:
      name: Developer
      agentType: [claude, codex]
      capabilities: [implementation]
      reportsTo: lead
      confidence: {accept: 0.8, retryBelow: 0.6, escalateBelow: 0.4}
      verify:
        - {type: command, run: "cd ${workspace.path} && npm test", cwd: "${workspace.path}"}
        - {type: command, run: "node --test", cwd: "${input.part}/unit", scorePattern: 'pass (\\d+).*fail (\\d+)'}
        - {type: agent, rubric: "Does it do ${input.task}?"}
  routing:
    - {from: dev, to: lead, messageTypes: [question]}
    - {from: lead, to: dev, messageTypes: [task, response]}
  escalation: {defaultBehavior: broadcast, timeoutMs: 30000, maxDepth: 2, onMaxDepth: surface_to_user}
workflow:
  name: Work
  input:
    task: {type: string}
    part: {type: string, default: app}
  steps:
    - {type: assign, role: dev, task: "${input.task}"}
    - {type: review, reviewer: lead, subject: "${step_0_result}"}
"""


def test_what_an_oracle_says_may_name_the_input_and_the_workspace() -> None:
    """A command runs in the worktree of the session, so that `${workspace.path}` is where it stands already."""
    result = load_pattern(OLDER_TEAM, filename="older.yaml")
    assert [(one.severity, one.code) for one in result.diagnostics] == [("warning", "unused-rule")] * 2
    assert result.pattern is not None
    approve = {"verdict": "approve", "confidence": 0.9}
    life = run(result.pattern, scripted(lead=[approve, approve]), input={"task": 'the "} thing', "part": "web"})
    assert life.error is None
    (verify,) = [request for _, request in life.asked if isinstance(request, Verify)]
    assert [(one.run, one.cwd) for one in verify.oracles] == [("cd . && npm test", ""), ("node --test", "web/unit")]
    assert 'Does it do the "} thing?' in life.tasks[1].text


@pytest.mark.parametrize(
    ("capability", "known"),
    [
        *(
            (one, True)
            for one in ("database-migrations", "translation", "kafka", "codeReview", "k8s", "rust-ffi", "foo")
        ),
        *((one, False) for one in ("telepathy", "no_such_capability", "time_travel", "code_reveiw", "does_not_exist")),
    ],
)
def test_a_capability_that_no_coding_agent_offers_is_a_mistake(capability: str, known: bool) -> None:
    """One of which no word is known, or one is misspelt. Short words are taken for abbreviations."""
    result = load_pattern(OLDER_TEAM.replace("[implementation]", f"[{capability}]"), filename="older.yaml")
    found = [(one.severity, one.code) for one in result.diagnostics if one.code == "unknown-capability"]
    assert found == ([] if known else [("error", "unknown-capability")])
    assert (result.pattern is not None) is known
