"""The known word that was probably meant, for hints.

A hint that leads astray is worse than none: whoever follows it gets a file without errors that means something else. So
a word is proposed only where the written one is a slip of it: another spelling of the same letters, or few letters
apart. Words that differ in what they say (`minResults` and `maxResults`) are no slips of one another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import takewhile

_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_OPPOSITES = (
    ("min", "max"), ("minimum", "maximum"), ("least", "most"), ("first", "last"), ("before", "after"),
    ("below", "above"), ("pass", "fail"),
    ("accept", "reject"), ("start", "end"), ("on", "off"), ("enable", "disable"), ("enabled", "disabled"),
    ("input", "output"), ("from", "to"), ("up", "down"), ("in", "out"), ("open", "close"), ("all", "any"),
    ("success", "failure"), ("succeeded", "failed"), ("allow", "deny"), ("old", "new"), ("left", "right"),
    ("start", "stop"), ("approve", "reject"), ("include", "exclude"), ("read", "write"), ("then", "else"),
    ("retry", "escalate"),
)  # fmt: skip
_CONTRARY = frozenset(pair for first, second in _OPPOSITES for pair in ((first, second), (second, first)))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    names = list(dict.fromkeys(known))
    lowered = {_letters(name): name for name in names}
    near = lowered.get(_letters(word))
    if near is None:
        for close in get_close_matches(word, names, n=3, cutoff=0.6):
            if _is_slip(word, close):
                near = close
                break
    return near if near != word else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known word, else with all of them."""
    names = list(dict.fromkeys(known))
    if (near := nearest(word, names)) is not None:
        return f"Did you mean {near!r}?"
    if otherwise:
        return otherwise
    return f"Known here: {', '.join(names)}." if names else ""


def first_did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """As the first version gave it: a part of messages that recorded executions hold, word for word."""
    names = list(dict.fromkeys(known))
    lowered = {_letters(name): name for name in names}
    near = lowered.get(_letters(word))
    if near is None:
        close = get_close_matches(word, names, n=1, cutoff=0.6)
        near = close[0] if close else None
    if near is not None and near != word:
        return f"Did you mean {near!r}?"
    if otherwise:
        return otherwise
    return f"Known here: {', '.join(names)}." if names else ""


def _letters(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _is_slip(word: str, meant: str) -> bool:
    """Whether a word is a slip of another one: few letters apart, and saying nothing contrary."""
    first, second = _letters(word), _letters(meant)
    allowed = 1 if len(second) <= 4 else 2 if len(second) <= 9 else 3
    if first.startswith(second) or second.startswith(first):  # an ending or an abbreviation
        allowed = max(allowed, 4)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    inflected = shared >= 3 and max(len(first), len(second)) - shared <= 3
    return (inflected or _distance(first, second) <= allowed) and not _contrary(word, meant)


def _contrary(word: str, meant: str) -> bool:
    first, second = ([part.lower() for part in _PARTS.findall(text)] for text in (word, meant))
    if bool({"id", "ids"} & {*first}) != bool({"id", "ids"} & {*second}):
        return True
    return any((one, other) in _CONTRARY for one in first for other in second if one not in second)


def _distance(first: str, second: str) -> int:
    """How many letters to add, drop, change or swap with the next one make one word the other."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, 1):
        earlier, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one != other))
            if i > 1 and j > 1 and one == second[j - 2] and first[i - 2] == other:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
