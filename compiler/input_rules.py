"""What the keywords of input schemas mean, one object for each version of their meaning.

An execution's programs check values too: what they call patterns with, and what agents give. A recorded execution has
to decide as it did, so the first meaning stays for those whose `execution.started` names no later one; everything new
has the current one, which is JSON Schema's. `compiler.input_check` walks the values.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from fractions import Fraction
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from compiler.formats import has_format
from compiler.regular_expressions import BadExpression, compiled

_LONGEST_MATCHED_AT_FIRST = 10_000


class Rules(Protocol):
    """How the keywords are decided whose meaning has changed."""

    def mismatch(self, pattern: str, value: str) -> tuple[str, str]:
        """What is wrong with a text against a `pattern`, and a hint. Empty: nothing."""
        ...

    def has_format(self, name: str, value: str) -> bool:
        """Whether a text has a `format`."""
        ...

    def is_multiple(self, value: float, step: float) -> bool:
        """`multipleOf`."""
        ...

    def same(self, first: Any, second: Any) -> bool:
        """Whether a value is one of an `enum`."""
        ...


class CurrentRules:
    """As JSON Schema has it: expressions of ECMA-262, formats by their standards, numbers compared by value."""

    def mismatch(self, pattern: str, value: str) -> tuple[str, str]:
        """In linear time, whatever the pattern and the text."""
        try:
            found = compiled(pattern).found_in(value)
        except BadExpression as error:
            return f"cannot be checked: its pattern is not usable, {error}", "Correct the pattern of the field."
        return ("", "") if found else ("does not have the form it should have", f"It has to match {pattern}")

    def has_format(self, name: str, value: str) -> bool:
        """By the standard that defines the format."""
        return has_format(name, value)

    def is_multiple(self, value: float, step: float) -> bool:
        """Exactly, in the decimals that the numbers are written in: 0.3 is a multiple of 0.1."""
        return (_exact(value) / _exact(step)).denominator == 1

    def same(self, first: Any, second: Any) -> bool:
        """By value at every depth: 1 is 1.0, and neither is true."""
        return canonical(first) == canonical(second)


class FirstRules:
    """As the first version had it: `re`'s expressions, formats as `fromisoformat` reads them."""

    def mismatch(self, pattern: str, value: str) -> tuple[str, str]:
        """By backtracking; a longer text is refused."""
        if len(value) > _LONGEST_MATCHED_AT_FIRST:
            return f"is longer than the {_LONGEST_MATCHED_AT_FIRST} characters that can be matched", ""
        if re.search(pattern, value):
            return "", ""
        return "does not have the form it should have", f"It has to match {pattern}"

    def has_format(self, name: str, value: str) -> bool:
        """Loosely."""
        patterns = {
            "email": r"[^@\s]{1,64}@[^@\s.]{1,63}(?:\.[^@\s.]{1,63}){1,8}",
            "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
            "ipv4": r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}",
        }
        if name in patterns:
            return re.fullmatch(patterns[name], value) is not None
        try:
            if name == "uri":
                return bool(urlsplit(value).scheme) and not re.search(r"\s", value)
            {"date": date.fromisoformat, "date-time": datetime.fromisoformat, "time": time.fromisoformat}[name](value)
        except ValueError:
            return False
        return True

    def is_multiple(self, value: float, step: float) -> bool:
        """Within a billionth."""
        try:
            quotient = value / step
            return abs(quotient - round(quotient)) <= 1e-9 * max(1.0, abs(quotient))
        except OverflowError:
            return False

    def same(self, first: Any, second: Any) -> bool:
        """By value, and booleans apart from numbers at the outside."""
        return first == second and isinstance(first, bool) == isinstance(second, bool)


CURRENT: Rules = CurrentRules()
_FIRST: Rules = FirstRules()


def rules_of(semantics: int | None) -> Rules:
    """The meaning for an execution of some `semantics`; None is the current one."""
    return _FIRST if semantics == 1 else CURRENT


def canonical(value: Any) -> str:
    """One text for each value: keys in any order, 1 and 1.0 alike, true and 1 apart."""
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in cast("list[Any]", value)) + "]"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return "{" + ",".join(f"{name!r}:{canonical(fields[name])}" for name in sorted(fields)) + "}"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def _exact(number: float) -> Fraction:
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))
