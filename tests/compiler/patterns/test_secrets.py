"""Variables of agents in charts: references to secrets, and literals that must not be there."""

from __future__ import annotations

import pytest

from compiler.orchestration.roles import read_role
from compiler.patterns import load_pattern

CHART = """\
name: x
version: 1.0.0
workspace: {{enabled: false}}
structure:
  name: s
  roles:
    a:
      name: A
      agentType: command
      capabilities: [x]
      agentConfig:
        command: [x]
        {line}
workflow:
  name: w
  steps: [{{type: assign, role: a, task: t}}]
"""


def found(line: str) -> list[tuple[str, str]]:
    """Codes and hints of what is wrong with a chart that has this line in its `agentConfig`."""
    loaded = load_pattern(CHART.format(line=line), filename="x.yaml")
    return [(problem.code, problem.hint) for problem in loaded.diagnostics if problem.severity == "error"]


@pytest.mark.parametrize(
    ("env", "code", "hint"),
    [
        ("MY_API_KEY: hunter2", "secret-literal", "MY_API_KEY: {secret: MY_API_KEY}"),
        ("OTHER: ghp_0123456789abcdef", "secret-literal", "OTHER: {secret: OTHER}"),
        ("PGPASS: hunter2", "secret-literal", "PGPASS: {secret: PGPASS}"),
        ('DATABASE_URL: "postgres://a:b@c/d"', "secret-literal", "DATABASE_URL: {secret: DATABASE_URL}"),
        ('DSN: "host=x password=y"', "secret-literal", "DSN: {secret: DSN}"),
        ('MY_API_KEY: "${env.X}"', "unfilled-variable", "MY_API_KEY: {secret: X}"),
        ('TEAM: "a ${TEAM} b"', "unfilled-variable", "TEAM: {secret: TEAM}"),
        ("MY_API_KEY: {secret: a-b}", "bad-value", ""),
        ("MY_API_KEY: {from: X}", "unknown-key", ""),
        ("MY_API_KEY: {}", "missing-key", ""),
    ],
)
def test_what_must_not_stand_there_is_an_error(env: str, code: str, hint: str) -> None:
    """With what to write instead."""
    problems = found(f"env: {{{env}}}")
    assert code in [one for one, _ in problems]
    assert hint in next(said for one, said in problems if one == code)


@pytest.mark.parametrize("env", ["MY_API_KEY: {secret: MAIN}", "TEAM: blue", "SSH_KEY_PATH: /x", 'MY_API_KEY: ""'])
def test_references_and_harmless_values_are_taken(env: str) -> None:
    """Without a word."""
    assert found(f"env: {{{env}}}") == []


def test_a_reference_is_all_that_a_program_holds() -> None:
    """The role that the program hands over names the secret."""
    loaded = load_pattern(CHART.format(line="env: {MY_API_KEY: {secret: MAIN}, TEAM: blue}"), filename="x.yaml")
    assert loaded.pattern is not None
    agent = read_role(loaded.pattern.roles["a"], "assign").agent
    assert (agent.env, agent.secrets) == ({"TEAM": "blue"}, {"MY_API_KEY": "MAIN"})


def test_a_program_of_prism_is_looked_at_as_well() -> None:
    """Where its agents are declared."""
    text = (
        'agents { a: { agentType: "command", capabilities: ["x"],'
        ' agentConfig: { command: ["x"], env: { MY_API_KEY: "hunter2" } } } }\nassign(a, "t")\n'
    )
    loaded = load_pattern(text, filename="x.prism")
    assert [problem.code for problem in loaded.diagnostics if problem.severity == "error"] == ["secret-literal"]


def test_interactive_is_true_or_false_and_is_told() -> None:
    """And means nothing where there is no command."""
    assert [code for code, _ in found("interactive: maybe")] == ["wrong-type"]
    loaded = load_pattern(CHART.format(line="interactive: true"), filename="x.yaml")
    assert loaded.pattern is not None
    assert read_role(loaded.pattern.roles["a"], "assign").agent.interactive is True
    custom = CHART.format(line="interactive: true").replace("agentType: command", "agentType: custom")
    assert "unused-interactive" in [problem.code for problem in load_pattern(custom, filename="x.yaml").diagnostics]


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        ("command: [x]", 'command: [x, "--db=postgres://a:b@c"]', "error"),
        ("{enabled: false}", '{setup: ["pip install https://a:b@pypi.example/x"]}', "error"),
        ("task: Work.", 'task: "Log in with ghp_0123456789abcdef."', "warning"),
    ],
)
def test_a_secret_outside_of_the_variables_is_found(old: str, new: str, severity: str) -> None:
    """In what is run it is an error; in a text for an agent it may be an example."""
    chart = PLAIN.replace(old, new)
    assert chart != PLAIN
    found = load_pattern(chart, filename="x.yaml").diagnostics
    assert [(one.severity, one.code) for one in found] == [
        (severity, "secret-literal" if severity == "error" else "secret-text")
    ]
    assert load_pattern(PLAIN, filename="x.yaml").diagnostics == []


PLAIN = """
name: plain
version: 1.0.0
workspace: {enabled: false}
structure:
  name: one
  roles:
    worker: {id: worker, name: Worker, agentType: command, capabilities: [work], agentConfig: {command: [x]}}
workflow:
  name: plain
  steps:
    - {id: work, type: assign, role: worker, task: Work.}
  output: work
"""
