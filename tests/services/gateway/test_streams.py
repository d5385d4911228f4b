"""Streams of the gateway: history and live without a gap, from any position, over SSE and WebSocket."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import httpx
import pytest
import websockets

from schemas.events import ExecutionCompleted, SignalReceived
from shared.testing import eventually
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


async def test_a_client_that_comes_back_at_any_position_misses_nothing(house: House) -> None:
    """From every sequence of an execution's log the rest follows: no event is missing, none comes twice."""
    name = fresh()
    await house.tell(name, ending=False)
    for number in range(20):
        await house.bus.append(SignalReceived(execution_id=name, number=number, name="n"))
    await house.bus.append(ExecutionCompleted(execution_id=name))
    path = f"/api/executions/{name}/events/stream"
    async with httpx.AsyncClient(base_url=house.url) as client:
        whole = await read_sse(client, path)
        for place, event in enumerate(whole):
            assert await read_sse(client, path, {"last-event-id": str(event["seq"])}) == whole[place + 1 :]
            assert await read_sse(client, f"{path}?after={event['seq']}") == whole[place + 1 :]
            url = f"{house.url.replace('http', 'ws')}/api/executions/{name}/stream?after={event['seq']}"
            async with websockets.connect(url) as socket:
                assert [json.loads(message) async for message in socket] == whole[place + 1 :]


async def test_a_slow_reader_holds_up_nobody(house: House) -> None:
    """A client that reads nothing of ten thousand events costs a bounded memory, and others get all of them."""
    name = fresh()
    await house.tell(name, ending=False)
    reader, writer = await asyncio.open_connection(*house.url.removeprefix("http://").split(":"), limit=1024)
    writer.write(f"GET /api/executions/{name}/events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    for start in range(0, 10_000, 500):
        events = [SignalReceived(execution_id=name, number=start + one, name="n" * 200) for one in range(500)]
        await asyncio.gather(*(house.bus.append(event) for event in events))
    await house.bus.append(ExecutionCompleted(execution_id=name))
    async with httpx.AsyncClient(base_url=house.url) as client:
        found = await read_sse(client, f"/api/executions/{name}/events/stream")
    numbers = [one["data"]["number"] for one in found if one["type"] == "signal.received"]
    assert sorted(numbers) == list(range(10_000))
    assert [one["seq"] for one in found] == sorted({one["seq"] for one in found})
    slow = await asyncio.wait_for(reader.read(1 << 20), 5)
    while b"event: end" not in slow:
        part = await asyncio.wait_for(reader.read(1 << 20), 20)
        assert part, "the stream broke off"
        slow = slow[-100:] + part
    writer.close()
    await writer.wait_closed()


async def test_streams_are_closed_behind_clients_that_go(house: House) -> None:
    """A client that breaks off leaves nothing behind in the gateway."""
    name = fresh()
    await house.tell(name, ending=False)
    host, port = house.url.removeprefix("http://").split(":")
    for _ in range(5):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /api/executions/{name}/events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"execution.started")
        writer.transport.abort()
    async with websockets.connect(f"{house.url.replace('http', 'ws')}/api/executions/{name}/stream") as socket:
        await socket.recv()
        socket.transport.abort()
    await eventually(lambda: house.gateway.open_streams == 0)


async def test_a_websocket_of_nobody_is_closed_with_a_reason(house: House) -> None:
    """1008 with a sentence for an unknown execution and for an odd position."""
    base = house.url.replace("http", "ws")
    name = fresh()
    await house.tell(name)
    for path in ("/api/executions/nobody/stream", f"/api/executions/{name}/stream?after=x"):
        async with websockets.connect(base + path) as socket:
            with pytest.raises(websockets.ConnectionClosedError):
                await socket.recv()
        assert socket.close_code == 1008
        assert socket.close_reason


async def test_a_gateway_that_leaves_breaks_streams_off_without_an_end(house: House) -> None:
    """Clients see that it was not the end: no `end` over SSE, and 1012 over WebSocket; both can come back elsewhere."""
    name = fresh()
    await house.tell(name, ending=False)
    url = f"{house.url.replace('http', 'ws')}/api/executions/{name}/stream"
    async with httpx.AsyncClient(base_url=house.url) as client, websockets.connect(url) as socket:
        assert json.loads(await socket.recv())["type"] == "execution.accepted"
        async with client.stream("GET", f"/api/executions/{name}/events/stream", timeout=20) as answer:
            lines = answer.aiter_lines()
            while not (await anext(lines)).startswith("event: execution.started"):
                pass
            await house.gateway.halt()
            assert "event: end" not in [line async for line in lines]
        async with asyncio.timeout(10):
            with suppress(websockets.ConnectionClosedError):
                async for _ in socket:
                    pass
    assert socket.close_code == 1012


async def test_positions_that_are_none_are_refused_before_a_stream_begins(house: House) -> None:
    """An unknown execution and an odd `after` are problem documents, not streams."""
    name = fresh()
    await house.tell(name)
    async with httpx.AsyncClient(base_url=house.url) as client:
        codes = [
            (await client.get(path)).status_code
            for path in (
                "/api/executions/nobody/events/stream",
                f"/api/executions/{name}/events/stream?after=x",
                f"/api/executions/{name}/events?after=-1",
            )
        ]
        assert codes == [404, 422, 422]
        assert await read_sse(client, f"/api/executions/{name}/events/stream", {"last-event-id": "odd"})


async def test_an_agents_output_is_streamed_as_far_back_as_it_is_kept(house: House) -> None:
    """Lines from before and lines from now, with ids to go on from; an agent that nobody knows is a 404."""
    agent = fresh()
    await house.print_line(agent, "first")
    async with httpx.AsyncClient(base_url=house.url) as client:
        assert (await client.get("/api/agents/nobody/output")).status_code == 404
        async with client.stream("GET", f"/api/agents/{agent}/output", timeout=20) as answer:
            lines = answer.aiter_lines()
            said: list[str] = []
            while len(said) < 2:
                line = await anext(lines)
                if line.startswith("data: "):
                    said.append(json.loads(line[6:])["text"])
                    await house.print_line(agent, "second")
    assert said == ["first", "second"]
