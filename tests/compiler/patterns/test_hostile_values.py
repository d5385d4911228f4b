"""Hostile texts in every field of an org chart, and in the values that it is given: they stay text."""

from __future__ import annotations

import random

import pytest

from compiler.patterns import load_pattern
from schemas.effects import Ask, Verify
from tests.compiler.drive import run, scripted
from tests.compiler.patterns.charts import HEAD, compiled, live

HOSTILE = [
    '"); assign(boss, "x") //',
    "${input.task}",
    "\\${1+1}",
    "`" * 3 + "${1}" + "`" * 3,
    "\\",
    '\\"',
    "\n// line 1\nthrow 1\n",
    "\u2028\u2029\x85\x00\x1b[2J\u202e\ufeff",
    "}}}{{{ $ $$ ${ } \\u{41}",
    "_ ~> 0.1 |> f(_)",
    "\U0001f600\ud7ff\ue000",
    "*/ /* //",
    "'single' \"double\"",
    "null",
    "~",
    "{{x}} <%= y %> %s {0}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_input_values_reach_the_agent_unchanged(text: str) -> None:
    """Nothing in an input can be code, in any place it is used in."""
    pattern = compiled(
        """
- {type: assign, id: one, role: dev, task: "a${input.task}b", input: {deep: ["${input.task}"]}}
- {type: review, reviewer: boss, subject: "${input.task} ${one.result}", maxIterations: 0}
"""
    )
    answer = scripted(dev=[text], boss=[{"verdict": "approve", "critique": text}])
    life = run(pattern, answer, input={"task": text})
    assert life.tasks[0].text == f"a{text}b"
    assert life.tasks[0].input == {"deep": [text]}
    assert life.tasks[1].text == f"{text} {text}"


@pytest.mark.parametrize("text", HOSTILE)
def test_input_values_reach_oracles_unchanged(text: str) -> None:
    """In every text of an oracle that may refer to them; the command is never one of these."""
    oracles = (
        '[{type: command, run: "make test", cwd: "a/${input.task}"}, '
        '{type: agent, role: boss, rubric: "r ${input.task}"}, {type: human, prompt: "p ${input.task}"}]'
    )
    roles = HEAD.replace("dev: {capabilities: [code]}", f"dev: {{capabilities: [code], verify: {oracles}}}")
    steps = f"""    - {{type: assign, id: one, role: dev, task: go}}
    - {{type: verify, subject: "${{one}}", oracles: {oracles.replace("input.task", "one.result")}}}
"""
    result = load_pattern(roles + steps, filename="life.yaml")
    assert result.pattern is not None, result.diagnostics
    life = run(result.pattern, scripted(dev=[text], boss=[{"verdict": "approve"}] * 2), input={"task": text})
    assert life.error is None
    verified = [request for _, request in life.asked if isinstance(request, Verify)]
    assert [(one.run, one.cwd) for request in verified for one in request.oracles] == [("make test", f"a/{text}")] * 2
    assert [task.text.endswith(f"r {text}") for task in life.tasks[1:]] == [True, True]
    assert [request.question for _, request in life.asked if isinstance(request, Ask)] == [f"p {text}"] * 2


def quoted(text: str) -> str:
    """A YAML double-quoted scalar."""
    return (
        '"' + "".join(f"\\U{ord(char):08X}" if char in '"\\' or not char.isprintable() else char for char in text) + '"'
    )


def test_ten_thousand_hostile_strings_in_every_field_of_a_file() -> None:
    """Names, descriptions, tasks, subjects, inputs, commands: all stay text, and no file breaks the compiler."""
    rng = random.Random(7)
    alphabet = [
        '"',
        "\\",
        "$",
        "{",
        "}",
        "`",
        "\n",
        "/",
        "*",
        "'",
        "(",
        ")",
        ";",
        "=",
        ">",
        "~",
        "|",
        "a",
        "0",
        " ",
        "\u2028",
        "\x00",
        "é",
    ]
    for _ in range(170):
        fields = {key: "".join(rng.choices(alphabet, k=rng.randint(1, 24))).replace("${", "$ {") for key in range(60)}
        text = f"""
name: hostile
description: {quoted(fields[0])}
structure:
  name: {quoted(fields[1])}
  roles:
    dev:
      name: {quoted(fields[2])}
      description: {quoted(fields[3])}
      capabilities: [{", ".join(quoted("c" + fields[key]) for key in range(4, 20))}]
      agentType: command
      agentConfig:
        command: [x, {", ".join(quoted(fields[key]) for key in range(20, 40))}]
        env: {{A: {quoted(fields[40])}}}
workflow:
  name: {quoted(fields[41])}
  input: {{task: {{type: string, description: {quoted(fields[42])}, default: {quoted(fields[43])}}}}}
  steps:
    - type: assign
      id: one
      role: dev
      task: {quoted("x" + fields[44])}
      input:
        {quoted(fields[45] + "k")}: {quoted(fields[46])}
        list: [{", ".join(quoted(fields[k]) for k in range(47, 58))}]
    - {{type: approve, approver: human, subject: {quoted("y" + fields[58] + " ${one.result}")}}}
metadata: {{note: {quoted(fields[59])}}}
"""
        result = load_pattern(text, filename="hostile.yaml")
        problems = [
            one for one in result.diagnostics if one.code not in {"duplicate-value", "duplicate-key", "bad-value"}
        ]
        assert problems == []
        if result.pattern is None:
            continue
        life = run(result.pattern, scripted(dev=[fields[0]]))
        (task,) = life.tasks
        assert task.text == "x" + fields[44]
        assert task.agent.command == ["x", *(fields[key] for key in range(20, 40))]
        assert task.agent.env == {"A": fields[40]}
        assert task.input["list"] == [fields[key] for key in range(47, 58)]
        assert life.asked[-1][1].question == "y" + fields[58] + " " + fields[0]


def test_ids_that_are_words_of_the_language_are_fine() -> None:
    """Roles and steps may be called like reserved words, host functions, builtins or each other."""
    words = [
        "if",
        "let",
        "match",
        "assign",
        "text",
        "input_",
        "len",
        "map",
        "null",
        "agents",
        "high",
        "constructor",
        "a-b",
        "a_b",
    ]
    steps = "\n".join(f'- {{type: assign, id: {quoted(word)}, role: dev, task: "${{input.task}}"}}' for word in words)
    uses = " ".join(f"${{{word}.result}}" for word in words if word not in {"null", "a-b"})
    life = live(f'{steps}\n- {{type: assign, role: boss, task: "{uses}"}}')
    assert life.error is None
    assert life.tasks[-1].text == " ".join(["done"] * (len(words) - 2))
