"""The words and signs of the language, and the token each one is for the grammar."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

KEYWORDS: dict[str, str] = {
    "if": "IF", "else": "ELSE", "uncertain": "UNCERTAIN", "high": "HIGH", "medium": "MEDIUM", "low": "LOW",
    "default": "DEFAULT", "in": "IN", "context": "CONTEXT", "agents": "AGENTS", "Agent": "AGENT",
    "function": "FUNCTION", "fn": "FUNCTION", "return": "RETURN", "let": "LET", "const": "LET", "true": "TRUE",
    "false": "FALSE", "null": "NULL", "undefined": "NULL", "for": "FOR", "while": "WHILE", "break": "BREAK",
    "continue": "CONTINUE", "typeof": "PREFIX", "instanceof": "BINOP", "import": "IMPORT", "export": "EXPORT",
    "from": "FROM", "as": "AS", "async": "ASYNC", "await": "PREFIX", "try": "TRY", "catch": "CATCH",
    "finally": "FINALLY", "do": "DO", "match": "MATCH", "throw": "THROW", "_": "HOLE",
}  # fmt: skip
"""Reserved words and the token each one is."""

OPERATORS = (
    "~||>", "~>=", "~??", "~?>", "~&&", "~@>", "~|>", "~||", "~+=", "~-=", "~*=", "~/=", "~==", "~!=", "~<=", "~>",
    "~?", "~+", "~-", "~*", "~/", "~<", "~.", "~~", "===", "!==", "==", "!=", "=>", "=", "<=", "<~", "<", ">=", ">",
    "&&", "||", "|>", "??", "?.", "?", "...", ".", "+=", "-=", "*=", "/=", "%=", "**", "+", "->", "-", "*", "/", "%",
    "!", "(", ")", "[", "]", "{", "}", ",", ":", ";",
)  # fmt: skip
"""Longest first where one begins another."""

TYPES: dict[str, str] = dict.fromkeys(OPERATORS, "BINOP") | {
    "|>": "PIPE", "~|>": "PIPE", "~?>": "PIPE", "?": "QMARK", "~?": "QMARK", "~>": "ATTACH", "=>": "ARROW", "=": "EQ",
    "~+=": "AUG", "~-=": "AUG", "~*=": "AUG", "~/=": "AUG", "+=": "AUG", "-=": "AUG", "*=": "AUG", "/=": "AUG",
    "%=": "AUG", "<~": "PREFIX", "!": "PREFIX", ".": "DOT", "?.": "DOT", "~.": "DOT", "**": "POW", "-": "MINUS",
    "~~": "LINK", "->": "THIN", "...": "ELLIPSIS", "(": "LPAR", ")": "RPAR", "[": "LARR", "]": "RSQB",
    "{": "LBRACE", "}": "RBRACE", ",": "COMMA", ":": "COLON", ";": "SEMI",
}  # fmt: skip


class Tok(Struct):
    """A token: its type for the grammar, its value, and where it stands in the text."""

    type: str
    value: Any
    pos: int
    end: int

    line: ClassVar[int] = 0
    column: ClassVar[int] = 0
    end_line: ClassVar[int] = 0
    end_column: ClassVar[int] = 0

    @property
    def start_pos(self) -> int:
        """The name the parser library knows the offset by."""
        return self.pos

    @property
    def end_pos(self) -> int:
        """The name the parser library knows the end by."""
        return self.end
