"""Events as they come: history first, then live, without a gap, over server-sent events and over WebSocket.

Each client reads the log through a consumer of its own from the sequence it names, so that a slow one delays nobody, and
history and live are one and the same read. A stream ends after the execution's ending.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from litestar import Request, WebSocket, get, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.params import Parameter
from litestar.response import Stream

from schemas.events import ENDINGS
from services.gateway.context import Context, context_of, execution_id
from services.gateway.problems import Trouble
from services.gateway.reads import event_document
from shared import subjects

_QUIET_S = 15.0
_AHEAD = 256
_END = object()


async def documents(context: Context, name: str, after: int) -> AsyncIterator[dict[str, Any] | None]:
    """Events after a sequence until the execution's ending; None now and then when there is nothing to say."""
    ready: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)

    async def fill() -> None:
        async with aclosing(context.bus.follow([subjects.events_of(name)], after=after)) as records:
            async for record in records:
                await ready.put(event_document(record))
                if record.type in ENDINGS:
                    break
        await ready.put(_END)

    if after and await _ended_before(context, name, after):
        return
    filling = asyncio.create_task(fill())
    try:
        while True:
            try:
                item = await asyncio.wait_for(ready.get(), _QUIET_S)
            except TimeoutError:
                yield None
                continue
            if item is _END:
                return
            yield item
    finally:
        filling.cancel()


async def _ended_before(context: Context, name: str, after: int) -> bool:
    """Whether the client has had the ending already."""
    async with aclosing(context.bus.read(name, types=sorted(ENDINGS))) as endings:
        async for record in endings:
            return record.seq <= after
    return False


def _resume_at(request: Request[Any, Any, Any], after: int | None) -> int:
    last = request.headers.get("last-event-id", "")
    if after is not None:
        return after
    return int(last) if last.isdigit() and len(last) < 19 else 0


@get("/executions/{name:str}/events/stream", summary="The events of an execution as server-sent events")
async def sse(
    request: Request[Any, Any, Any], state: State, name: str, after: int | None = Parameter(default=None, ge=0)
) -> Stream:
    """Server-sent events; `Last-Event-ID` (or `?after=`) says where to go on. The event `end` closes the stream."""
    context, start = context_of(state), _resume_at(request, after)

    async def lines() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        async with aclosing(documents(context, execution_id(name), start)) as items:
            async for item in items:
                if item is None:
                    yield b": quiet\n\n"
                else:
                    body = msgspec.json.encode(item)
                    yield b"id: %d\nevent: %s\ndata: %s\n\n" % (item["seq"], item["type"].encode(), body)
        yield b"event: end\ndata: {}\n\n"

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return Stream(lines(), media_type="text/event-stream", headers=headers)


@websocket("/executions/{name:str}/stream")
async def ws(socket: WebSocket[Any, Any, Any], state: State, name: str) -> None:
    """The same over WebSocket: one JSON document a message, closed with 1000 after the ending."""
    await socket.accept()
    given = socket.query_params.get("after", "0")
    try:
        if not str(given).isdigit():
            await socket.close(1008, "after is a sequence, a whole number")
            return
        await _send(socket, context_of(state), execution_id(name), int(given))
        await socket.close(1000, "the execution has ended")
    except Trouble as trouble:
        await socket.close(1008, trouble.detail[:120])
    except WebSocketDisconnect:
        return


async def _send(socket: WebSocket[Any, Any, Any], context: Context, name: str, after: int) -> None:
    """Sends documents until the ending, or until the client goes."""

    async def sending() -> None:
        async with aclosing(documents(context, name, after)) as items:
            async for item in items:
                await socket.send_data(msgspec.json.encode(item or {"type": "quiet"}).decode(), mode="text")

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


@get("/agents/{agent_id:str}/output", summary="An agent's output as server-sent events")
async def output(state: State, agent_id: str, after: int = Parameter(default=0, ge=0)) -> Stream:
    """What an agent has printed, as far back as it is kept, and what it prints now."""
    if not subjects.is_token(agent_id):
        raise Trouble(404, f"{agent_id[:100]!r} cannot be the id of an agent.")
    context = context_of(state)

    async def lines() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        follow = context.bus.follow([subjects.agent_output(agent_id)], after=after, stream="output")
        async with aclosing(follow) as records:
            async for record in records:
                yield b"id: %d\nevent: output\ndata: %s\n\n" % (record.seq, msgspec.json.encode(record.data))

    return Stream(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})
