"""The expressions of `check` and of `${…}`: Prism's operators over references, parsed into a small tree.

Only what this parser understands is ever printed into a program, so that no text of a file can become code by itself.
Each operator keeps its place, so that a mistake is reported where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"||", "~||"}),
    frozenset({"??"}),
    frozenset({"~??"}),
    frozenset({"&&", "~&&"}),
    frozenset({"==", "!=", "===", "!==", "~==", "~!="}),
    frozenset({">", ">=", "<", "<=", "~>=", "~<", "~<="}),
    frozenset({"+", "-", "~+", "~-"}),
    frozenset({"*", "/", "%", "~*", "~/"}),
)
"""Binary operators, from the loosest to the tightest, all joined from the left."""

COMPARISONS = LEVELS[5]
FUNCTIONS = ("len", "includes", "upper", "lower", "trim", "round", "abs", "floor", "keys", "values", "sum", "average")
"""Pure builtins of the language that an expression may call."""

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>[0-9]+(?:\.[0-9]+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<op>~==|~!=|===|!==|~>=|~<=|~\|\||~&&|~\?\?|==|!=|>=|<=|&&|\|\||\?\?|\?\.|<~|~<|~\+|~-|~\*|~/
              |[-+*/%!<>?:.,()\[\]{}$])""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
_WORDS = {"and": "&&", "or": "||", "not": "!", "is": "==", "eq": "==", "gt": ">", "lt": "<"}
_MAX_LENGTH = 4000
_MAX_DEPTH = 60


class ExpressionError(Exception):
    """The text is no expression. `offset` counts characters from its beginning."""

    def __init__(self, message: str, offset: int, hint: str = "", code: str = "bad-expression") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint
        self.code = code


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text, true, false or null."""

    value: float | str | bool | None
    offset: int


@dataclass(frozen=True, slots=True)
class Name:
    """The beginning of a reference."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Member:
    """`base.name` or `base?.name`."""

    base: Expression
    name: str
    offset: int
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """`base[index]`; older files write `base.1`."""

    base: Expression
    index: Expression
    offset: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`!x`, `-x`, or `<~x`, the confidence of x."""

    op: str
    operand: Expression
    offset: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and what joins them."""

    op: str
    left: Expression
    right: Expression
    offset: int


@dataclass(frozen=True, slots=True)
class Choice:
    """`test ? yes : no`."""

    test: Expression
    yes: Expression
    no: Expression
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """A pure builtin."""

    name: str
    arguments: tuple[Expression, ...]
    offset: int


Expression = Literal | Name | Member | Index | Unary | Binary | Choice | Call


def parse_expression(text: str, names: Iterable[str] = ()) -> Expression:
    """The whole text as one expression. Raises `ExpressionError`. `names` with a hyphen are read as names."""
    parser = _Parser(text, 0, names)
    made = parser.expression()
    parser.expect_end()
    return made


def parse_reference(text: str, start: int, names: Iterable[str] = ()) -> tuple[Expression, int]:
    """The expression between `${` and `}`, where `start` is just behind `${`; also where the text goes on."""
    parser = _Parser(text, start, names)
    if parser.op == "}":
        raise ExpressionError("`${}` names nothing", start, "Name a step, input, workspace or context.")
    made = parser.expression()
    if parser.kind == "end":
        raise ExpressionError("this `${` is never closed", start - 2, "Add a `}`.", "unclosed-reference")
    if parser.op != "}":
        raise ExpressionError(f"{parser.shown} does not belong here", parser.offset, parser.hint())
    return made, parser.offset + 1


class _Parser:
    def __init__(self, text: str, start: int, names: Iterable[str] = ()) -> None:
        if len(text) - start > _MAX_LENGTH and "}" not in text[start : start + _MAX_LENGTH]:
            raise ExpressionError(f"an expression is at most {_MAX_LENGTH} characters long", start)
        self._text = text
        self._hyphenated = sorted((name for name in names if "-" in name), key=len, reverse=True)
        self._next = start
        self._depth = 0
        self.kind = "end"
        self.value = ""
        self.offset = start
        self._advance()

    @property
    def op(self) -> str:
        return self.value if self.kind == "op" else ""

    @property
    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(self.value)

    def hint(self) -> str:
        if self.kind == "name" and self.value.lower() in _WORDS:
            return f"Write {_WORDS[self.value.lower()]} for {self.value!r}."
        return ""

    def _advance(self) -> None:
        while True:
            self.offset = self._next
            if self._next >= len(self._text):
                self.kind, self.value = "end", ""
                return
            match = _TOKEN.match(self._text, self._next)
            if match is None:
                self._unreadable(self._text[self._next])
            assert match is not None
            self._next = match.end()
            if match.lastgroup == "name" and (name := self._hyphenated_at(match.start())):
                self._next = match.start() + len(name)
                self.kind, self.value = "name", name
                return
            if match.lastgroup != "space":
                self.kind, self.value = match.lastgroup or "", match.group()
                return

    def _hyphenated_at(self, start: int) -> str:
        """The longest known name with a hyphen that stands here; `a-b` is a difference where no step is called so."""
        for name in self._hyphenated:
            after = self._text[start + len(name) : start + len(name) + 1]
            if self._text.startswith(name, start) and not (after.isalnum() or after == "_"):
                return name
        return ""

    def _unreadable(self, char: str) -> None:
        if char == "=":
            raise ExpressionError("'=' compares nothing", self._next, "Write == to compare.")
        if char in "\"'":
            raise ExpressionError("a text is not closed", self._next, "Close the quote on the same line.")
        if char in "&|":
            raise ExpressionError(f"{char!r} alone means nothing", self._next, f"Write {char}{char}.")
        raise ExpressionError(f"{char!r} does not belong into an expression", self._next)

    def _at(self, op: str) -> bool:
        return self.op == op

    def expect_end(self) -> None:
        if self.kind != "end":
            raise ExpressionError(f"{self.shown} does not belong here", self.offset, self.hint())

    def _expect(self, op: str) -> None:
        if self.op != op:
            raise ExpressionError(f"{op!r} is expected here, not {self.shown}", self.offset, self.hint())
        self._advance()

    def expression(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpressionError(f"an expression is nested at most {_MAX_DEPTH} levels deep", self.offset)
        test = self._binary(0)
        if self.op == "?":
            offset = self.offset
            self._advance()
            yes = self.expression()
            self._expect(":")
            test = Choice(test, yes, self.expression(), offset)
        self._depth -= 1
        return test

    def _binary(self, level: int) -> Expression:
        if level == len(LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self.op in LEVELS[level]:
            op, offset = self.op, self.offset
            self._advance()
            left = Binary(op, left, self._binary(level + 1), offset)
        return left

    def _unary(self) -> Expression:
        ops: list[tuple[str, int]] = []
        while self.op in {"!", "-", "<~"}:
            ops.append((self.op, self.offset))
            self._advance()
            if len(ops) > _MAX_DEPTH:
                raise ExpressionError(f"an expression is nested at most {_MAX_DEPTH} levels deep", self.offset)
        made = self._postfix()
        for op, offset in reversed(ops):
            made = Unary(op, made, offset)
        return made

    def _postfix(self) -> Expression:
        made = self._primary()
        while self.op in {".", "?.", "["} or (self.kind == "number" and self.value.startswith(".")):
            offset, optional = self.offset, self.op == "?."
            if self.op == "[":
                self._advance()
                made = Index(made, self.expression(), offset)
                self._expect("]")
                continue
            self._advance()
            if self.kind == "name":
                made = Member(made, self.value, self.offset, optional)
                self._advance()
            elif self.kind == "number":
                made = self._numbers(made)
            else:
                raise ExpressionError(f"a name is expected after '.', not {self.shown}", self.offset)
        return made

    def _numbers(self, base: Expression) -> Expression:
        """`.1`, and `.1.2`, which the tokens show as one number."""
        for part in self.value.split("."):
            base = Index(base, Literal(float(part), self.offset), self.offset)
        self._advance()
        return base

    def _primary(self) -> Expression:
        kind, value, offset = self.kind, self.value, self.offset
        if kind == "number":
            self._advance()
            return Literal(float(value), offset)
        if kind == "text":
            self._advance()
            return Literal(_unquoted(value, offset), offset)
        if kind == "name":
            return self._named(value, offset)
        if value == "(" and kind == "op":
            self._advance()
            made = self.expression()
            self._expect(")")
            return made
        if value == "$" and kind == "op":
            self._advance()
            self._expect("{")
            made = self.expression()
            self._expect("}")
            return made
        raise ExpressionError(f"a value is expected here, not {self.shown}", offset)

    def _named(self, name: str, offset: int) -> Expression:
        self._advance()
        constants: dict[str, bool | None] = {"true": True, "false": False, "null": None, "undefined": None}
        if name in constants:
            return Literal(constants[name], offset)
        if self.op != "(":
            return Name(name, offset)
        if name not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise ExpressionError(f"there is no function {name!r} here", offset, f"An expression may call {known}.")
        self._advance()
        arguments: list[Expression] = []
        while not self._at(")"):
            arguments.append(self.expression())
            if not self._at(")"):
                self._expect(",")
        self._advance()
        if not 1 <= len(arguments) <= 2:
            raise ExpressionError(f"{name!r} takes one or two arguments", offset)
        return Call(name, tuple(arguments), offset)


def _unquoted(text: str, offset: int) -> str:
    parts: list[str] = []
    chars = iter(text[1:-1])
    for char in chars:
        if char != "\\":
            parts.append(char)
            continue
        escaped = next(chars, "")
        if escaped not in _ESCAPES:
            raise ExpressionError(f"'\\{escaped}' is no escape", offset, "Known are \\n \\t \\r \\\\ \\\" \\'.")
        parts.append(_ESCAPES[escaped])
    return "".join(parts)
