"""Which lines of a text another version of it has changed, by `difflib` of the standard library."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_PAIRS = 2_000_000
"""So many pairs of equal lines at the most: each of them may be looked at again for every change."""


class TooMuchToCompare(Exception):
    """The texts are so long and so alike in each of their lines that comparing them here would take minutes."""


@dataclass(frozen=True, slots=True)
class Change:
    """`chg1` lines from `i1` on have become `chg2` lines from `i2` on."""

    i1: int
    chg1: int
    i2: int
    chg2: int


def lines_of(text: bytes) -> list[bytes]:
    """The lines of a text, each with its end."""
    pieces = text.split(b"\n")
    lines = [piece + b"\n" for piece in pieces[:-1]]
    return [*lines, pieces[-1]] if pieces[-1] else lines


def changes(before: Sequence[bytes], after: Sequence[bytes]) -> list[Change]:
    """What `after` has changed in `before`.

    Raises:
        TooMuchToCompare: it would take too long.
    """
    head, tail = _common(before, after)
    one, other = before[head : len(before) - tail], after[head : len(after) - tail]
    come = Counter(other)
    if sum(number * come[line] for line, number in Counter(one).items()) > _MOST_PAIRS:
        raise TooMuchToCompare
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    return [
        Change(head + i1, i2 - i1, head + j1, j2 - j1)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]


def _common(before: Sequence[bytes], after: Sequence[bytes]) -> tuple[int, int]:
    """How many lines are the same at the beginning, and at the end behind them."""
    most = min(len(before), len(after))
    head = next((number for number in range(most) if before[number] != after[number]), most)
    left = most - head
    tail = next((number for number in range(left) if before[-1 - number] != after[-1 - number]), left)
    return head, tail
