"""What a parse error says: what stood there, what could have stood there, and a hint where we know one."""

from __future__ import annotations

from typing import Any

from compiler.prism.tokens import KEYWORDS, Tok
from compiler.prism.values import number_text

Rows = list[dict[str, int]]

_SPELLING = {
    "RPAR": "')'", "RSQB": "']'", "RBRACE": "'}'", "COMMA": "','", "SEMI": "';'", "COLON": "':'", "EQ": "'='",
    "ARROW": "'=>'", "FATARM": "'=>'", "LPAR": "'('", "LPARAMS": "'('", "LCALL": "'('", "LBLOCK": "'{'",
    "LMATCH": "'{'", "LSPEC": "'{'", "LAGENTS": "'{'", "LAGENT": "'{'", "ATTACH": "'~>'", "ICLOSE": "'}'",
    "NAME": "a name", "STRING": "a string", "ELLIPSIS": "'...'", "STAR": "'*'", "$END": "the end",
}  # fmt: skip
_FOR_HEAD = "the head of a for loop has no parentheses: for let i = 0; i < n; i = i + 1 { ... }"
_BANDS = {"HIGH", "MEDIUM", "LOW", "DEFAULT"}
_EXPRESSION = {"NUMBER", "NAME", "LPAR", "LARR"}


def describe(token: Tok, rows: Rows, before: list[Tok], states: Rows, rules: list[Any]) -> tuple[str, str]:
    """Message and hint for a token that does not fit."""
    expected = {kind for kind in rows[-1] if kind.isupper() and _fits(kind, rows, states, rules)}
    written = number_text(token.value) if token.type == "NUMBER" else token.value
    found = "the end of the program" if token.type == "$END" else f"'{written}'"
    previous = before[-1] if before else None
    if token.type == "IEND" or token.type in ("ISTART", "ITEXT"):
        found = "a string"
    return _message(expected, previous, found), _hint(token, expected, before)


def _message(expected: set[str], previous: Tok | None, found: str) -> str:
    if previous is not None and previous.type == "LET":
        return f"Expected variable name, found {found}"
    if previous is not None and previous.type == "DOT":
        return f"Expected property name after '{previous.value}', found {found}"
    if expected >= _BANDS - {"DEFAULT"} and not expected & _EXPRESSION:
        return f"Expected 'high', 'medium', 'low', or 'default' branch, found {found}"
    if expected >= _EXPRESSION:
        return f"Expected expression, found {found}"
    if {"CATCH", "FINALLY"} <= expected:
        return f"Expected 'catch' or 'finally' after 'try', found {found}"
    words = sorted({_spell(kind) for kind in expected} - {""})
    if not words or len(words) > 6:
        return f"Unexpected {found}"
    listed = words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
    after = f" after '{previous.value}'" if previous is not None and isinstance(previous.value, str) else ""
    return f"Expected {listed}{after}, found {found}"


def _spell(kind: str) -> str:
    if kind in _SPELLING:
        return _SPELLING[kind]
    words = [word for word, name in KEYWORDS.items() if name == kind]
    return f"'{words[0]}'" if len(words) == 1 else ""


def _hint(token: Tok, expected: set[str], before: list[Tok]) -> str:
    previous = before[-1] if before else None
    if token.type == "LET" and [one.type for one in before[-2:]] == ["FOR", "LPAR"]:
        return _FOR_HEAD
    if token.type == "FUNCTION" and "FUNCTION" not in expected:
        return "a function expression is written as a lambda: (a, b) => ..."
    if token.type not in ("NAME", "STRING", "NUMBER", "ITEXT") and token.value in KEYWORDS and "NAME" in expected:
        return f"'{token.value}' is a reserved word; as an object key it must be followed by ':'"
    if token.type == "EQ" and previous is not None and previous.type in ("NAME", "RSQB"):
        return "values are immutable: build a new array or object, as in {...old, key: value}"
    if token.value in ("+", "-") and previous is not None and previous.value == token.value:
        return "there is no ++ or --: write x = x + 1"
    if token.type == "LPAR" and previous is not None and previous.type == "FOR":
        return _FOR_HEAD
    if token.type in ("BINOP", "ATTACH") and previous is not None and previous.type == "NUMBER":
        return "after '~> confidence' only '?', '~?' or a pipeline may follow; use parentheses"
    return ""


def _fits(kind: str, rows: Rows, states: Rows, rules: list[Any]) -> bool:
    """Whether a token could really be shifted: table rows also hold look-aheads that a later state refuses."""
    stack = rows[-60:]
    stack = list(stack)
    for _ in range(200):
        action = stack[-1].get(kind)
        if action is None:
            return False
        if action >= 0:
            return True
        origin, size, _make = rules[~action]
        if origin == "start":
            return True
        if size:
            if size >= len(stack):
                return True
            del stack[-size:]
        goto = stack[-1].get(origin)
        if goto is None:
            return False
        stack.append(states[goto])
    return False
