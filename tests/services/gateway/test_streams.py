"""Streams of the gateway: history and live without a gap, from any position, over SSE and WebSocket."""

from __future__ import annotations

import asyncio
import json

import httpx
import websockets

from schemas.events import ExecutionCompleted, SignalReceived
from tests.services.gateway.house import House, fresh, read_sse


async def test_a_stream_has_history_and_live_without_a_gap(house: House) -> None:
    """Events that are appended while the stream begins are all there, once, in order; it ends with the execution."""
    name = fresh()
    await house.tell(name, ending=False)

    async def write() -> None:
        for number in range(300):
            await house.bus.append(SignalReceived(execution_id=name, number=number, name="n"))
        await house.bus.append(ExecutionCompleted(execution_id=name))

    async with httpx.AsyncClient(base_url=house.url) as client, asyncio.TaskGroup() as group:
        group.create_task(write())
        await asyncio.sleep(0.02)
        reading = group.create_task(read_sse(client, f"/api/executions/{name}/events/stream"))
    found = reading.result()
    assert [one["data"]["number"] for one in found if one["type"] == "signal.received"] == list(range(300))
    assert found[-1]["type"] == "execution.completed"


async def test_a_stream_resumes_after_the_last_event_id(house: House) -> None:
    """A client that comes back names the last event it had, and gets the next one."""
    name = fresh()
    await house.tell(name)
    async with httpx.AsyncClient(base_url=house.url) as client:
        path = f"/api/executions/{name}/events/stream"
        whole = await read_sse(client, path)
        rest = await read_sse(client, path, {"last-event-id": str(whole[0]["seq"])})
        nothing = await read_sse(client, path, {"last-event-id": str(whole[-1]["seq"])})
    assert rest == whole[1:]
    assert nothing == []


async def test_a_websocket_says_the_same(house: House) -> None:
    """One document a message, closed with 1000 after the ending."""
    name = fresh()
    await house.tell(name)
    async with websockets.connect(f"{house.url.replace('http', 'ws')}/api/executions/{name}/stream") as socket:
        kinds = [json.loads(message)["type"] async for message in socket]
    assert kinds == ["execution.accepted", "execution.started", "execution.completed"]
    assert socket.close_code == 1000
