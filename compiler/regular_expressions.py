"""Regular expressions of patterns and schemas: ECMA-262 syntax as JSON Schema has it, matched in linear time by RE2.

Whoever writes an expression is a stranger, and so is whoever writes the text that it is matched against. A backtracking
matcher lets the two of them together stop a process for ever, and holds the interpreter's lock while it does. RE2 takes
time in proportion to the text, whatever the expression.

What has no linear-time meaning is refused with its position: look-around, back-references, atomic groups, possessive
quantifiers, and more than 1000 repetitions of one thing. The rest means what ECMA-262 says it means: `$` is the end of
the text and not a line break before it, `\\d` and `\\w` are ASCII, `\\s` is every white space of Unicode.
`(?i)`, `(?m)`, `(?s)`, `(?P<name>…)`, `\\A` and `\\Z`, which ECMA-262 has not, are read as well. `\\B` alone
may match within a character that is not ASCII.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import re2

MOST_REPETITIONS = 1000
"""What RE2 allows of `{n,m}`."""

LONGEST_EXPRESSION = 10_000
"""Characters that an expression may have."""

_SPACES = r"\t\n\x{b}\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_NO_SPACES = (
    r"\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
_ANY_BUT_LINE_ENDS = r"[^\n\r\x{2028}\x{2029}]"
_CLASSES = {"d": r"\d", "D": r"\D", "w": r"\w", "W": r"\W"}
_CONTROLS = {"t": r"\t", "n": r"\n", "v": r"\x{b}", "f": r"\f", "r": r"\r", "0": r"\x{0}"}
_ESCAPES = {**_CLASSES, **_CONTROLS, "b": r"\b", "B": r"\B", "A": r"\A", "Z": r"\z", "z": r"\z"}
_ESCAPES_IN_SETS = {**_CLASSES, **_CONTROLS, "b": r"\x{8}"}
_CATEGORIES = {
    "Letter": "L", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo",
    "Mark": "M", "Nonspacing_Mark": "Mn", "Spacing_Mark": "Mc", "Enclosing_Mark": "Me",
    "Number": "N", "Decimal_Number": "Nd", "digit": "Nd", "Letter_Number": "Nl", "Other_Number": "No",
    "Punctuation": "P", "punct": "P", "Connector_Punctuation": "Pc", "Dash_Punctuation": "Pd", "Open_Punctuation": "Ps",
    "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi", "Final_Punctuation": "Pf", "Other_Punctuation": "Po",
    "Symbol": "S", "Math_Symbol": "Sm", "Currency_Symbol": "Sc", "Modifier_Symbol": "Sk", "Other_Symbol": "So",
    "Separator": "Z", "Space_Separator": "Zs", "Line_Separator": "Zl", "Paragraph_Separator": "Zp",
    "Other": "C", "Control": "Cc", "Format": "Cf", "Private_Use": "Co",
}  # fmt: skip
_QUANTIFIER = re.compile(r"[*+?]|\{([0-9]+)(?:(,)([0-9]*))?\}")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*(?:-[a-zA-Z]+)?)([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>")
_HEX = re.compile(r"u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]{1,6})\}")
_PROPERTY = re.compile(r"[pP](?:\{(\^?)([A-Za-z_=]+)\}|([LMNPSZC]))")
_REFUSED_GROUPS = {
    "(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind",
    "(?P=": "a back-reference", "(?>": "an atomic group", "(?(": "a condition",
}  # fmt: skip


class BadExpression(ValueError):
    """An expression that is none, or that has no linear-time meaning. `position` counts its characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.message = message
        self.position = position


class Match:
    """What was found: `start` and `end` in characters, and the text of each group, the whole match being group 0."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def group(self, number: int = 0) -> str | None:
        """The text of a group. None: it took no part."""
        return cast("str | None", self._found.group(number))

    def end(self, number: int = 0) -> int:
        """Where a group ends, in characters; -1 when it took no part."""
        return cast("int", self._found.end(number))


class Expression:
    """A compiled expression."""

    def __init__(self, source: str, compiled: Any) -> None:
        self.source = source
        self.groups: int = compiled.groups
        self._compiled = compiled

    def found_in(self, text: str) -> bool:
        """Whether it matches somewhere in the text."""
        return self._compiled.search(_encodable(text)) is not None

    def every(self, text: str) -> Iterator[Match]:
        """All matches, from left to right."""
        return (Match(found) for found in self._compiled.finditer(_encodable(text)))


def compiled(source: str) -> Expression:
    """The expression behind a text. Raises BadExpression."""
    if len(source) > LONGEST_EXPRESSION:
        raise BadExpression(f"it has more than {LONGEST_EXPRESSION} characters", LONGEST_EXPRESSION)
    return _compiled(source)


@lru_cache(maxsize=512)
def _compiled(source: str) -> Expression:
    options = re2.Options()
    options.log_errors = False
    translated = _Translator(source).translate()
    try:
        return Expression(source, re2.compile(translated, options))
    except re2.error as error:
        said = (
            error.args[0].decode("utf-8", "replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        )
        raise BadExpression(said.partition(": ")[0] or "it cannot be read", 0) from None


def is_nested_repetition(source: str) -> bool:
    """Whether a repetition is repeated in such a way that a backtracking matcher may take exponential time."""
    try:
        translator = _Translator(source)
        translator.translate()
    except BadExpression:
        return False
    return translator.nested


def _encodable(text: str) -> str:
    """The text with half surrogate pairs, which UTF-8 cannot hold, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class _Group:
    """An open group: where it began, whether `.` takes line ends in it, and what its sequences repeat."""

    def __init__(self, at: int, dot_all: bool) -> None:
        self.at = at
        self.dot_all = dot_all
        self.repeats = False
        """A sequence of it consists of repetitions and of what may be left out, so that it can be cut anywhere."""
        self.sequence_repeats = False
        self.sequence_binds = False

    def took(self, *, repeated: bool, optional: bool) -> None:
        """One thing of the sequence is complete."""
        self.sequence_repeats = self.sequence_repeats or repeated
        self.sequence_binds = self.sequence_binds or not (repeated or optional)

    def end_sequence(self) -> None:
        """A `|` or the end of the group."""
        self.repeats = self.repeats or (self.sequence_repeats and not self.sequence_binds)
        self.sequence_repeats = self.sequence_binds = False


class _Translator:
    """Writes an expression of ECMA-262 as RE2 reads it, one piece after the other."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._out: list[str] = []
        self._open = [_Group(0, dot_all=False)]
        self.nested = False

    def translate(self) -> str:
        """The expression for RE2. Raises BadExpression."""
        source = self._source
        while self._at < len(source):
            match source[self._at]:
                case "\\":
                    anchor = source[self._at + 1 : self._at + 2] in {"b", "B", "A", "Z", "z"}
                    self._out.append(self._escape())
                    self._quantify(anchor=anchor)
                case "[":
                    self._out.append(self._set())
                    self._quantify()
                case "(":
                    self._begin()
                case ")":
                    self._end()
                case "|":
                    self._open[-1].end_sequence()
                    self._copy(1)
                case "^" | "$" as anchor:
                    self._copy(1)
                    self._quantify(anchor=True)
                case "." if not self._open[-1].dot_all:
                    self._at += 1
                    self._out.append(_ANY_BUT_LINE_ENDS)
                    self._quantify()
                case letter:
                    self._letter(letter)
        if len(self._open) > 1:
            raise BadExpression("the group that begins here is never closed", self._open[-1].at)
        return "".join(self._out)

    def _copy(self, count: int) -> None:
        self._out.append(self._source[self._at : self._at + count])
        self._at += count

    def _letter(self, letter: str) -> None:
        if _QUANTIFIER.match(self._source, self._at):
            raise BadExpression("there is nothing to repeat", self._at)
        if letter == "{" and re.compile(r"\{,[0-9]+\}").match(self._source, self._at):
            raise BadExpression("'{,n}' has two meanings; write {0,n}", self._at)
        self._at += 1
        self._out.append("\\" + letter if letter in "{}]" else _plain(letter, self._at - 1))
        self._quantify()

    # -- groups -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        source, at, dot_all = self._source, self._at, self._open[-1].dot_all
        for start, what in _REFUSED_GROUPS.items():
            if source.startswith(start, at):
                raise BadExpression(f"{what} cannot be matched in linear time", at)
        if source.startswith("(?#", at):
            self._at = source.find(")", at) + 1
            if not self._at:
                raise BadExpression("the comment that begins here is never closed", at)
            return
        if (named := _NAMED.match(source, at)) is not None:
            self._out.append(f"(?P<{named[1]}>")
            self._at = named.end()
        elif source.startswith("(?", at):
            flags = _FLAGS.match(source, at)
            if flags is None or not set(flags[1]) <= set("ims-"):
                raise BadExpression("a group of this kind is not known", at)
            on, _, off = flags[1].partition("-")
            dot_all = (dot_all or "s" in on) and "s" not in off
            self._copy(flags.end() - at)
            if flags[2] == ")":
                self._open[-1].dot_all = dot_all
                return
        else:
            self._copy(1)
        self._open.append(_Group(at, dot_all))

    def _end(self) -> None:
        if len(self._open) == 1:
            raise BadExpression("there is no group that ends here", self._at)
        group = self._open.pop()
        group.end_sequence()
        self._copy(1)
        self._quantify(group)

    def _quantify(self, group: _Group | None = None, *, anchor: bool = False) -> None:
        """Takes the quantifier behind what was just written, if there is one."""
        source, at = self._source, self._at
        found = _QUANTIFIER.match(source, at)
        if found is None:
            self._open[-1].took(repeated=group is not None and group.repeats, optional=anchor)
            return
        if anchor:
            raise BadExpression("there is nothing to repeat", at)
        least, most = _bounds(found)
        if max(least, most or 0) > MOST_REPETITIONS:
            raise BadExpression(f"more than {MOST_REPETITIONS} repetitions; bound the length with maxLength", at)
        if most is not None and least > most:
            raise BadExpression("the least is more than the most", at)
        self._copy(found.end() - at)
        if source.startswith("?", self._at):
            self._copy(1)
        elif source.startswith("+", self._at):
            raise BadExpression("a possessive quantifier cannot be matched in linear time", self._at)
        if _QUANTIFIER.match(source, self._at):
            raise BadExpression("there is nothing to repeat", self._at)
        endless = most is None
        self.nested = self.nested or (endless and group is not None and group.repeats)
        self._open[-1].took(repeated=endless or (group is not None and group.repeats), optional=least == 0)

    # -- escapes and sets -------------------------------------------------------------------------------------------

    def _escape(self, *, in_set: bool = False) -> str:
        """What stands behind a backslash, for RE2. In a set what several characters are has no brackets."""
        source, at = self._source, self._at
        letter, following = source[at + 1 : at + 2], source[at + 2 : at + 3]
        if not letter:
            raise BadExpression("a backslash ends it", at)
        if (code := _HEX.match(source, at + 1)) is not None:
            return self._code(code)
        if letter in "pP":
            return self._property()
        self._at += 2
        if letter in "sS":
            inner = _SPACES if letter == "s" else _NO_SPACES
            return inner if in_set else f"[{inner}]"
        if letter == "c" and following.isascii() and following.isalpha():
            self._at += 1
            return rf"\x{{{ord(following) % 32:x}}}"
        if letter == "0" and following.isdigit():
            raise BadExpression("an octal escape has two meanings; write \\x and two digits", at)
        known = _ESCAPES_IN_SETS if in_set else _ESCAPES
        return known.get(letter) or _literal(letter, at)

    def _code(self, code: re.Match[str]) -> str:
        at = self._at
        number = int(next(digits for digits in code.groups() if digits is not None), 16)
        self._at = code.end()
        if 0xD800 <= number < 0xDC00 and code[2]:
            low = re.compile(r"\\u(D[C-F][0-9A-F]{2})", re.IGNORECASE).match(self._source, self._at)
            if low is not None:
                self._at = low.end()
                number = 0x10000 + ((number - 0xD800) << 10) + int(low[1], 16) - 0xDC00
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            raise BadExpression("there is no such character", at)
        return rf"\x{{{number:x}}}"

    def _property(self) -> str:
        at = self._at
        found = _PROPERTY.match(self._source, at + 1)
        kind, _, name = (
            found[2].rpartition("=") if found is not None and found[2] else ("", "", found[3] if found else "")
        )
        name = _CATEGORIES.get(name, name)
        if found is None or kind not in {"", "gc", "General_Category", "sc", "Script", "scx", "Script_Extensions"}:
            raise BadExpression("there is no such property of characters", at)
        self._at = found.end()
        written = rf"\{self._source[at + 1]}{{{found[1] or ''}{name}}}"
        try:
            options = re2.Options()
            options.log_errors = False
            re2.compile(written, options)
        except re2.error:
            raise BadExpression(f"there is no property {name!r} of characters", at) from None
        return written

    def _set(self) -> str:
        source, began = self._source, self._at
        self._at += 1
        negated = source.startswith("^", self._at)
        self._at += negated
        parts: list[str] = []
        ends: list[int] = []
        while not source.startswith("]", self._at):
            if self._at >= len(source):
                raise BadExpression("the set that begins here is never closed", began)
            ends.append(self._at)
            if source[self._at] == "\\":
                parts.append(self._escape(in_set=True))
            elif source[self._at] == "-":
                parts.append("-")
                self._at += 1
            else:
                letter = source[self._at]
                parts.append("\\" + letter if letter in "[^&~|" else _plain(letter, self._at))
                self._at += 1
        self._at += 1
        if not parts:
            return r"[\x{0}-\x{10ffff}]" if negated else r"[^\x{0}-\x{10ffff}]"
        return f"[{'^' if negated else ''}{_ranges(parts, ends)}]"


def _ranges(parts: list[str], places: list[int]) -> str:
    """The pieces of a set, in which a `-` that makes no range is written so that it is none."""
    written: list[str] = []
    index = 0
    while index < len(parts):
        first = parts[index]
        if index + 2 < len(parts) and parts[index + 1] == "-" and _is_one(first) and _is_one(parts[index + 2]):
            if _code_of(first) > _code_of(parts[index + 2]):
                raise BadExpression("the range ends before it begins", places[index])
            written.append(f"{_bounded(first)}-{_bounded(parts[index + 2])}")
            index += 3
        else:
            written.append(r"\-" if first == "-" else first)
            index += 1
    return "".join(written)


def _bounded(part: str) -> str:
    return r"\-" if part == "-" else part


def _is_one(part: str) -> bool:
    """Whether a piece of a set is a single character."""
    return len(part) == 1 or (
        part[0] == "\\" and ((len(part) == 2 and part[1] not in "dDwW") or (part[1] == "x" and part.count("x") == 1))
    )


def _code_of(part: str) -> int:
    if part.startswith(r"\x{"):
        return int(part[3:-1], 16)
    return {"t": 9, "n": 10, "f": 12, "r": 13}.get(part[1], ord(part[1])) if len(part) == 2 else ord(part)


def _literal(letter: str, at: int) -> str:
    """A character that stands for itself behind a backslash."""
    if letter == "k" or ("1" <= letter <= "9"):
        raise BadExpression("a back-reference cannot be matched in linear time", at)
    if letter.isascii() and letter.isalnum():
        raise BadExpression(f"the escape \\{letter} is not known", at)
    if letter.isascii() and letter.isprintable() and letter != " ":
        return "\\" + letter
    return _plain(letter, at)


def _plain(letter: str, at: int) -> str:
    if "\ud800" <= letter <= "\udfff":
        raise BadExpression("there is no such character", at)
    return letter


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    """The least and the most repetitions of a quantifier; no most is None."""
    match found[0]:
        case "*":
            return 0, None
        case "+":
            return 1, None
        case "?":
            return 0, 1
        case _:
            least = int(found[1])
            return least, least if not found[2] else int(found[3]) if found[3] else None
