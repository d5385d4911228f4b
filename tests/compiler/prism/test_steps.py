"""What counts as a step, and that work beyond a few operations counts as more."""

from __future__ import annotations

import pytest

from compiler.prism import Machine, compile_program

ROUNDS = 1000


def _steps(source: str, slice_steps: int | None = None) -> int:
    machine = Machine(compile_program(source), slice_steps=slice_steps)
    step = machine.start()
    while step.status == "sliced":
        step = machine.go_on()
    assert step.status == "finished", step.error
    return machine.steps_used


def _each(body: str, before: str = "") -> float:
    """Steps of a round of a loop with that body."""
    loop = f"{before}\nlet n = 0\nwhile n < {ROUNDS} {{ {body}\nn = n + 1 }}"
    return (_steps(loop) - _steps(before)) / ROUNDS


@pytest.mark.parametrize(
    ("body", "before"),
    [("", ""), ("s = s + n", "let s = 0"), ("if (n == 5) { s = 1 }", "let s = 0"), ("s = n", "let s = 0")],
)
def test_a_short_round_is_a_step(body: str, before: str) -> None:
    """A round of a loop that does a few operations takes one step."""
    assert _each(body, before) == pytest.approx(1, abs=0.01)


def test_a_short_call_is_a_step() -> None:
    """The call of a short function takes one step more than the round it stands in."""
    assert _each("f(n)", "fn f(x) { x + 1 }") == pytest.approx(2, abs=0.01)


def test_long_code_takes_more() -> None:
    """A round and a call of a long body count its operations, and a branch counts where it is taken."""
    long = "s = s + n;" * 200
    assert _each(long, "let s = 0") > 30
    assert _each("f(n)", f"fn f(n) {{ let s = 0; {long} s }}") > 30
    assert _each(f"if (n < 0) {{ {long} }}", "let s = 0") < 4
    assert _each(f"if (n >= 0) {{ {long} }}", "let s = 0") > 30
    assert _each("f(n)", f"fn f(n) {{ if (n >= 0) {{ return n }}\nlet s = 0; {long} s }}") < 4
    assert _each("f(n)", f"fn f(n) {{ if (n < 0) {{ return n }}\nlet s = 0; {long} s }}") > 30


@pytest.mark.parametrize(
    ("dear", "cheap", "before"),
    [
        ("s = a + n", "s = n + n", "let s = 0\nlet a = 1 ~> 0.5"),
        ("s = a.v", "s = b.v", "let s = 0\nlet a = {v: 1} ~> 0.5\nlet b = {v: 1}"),
        ("s = abs(n)", "s = n", "let s = 0"),
        ('s = "" + n', "s = n + n", "let s = 0"),
        ("s = [...a]", "s = [...b]", "let s = 0\nlet a = range(90)\nlet b = [1]"),
        ('s = "${a}"', 's = "${b}"', "let s = 0\nlet a = range(90)\nlet b = [1]"),
        ("s = a == b", "s = a == [1]", "let s = 0\nlet a = range(90)\nlet b = range(90)"),
        ("includes(a, -1)", "includes(b, -1)", "let a = range(90)\nlet b = [1]"),
        ("threshold(0.5)([a])", "threshold(0.5)([b])", 'let a = groupBy(x => "${x}")(range(90))\nlet b = {x: 1}'),
        ("sort(a)", "sort(b)", "let a = range(90)\nlet b = [1]"),
        ("try { f(50) } catch {}", "try { f(1) } catch {}", "fn f(n) { if (n < 1) { throw 1 }\nf(n - 1) }"),
    ],
)
def test_work_that_values_decide_takes_more(dear: str, cheap: str, before: str) -> None:
    """Confident operands, texts, large values, builtins and unwinding count what they cost."""
    assert _each(dear, before) >= _each(cheap, before) + 2


def test_steps_are_the_same_however_a_run_is_cut() -> None:
    """Slices change nothing about the count."""
    source = (
        'let s = ""\nfor i in range(300) { s = "${slice(s, 0, 9)}${i ~> 0.5}"\nsort([3, 1, 2], (a, b) => a - b) }\ns'
    )
    assert len({_steps(source), _steps(source, 7), _steps(source, 50_000)}) == 1
