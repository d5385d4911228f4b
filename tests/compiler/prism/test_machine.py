"""A running program: it asks, waits, is answered, and does the same each time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from compiler.prism import EffectFailed, Limits, Machine, Options, PrismError, Step, compile_program, run
from compiler.prism.branches import Strategy


def ask(machine: Machine, value: Any = None) -> Any:
    """An effect."""
    return machine.perform(value)


def branches(strategy: Strategy = "all", most: int | None = None, least: int | None = None) -> Callable[..., Any]:
    """A host function that runs an array of functions side by side."""

    def parallel(machine: Machine, thunks: Any) -> Any:
        ended = machine.branches(thunks, strategy, most, least)
        return [one.value if one.status == "ok" else one.status for one in ended]

    return parallel


def machine_of(source: str, **more: Any) -> Machine:
    """A machine for a program that may `ask`, and run functions in `parallel`."""
    host = {"ask": ask, "parallel": more.pop("parallel", branches())}
    return Machine(compile_program(source, globals=host, options=more.pop("options", None)), host=host, **more)


def paths(step: Step) -> list[str]:
    """Where a step's new requests stand."""
    return [pending.path for pending in step.new]


def test_a_program_waits_and_goes_on() -> None:
    """An effect suspends the program; its answer is the value of the call."""
    machine = machine_of("let a = ask(1)\nlet b = ask(a + 1)\n[a, b]")
    step = machine.start()
    assert (step.status, paths(step), step.new[0].request) == ("suspended", ["1"], 1.0)
    step = machine.resume("1", 10)
    assert (step.status, paths(step), step.new[0].request) == ("suspended", ["2"], 11.0)
    step = machine.resume("2", "done")
    assert (step.status, step.value) == ("finished", [10.0, "done"])


def test_effects_suspend_inside_of_everything() -> None:
    """An effect may stand in a callback, a match, a string, a loop's test, a catch and a finally."""
    source = """\
    let xs = [1, 2].map(x => ask(x))
    let m = match ask("m") { x if ask("guard") => "${ask("text")}", _ => 0 }
    let n = 0
    while ask(n) { n = n + 1 }
    let t = 0
    try { throw ask("throw") } catch (e) { t = e + ask("catch") } finally { n = n + ask("finally") }
    [xs, m, n, t, sort([2, 1], (a, b) => ask(a) - b)]
    """
    answers = [5, 6, "m", True, "text", True, False, 1, 2, 10, 0, 0, 0]
    machine = machine_of(source)
    step = machine.start()
    while step.status == "suspended":
        (pending,) = machine.pending
        step = machine.resume(pending.path, answers[int(pending.path) - 1])
    assert step.error is None
    assert step.value[:4] == [[5.0, 6.0], "text", 11.0, 3.0]


def test_an_effect_that_fails_can_be_caught() -> None:
    """A failure is the message that `catch` binds; uncaught it ends the program with its code and place."""
    machine = machine_of("try { ask(1) } catch (e) { e }")
    machine.start()
    assert machine.resume("1", error=EffectFailed("timeout", "nobody came")).value == "nobody came"
    machine = machine_of("1\n  ask(1)")
    machine.start()
    step = machine.resume("1", error=EffectFailed("timeout", "nobody came"))
    assert step.error is not None
    assert (step.status, step.error.code, step.error.line, step.error.column) == ("failed", "timeout", 2, 3)


def test_branches_have_paths_in_program_order() -> None:
    """Effects of branches are numbered below the parallel effect, by position."""
    machine = machine_of("ask(0)\nparallel([() => [ask(1), ask(2)], () => parallel([() => ask(3)])])")
    machine.start()
    step = machine.resume("1", 0)
    assert paths(step) == ["2.1.1", "2.2.1.1.1"]
    assert paths(machine.resume("2.1.1", "a")) == ["2.1.2"]
    machine.resume("2.2.1.1.1", "c")
    assert machine.resume("2.1.2", "b").value == [["a", "b"], ["c"]]


def test_results_come_by_position() -> None:
    """Whoever answers first, the results stand in the order of the branches."""
    machine = machine_of("parallel([() => ask(1), () => ask(2), () => ask(3)])")
    machine.start()
    for path, answer in (("1.3.1", "c"), ("1.1.1", "a"), ("1.2.1", "b")):
        step = machine.resume(path, answer)
    assert step.value == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("strategy", "least", "answers", "value", "cancelled"),
    [
        ("race", None, [("1.2.1", "b")], ["cancelled", "b", "cancelled"], ["1.1.1", "1.3.1"]),
        ("race", None, [("1.1.1", None), ("1.2.1", "b")], ["failed", "b", "cancelled"], ["1.3.1"]),
        ("quorum", 2, [("1.3.1", "c"), ("1.1.1", "a")], ["a", "cancelled", "c"], ["1.2.1"]),
        ("quorum", 2, [("1.3.1", None), ("1.1.1", None)], ["failed", "cancelled", "failed"], ["1.2.1"]),
        ("all", None, [("1.2.1", None)], ["cancelled", "failed", "cancelled"], ["1.1.1", "1.3.1"]),
        ("all_settled", None, [("1.2.1", None), ("1.1.1", "a"), ("1.3.1", "c")], ["a", "failed", "c"], []),
    ],
)
def test_strategies(
    strategy: Strategy, least: int | None, answers: list[tuple[str, Any]], value: list[Any], cancelled: list[str]
) -> None:
    """When a group has its answer, what still runs is cancelled, by the order of the answers alone."""
    machine = machine_of(
        "parallel([() => ask(1), () => ask(2), () => ask(3)])", parallel=branches(strategy, None, least)
    )
    step = machine.start()
    for path, answer in answers:
        step = machine.resume(path, answer, error=None if answer is not None else EffectFailed("no", "no"))
    assert (step.status, step.value, step.cancelled) == ("finished", value, cancelled)


def test_only_so_many_branches_run_at_a_time() -> None:
    """With a bound, a branch begins when another has ended."""
    machine = machine_of("parallel([() => ask(1), () => ask(2), () => ask(3)])", parallel=branches("all", 2))
    assert paths(machine.start()) == ["1.1.1", "1.2.1"]
    assert paths(machine.resume("1.2.1", "b")) == ["1.3.1"]


def test_the_same_answers_give_the_same_steps() -> None:
    """A replay that is given the recorded answers in the recorded order asks the same and ends the same."""
    source = "let l = []\nfor i in range(20) { l = l.push(parallel([() => ask(i), () => ask(i * 2)])) }\nl"
    lives: list[list[Any]] = []
    for _ in range(2):
        machine = machine_of(source, slice_steps=7)
        step, life = machine.start(), []
        while step.status != "finished":
            life.append((step.status, [(one.path, one.request) for one in step.new]))
            if step.status == "sliced":
                step = machine.go_on()
            else:
                path = machine.pending[-1].path
                step = machine.resume(path, path)
        lives.append([*life, step.value])
    assert lives[0] == lives[1]


def test_a_program_costs_no_thread() -> None:
    """A thousand waiting programs add no thread; closing them runs none of their code."""
    before = threading.active_count()
    machines = [machine_of("try { ask(1) } finally { ask(2) }") for _ in range(1000)]
    for machine in machines:
        machine.start()
    assert threading.active_count() == before
    for machine in machines:
        machine.close()
        machine.close()
        assert machine.status == "closed"
        assert machine.pending == []


def test_misuse_is_refused() -> None:
    """Answers nobody waits for, starting twice and going on for nothing are errors of the caller."""
    machine = machine_of("ask(1)")
    machine.start()
    for misuse in (lambda: machine.resume("9", 1), machine.start, machine.go_on):
        with pytest.raises(ValueError, match="machine"):
            misuse()


def test_effects_are_counted() -> None:
    """More effects than the limit end the program, and no catch holds it up."""
    machine = machine_of("while true { try { ask(1) } catch (e) { 1 } }", options=Options(limits=Limits(effects=3)))
    step = machine.start()
    while step.status == "suspended":
        step = machine.resume(machine.pending[0].path, 1)
    assert step.error is not None
    assert (step.error.kind, step.error.code) == ("LimitError", "effects_exceeded")


def test_a_host_that_breaks_is_an_error_of_the_program() -> None:
    """An exception of the host ends the program with code `host` and the place; a bad value can be caught."""

    def broken(_machine: Machine) -> Any:
        raise KeyError("lost")

    program = compile_program("1\nbroken()", globals=["broken"])
    with pytest.raises(PrismError) as failure:
        run(program, host={"broken": broken})
    assert (failure.value.code, failure.value.line) == ("host", 2)
    caught = compile_program("try { odd() } catch (e) { 'caught' }", globals=["odd"])
    assert run(caught, host={"odd": lambda _machine: object()}) == "caught"


def test_inputs_are_values_and_never_text() -> None:
    """Whatever an input holds, it is a value of the program."""
    hostile = '"${1 + 1}" } ] ) // \\ ``` \u2028'
    program = compile_program('[input.text, "${input.text}", input.sure]', globals=["input"])
    value = run(program, {"input": {"text": hostile, "sure": {"$v": 1, "$c": 0.5}}})
    assert value[:2] == [hostile, hostile]
    assert value[2].confidence == 0.5
    with pytest.raises(PrismError, match="cannot be used"):
        run(program, {"input": {"text": float("nan")}})


def test_branches_share_no_variable_that_one_assigns() -> None:
    """Elements of `parallel`'s array may read what is around them; assigning what another uses is refused."""
    with pytest.raises(PrismError) as failure:
        machine_of("let n = 0\nparallel([() => { n = 1 }, () => n])")
    assert failure.value.code == "shared_variable"
    machine_of("let n = 0\nparallel([() => { let n = 1\n n = 2 }, () => n])")
