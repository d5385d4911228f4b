"""The parser: its tables, and what it says about a text that is no program."""

from __future__ import annotations

from importlib.resources import files

import pytest

from compiler.prism import PrismError
from compiler.prism.parser import parse
from compiler.prism.tablegen import make_tables


def test_the_tables_are_those_of_the_grammar() -> None:
    """The tables that ship are what the grammar gives, byte for byte."""
    assert files("compiler.prism").joinpath("tables.json").read_text("utf-8") == make_tables()


@pytest.mark.parametrize(
    ("source", "line", "column", "message", "hint"),
    [
        ("let = 1", 1, 5, "Expected variable name, found '='", ""),
        ("1 +", 1, 4, "Expected expression, found the end of the program", ""),
        ("let a = (1", 1, 9, "Expected ')' to close '(' of line 1, column 9", ""),
        ("[1)", 1, 3, "Expected ']', found ')'", "'[' was opened at 1:1"),
        ("o.", 1, 3, "Expected property name after '.', found the end of the program", ""),
        ("try { 1 }", 1, 10, "Expected 'catch' or 'finally' after 'try', found the end of the program", ""),
        ("uncertain if (x) { maybe { 1 } }", 1, 20, "Expected 'high', 'medium', 'low', or 'default' branch", ""),
        ("let a = [1]\na[0] = 2", 2, 6, "found '='", "values are immutable"),
        ("let i = 0\ni++", 2, 3, "found '+'", "there is no ++ or --"),
        ("for (let i = 0; i < 3; i = i + 1) { i }", 1, 6, "Expected expression", "has no parentheses"),
        ("let f = fn(a) { a }", 1, 9, "Expected expression", "written as a lambda"),
        ("({high})", 1, 3, "", "reserved word"),
        ("const a", 1, 7, "Expected '=' after const name", "a const needs a value"),
        ("x.1", 1, 3, "Expected property name after '.', found '1'", ""),
        ("a\0", 1, 2, "Unexpected character '\\u{0}'", ""),
        ("a & b", 1, 3, "Unexpected character '&' at line 1, column 2", "write && for and"),
    ],
)
def test_parse_errors(source: str, line: int, column: int, message: str, hint: str) -> None:
    """An error says where, what stood there, what was expected, and where possible what to do."""
    with pytest.raises(PrismError) as failure:
        parse(source)
    error = failure.value
    assert (error.line, error.column) == (line, column)
    assert message in error.message
    assert hint in error.hint
