"""Hints with the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known word; else `otherwise`, or all known words when there are few."""
    names = sorted(set(known) - {word})
    lowered = {name.lower().replace("_", ""): name for name in names}
    near = lowered.get(word.lower().replace("_", ""))
    if near is None:
        close = get_close_matches(word, names, n=1, cutoff=0.65)
        near = close[0] if close else None
    if near is not None:
        return f"did you mean '{near}'?"
    if otherwise or not names or len(names) > 16:
        return otherwise
    return f"it is one of {', '.join(names)}"
