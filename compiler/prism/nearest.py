"""Hints with the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.nearest import nearest


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known word; else `otherwise`, or all known words when there are few."""
    names = sorted(set(known) - {word})
    near = nearest(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    if otherwise or not names or len(names) > 16:
        return otherwise
    return f"it is one of {', '.join(names)}"
