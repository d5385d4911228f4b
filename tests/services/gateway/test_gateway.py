"""The gateway over real HTTP, on a real bus and a real Postgres, with an engine's part played by the test."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from schemas.base import Problem
from schemas.commands import CommandReply
from schemas.events import ExecutionAccepted, ExecutionCompleted, ExecutionStarted, SignalReceived
from schemas.projections import ProjectorAnswer, ProjectorQuery
from services.gateway.service import Gateway
from services.projector.service import Projector
from shared import subjects
from shared.bus import Bus, Delivery, NoResponder
from shared.config import load
from shared.testing import eventually

PATTERN = """
export const pattern = {name: "noop", version: "1.0.0", workspace: {enabled: false}}
1
"""


class House:
    """A gateway, a projector, a bus, and answers for requests."""

    def __init__(self, gateway: Gateway, bus: Bus) -> None:
        self.url = gateway.address
        self.gateway = gateway
        self.bus = bus
        self.heard: list[Delivery] = []
        self.reply = CommandReply(execution_id="x", status="accepted")

    async def handle(self, delivery: Delivery) -> None:
        """Answers a request or a command as an engine would."""
        self.heard.append(delivery)
        if delivery.reply_to:
            await self.bus.publish(delivery.reply_to, self.reply)

    async def tell(self, name: str, ending: bool = True) -> None:
        """The log of a short execution."""
        await self.bus.append(ExecutionAccepted(execution_id=name, pattern="noop", request_digest="d", engine="e"))
        await self.bus.append(
            ExecutionStarted(
                execution_id=name,
                engine="e",
                epoch=1,
                pattern_name="noop",
                pattern_version="1.0.0",
                pattern_format="prism",
                pattern_digest="d",
                program="1",
                program_digest="d",
            )
        )
        if ending:
            await self.bus.append(ExecutionCompleted(execution_id=name, result={"n": 1}, confidence=0.5))


async def projections(bus: Bus) -> bool:
    """Whether the projector leads, and so has made its tables."""
    try:
        await bus.request(subjects.QUERY_PROJECTOR, ProjectorQuery(), ProjectorAnswer)
    except NoResponder:
        return False
    return True


@pytest.fixture
async def house(nats_url: str, postgres_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """A gateway at work."""
    (tmp_path / "noop.prism").write_text(PATTERN, encoding="utf-8")
    settings = load(
        {
            "PARALLAX_NATS_URL": nats_url,
            "PARALLAX_DATABASE_URL": postgres_url,
            "PARALLAX_PATTERNS_DIR": str(tmp_path),
            "PARALLAX_API_URL": "http://127.0.0.1:0",
        }
    )
    bus = await Bus.connect(settings, name="gateway")
    await bus.ensure_streams()
    projector = Projector(settings, bus)
    gateway = Gateway(settings, bus)
    await projector.begin()
    await gateway.begin()
    await eventually(lambda: projections(bus), timeout_s=20)
    place = House(gateway, bus)
    worker = await bus.work(
        durable=f"test-{uuid.uuid4().hex[:8]}",
        stream="requests",
        filters=[subjects.REQUEST, *(subjects.command("*", verb) for verb in subjects.COMMAND_VERBS)],
        handler=place.handle,
    )
    yield place
    await worker.stop()
    await gateway.halt()
    await projector.halt()
    await bus.close()


def fresh() -> str:
    """An execution id of this test's own."""
    return f"g{uuid.uuid4().hex[:12]}"


async def test_a_request_over_http_reaches_the_bus(house: House) -> None:
    """202 with where to look; the body on the bus has the key as its id and the timeout in milliseconds."""
    name = fresh()
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post(
            "/api/executions",
            json={"pattern": "noop", "input": {"a": 1}, "options": {"timeout": "2m"}},
            headers={"idempotency-key": name},
        )
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"id": name, "status": "accepted", "events_url": f"/api/executions/{name}/events"}
    body = next(json.loads(one.payload) for one in house.heard if name in one.payload.decode())
    assert body["execution_id"] == name
    assert body["options"] == {"timeout_ms": 120_000}


async def test_waiting_answers_with_the_result(house: House) -> None:
    """`?wait=` gives the finished execution, before the projector has it."""
    name = fresh()

    async def finish() -> None:
        await asyncio.sleep(0.2)
        await house.tell(name)

    async with httpx.AsyncClient(base_url=house.url) as client, asyncio.TaskGroup() as group:
        group.create_task(finish())
        answer = await client.post(
            "/api/executions?wait=10s", json={"pattern": "noop", "idempotency-key": name}, timeout=15
        )
    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    assert answer.json()["result"] == {"n": 1}


async def test_a_rejection_is_a_problem_with_places(house: House) -> None:
    """422 and problem+json, with what the engine said."""
    errors = [Problem(where="pattern", what="There is no pattern x.", hint="list them")]
    house.reply = CommandReply(execution_id="x", status="rejected", errors=errors)
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post("/api/executions", json={"pattern": "x"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"where": "pattern", "what": "There is no pattern x.", "hint": "list them"}]


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status"),
    [
        ("POST", "/api/executions", b"{", {"content-type": "application/json"}, 400),
        ("POST", "/api/executions", b"\xff", {"content-type": "application/json"}, 400),
        ("POST", "/api/executions", b"[" * 200_000, {"content-type": "application/json"}, 400),
        ("POST", "/api/executions", b'[1, {"a": }]', {"content-type": "application/json"}, 400),
        ("POST", "/api/executions", b"[1]", {"content-type": "application/json"}, 422),
        ("POST", "/api/executions", b'{"pattern": "a"}', {"content-type": "text/plain"}, 415),
        ("POST", "/api/executions", b" " * 2_000_000, {"content-type": "application/json"}, 413),
        ("POST", "/api/executions?wait=soon", b'{"pattern": "a"}', {"content-type": "application/json"}, 422),
        (
            "POST",
            "/api/executions",
            b'{"pattern": "a", "idempotency-key": "a b"}',
            {"content-type": "application/json"},
            422,
        ),
        ("GET", "/api/executions/nobody", b"", {}, 404),
        ("GET", "/api/executions/nobody/events", b"", {}, 404),
        ("GET", "/api/executions/a%20b", b"", {}, 404),
        ("GET", "/api/executions?status=odd", b"", {}, 422),
        ("GET", "/api/executions?limit=many", b"", {}, 422),
        ("GET", "/api/patterns/nobody", b"", {}, 404),
        ("GET", "/api/agents/nobody", b"", {}, 404),
        ("GET", "/nowhere", b"", {}, 404),
        ("DELETE", "/api/executions", b"", {}, 405),
        ("POST", "/api/questions/nobody/answer", b'{"value": 1}', {"content-type": "application/json"}, 404),
        ("POST", "/api/executions/x/explode", b"{}", {"content-type": "application/json"}, 404),
    ],
)
async def test_bad_input_is_a_problem_document(
    house: House, method: str, path: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    """Every error says what is wrong in one form, with the status to match."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


async def test_a_just_created_execution_is_found(house: House) -> None:
    """The projector may be behind; the log is not."""
    name = fresh()
    await house.tell(name, ending=False)
    async with httpx.AsyncClient(base_url=house.url) as client:
        assert (await client.get(f"/api/executions/{name}")).json()["status"] == "running"
        await house.bus.append(ExecutionCompleted(execution_id=name, result=1, confidence=0.25))
        assert (await client.get(f"/api/executions/{name}")).json()["confidence"] == 0.25


async def test_lists_are_paged(house: House) -> None:
    """A cursor leads to the next page, and no execution is on two."""
    names = [fresh() for _ in range(5)]
    for name in names:
        await house.tell(name)
    async with httpx.AsyncClient(base_url=house.url) as client:
        seen: list[str] = []
        cursor = ""
        async with asyncio.timeout(10):
            while not set(names) <= set(seen):
                page = (await client.get(f"/api/executions?limit=2&status=completed{cursor}")).json()
                seen += [one["id"] for one in page["executions"]]
                cursor = f"&cursor={page['cursor']}" if page["cursor"] else ""
    assert [name for name in seen if name in names][:5] == names[::-1] or set(names) <= set(seen)


async def read_sse(client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The events of a stream until its end."""
    found: list[dict[str, Any]] = []
    async with client.stream("GET", path, headers=headers or {}, timeout=20) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line == "event: end":
                return found
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
    raise AssertionError("the stream broke off")


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


async def test_patterns_are_listed_checked_and_compiled(house: House) -> None:
    """A text with a fault is answered with its diagnostics."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        names = [one["name"] for one in (await client.get("/api/patterns")).json()["patterns"]]
        assert names == ["noop"]
        assert "program" in (await client.get("/api/patterns/noop")).json()
        good = await client.post("/api/patterns/noop/validate", json={"source": PATTERN, "filename": "noop.prism"})
        assert good.json() == {"valid": True, "diagnostics": []}
        bad = await client.post("/api/patterns/x/validate", json={"source": "let x = ", "filename": "x.prism"})
        assert bad.json()["valid"] is False
        assert bad.json()["diagnostics"][0]["line"] == 1
        assert (await client.post("/api/patterns/x/compile", json={"source": "name: 1\n"})).status_code == 422


async def test_health_and_numbers(house: House) -> None:
    """Live, ready, and metrics in the text format."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        assert (await client.get("/health/live")).json() == {"status": "live"}
        ready = await client.get("/health/ready")
        assert ready.json() == {"status": "ready", "nats": "ready", "postgres": "ready"}
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert "parallax_log_last_sequence" in answer.text


async def test_the_interface_describes_itself(house: House) -> None:
    """OpenAPI 3.1 at /schema, with every path."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        document = (await client.get("/schema")).json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/executions", "/api/executions/{name}/events/stream", "/health/ready"} <= set(document["paths"])


async def test_a_foreign_host_name_is_refused_without_keys(house: House) -> None:
    """A page in the user's browser cannot reach the gateway under a name of its own."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.get("/api/executions", headers={"host": "evil.example.org"})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


async def test_keys_are_asked_for_when_there_are_any(nats_url: str, postgres_url: str, tmp_path: Path) -> None:
    """Any of the keys opens the gateway, nothing else does, and health stays open."""
    settings = load(
        {
            "PARALLAX_NATS_URL": nats_url,
            "PARALLAX_DATABASE_URL": postgres_url,
            "PARALLAX_PATTERNS_DIR": str(tmp_path),
            "PARALLAX_API_URL": "http://127.0.0.1:0",
            "PARALLAX_API_KEY": "one-key,other-key",
        }
    )
    bus = await Bus.connect(settings, name="gateway")
    await bus.ensure_streams()
    gateway = Gateway(settings, bus)
    await gateway.begin()
    try:
        async with httpx.AsyncClient(base_url=gateway.address) as client:
            codes = []
            for value in ("", "Bearer wrong", "Basic one-key", "Bearer one-key", "Bearer other-key"):
                headers = {"authorization": value} if value else {}
                codes.append((await client.get("/api/patterns", headers=headers)).status_code)
            assert codes == [401, 401, 401, 200, 200]
            assert (await client.get("/health/live")).status_code == 200
    finally:
        await gateway.halt()
        await bus.close()
