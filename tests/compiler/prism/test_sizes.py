"""The size of code is known from the tree, before there is any."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pytest

from compiler.prism import Limits, Options, PrismError, compile_program, program
from compiler.prism.parser import parse
from compiler.prism.program import SMALL_SOURCE
from compiler.prism.sizes import generated_size
from tests.compiler.prism.hostile_work import WORK
from tests.compiler.prism.large import LARGE

SOURCES: list[Callable[[], str]] = [source for source, _ in (*LARGE.values(), *WORK.values())]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The nodes of each piece of code that is made."""
    found: list[int] = []

    def counted(module: ast.Module, *args: Any, **options: Any) -> Any:
        found.append(sum(1 for _ in ast.walk(module)))
        return compile(module, *args, **options)

    monkeypatch.setattr(program, "compile", counted, raising=False)
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_code_is_hardly_larger_than_was_said(source: Callable[[], str], nodes: list[int]) -> None:
    """What a large text becomes is at most a quarter more than the estimate, or it is small code."""
    text = source()
    if len(text) > SMALL_SOURCE:
        compile_program(text)
        estimate = generated_size(parse(text))
        assert nodes[0] < max(1.25 * estimate, 3 * program.COMPACT_CODE)


def test_too_much_code_is_refused_before_it_is_made(nodes: list[int]) -> None:
    """A file whose code would be larger than the limit is an error that says what to do."""
    text = "let a = 1\n" + "a = a + 1\n" * 2_000
    with pytest.raises(PrismError) as failure:
        compile_program(text, options=Options(limits=Limits(code=5_000)))
    assert failure.value.code == "tokens_exceeded"
    assert "5000 nodes of code" in failure.value.message
    assert failure.value.hint == "split it into modules"
    assert nodes == []
