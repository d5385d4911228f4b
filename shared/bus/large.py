"""Large values: what does not fit into a message is kept beside the log and referred to in it.

Twenty results of half a megabyte are one event of nine, and no server takes that as one message. So the largest fields
of a message that is too long go to the stream `PARALLAX_VALUES` first, in chunks, under the SHA-256 of what they are;
in the message each stands as `{"$large": "<sha-256>", "bytes": n}`, and the header `Parallax-Large` names the fields. A
message without the header holds no references, whatever its fields look like.

Chunks are acknowledged, which means fsynced, before the message goes out; a value is written once and never changed,
moved or removed, like the log itself. Whoever reads by `shared.bus` gets the message as it was before: the same bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from shared import subjects
from shared.bus import headers as hdr
from shared.bus.answers import NOBODY, Refused, stored_at
from shared.bus.connection import Connection, size_of
from shared.bus.errors import BusError, Disconnected, EventTooLarge, ValueLost
from shared.bus.raw import RawMessage
from shared.bus.reader import read_subject
from shared.bus.streams import STREAMS, ensure_stream

_log = structlog.get_logger(__name__)

INLINE = 4 << 20
"""Bytes up to which a message is sent as it is, where the server takes that; longer ones are lightened."""

LARGEST = 64 << 20
"""Bytes that a message may have with everything that it refers to."""

CHUNK = 512 << 10
"""Bytes of a chunk. It is the same for everybody, because a value's chunks are found by their number."""

SMALLEST = 4 << 10
"""Bytes of the smallest field that is kept beside a message."""

_AT_ONCE = 8
_ANSWER_WITHIN_S = 10.0
_READ_AGAIN = 5
_REMEMBERED = 2048
_FULL = 10077
"""What the server says to a second message on a subject of this stream: the chunk is there."""

_HEADROOM = 4096


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What stands for a value in a message: the SHA-256 of its JSON in hexadecimal, and how many bytes that has."""

    large: str = msgspec.field(name="$large")
    bytes: int


class LargeValues:
    """Writes and reads values beside messages, for everybody in this process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored: OrderedDict[str, None] = OrderedDict()

    def fits(self, payload: bytes, headers: dict[str, str]) -> bool:
        """Whether a message is sent as it is."""
        return len(payload) + size_of(headers) <= min(INLINE, self._connection.max_payload - _HEADROOM)

    async def lighten(
        self, what: str, payload: bytes, headers: dict[str, str], most: int = INLINE
    ) -> tuple[bytes, dict[str, str]]:
        """A message of at most `most` bytes, after its largest fields were stored beside it. `what` is for people.

        Raises EventTooLarge for one that is no JSON object, or larger than `LARGEST`; BusClosed.
        """
        fields = _fields(payload)
        if fields is None or len(payload) > LARGEST:
            raise _too_large(what, payload, fields)
        room = min(most, self._connection.max_payload - _HEADROOM) - size_of(headers)
        size, moved = len(payload), list[str]()
        for name in sorted(fields, key=lambda name: len(bytes(fields[name])), reverse=True):
            held = bytes(fields[name])
            if size <= room or len(held) < SMALLEST:
                break
            reference = Reference(large=hashlib.sha256(held).hexdigest(), bytes=len(held))
            await self._put(reference, held)
            fields[name] = msgspec.Raw(msgspec.json.encode(reference))
            size += len(bytes(fields[name])) - len(held)
            moved.append(name)
        if size > self._connection.max_payload - _HEADROOM:
            raise _too_large(what, payload, fields)
        if not moved:
            return payload, headers
        return msgspec.json.encode(fields), {**headers, hdr.LARGE: ",".join(moved)}

    async def whole(self, message: RawMessage) -> RawMessage:
        """A message as it was before it was lightened; any other one as it is. Raises BusClosed.

        One whose value is not there gets the header `Parallax-Error`, and is read as one that cannot be read: neither
        a damaged store nor a stranger's message may stop whoever follows the log.
        """
        names = message.headers.get(hdr.LARGE)
        if not names:
            return message
        fields = _fields(message.payload)
        if fields is None:
            return message
        try:
            for name in names.split(","):
                reference = msgspec.json.decode(bytes(fields[name]), type=Reference)
                fields[name] = msgspec.Raw(await self.get(reference))
        except (ValueLost, msgspec.MsgspecError, KeyError, ValueError) as error:
            _log.error("value_lost", subject=message.subject, error=str(error))
            headers = {**message.headers, hdr.ERROR: hdr.value(f"a large value cannot be read: {error}")}
            return RawMessage(message.subject, message.reply, headers, message.payload)
        return RawMessage(message.subject, message.reply, message.headers, msgspec.json.encode(fields))

    # -- values -----------------------------------------------------------------------------------------------------

    async def _put(self, reference: Reference, value: bytes) -> None:
        """Stores a value; returns when it is durable. Raises BusClosed."""
        if reference.large in self._stored:
            return
        chunks = [value[start : start + CHUNK] for start in range(0, len(value), CHUNK)]
        for first in range(0, len(chunks), _AT_ONCE):
            await self._put_chunks(reference.large, first, chunks[first : first + _AT_ONCE])
        self._stored[reference.large] = None
        while len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)

    async def _put_chunks(self, digest: str, first: int, chunks: list[bytes]) -> None:
        pause = 0.05
        while True:
            await self._connection.until_connected()
            try:
                answers = [
                    await self._connection.ask(subjects.large_value(digest, str(number)), chunk)
                    for number, chunk in enumerate(chunks, first)
                ]
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    for answer in answers:
                        _settled(await answer)
                return
            except Refused as error:
                _log.warning("value_refused", error=str(error))
                if error.err_code == NOBODY:
                    with suppress(BusError, TimeoutError):
                        await ensure_stream(self._connection, subjects.STREAM_VALUES, STREAMS[subjects.STREAM_VALUES])
            except (Disconnected, TimeoutError):
                pass
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def get(self, reference: Reference) -> bytes:
        """A value by what refers to it. Raises ValueLost when the store does not have it; BusClosed."""
        for _ in range(_READ_AGAIN):
            found: dict[int, bytes] = {}
            subject = subjects.large_value(reference.large, "*")
            async for message in read_subject(self._connection, subjects.STREAM_VALUES, subject):
                number = message.header("Nats-Subject").rpartition(".")[2]
                found[int(number)] = message.payload
            value = b"".join(found[number] for number in sorted(found))
            if len(value) == reference.bytes and hashlib.sha256(value).hexdigest() == reference.large:
                return value
            await asyncio.sleep(0.1)
        raise ValueLost(
            f"The value {reference.large} of {reference.bytes:,} bytes is not in {subjects.STREAM_VALUES}, or is not "
            f"what it was. Restore the stream from the same backup as the log."
        )


def _settled(message: RawMessage) -> None:
    """Returns when a chunk is stored, now or before. Raises Refused."""
    try:
        stored_at(message, fenced=False)
    except Refused as error:
        if error.err_code != _FULL:
            raise


def _fields(payload: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _too_large(what: str, payload: bytes, fields: dict[str, Any] | None) -> EventTooLarge:
    largest = max(fields, key=lambda name: len(bytes(fields[name])), default="") if fields else ""
    inside = f", most of them in `{largest}`" if largest else ""
    return EventTooLarge(
        f"{what} would have {len(payload):,} bytes{inside}; {LARGEST:,} is the limit. Have agents write what is large "
        f"to files in the worktree and name the files in their results, or pass on fewer results at once.",
        where=f"{what}.{largest}" if largest else what,
    )
