"""A small store of values by key, on a stream: NATS KV as other clients know it. For caches, never truth."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from shared.bus.connection import Connection
from shared.bus.errors import Conflict
from shared.bus.reader import last_message, read_subject
from shared.bus.streams import ensure_stream

_SECOND = 1_000_000_000
_STALE = 10071
_TRIES = 20


class Held(NamedTuple):
    """A value and the revision it has."""

    value: bytes
    revision: int


class KeyValue:
    """One bucket. Keys are letters, digits and `-/_=.`"""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._stream = f"KV_{name}"

    async def ensure(self, ttl_s: float = 0.0, max_bytes: int = 64 << 20) -> None:
        """Makes the bucket if it is not there."""
        settings: dict[str, Any] = {
            "subjects": [f"$KV.{self._name}.>"],
            "max_msgs_per_subject": 1,
            "max_bytes": max_bytes,
            "max_age": int(ttl_s * _SECOND),
            "discard": "new",
            "deny_delete": True,
            "allow_rollup_hdrs": True,
        }
        if ttl_s:
            settings["duplicate_window"] = int(min(ttl_s, 120.0) * _SECOND)
        await ensure_stream(self._connection, self._stream, settings)

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        held = await self.entry(key)
        return None if held is None else held.value

    async def entry(self, key: str) -> Held | None:
        """The value with its revision, or None."""
        message = await last_message(self._connection, self._stream, self._subject(key))
        if message is None or message.header("KV-Operation"):
            return None
        return Held(message.payload, int(message.header("Nats-Sequence")))

    async def put(self, key: str, value: bytes) -> int:
        """Writes a value, whatever was there. Returns its revision."""
        return await self._write(key, value)

    async def create(self, key: str, value: bytes) -> int:
        """Writes a value where there is none. Raises Conflict."""
        try:
            return await self.update(key, value, 0)
        except Conflict:
            message = await last_message(self._connection, self._stream, self._subject(key))
            if message is None or not message.header("KV-Operation"):
                raise
            return await self.update(key, value, int(message.header("Nats-Sequence")))

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Writes a value over the one that has this revision. Raises Conflict."""
        return await self._write(key, value, {"Nats-Expected-Last-Subject-Sequence": str(revision)})

    async def delete(self, key: str) -> None:
        """Takes a value away."""
        await self._write(key, b"", {"KV-Operation": "DEL"})

    async def keys(self) -> list[str]:
        """All keys that have a value."""
        prefix = len(self._subject(""))
        found: dict[str, bool] = {}
        async for message in read_subject(self._connection, self._stream, self._subject(">")):
            found[message.header("Nats-Subject")[prefix:]] = not message.header("KV-Operation")
        return [key for key, there in found.items() if there]

    def _subject(self, key: str) -> str:
        return f"$KV.{self._name}.{key}"

    async def _write(self, key: str, value: bytes, headers: dict[str, str] | None = None) -> int:
        message = await self._connection.insist(self._subject(key), value, headers, tries=_TRIES)
        ack = msgspec.json.decode(message.payload)
        if "error" in ack:
            if ack["error"].get("err_code") == _STALE:
                raise Conflict
            raise ValueError(f"The value of {key} was refused: {ack['error'].get('description')}.")
        return int(ack["seq"])
