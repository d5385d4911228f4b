"""Whether two trees are the same program, wherever it stands and however its literals are written."""

from __future__ import annotations

from typing import Any, cast

from compiler.prism import tree as t

_PLACES = frozenset({"pos", "end", "places", "quote"})


def same_tree(left: Any, right: Any) -> bool:
    """Equality of trees up to offsets, quotes and empty statements in lists. Works without recursion."""
    stack: list[tuple[Any, Any]] = [(left, right)]
    while stack:
        one, other = stack.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, t.Node):
            names = [name for name in one.__struct_fields__ if name not in _PLACES]
            stack.extend((getattr(one, name), getattr(other, name)) for name in names)
        elif isinstance(one, list | tuple):
            first, second = _meant(cast("list[Any]", one)), _meant(other)
            if len(first) != len(second):
                return False
            stack.extend(zip(first, second, strict=True))
        elif isinstance(one, dict):
            entries = cast("dict[str, Any]", one)
            if list(entries) != list(other):
                return False
            stack.extend((entries[key], other[key]) for key in entries)
        elif one != other:
            return False
    return True


def _meant(items: Any) -> list[Any]:
    return [item for item in items if not isinstance(item, t.Empty)]
