"""Programs that mean harm end in an error of ours, within bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.prism import Limits, Options, PrismError, compile_program, run, to_json
from compiler.prism.check import check_program
from compiler.prism.printer import format_source
from tests.compiler.prism.hostile import HOSTILE
from tests.compiler.prism.large import LARGE
from tests.compiler.prism.programs import PROGRAMS

SCRIPT = Path(__file__).with_name("hostile.py")
SMALL = Options(limits=Limits(steps=20_000, memory=1024 * 1024))
ROOMY = Options(limits=Limits(memory=64 * 1024))
TOKENS = st.sampled_from(
    [*"()[]{}\"'=;,:~?.!-_a1\\é\n \0", "${", "```", "1e9", "=>", "~>", "|>", "...", "let", "const", "fn", "if", "else",
     "for", "in", "while", "do", "match", "uncertain", "high", "return", "try", "catch", "throw", "import", "export",
     "from", "agents", "Agent", "in context", "async", "await", "//", "/*", "*/", "\u2028", "\U0001f600", "typeof",
     "<~", "instanceof", "~?>", "**", "undefined"]
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_ends(name: str) -> None:
    """The program ends with the error that names its fault, in less than 200 MB."""
    done = subprocess.run([sys.executable, SCRIPT, name], capture_output=True, text=True, check=True)
    ended = json.loads(done.stdout)
    assert ended["code"] == HOSTILE[name][1]
    assert ended["mb"] < 200


@pytest.mark.parametrize("name", LARGE)
def test_a_large_program_runs(name: str) -> None:
    """A program as large as a file may be is compiled and run, in less than 200 MB."""
    done = subprocess.run([sys.executable, SCRIPT, name], capture_output=True, text=True, check=True)
    ended = json.loads(done.stdout)
    assert ended["code"] == "none"
    assert ended["value"] == LARGE[name][1]
    assert ended["mb"] < 200


def _survives(source: str) -> None:
    """Nothing but a Prism error comes out of a text, whatever is done with it."""
    check_program(source, options=SMALL)
    for work in (lambda: to_json(run(compile_program(source, options=SMALL))), lambda: format_source(source)):
        failure = _failure(work)
        if failure is not None:
            assert failure.code
            assert failure.message
            assert failure.show()


def _failure(work: Callable[[], object]) -> PrismError | None:
    try:
        work()
    except PrismError as failure:
        return failure
    return None


QUICK = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@QUICK
@given(st.lists(TOKENS, max_size=30).map("".join))
def test_any_row_of_tokens_is_answered(source: str) -> None:
    """Tokens in any order are a program or a Prism error."""
    _survives(source)


@QUICK
@given(st.lists(TOKENS, max_size=20).map(" ".join))
def test_any_row_of_words_is_answered(source: str) -> None:
    """Words with blanks between them are a program or a Prism error."""
    _survives(source)


@QUICK
@given(st.text(max_size=60))
def test_any_text_is_answered(source: str) -> None:
    """Any text is a program or a Prism error."""
    _survives(source)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(PROGRAMS, st.integers(0, 200), TOKENS)
def test_a_damaged_program_is_answered(source: str, place: int, token: str) -> None:
    """A program with something put in the middle of it is still answered."""
    at = place % (len(source) + 1)
    _survives(source[:at] + token + source[at:])


def test_limits_stop_at_the_same_place() -> None:
    """Limits are counters: the same program stops after the same number of rounds, each time."""
    printed: list[list[str]] = [[], []]
    program = compile_program("let i = 0\nwhile true { i = i + 1\nprint(i) }", options=SMALL)
    for lines in printed:
        with pytest.raises(PrismError) as failure:
            run(program, on_print=lines.append)
        assert failure.value.code == "steps_exceeded"
    assert len(printed[0]) > 100
    assert printed[0] == printed[1]


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("let x = 1\nwhile true { x = 2 }", 2, 1),
        ("let x = 1\nlet g = () => {\n  for ;; { x = 2 } }\ng()", 3, 3),
        ("let x = 1\nuncertain while true { high { x } }", 2, 1),
        ("do { 1 } while true", 1, 1),
        ("let x = 1\nfn f(n) { return f(n + 1) }\nf(0)", 2, 18),
        ("let g = () => [1].map(h)\nlet h = v => g()\ng()", 1, 15),
    ],
)
def test_a_limit_is_said_where_it_was_reached(source: str, line: int, column: int) -> None:
    """Steps run out at a loop, and depth at a call, not at the beginning of the program."""
    with pytest.raises(PrismError) as failure:
        run(compile_program(source, options=Options(limits=Limits(steps=20_000))))
    assert (failure.value.kind, failure.value.line, failure.value.column) == ("LimitError", line, column)


def test_memory_that_is_freed_does_not_count() -> None:
    """A program may make far more values than it may hold."""
    program = compile_program('let s = ""\nfor i in range(300) { s = "x${range(200)}" }\nlen(s) > 0', options=ROOMY)
    assert run(program) is True


def test_the_call_depth_is_at_least_two_thousand() -> None:
    """Two thousand nested calls are fine."""
    program = compile_program("fn f(n) { n == 0 ? 0 : 1 + f(n - 1) }\nf(2000)")
    assert run(program) == 2000
