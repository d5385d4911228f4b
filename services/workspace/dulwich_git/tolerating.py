"""Old commits and tags whose lines about people and times are malformed are read all the same, as git does.

Histories hold them: time zones without a sign, times that are no numbers, addresses without brackets. Nothing here
depends on who wrote an old commit or when; objects are copied as they are and never written anew.
"""

from __future__ import annotations

from typing import Any

from dulwich import objects
from dulwich.errors import ObjectFormatException

_Entry = tuple[bytes, int | None, tuple[int | None, bool]]


def _time_entry(value: bytes) -> _Entry:
    try:
        person, at, zone = objects.parse_time_entry_broken(value)
    except (ObjectFormatException, ValueError):
        return value, 0, (0, False)
    return person, at or 0, zone


def tolerate() -> None:
    """Has dulwich read such lines; it takes another reader of them nowhere but in its own module."""
    module: Any = objects
    if module.parse_time_entry is not _time_entry:
        _, header = module._parse_commit.__defaults__  # noqa: SLF001 - there is no other way in
        module._parse_commit.__defaults__ = (_time_entry, header)  # noqa: SLF001
        module.parse_time_entry = _time_entry
