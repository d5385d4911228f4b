"""Rows in memory while a batch of events is folded into them, and which events can be rows at all."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from schemas.base import Model
from schemas.events import Event

Row = dict[str, Any]
Key = tuple[str, str]

_LONGEST_KEY = 512
_LARGEST = 2**53
_LAST_MOMENT_MS = 253_402_300_799_000
_KEYS = frozenset({"pattern_name", "pattern_version", "role", "session"})


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An event with what its envelope says."""

    seq: int
    time: datetime
    event: Event


class Rows:
    """The rows at hand, by table and key, and which of them were changed."""

    def __init__(self, loaded: dict[Key, Row] | None = None) -> None:
        self._rows: dict[Key, Row] = loaded or {}
        self.changed: dict[Key, Row] = {}

    def row(self, table: str, key: str) -> Row:
        """The row of that key, to be changed; a new one where there is none."""
        row = self._rows.setdefault((table, key), {"id": key})
        self.changed[table, key] = row
        return row

    def add(self, loaded: dict[Key, Row]) -> None:
        """Rows that were loaded later."""
        self._rows.update(loaded)

    def peek(self, table: str, key: str) -> Row:
        """The row of that key, only to be read; empty where there is none."""
        return self._rows.get((table, key), {})

    def has(self, table: str, key: str) -> bool:
        """Whether there is a row of that key."""
        return (table, key) in self._rows


def unfit(event: Event) -> str:
    """Why an event cannot be rows, which is so of some that no service of ours would write. Empty: it can."""
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, str):
            if (name.endswith("_id") or name in _KEYS) and (len(value) > _LONGEST_KEY or "\x00" in value):
                return f"{name} cannot be a key"
        elif isinstance(value, int):
            if abs(value) > _LARGEST:
                return f"{name} is out of range"
            if name == "deadline_at" and not 0 <= value <= _LAST_MOMENT_MS:
                return "deadline_at is no time"
    return ""


def plain(value: Model | list[Any] | None) -> Any:
    """A struct as JSON has it."""
    return None if value is None else msgspec.to_builtins(value)
