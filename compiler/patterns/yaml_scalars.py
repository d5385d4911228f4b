"""Plain scalars that do not stay what was written, or are something else to another reader of YAML.

`01234` becomes the number 1234, a commit `12e4567` none at all; `0x1F90`, `1_000` and `1:30` are texts here and numbers
to readers of YAML 1.1, and of 1.2 in part. Each is told with what it became, and how to write what is meant.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

_LEADING_ZERO = re.compile(r"[-+]?0[0-9][0-9.]*\Z")
_PLUS = re.compile(r"\+[0-9]+\Z")
_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+\Z")
_BASED = re.compile(r"[-+]?0(?:x[0-9A-Fa-f_]+|o[0-7_]+|b[01_]+)\Z")
_GROUPED = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?\Z")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z|"
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?\Z"
)
_BASES = {"0x": 16, "0o": 8, "0b": 2}


class Change(NamedTuple):
    """What a scalar is here, and what to write instead."""

    code: str
    message: str
    hint: str


def change_of(raw: str, value: object) -> Change | None:
    """What is to be said of a plain scalar that was read as a value; None where it is what it looks like."""
    return _as_number(raw, value) if isinstance(value, int | float) else _as_text(raw)


def _as_number(raw: str, value: float) -> Change | None:
    shown = _plain(value)
    if isinstance(value, float) and Decimal(raw) != Decimal(repr(value)):
        message = f"{raw} becomes {shown}: a number has no more digits"
        return Change("yaml-number", message, f'Write "{raw}", if all of them are meant.')
    if _LEADING_ZERO.match(raw) or _PLUS.match(raw) or _EXPONENT.match(raw):
        return Change(
            "yaml-number", f"{raw} becomes the number {shown}", f'Write "{raw}" if a text is meant, or {shown}.'
        )
    return None


def _as_text(raw: str) -> Change | None:
    if _DATE.match(raw):
        return Change("yaml-date", f"{raw!r} is a text here and a date elsewhere", f'Write "{raw}".')
    if _NOT_FINITE.match(raw):
        message = f"{raw!r} is a text here and no finite number elsewhere"
        return Change("yaml-number", message, f'Write "{raw}" if the text is meant; a value is finite.')
    if raw == "=":
        return Change("yaml-value", "'=' is a text here and a special value elsewhere", 'Write "=".')
    number = _elsewhere(raw)
    if number is None:
        return None
    message = f"{raw!r} is a text here and the number {number} elsewhere"
    return Change("yaml-number", message, f'Write "{raw}" if the text is meant, or {number}.')


def _elsewhere(raw: str) -> str | None:
    """The number that other readers make of a text."""
    digits = raw.replace("_", "")
    sign, bare = ("-", digits[1:]) if digits.startswith("-") else ("", digits.removeprefix("+"))
    if _BASED.match(raw) and len(bare) > 2:
        return f"{sign}{int(bare[2:], _BASES[bare[:2]])}"
    if _SEXAGESIMAL.match(raw):
        whole, _, fraction = bare.partition(".")
        number = 0
        for part in whole.split(":"):
            number = number * 60 + int(part)
        return f"{sign}{number}{'.' * bool(fraction)}{fraction}"
    if _GROUPED.match(raw):
        return f"{sign}{bare}"
    if _EXPONENT.match(raw):
        return "infinity"
    return None


def _plain(value: float) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)
