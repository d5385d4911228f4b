"""Values that a program writes out: what can be known of it without running it."""

from __future__ import annotations

from typing import Any

from compiler.patterns.reader import Node
from compiler.prism import tree as t
from compiler.prism.source import Source

_MAX_DEPTH = 40


class NotWrittenOut(Exception):
    """A value that is not written out. `pos` is where."""

    def __init__(self, pos: int) -> None:
        super().__init__("not a constant")
        self.pos = pos


def written_out(value: Any, places: Source, depth: int = 0) -> Node:
    """An expression that is a constant, as a value of a file. Raises NotWrittenOut."""
    line, column = places.locate(value.pos)
    if depth > _MAX_DEPTH:
        raise NotWrittenOut(value.pos)
    match value:
        case t.String():
            return Node(kind="text", value=value.value, raw=value.value, line=line, column=column)
        case t.Number():
            number = int(value.value) if value.value == int(value.value) else value.value
            return Node(kind="number", value=number, raw=str(number), line=line, column=column)
        case t.Unary(op="-", operand=t.Number(value=float() as number)):
            whole = -int(number) if number == int(number) else -number
            return Node(kind="number", value=whole, raw=str(whole), line=line, column=column)
        case t.Constant(value=None):
            return Node(kind="null", value=None, line=line, column=column)
        case t.Constant():
            raw = "true" if value.value else "false"
            return Node(kind="boolean", value=value.value, raw=raw, line=line, column=column)
        case t.Array():
            if any(item is None for item in value.items):
                raise NotWrittenOut(value.pos)
            items = [written_out(item, places, depth + 1) for item in value.items]
            return Node(kind="list", value=items, line=line, column=column)
        case t.Object():
            return Node(kind="map", value=_pairs(value, places, depth), line=line, column=column)
        case _:
            raise NotWrittenOut(value.pos)


def _pairs(value: t.Object, places: Source, depth: int) -> list[tuple[Node, Node]]:
    pairs: list[tuple[Node, Node]] = []
    for entry in value.entries:
        if not isinstance(entry, t.Entry) or entry.shorthand:
            raise NotWrittenOut(entry.pos)
        line, column = places.locate(entry.pos)
        key = Node(kind="text", value=entry.key, raw=entry.key, line=line, column=column)
        pairs.append((key, written_out(entry.value, places, depth + 1)))
    return pairs
