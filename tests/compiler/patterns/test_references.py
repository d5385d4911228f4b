"""References that cannot mean anything: the words say why, and what to do."""

from __future__ import annotations

import pytest

from compiler.orchestration.origin import lacking_inputs
from compiler.patterns import load_pattern

HEAD = """\
name: x
version: 1.0.0
workspace: {enabled: false}
structure:
  name: s
  roles:
    w: {name: W, agentType: custom, capabilities: [x]}
workflow:
  name: x
"""


def found(workflow: str) -> list[tuple[str, str]]:
    """What is wrong with a chart of this workflow: messages and hints, in the order of the file."""
    loaded = load_pattern(HEAD + workflow, filename="x.yaml")
    return [(one.message, one.hint) for one in loaded.diagnostics if one.severity == "error"]


@pytest.mark.parametrize(
    ("declared", "hint"),
    [
        ("  input: {food: {type: string}}\n", "Did you mean 'food'?"),
        (
            "  input: {task: {type: string}}\n",
            "Declared: task. To add it, write foo: {type: string} under input.",
        ),
        ("  input: {}\n", "To add it, write foo: {type: string} under input."),
    ],
)
def test_an_input_that_is_not_declared_is_an_error(declared: str, hint: str) -> None:
    """With what was probably meant; a pattern that says nothing about its input takes any."""
    steps = '  steps: [{id: a, type: assign, role: w, task: "Do ${input.foo}"}]\n'
    assert found(declared + steps) == [("the pattern declares no input 'foo'", hint)]
    assert found(steps) == []


def test_a_program_that_reads_what_it_does_not_declare_is_warned_of() -> None:
    """No request can bring it; a variable of the program's own that is called so is another thing."""
    head = 'export const pattern = {name: "p", version: "1.0.0", input: {food: {type: "string"}}}\n'
    loaded = load_pattern(head + "let x = input.foo\nx ?? input.food\n", filename="p.prism")
    assert [(one.severity, one.line, one.message, one.hint) for one in loaded.diagnostics] == [
        ("warning", 2, "the pattern declares no input 'foo': it is null", "Did you mean 'food'?")
    ]
    own = load_pattern(head + "fn f(input) { return input.foo }\nf({foo: 1})\n", filename="p.prism")
    assert own.diagnostics == []


PARALLEL = """\
  steps:
    - type: parallel
      id: both
      steps:
        - {id: p, type: assign, role: w, task: "TEXT"}
        - {id: q, type: assign, role: w, task: t}
        - type: sequential
          id: s
          steps:
            - {id: deep, type: assign, role: w, task: t}
    - {id: last, type: assign, role: w, task: t}
"""
TOGETHER = "runs at the same time, in another branch of this parallel step"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("${p}", "step 'p' refers to itself"),
        ("${q}", f"step 'q' {TOGETHER}"),
        ("${deep}", f"step 'deep' {TOGETHER}"),
        ("${both}", "step 'both' is not done yet: this is a part of it"),
        ("${last}", "step 'last' runs later"),
    ],
)
def test_a_step_that_has_not_run_is_called_what_it_is(reference: str, message: str) -> None:
    """Itself, one beside it, the one around it, or a later one."""
    assert [said for said, _ in found(PARALLEL.replace("TEXT", reference))] == [message]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "input.foo is not given, input.bar is not given"),
        ({"foo": " "}, "input.foo is empty, input.bar is not given"),
        ({"foo": "x", "bar": "y"}, ""),
    ],
)
def test_the_inputs_that_a_text_lacks_are_named(given: dict[str, str], words: str) -> None:
    """Of the step that says nothing, and of no other."""
    steps = (
        '  steps:\n    - {id: one, type: assign, role: w, task: "${input.other}"}\n'
        '    - {id: two, type: assign, role: w, task: "${input.foo}${input.bar}"}\n'
    )
    pattern = load_pattern(HEAD + steps, filename="x.yaml").pattern
    assert pattern is not None
    assert lacking_inputs(pattern.program, "two", given) == words
