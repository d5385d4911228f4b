"""The known word that was probably meant, for hints."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    names = list(dict.fromkeys(known))
    lowered = {name.lower().replace("_", "").replace("-", ""): name for name in names}
    near = lowered.get(word.lower().replace("_", "").replace("-", ""))
    if near is None:
        close = get_close_matches(word, names, n=1, cutoff=0.6)
        near = close[0] if close else None
    return near if near != word else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known word, else with all of them."""
    names = list(dict.fromkeys(known))
    if (near := nearest(word, names)) is not None:
        return f"Did you mean {near!r}?"
    if otherwise:
        return otherwise
    return f"Known here: {', '.join(names)}." if names else ""
