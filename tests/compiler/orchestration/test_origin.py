"""An error in a compiled program names the step of the file that it came from."""

from __future__ import annotations

import pytest

from compiler.orchestration.origin import step_at
from compiler.patterns import load_pattern
from compiler.prism import EffectFailed
from tests.compiler.drive import run, scripted

TEXT = """name: x
structure: {name: s, roles: {a: {capabilities: [b]}, c: {capabilities: [b]}}}
workflow:
  name: w
  steps:
    - {type: assign, role: a, task: hello}
    - {type: assign, role: c, task: hello}
    - type: condition
      check: step_0_result.result.x > 3
      then: {type: assign, id: last, role: a, task: ok}
"""


@pytest.mark.parametrize(
    ("answers", "step"),
    [
        ({"a": [EffectFailed("task_failed", "no")]}, "line 6: assign"),
        ({"c": [EffectFailed("task_failed", "no")]}, "line 7: assign"),
        ({"a": [{"x": "text"}]}, "line 8: condition"),
        ({"a": [{"x": 4}, EffectFailed("task_failed", "no")]}, "line 10: assign"),
    ],
)
def test_the_step_of_an_error(answers: dict[str, list[object]], step: str) -> None:
    """By its line in the YAML file and its type."""
    pattern = load_pattern(TEXT, filename="x.yaml").pattern
    assert pattern is not None
    error = run(pattern, scripted(**answers)).error
    assert error is not None
    assert step_at(pattern.program, error.line) == step


def test_a_program_without_a_file_behind_it() -> None:
    """Nothing is made up."""
    assert step_at("// line up: here\nlet a = 1\n", 2) == ""
    assert step_at("", 0) == ""
