"""Whole numbers beyond 2**53 stay what they are, or are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.orchestration.values import as_doubles, canonical, plain, prism_value, readable
from compiler.patterns import load_pattern
from compiler.prism import Machine, PrismError, compile_program
from compiler.prism.values import from_json, to_json

LARGE = 1152921504606846977
NEAR = 9007199254740993


def run(text: str, **inputs: Any) -> Any:
    """The value of a program, as JSON."""
    program = compile_program(text, name="x", globals=tuple(inputs))
    step = Machine(program, inputs={name: prism_value(value) for name, value in inputs.items()}).start()
    if step.error is not None:
        raise step.error
    return plain(step.value)


@pytest.mark.parametrize("number", [LARGE, NEAR, -NEAR, 2**53 + 1, 10**40 + 1, 2**63, -(2**64)])
def test_a_number_passes_through_exactly(number: int) -> None:
    """As a value, in an object, in a text, for a person, for a comparison, and out again."""
    assert run("n", n=number) == number
    assert run("({ a: [n] })", n=number) == {"a": [number]}
    assert run('"<${n}>" + n', n=number) == f"<{number}>{number}"
    assert readable(prism_value(number)) == str(number)
    assert canonical(prism_value({"n": number})) == f'{{"n":{number}}}'
    assert to_json(from_json(number)) == number
    assert type(run("n", n=number)) is int


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n == n", True),
        ("n === m", False),
        ("n != m", True),
        ("n < m", True),
        ("m >= n", True),
        ("n > 1", True),
        ("1 < n", True),
        ("n == 9007199254740992", False),
        ('n == "9007199254740993"', True),
        ('"9007199254740992" == n', False),
        ("typeof n", "number"),
        ('n instanceof "number"', True),
        ("n ? 1 : 2", 1),
        ("sort([m, n, 1])", [1, NEAR, NEAR + 1]),
        ("-n", -NEAR),
        ("[n, m][1]", NEAR + 1),
        ("m + 0", NEAR + 1),
        ("(n ~> 0.5)", NEAR),
    ],
)
def test_what_needs_no_arithmetic_is_exact(text: str, value: Any) -> None:
    """Comparison, truth, kind, order; and arithmetic with a number that a double is as well."""
    assert run(text, n=NEAR, m=NEAR + 1) == value


@pytest.mark.parametrize(
    "text", ["n + 1", "1 - n", "n * 2", "n / 3", "n % 9", "n ** 2", "abs(n)", "round(n)", "n ~+ 1"]
)
def test_arithmetic_that_would_lose_digits_is_refused_by_name(text: str) -> None:
    """With the number, and what to do."""
    with pytest.raises(PrismError) as caught:
        run(text, n=NEAR)
    assert caught.value.code == "inexact_number"
    assert str(NEAR) in caught.value.message
    assert "9007199254740992" in caught.value.hint


def test_programs_of_before_keep_doubles() -> None:
    """What began with them goes on with them."""
    assert as_doubles({"a": [NEAR, 1, "x", 2.5, True]}) == {"a": [9007199254740992.0, 1, "x", 2.5, True]}
    assert type(as_doubles(NEAR)) is float
    assert as_doubles(10**400) == float("inf")


def test_a_literal_that_a_chart_cannot_keep_is_refused() -> None:
    """A number in YAML becomes a number of a program, which counts in doubles."""
    chart = """\
name: x
version: 1.0.0
workspace: {enabled: false}
structure:
  name: s
  roles: {a: {name: A, agentType: command, capabilities: [x], agentConfig: {command: [x]}}}
workflow:
  name: w
  steps: [{type: assign, role: a, task: t, input: {n: NUMBER}}]
"""
    found = load_pattern(chart.replace("NUMBER", str(NEAR)), filename="x.yaml").diagnostics
    assert [(one.code, one.line) for one in found if one.severity == "error"] == [("inexact-number", 9)]
    assert f'"{NEAR}"' in found[0].hint
    assert load_pattern(chart.replace("NUMBER", str(2**53)), filename="x.yaml").pattern is not None
