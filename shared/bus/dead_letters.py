"""What could not be handled: parked with the reason, listed, handled again, dropped.

A letter keeps the body and the headers of the original message. Handling it again does not append or request anything
anew: it goes back to the one worker that could not handle it, by way of a subject of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from schemas.base import Model
from shared import subjects
from shared.bus import headers as hdr
from shared.bus.connection import Connection, size_of
from shared.bus.errors import NoResponder
from shared.bus.messages import Delivery, moment_of
from shared.bus.raw import RawMessage
from shared.bus.reader import message_at, read_subject
from shared.bus.streams import api
from shared.log import redact
from shared.shortening import shortened

REASON = "Parallax-Reason"
STREAM = "Parallax-Stream"
SUBJECT = "Parallax-Subject"
SEQUENCE = "Parallax-Sequence"
TIME = "Parallax-Time"
DURABLE = "Parallax-Durable"
SERVICE = "Parallax-Service"
ATTEMPTS = "Parallax-Attempts"
OMITTED = "Parallax-Body-Omitted"

_OWN = frozenset({REASON, STREAM, SUBJECT, SEQUENCE, TIME, DURABLE, SERVICE, ATTEMPTS, OMITTED})
_LONGEST_REASON = 2000
_TRIES = 50


class DeadLetter(Model, frozen=True, kw_only=True):
    """One letter. `id` is its number in the stream of dead letters; `at` RFC 3339."""

    id: int
    service: str
    worker: str
    reason: str
    stream: str
    subject: str
    sequence: int
    attempts: int
    at: str
    size: int
    headers: dict[str, str] = {}
    body: str = ""


async def bury(connection: Connection, service: str, durable: str, delivery: Delivery, reason: str, place: str) -> None:
    """Parks a message; returns when it is safely there. What is at one `place` of a stream is parked once."""
    kept = {
        name: text
        for name, text in delivery.headers.items()
        if not name.startswith("Nats-") and name not in _OWN and name
    }
    own = {
        "Nats-Msg-Id": f"dead:{durable}:{place}",
        REASON: hdr.value(shortened(redact(reason), _LONGEST_REASON)),
        STREAM: delivery.stream,
        SUBJECT: hdr.value(delivery.subject),
        SEQUENCE: str(delivery.seq),
        TIME: str(delivery.time_ns),
        DURABLE: durable,
        SERVICE: service,
        ATTEMPTS: str(delivery.attempt),
    }
    payload = delivery.payload
    block = {**kept, **own}
    if size_of(block) + len(payload) > connection.max_payload:
        block, payload = {**own, OMITTED: "true"}, b""
    await _store(connection, subjects.dead_letters(service), payload, block)


async def _store(connection: Connection, subject: str, payload: bytes, block: dict[str, str]) -> None:
    message = await connection.insist(subject, payload, block, tries=_TRIES)
    ack = msgspec.json.decode(message.payload)
    if "error" in ack:
        raise NoResponder(f"The dead letter was refused: {ack['error'].get('description')}.")


async def letters(connection: Connection) -> AsyncIterator[DeadLetter]:
    """All dead letters, oldest first."""
    async for message in read_subject(connection, subjects.STREAM_DEAD_LETTERS, subjects.DEAD_LETTERS_ALL):
        yield _letter(message)


async def letter(connection: Connection, number: int) -> DeadLetter | None:
    """One dead letter by its number, or None."""
    message = await _find(connection, number)
    return None if message is None else _letter(message)


async def requeue(connection: Connection, number: int) -> bool:
    """Hands a letter back to its worker and takes it off the list. False when there is none of this number."""
    message = await _find(connection, number)
    if message is None:
        return False
    headers = message.headers
    payload = message.payload
    if headers.get(OMITTED):
        original = await message_at(connection, headers[STREAM], int(headers[SEQUENCE]))
        payload = original.payload if original is not None else payload
    kept = {name: text for name, text in headers.items() if not name.startswith("Nats-") and name != OMITTED}
    block = {**kept, "Nats-Msg-Id": f"requeue:{number}"}
    await _store(connection, subjects.requeued(headers.get(DURABLE, "")), payload, block)
    await drop(connection, number)
    return True


async def drop(connection: Connection, number: int) -> bool:
    """Takes a letter off the list for good. False when there is none of this number."""
    if await _find(connection, number) is None:
        return False
    await api(connection, f"STREAM.MSG.DELETE.{subjects.STREAM_DEAD_LETTERS}", {"seq": number, "no_erase": True})
    return True


async def _find(connection: Connection, number: int) -> RawMessage | None:
    message = await message_at(connection, subjects.STREAM_DEAD_LETTERS, number)
    if message is None or not message.header("Nats-Subject").startswith(subjects.DEAD_LETTERS_ALL[:-1]):
        return None
    return message


def _letter(message: RawMessage) -> DeadLetter:
    headers = message.headers
    stamp = headers.get("Nats-Time-Stamp", "")
    moment = moment_of(stamp)
    at = stamp if moment is None else moment.isoformat()
    return DeadLetter(
        id=int(headers.get("Nats-Sequence", "0")),
        service=headers.get(SERVICE, ""),
        worker=headers.get(DURABLE, ""),
        reason=hdr.text_of(headers.get(REASON, "")),
        stream=headers.get(STREAM, ""),
        subject=hdr.text_of(headers.get(SUBJECT, "")),
        sequence=int(headers.get(SEQUENCE, "0") or 0),
        attempts=int(headers.get(ATTEMPTS, "0") or 0),
        at=at,
        size=len(message.payload),
        headers={name: text for name, text in headers.items() if name not in _OWN and not name.startswith("Nats-")},
        body=message.payload.decode("utf-8", "replace"),
    )
