"""Patterns that call patterns: found by name and version, checked, and run as a part of their caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compiler.patterns import PatternResult, load_pattern
from compiler.prism import EffectFailed
from shared.patterns import PatternLibrary
from tests.compiler.drive import run, scripted

if TYPE_CHECKING:
    from pathlib import Path

GATE = """
name: gate
version: {version}
structure:
  name: G
  roles:
    worker: {{capabilities: [code], reportsTo: judge, verify: {{type: agent, role: judge}}}}
    judge: {{capabilities: [review]}}
workflow:
  name: g
  input:
    task: {{type: string, required: true}}
    strict: {{type: boolean, default: false}}
  steps:
    - {{type: assign, id: work, role: worker, task: "v{version} ${{input.task}} ${{input.strict}}"}}
  output: work
"""

CALLER = """
name: caller
structure: {name: C, roles: {worker: {capabilities: [plan]}}}
workflow:
  name: c
  input: {task: {type: string}}
  steps:
    - {type: assign, id: plan, role: worker, task: "${input.task}"}
    - {type: pattern, id: first, pattern: PATTERN, input: {task: "a ${plan.result}"}}
    - type: parallel
      id: both
      steps:
        - {type: pattern, id: second, pattern: PATTERN, input: {task: b, strict: true}}
        - {type: assign, id: other, role: worker, task: "after ${first.result}"}
  output: both
"""


def directory(tmp_path: Path, **files: str) -> PatternLibrary:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
    return PatternLibrary(tmp_path)


def test_a_called_pattern_runs_inside_its_caller(tmp_path: Path) -> None:
    """Its roles are its own, even where the caller has roles of the same names, and its result is the step's."""
    library = directory(
        tmp_path, old=GATE.format(version="1.0.0"), new=GATE.format(version="1.4.0"), next=GATE.format(version="2.0.0"),
        caller=CALLER.replace("PATTERN", "gate@1.x"),
    )  # fmt: skip
    pattern = library.get("caller")
    assert pattern is not None, library.diagnostics()
    approve = {"verdict": "approve", "confidence": 0.9}
    script = {"first-judge": [approve], "second-judge": [approve], "first-worker": ["made"]}
    life = run(pattern, scripted(**script), input={"task": "t"})
    assert life.error is None
    said = {(task.role, task.text) for task in life.tasks if "judge" not in task.role}
    assert said == {
        ("worker", "t"),
        ("first-worker", "v1.4.0 a done false"),
        ("second-worker", "v1.4.0 b true"),
        ("worker", "after made"),
    }
    assert [task.step for task in life.tasks][:2] == ["plan", "first.work"]
    assert life.value[0]["role"] == "second-worker"
    assert life.value[0]["confidence"] == 0.9


def test_a_changed_pattern_changes_its_callers(tmp_path: Path) -> None:
    """The next look compiles the callers again; what an execution runs was fixed when it started."""
    library = directory(tmp_path, gate=GATE.format(version="1.0.0"), caller=CALLER.replace("PATTERN", "gate"))
    before = library.get("caller")
    (tmp_path / "gate.yaml").write_text(GATE.format(version="1.1.0"), "utf-8")
    after = library.get("caller")
    assert before is not None
    assert after is not None
    assert "v1.1.0" in after.program
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("pattern", "code", "word"),
    [
        ("nobody", "unknown-pattern", "there is no pattern 'nobody'"),
        ("gate@3.x", "unknown-pattern", "there is no version 3.x"),
        ("gate@soon", "unknown-pattern", "'soon' is no version"),
        ("caller", "pattern-cycle", "caller@1.0.0 → caller@1.0.0"),
        ("bad", "broken-pattern", "nothing is called 'nothing' here (line 5)"),
    ],
)
def test_a_pattern_that_cannot_be_called_is_reported_where_it_is_named(
    tmp_path: Path, pattern: str, code: str, word: str
) -> None:
    """With what is wrong: no such pattern, no such version, a circle, or a mistake inside."""
    bad = (
        "name: bad\nstructure: {name: x, roles: {a: {capabilities: [b]}}}\nworkflow:\n  name: w\n"
        '  steps: [{type: assign, role: a, task: "${nothing}"}]\n'
    )
    library = directory(tmp_path, gate=GATE.format(version="1.0.0"), bad=bad, caller=CALLER.replace("PATTERN", pattern))
    found = [one for one in library.diagnostics() if one.file.endswith("caller.yaml")]
    assert {(one.code, one.line) for one in found} == {(code, 9), (code, 13)}
    assert word in found[0].message


def compile_caller(tmp_path: Path, step: str) -> PatternResult:
    library = directory(tmp_path, gate=GATE.format(version="1.0.0"))
    text = CALLER.replace('PATTERN, input: {task: "a ${plan.result}"}', step).replace("PATTERN", "gate")
    return load_pattern(text, filename="caller.yaml", lookup=library.source)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("{tusk: x}", [("unknown-input", 57)]),
        ("{strict: true}", [("missing-input", 56)]),
        ("{strict: true, other: x}", [("missing-input", 56), ("unknown-input", 71)]),
        ("{task: x, strict: maybe}", [("bad-input", 74)]),
        ("{task: [x]}", [("bad-input", 63)]),
    ],
)
def test_the_input_of_a_called_pattern_is_checked(tmp_path: Path, given: str, found: list[tuple[str, int]]) -> None:
    """What is missing, unknown or of another kind; one mistake is said once."""
    result = compile_caller(tmp_path, f"gate, input: {given}")
    assert [(one.code, one.column) for one in result.diagnostics] == found
    assert all(one.hint for one in result.diagnostics)


def test_an_input_that_is_known_at_run_time_only_is_checked_then(tmp_path: Path) -> None:
    """What a reference brings may not fit."""
    unfit = compile_caller(tmp_path, 'gate, input: {task: x, strict: "${plan.result}"}')
    assert unfit.pattern is not None
    life = run(unfit.pattern, input={"task": "t"})
    assert life.error is not None
    assert (life.error.code, "true or false" in life.error.message) == ("invalid_input", True)


def test_a_called_pattern_may_fail(tmp_path: Path) -> None:
    """`onError` of the step decides, as for any other."""
    result = compile_caller(tmp_path, "gate, input: {task: x}, onError: continue")
    assert result.pattern is not None
    script = {"first-worker": [EffectFailed("task_failed", "no")]}
    life = run(result.pattern, scripted(**script), input={"task": "t"})
    assert "after " in [task.text for task in life.tasks]
