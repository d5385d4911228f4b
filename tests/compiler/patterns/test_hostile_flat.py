"""Hostile texts in every field of flat and of called patterns stay text, and no file breaks the compiler."""

from __future__ import annotations

import json
import random

from compiler.patterns import load_pattern
from compiler.patterns.nesting import PatternSource
from tests.compiler.drive import run, scripted

ALPHABET = [
    '"',
    "\\",
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
    "é",
    "#",
]
CHARS = [*ALPHABET, "\x00", "\x1b", "\u202e", "//", "*/", "=>"]


def hostile(rng: random.Random) -> str:
    return "x" + "".join(rng.choices(CHARS, k=rng.randint(1, 24)))


def yaml(text: str) -> str:
    """A double-quoted scalar of YAML."""
    return json.dumps(text)


def test_hostile_texts_in_flat_patterns() -> None:
    """Task, description, input, cases, fallbacks, outputs and templates; all of them come out as they went in."""
    rng = random.Random(11)
    for _ in range(150):
        words = [hostile(rng) for _ in range(12)]
        text = f"""
name: hostile
description: {yaml(words[0])}
agents: {{capabilities: [{yaml(words[1])}], min: 1}}
steps:
  - {{id: one, task: {yaml(words[2])}, input: {{{yaml(words[3])}: {yaml(words[4])}}},
     aggregation: {{strategy: voting, fields: [{yaml(words[5])}]}},
     validation: {{onFailure: fallback, fallback: {yaml(words[6])}}}}}
  - id: way
    type: switch
    on: $one.result
    cases:
      {yaml(words[7])}: {{id: two, task: {yaml(words[8])}}}
    default: {{id: three, task: "${{input.given}}"}}
output: {{w: {yaml(words[9])}, t: {{$template: {yaml(words[10] + " ${way.result}")}}}, {yaml("k" + words[11])}: 1}}
"""
        result = load_pattern(text, filename="hostile.yaml")
        assert result.pattern is not None, (text, result.diagnostics)
        given = hostile(rng)
        life = run(result.pattern, scripted(one=[words[7]], two=[given], three=[given]), input={"given": given})
        assert life.error is None, (text, life.error)
        assert [task.text for task in life.tasks] == [words[2], words[8]]
        assert life.tasks[0].input == {words[3]: words[4]}
        assert life.value == {"w": words[9], "t": f"{words[10]} {given}", "k" + words[11]: 1}


def test_hostile_texts_in_called_patterns() -> None:
    """What a caller hands over, and what the called pattern is called and says."""
    rng = random.Random(12)
    for _ in range(60):
        words = [hostile(rng) for _ in range(5)]
        inner = f"""
name: inner
description: {yaml(words[0])}
structure: {{name: s, roles: {{r: {{name: {yaml(words[1])}, capabilities: [c]}}}}}}
workflow:
  name: w
  input: {{x: {{type: string, description: {yaml(words[2])}, default: {yaml(words[3])}}}}}
  steps: [{{type: assign, id: s, role: r, task: "${{input.x}}"}}]
"""
        outer = f"""
name: outer
structure: {{name: s, roles: {{r: {{capabilities: [c]}}}}}}
workflow:
  name: w
  steps:
    - {{type: assign, role: r, task: go}}
    - {{type: pattern, id: with, pattern: inner, input: {{x: {yaml(words[4])}}}}}
    - {{type: pattern, id: without, pattern: inner}}
"""
        source = PatternSource(name="inner", version="1.0.0", file="inner.yaml", text=inner)
        result = load_pattern(outer, filename="outer.yaml", lookup=lambda _, found=source: found)
        assert result.pattern is not None, (outer, result.diagnostics)
        life = run(result.pattern)
        assert life.error is None, life.error
        assert [task.text for task in life.tasks] == ["go", words[4], words[3]]
