"""Deep nesting: what Python would refuse or copy runs all the same, and costs no more than it is long."""

from __future__ import annotations

from collections import OrderedDict
from types import CodeType

import pytest

from compiler.prism import Limits, Options, PrismError, compile_program, nesting, run
from compiler.prism.conformance import check_case
from tests.compiler.prism.corpus import cases

DEEP = 60
SMALL = Options(limits=Limits(steps=20_000, memory=1024 * 1024))


def nested(opening: str, inner: str, closing: str, count: int = DEEP) -> str:
    """Something inside itself."""
    return opening * count + inner + closing * count


TRIED = nested("try {{ ", "if (v == 2) {{ {} }}\nn = n + v", " }} finally {{ 0 }}")
ONCE = nested("for once in [1] {{ ", "{}", " }}")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (nested("for v in [1] { ", "7", " }"), 7),
        ("let i = 0\n" + nested("while i < 1 { ", "i = 3", " }") + "\ni", 3),
        ("let n = 0\n" + nested("do { ", "n = n + 1", " } while false") + "\nn", 1),
        (nested("try { ", "1", " } catch (e) { 2 } finally { 3 }"), 1),
        (nested("try { ", "throw 5", " } catch (e) { throw e + 1 }") .join(("try { ", " } catch (e) { e }")), 5 + DEEP),
        (nested("try { throw 1 } catch (e) { ", "e + 8", " }"), 9),
        ("let n = 0\n" + nested("try { n = n + 1 } finally { ", "n = n * 10", " }") + "\nn", DEEP * 10),
        ("fn f() { " + nested("for v in [1, 2] { ", "return v + 4", " }") + " }\nf()", 5),
        ("fn f() { " + nested("try { ", "return 6", " } finally { 0 }") + " }\nf()", 6),
        (f"let n = 0\nfor v in [1, 2, 3] {{ {TRIED.format('continue')} }}\nn", 4),
        (f"let n = 0\nfor v in [1, 2, 3] {{ {TRIED.format('break')} }}\nn", 1),
        ("let x = 1 ~> 0.6\n" + nested("uncertain if (x) { default { ", "8", " } }"), 8),
        (f"let fs = []\n{ONCE.format('for v in [1, 2] { fs = fs.push(() => v) }')}\nfs.map(f => f())", [1, 2]),
        (f"let t = 0\n{ONCE.format('for v, i in [5, 6] { t = t + v * i }')}\nt", 6),
    ],
)  # fmt: skip
def test_deep_nesting_runs(source: str, value: object) -> None:
    """Loops and try statements may nest as deep as brackets may."""
    assert run(compile_program(source)) == value


def size(code: CodeType) -> int:
    """Bytes of code, with that of all functions inside."""
    return len(code.co_code) + sum(size(one) for one in code.co_consts if isinstance(one, CodeType))


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("uncertain if (x) { default { ", " } }"),
        ("uncertain while x { default { ", "\nbreak } }"),
        ("uncertain if (x) { medium { 1 } default { ", " } }"),
        ("try { 1 } finally { ", " }"),
        ("try { x } finally { (() => { ", " })() }"),
        ("try { throw 1 } catch (e) { 2 } finally { ", " }"),
        ("(() => { try { return 1 } finally { ", " } })()"),
    ],
)
def test_code_grows_with_the_text(opening: str, closing: str) -> None:
    """Twice the nesting takes about twice the code: nothing is compiled more than a few times."""
    short, long = (
        size(compile_program("let x = 1 ~> 0.2\n" + nested(opening, "1", closing, count)).unit.main.__code__)
        for count in (12, 24)
    )
    assert long < 3 * short


def test_many_ways_out_of_a_try() -> None:
    """Each of many returns does not carry a copy of all that follows it."""
    finals = f" finally {{ {'log(1); ' * 30} }} "
    body = "".join(f"if (x == {number}) {{ return {number} }}\n" for number in range(400))
    source = "fn log(x) { x }\nfn f(x) { " + "try { " * 8 + body + ("}" + finals) * 8 + " }\nf(399)"
    program = compile_program(source)
    assert size(program.unit.main.__code__) < 40 * len(source)
    assert run(program) == 399


def test_moved_code_means_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every case has its outcome also when each loop and each try statement becomes a function."""
    monkeypatch.setattr("compiler.prism.program._cache", OrderedDict())
    monkeypatch.setattr(nesting, "DEEPEST", 1)
    monkeypatch.setattr("compiler.prism.writer.DEEPEST", 1)
    for name in ("_TRY", "_WAYS_OUT", "_SMALL"):
        monkeypatch.setattr(nesting, name, {"_TRY": 1}.get(name, 0))
    count = 0
    for name in ("conformance.jsonl", "own.jsonl", "from_text.jsonl"):
        for case in cases(name):
            source = case.source or "".join((case.files or {}).values())
            if any(word in source for word in ("for ", "while ", "try ")):
                count += 1
                assert check_case(case) == "", case.id
    assert count > 300


@pytest.mark.parametrize("use", ["z;", "z = 1;"])
def test_names_that_many_functions_declare_later(use: str) -> None:
    """Uses that would have to look further out, over and over, are a limit and no mountain of code."""
    few = nested("fn g() {\n", f"let q = () => {{ {use} }}\n", "let z = 1\n}\n", 3)
    assert run(compile_program(few + "1")) == 1
    for uses, functions in ((2_000, 100), (12_000, 1)):
        many = nested("fn g() {\n", f"let q = () => {{ {use * uses} }}\n", "let z = 1\n}\n", functions)
        with pytest.raises(PrismError) as failure:
            compile_program(many)
        assert (failure.value.kind, failure.value.code) == ("LimitError", "nesting_too_deep")


def test_brackets_are_the_limit() -> None:
    """Nesting beyond what brackets may is one clear error."""
    with pytest.raises(PrismError) as failure:
        compile_program(nested("while true { ", "1", " }", 300), options=SMALL)
    assert (failure.value.kind, failure.value.code) == ("LimitError", "nesting_too_deep")
