"""Broken org charts: for each file exactly what is wrong with it, where, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler.patterns import load_pattern

HERE = Path(__file__).parent / "broken"
EXPECTED: dict[str, list[list[Any]]] = json.loads((HERE / "expected.json").read_text("utf-8"))


def test_every_broken_file_is_expected() -> None:
    """No file without an expectation, and no expectation without a file."""
    assert sorted(EXPECTED) == sorted(path.name for path in HERE.glob("*.yaml"))
    assert len(EXPECTED) >= 80


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_broken_file_gets_these_diagnostics_and_nothing_else(name: str) -> None:
    """Line, column, code, severity, message and hint, all at once."""
    text = (HERE / name).read_text("utf-8")
    result = load_pattern(text, filename=name)
    found = [[one.line, one.column, one.code, one.severity, one.message, one.hint] for one in result.diagnostics]
    assert found == EXPECTED[name]
    lines = text.split("\n")
    for one in result.diagnostics:
        assert one.file == name
        assert one.hint
        assert one.source_line == (lines[one.line - 1] if one.line else "")
    assert (result.pattern is None) == any(one.severity == "error" for one in result.diagnostics)


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\ufeff",
        "a: \x07",
        "{",
        "[[[",
        "- " * 5000,
        "a: &a [*a]",
        "? [a]\n: b",
        "!!binary x",
        "%YAML 9.9\n---\na",
        "'",
    ],
)
def test_junk_is_answered_and_never_raises(text: str) -> None:
    """Whatever is in a file, the answer is a list of diagnostics."""
    result = load_pattern(text, filename="junk.yaml")
    assert result.pattern is None
    assert result.diagnostics
