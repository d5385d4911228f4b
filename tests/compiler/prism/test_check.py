"""The checker: what it says, where, and what it leaves alone."""

from __future__ import annotations

import pytest

from compiler.orchestration import HOST_FUNCTION_NAMES, host
from compiler.prism import Options
from compiler.prism.check import check_program
from compiler.prism.effect_signatures import EFFECTS
from tests.compiler.prism.corpus import cases


def found(source: str, **more: object) -> list[tuple[str, int, int]]:
    """Codes and places, in order."""
    return [(one.code, one.line, one.column) for one in check_program(source, **more)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nope", [("undefined_name", 1, 1)]),
        ("nope = 1", [("undefined_name", 1, 1)]),
        ("let a = 1\n[a, b] = [1, 2]\na", [("undefined_name", 2, 5)]),
        ("fn f() { return g(1) }\nf()", [("undefined_name", 1, 17)]),
        ('"${nope}"', [("undefined_name", 1, 4)]),
        ("{ let a = 1\na }\na", [("undefined_name", 3, 1)]),
        ("let a = 1", [("unused_binding", 1, 5)]),
        ("let a = 1\na = 2", [("unused_binding", 1, 5)]),
        ("fn f() { 1 }", [("unused_binding", 1, 1)]),
        ("let [a, b] = [1, 2]\na", [("unused_binding", 1, 9)]),
        ("match 1 { x => 2 }", [("unused_binding", 1, 11)]),
        ("let _a = 1", []),
        ("fn f(a) { 1 }\nf(1)", []),
        ("for x in [1] { 2 }", []),
        ("agents { a: Agent { } }", []),
        ("fn f() { return 1\n2 }\nf()", [("unreachable", 2, 1)]),
        ("fn f() { throw 1\nf() }\nf()", [("unreachable", 2, 1)]),
        ("while true { break\n1 }", [("unreachable", 2, 1)]),
        ("fn f(x) { if (x) { return 1 } else { return 2 }\n3 }\nf(1)", [("unreachable", 2, 1)]),
        ("fn f(x) { uncertain if (x) { high { return 1 } default { throw 2 } } 3 }\nf(1)", [("unreachable", 1, 70)]),
        ("fn f(x) { uncertain if (x) { high { return 1 } low { return 2 } } 3 }\nf(1)", []),
        ("fn f() { try { return 1 } catch (e) { return 2 } 3 }\nf()", [("unreachable", 1, 50)]),
        ("fn f() { try { return 1 } catch (e) { 2 } 3 }\nf()", []),
        ("fn f() { try { 1 } finally { return 2 } 3 }\nf()", [("unreachable", 1, 41)]),
        ("fn f() { in context A { return 1 } 3 }\nf()", [("unreachable", 1, 36)]),
        ("fn f(x) { match x { 1 => { return 1 }, _ => { return 2 } } 3 }\nf(1)", [("unreachable", 1, 60)]),
        ("fn f(x) { match x { 1 => { return 1 }, _ => 2 } 3 }\nf(1)", []),
        ("fn f() { do { return 1 } while true 3 }\nf()", [("unreachable", 1, 37)]),
        ("fn f() { do { break } while true 3 }\nf()", []),
        ("while true { 1 }\n2", [("unreachable", 2, 1)]),
        ("for ;; { for v in [1] { break } }\n2", [("unreachable", 2, 1)]),
        ("while true { if (1) { break } }\n2", []),
        ("if (false) { 1 }", [("unreachable", 1, 12)]),
        ("if (true) { 1 } else { 2 }", [("unreachable", 1, 22)]),
        ("while false { 1 }", [("unreachable", 1, 13)]),
        ("true ? 1 : 2", [("unreachable", 1, 12)]),
        ("uncertain if (1 ~> 0.9) { high { 1 } low { 2 } }", [("unreachable", 1, 42)]),
        ("let x = 1 ~> 0.2\nuncertain if (x) { high {} medium {} low {} default {} }", [("unreachable", 2, 53)]),
        ("for let i = 0; false; i = i + 1 { i }", [("unreachable", 1, 33)]),
        ("for ;; { break }", []),
        ("uncertain while (1 ~> 0.9) { low { 1 } high { break } }", [("unreachable", 1, 34)]),
        ("uncertain while false { high { 1 } }", [("unreachable", 1, 30)]),
        (
            "let x = 1 ~> 0.2\nuncertain for ; x; { high {} medium {} low { break } default {} }",
            [("unreachable", 2, 62)],
        ),
        ("match 1 { _ => 1, 2 => 3 }", [("unreachable", 1, 19)]),
        ("match 1 { 1 => 1, 1 => 2 }", [("unreachable", 1, 19)]),
        ("match 1 { 1 if true => 1, 1 => 2 }", []),
        ("1 ~> 1.5", [("confidence_out_of_range", 1, 6)]),
        ("1 ~> -0.1", [("confidence_out_of_range", 1, 6)]),
        ("1 ~> 85", [("confidence_out_of_range", 1, 6)]),
        ("1 ~?> 2", [("confidence_out_of_range", 1, 7)]),
        ("let [a ~> 3] = [1]\na", [("confidence_out_of_range", 1, 11)]),
        ("fn f() ~> 1.1 { 1 }\nf()", [("confidence_out_of_range", 1, 11)]),
        ("confidence(2)(x => x)", [("confidence_out_of_range", 1, 12)]),
        ("match 1 { _ ~> 7 => 1 }", [("confidence_out_of_range", 1, 16)]),
        ("1 ~> 0.5 ~> 1", []),
        ("assign({})", [("wrong_arguments", 1, 1)]),
        ('assign("role", "task")', [("wrong_arguments", 1, 8)]),
        ('assign({}, 5, {tiemoutMs: 1})', [("wrong_arguments", 1, 12), ("unknown_option", 1, 16)]),
        ('assign({}, "t", {timeoutMs: "soon"})', [("wrong_arguments", 1, 29)]),
        ('parallel([], {strategy: "rase"})', [("wrong_arguments", 1, 25)]),
        ("parallel(() => 1)", [("wrong_arguments", 1, 10)]),
        ('sleep("1 s")', [("wrong_arguments", 1, 7)]),
        ("now(1)", [("wrong_arguments", 1, 1)]),
        ('ask("really?", {options: ["a"], default: "a"})', []),
        ("let sleep = x => x\nsleep('a', 1)", []),
        ("map([1])", [("wrong_arguments", 1, 1)]),
        ("fn f(a) { a }\nf()", [("wrong_arguments", 2, 1)]),
        ("fn f(a) { a }\nf(...[1])", []),
        ("const a = 1\na = 2\na", [("const_assignment", 2, 1)]),
        ("max = 1", [("const_assignment", 1, 1)]),
        ("let a = 1\nlet a = 2\na", [("redeclared", 2, 5)]),
        ("return 1", [("misplaced_return", 1, 1)]),
        ("break\ncontinue\n_", [("misplaced_break", 1, 1), ("unreachable", 2, 1), ("misplaced_continue", 2, 1),
                               ("misplaced_placeholder", 3, 1)]),
        ("fn f() { export let a = 1 }\nf()", [("misplaced_module", 1, 10)]),
        ("{ export fn f() { 1 } }", [("misplaced_module", 1, 3)]),
        ("let =", [("syntax", 1, 5)]),
        ('"abc', [("unterminated", 1, 1)]),
        ('import {a} from "./nope"\na', [("module", 1, 1)]),
    ],
)  # fmt: skip
def test_what_is_found(source: str, expected: list[tuple[str, int, int]]) -> None:
    """Each fault has its code and its place, and nothing else is said."""
    assert sorted(found(source, modules={})) == sorted(expected)


def test_everything_is_said_at_once() -> None:
    """All faults of a file come in one answer, in the order of the file, each with its line and a hint."""
    source = "let total = 1\ntotl + 1\n1 ~> 90\nassign(1)\nreturn 2\n"
    diagnostics = check_program(source)
    assert [one.code for one in diagnostics] == [
        "unused_binding", "undefined_name", "confidence_out_of_range", "wrong_arguments", "misplaced_return",
    ]  # fmt: skip
    assert [one.source_line for one in diagnostics] == source.splitlines()
    assert diagnostics[1].hint == "did you mean 'total'?"
    assert diagnostics[2].hint == "write 0.9 for 90 percent"
    assert [one.severity for one in diagnostics] == ["warning", "error", "error", "error", "error"]
    assert all(one.hint for one in diagnostics)


def test_every_diagnostic_has_a_line_and_a_hint() -> None:
    """Whatever the checker says of any case, it says where, shows the line, and says what to do."""
    count = 0
    for name in ("conformance.jsonl", "own.jsonl"):
        for case in cases(name):
            source = case.files[case.entry] if case.files is not None else case.source
            for one in check_program(source, modules=case.files, options=case.options, globals=case.inputs or ()):
                count += 1
                assert one.line, (source, one)
                assert one.column, (source, one)
                assert one.hint, (source, one)
                assert one.source_line or not source.splitlines()[one.line - 1 :], (source, one)
    assert count > 500


def test_the_hint_shows_how_an_effect_is_called() -> None:
    """A wrong call of an effect is answered with how it is written."""
    assert check_program("assign({})")[0].hint == "write assign(object, string, [{...}])"
    assert check_program("sleep('1 s')")[0].hint == "write sleep(number)"
    assert check_program('call("x", 1, {}, 2)')[0].hint == "write call(string, [value], [{...}])"
    assert check_program('call("x", 1, 2)')[0].hint == "its options are id, onError, timeoutMs"


def test_names_of_the_host_are_known() -> None:
    """What the host gives a program is defined, and cannot be assigned."""
    assert found("input", globals=["input"]) == []
    assert found("input = 1", globals=["input"]) == [("const_assignment", 1, 1)]


def test_legacy() -> None:
    """In an old script an assignment declares."""
    assert found("x = 1\nx", options=Options(legacy=True)) == []


def test_bands_are_an_option() -> None:
    """Which band a constant confidence falls into depends on where the bands begin."""
    source = "uncertain if (1 ~> 0.8) { high { 1 } medium { 2 } }"
    assert found(source) == [("unreachable", 1, 45)]
    assert found(source, options=Options(high=0.9)) == [("unreachable", 1, 32)]


def test_names_that_a_module_does_not_export() -> None:
    """An import of what is not exported is found; a module that hands on another's exports is trusted."""
    modules = {"m.prism": "export const value = 1", "all.prism": 'export * from "./m"'}
    (one,) = check_program('import {valeu} from "./m"\nvaleu', modules=modules)
    assert (one.code, one.hint) == ("module", "did you mean 'value'?")
    assert found('import d from "./m"\nd', modules=modules) == [("module", 1, 1)]
    assert found('import {x} from "./all"\nx', modules=modules) == []


def test_effects_are_those_of_the_host() -> None:
    """The table of effects names the host's functions and the options that they take."""
    assert set(EFFECTS) <= set(HOST_FUNCTION_NAMES)
    for name, options in (
        ("assign", host._TASK), ("parallel", host._PARALLEL | {"min_results"}), ("ask", host._ASK),
        ("review", host._REVIEW | {"of"}),
        ("approve", host._APPROVE | {"of"}), ("sequential", host._STEP), ("group", host._STEP | {"gate"}),
        ("wait", host._STEP), ("verify", host._STEP | host._GATE | {"combine", "of"}),
    ):  # fmt: skip
        assert set(EFFECTS[name].options or ()) == set(options), name
