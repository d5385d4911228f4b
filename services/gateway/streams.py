"""Events as they come: history first, then live, without a gap, over server-sent events and over WebSocket.

Each client reads the log through a reading of its own from the sequence it names, so that a slow one delays nobody, and
history and live are one and the same read. A stream ends after the execution's ending. One that breaks off without the
word `end` was not at its end: the client comes back with the last id it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import structlog
from litestar import Request, WebSocket, get, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.response import Stream

from schemas.events import ENDINGS
from services.gateway.bodies import After, AgentId, MaybeAfter, Name
from services.gateway.catalog import has_printed, is_known
from services.gateway.context import Context, context_of
from services.gateway.problems import Trouble, not_found
from services.gateway.reads import event_document
from shared import subjects
from shared.bus import Recorded

_log = structlog.get_logger(__name__)

_QUIET_S = 15.0
_AHEAD = 256
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Interrupted(Exception):
    """A stream was broken off before its end."""


async def _tended(context: Context, records: AsyncGenerator[Recorded]) -> AsyncGenerator[Recorded | None]:
    """Records, read a bounded way ahead; None when there is nothing to say for a while. Raises Interrupted."""
    ready: asyncio.Queue[Recorded] = asyncio.Queue(_AHEAD)

    async def fill() -> None:
        async with aclosing(records):
            async for record in records:
                await ready.put(record)

    context.counters.streams += 1
    filling = asyncio.create_task(fill())
    closing = asyncio.create_task(context.closing.wait())
    taking = asyncio.create_task(ready.get())
    try:
        while True:
            await asyncio.wait({taking, filling, closing}, timeout=_QUIET_S, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                context.counters.events_sent += 1
                yield taking.result()
                taking = asyncio.create_task(ready.get())
            elif filling.done() or closing.done():
                raise Interrupted
            else:
                yield None
    finally:
        context.counters.streams -= 1
        for task in (filling, closing, taking):
            task.cancel()
        await asyncio.wait({filling, closing, taking})
        if not filling.cancelled() and filling.exception() is not None:
            _log.warning("stream_broke_off", error=str(filling.exception()))


async def documents(context: Context, name: str, after: int) -> AsyncGenerator[dict[str, Any] | None]:
    """Events after a sequence up to the execution's ending; None now and then when there is nothing to say."""
    if after and await _ended_before(context, name, after):
        return
    records = context.bus.follow([subjects.events_of(name)], after=after)
    async with aclosing(_tended(context, records)) as items:
        async for item in items:
            yield None if item is None else event_document(item)
            if item is not None and item.type in ENDINGS:
                return


async def _ended_before(context: Context, name: str, after: int) -> bool:
    """Whether the client has had the ending already."""
    async with aclosing(context.bus.read(name, types=sorted(ENDINGS))) as endings:
        async for record in endings:
            return record.seq <= after
    return False


def _resume_at(request: Request[Any, Any, Any], after: int | None) -> int:
    last = request.headers.get("last-event-id", "")
    if last.isdigit() and len(last) < 16:
        return int(last)  # a client that reconnects asks the same URL again, which may have had ?after=
    return after or 0


@get("/executions/{name:str}/events/stream", summary="The events of an execution as server-sent events")
async def sse(request: Request[Any, Any, Any], state: State, name: Name, after: MaybeAfter = None) -> Stream:
    """Server-sent events; `Last-Event-ID` (or `?after=`) says where to go on. The event `end` closes the stream."""
    context, start = context_of(state), _resume_at(request, after)
    await context.must_know(name)

    async def lines() -> AsyncGenerator[bytes]:
        yield b"retry: 1000\n\n"
        try:
            async with aclosing(documents(context, name, start)) as items:
                async for item in items:
                    yield b": quiet\n\n" if item is None else _message(item["seq"], item["type"], item)
        except Interrupted:
            return
        yield b"event: end\ndata: {}\n\n"

    return Stream(lines(), media_type="text/event-stream", headers=_HEADERS)


def _message(seq: int, kind: str, body: object) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, kind.encode(), msgspec.json.encode(body))


@websocket("/executions/{name:str}/stream")
async def ws(socket: WebSocket[Any, Any, Any], state: State, name: Name) -> None:
    """The same over WebSocket: one JSON document a message, closed with 1000 after the ending."""
    await socket.accept()
    given = str(socket.query_params.get("after", "0"))
    try:
        if not given.isdigit() or len(given) > 15:
            await socket.close(1008, "after is a sequence, a whole number")
            return
        context = context_of(state)
        await _send(socket, context, await context.must_know(name), int(given))
        await socket.close(1000, "the execution has ended")
    except Trouble as trouble:
        await socket.close(1008 if trouble.status < 500 else 1013, trouble.detail[:100])
    except Interrupted:
        await socket.close(1012, "come back with ?after=")
    except WebSocketDisconnect:
        return


async def _send(socket: WebSocket[Any, Any, Any], context: Context, name: str, after: int) -> None:
    """Sends documents until the ending, or until the client goes."""

    async def sending() -> None:
        async with aclosing(documents(context, name, after)) as items:
            async for item in items:
                body = msgspec.json.encode({"type": "quiet"} if item is None else item)
                await socket.send_data(body.decode(), mode="text")

    async def listening() -> None:
        while True:
            await socket.receive_data(mode="text")

    both = [asyncio.create_task(sending()), asyncio.create_task(listening())]
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)


@get("/agents/{agent_id:str}/output", summary="An agent's output as server-sent events")
async def output(request: Request[Any, Any, Any], state: State, agent_id: AgentId, after: After = 0) -> Stream:
    """What an agent has printed, as far back as it is kept, and what it prints now; without end."""
    if not subjects.is_token(agent_id):
        raise Trouble(404, f"{agent_id[:100]!r} cannot be the id of an agent.")
    context, start = context_of(state), _resume_at(request, after)
    if not await has_printed(context, agent_id) and not await is_known(context, agent_id):
        raise not_found("agent", agent_id)

    async def lines() -> AsyncGenerator[bytes]:
        yield b"retry: 1000\n\n"
        records = context.bus.follow([subjects.agent_output(agent_id)], after=start, stream="output")
        try:
            async with aclosing(_tended(context, records)) as items:
                async for item in items:
                    yield b": quiet\n\n" if item is None else _message(item.seq, "output", _readable(item))
        except Interrupted:
            return

    return Stream(lines(), media_type="text/event-stream", headers=_HEADERS)


def _readable(record: Recorded) -> Any:
    """The line, or what came in its place."""
    return record.data if isinstance(record.data, msgspec.Struct) else {"unreadable": record.data.reason}
