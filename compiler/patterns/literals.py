"""Writing values as Prism. Everything that comes from a file or a person goes through here and stays data."""

from __future__ import annotations

import math
import re
from typing import Any, cast

RESERVED = frozenset({
    "if", "else", "uncertain", "high", "medium", "low", "default", "in", "context", "agents", "Agent", "function",
    "fn", "return", "let", "const", "true", "false", "null", "undefined", "for", "while", "break", "continue",
    "typeof", "instanceof", "import", "export", "from", "as", "async", "await", "try", "catch", "finally", "do",
    "match", "throw", "_",
})  # fmt: skip
"""Words that cannot be variables."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"', "$": "\\$"}
_UNSAFE = re.compile(r'[\\"$\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')


def quoted(text: str) -> str:
    """A text as a Prism string. Invisible characters are written as escapes, so that a reader sees them."""
    return f'"{escaped(text)}"'


def escaped(text: str) -> str:
    """A text as the inside of a Prism string."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if 0xD800 <= ord(char) <= 0xDFFF:
        char = "\ufffd"
    return _NAMED.get(char) or f"\\u{{{ord(char):x}}}"


def comment(text: str) -> str:
    """A text as it may stand behind `//`: one line, without characters that could end it."""
    words = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]+", " ", text).split())
    return words if len(words) <= 100 else words[:97] + "..."


def number(value: float) -> str:
    """A finite number as Prism writes it."""
    if not math.isfinite(value):
        raise ValueError("a number in a pattern is finite")
    if value == int(value) and abs(value) < 2**53:
        return str(int(value))
    return repr(float(value))


def scalar(value: Any) -> str:
    """Null, a boolean, a number or a text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    return quoted(str(value))


def key(name: str) -> str:
    """A key of an object."""
    return name if _IDENTIFIER.match(name) and name not in RESERVED else quoted(name)


def literal(value: Any) -> str:
    """Any JSON value, on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in cast("list[Any]", value)) + "]"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{key(name)}: {literal(item)}" for name, item in fields.items()) + "}"
    return scalar(value)


def identifier(text: str) -> str:
    """A word made of a text that can be a variable, except for reserved ones."""
    word = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return word if _IDENTIFIER.match(word) and word != "_" else f"_{word}"


def without_parentheses(code: str) -> str:
    """The code without parentheses around all of it, as it may stand behind `if (`."""
    if not (code.startswith("(") and code.endswith(")")):
        return code
    depth, quoted, position = 0, False, 0
    while position < len(code):
        char = code[position]
        if char == "\\" and quoted:
            position += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
            if depth == 0 and position < len(code) - 1:
                return code
        position += 1
    return code[1:-1]
