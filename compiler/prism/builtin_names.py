"""The names every program has, and how many arguments each takes (None: any number more)."""

from __future__ import annotations

BUILTIN_ARITIES: dict[str, tuple[int, int | None]] = {
    "map": (2, 2), "filter": (2, 2), "reduce": (2, 3), "max": (1, None), "min": (1, None), "print": (0, None),
    "confidence": (1, 1), "threshold": (1, 1), "consensus": (1, 2), "aggregate": (1, 2), "sortBy": (1, 2),
    "groupBy": (1, 1), "len": (1, 1), "slice": (2, 3), "concat": (0, None), "includes": (2, 2),
    "some": (2, 2), "every": (2, 2), "find": (2, 2), "sort": (1, 2), "range": (1, 3), "keys": (1, 1),
    "values": (1, 1), "entries": (1, 1), "round": (1, 2), "abs": (1, 1), "floor": (1, 1), "sqrt": (1, 1),
    "upper": (1, 1), "lower": (1, 1), "split": (2, 2), "trim": (1, 1), "average": (1, 1), "sum": (1, 1),
}  # fmt: skip
BUILTIN_NAMES = frozenset(BUILTIN_ARITIES)
