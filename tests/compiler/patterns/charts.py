"""Small org charts that tests compile and run."""

from __future__ import annotations

from typing import Any

from compiler.patterns import load_pattern
from schemas.patterns import CompiledPattern
from tests.compiler.drive import Life, run, scripted

HEAD = """
name: life
structure:
  name: Team
  roles:
    dev: {capabilities: [code]}
    ops: {capabilities: [run]}
    boss: {capabilities: [plan]}
workflow:
  name: work
  input:
    task: {type: string, required: true}
    rounds: {type: integer, default: 2}
    note: {type: string}
    more: {type: object}
  steps:
"""


def compiled(steps: str, tail: str = "") -> CompiledPattern:
    """The pattern of these steps, with what follows them."""
    lines = "".join(f"    {line}\n" for line in steps.strip("\n").split("\n"))
    result = load_pattern(HEAD + lines + tail, filename="life.yaml")
    assert result.pattern is not None, result.diagnostics
    return result.pattern


def live(steps: str, tail: str = "", *, given: dict[str, Any] | None = None, **script: list[Any]) -> Life:
    """A run of these steps, with what each role answers."""
    return run(compiled(steps, tail), scripted(**script), input={"task": "t", **(given or {})})
