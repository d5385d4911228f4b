"""Reading what is stored without a consumer, by direct get: one question, many messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection

import msgspec

from shared import subjects
from shared.bus.connection import Connection
from shared.bus.errors import BusClosed, Disconnected, NoResponder
from shared.bus.messages import Recorded, recorded_from_server
from shared.bus.raw import RawMessage

_BATCH = 512
_MAX_BYTES = 4 << 20
_ANSWER_WITHIN_S = 5.0
_NONE = 404
_END = 204


async def read_execution(
    connection: Connection,
    execution_id: str,
    types: Collection[str] | None,
    after: int,
    whole: Callable[[RawMessage], Awaitable[RawMessage]],
) -> AsyncGenerator[Recorded]:
    """The history of one execution up to now, in order, waiting for the server where it is away.

    `whole` gives a message back its large values. Raises ValueError for what is no execution id, ValueLost, BusClosed.
    """
    if not subjects.is_execution_id(execution_id):
        raise ValueError(f"{execution_id!r} is no execution id.")
    kinds = None if types is None else frozenset(types)
    only = next(iter(kinds)) if kinds is not None and len(kinds) == 1 else None
    subject = subjects.event_of_type(execution_id, only) if only else subjects.events_of(execution_id)
    async for message in read_subject(connection, subjects.STREAM_EVENTS, subject, after):
        if kinds is not None and subjects.event_parts(message.header("Nats-Subject"))[1] not in kinds:
            continue
        yield recorded_from_server(subjects.STREAM_EVENTS, await whole(message))


async def read_subject(connection: Connection, stream: str, subject: str, after: int = 0) -> AsyncGenerator[RawMessage]:
    """All messages on a subject or filter after a sequence, in order, as they are stored."""
    position = after
    while True:
        try:
            page, finished = await _page(connection, stream, subject, position + 1)
        except (Disconnected, TimeoutError, NoResponder):
            if connection.closed:
                raise BusClosed("The connection to the bus is closed.") from None
            await asyncio.sleep(0.1)
            continue
        for message in page:
            position = int(message.header("Nats-Sequence"))
            yield message
        if finished:
            return


async def _page(connection: Connection, stream: str, subject: str, start: int) -> tuple[list[RawMessage], bool]:
    question = {"seq": start, "batch": _BATCH, "max_bytes": _MAX_BYTES, "next_by_subj": subject}
    page, last = await connection.ask_for_all(
        f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(question), _ANSWER_WITHIN_S
    )
    if last.status == 503:
        raise NoResponder(f"There is no stream {stream}.")
    if last.status == _NONE:
        return page, True
    if last.status != _END:
        raise Disconnected(f"The server answered {last.status} {last.status_text}.")
    pending = last.header("Nats-Num-Pending")
    return page, not page or pending in {"", "0"}


async def first_message(connection: Connection, stream: str, subject: str) -> RawMessage | None:
    """The oldest message on a subject or filter. Raises TimeoutError, Disconnected, NoResponder."""
    body = msgspec.json.encode({"seq": 1, "next_by_subj": subject})
    message = await connection.request(f"$JS.API.DIRECT.GET.{stream}", body)
    return None if message.status else message


async def last_message(connection: Connection, stream: str, subject: str) -> RawMessage | None:
    """The newest message on a subject or filter. Raises TimeoutError, Disconnected, NoResponder."""
    body = msgspec.json.encode({"last_by_subj": subject})
    message = await connection.request(f"$JS.API.DIRECT.GET.{stream}", body)
    return None if message.status else message


async def message_at(connection: Connection, stream: str, seq: int) -> RawMessage | None:
    """The message with this sequence. Raises TimeoutError, Disconnected, NoResponder."""
    message = await connection.request(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode({"seq": seq}))
    return None if message.status else message
