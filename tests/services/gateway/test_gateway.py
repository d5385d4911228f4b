"""The gateway over real HTTP, on a real bus and a real Postgres, with an engine's part played by the test."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.base import Problem
from schemas.commands import CommandReply
from schemas.events import ExecutionCompleted
from services.gateway.service import Gateway
from shared import subjects
from shared.bus import Bus
from shared.config import load
from tests.services.gateway.house import PATTERN, House, fresh


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


@pytest.mark.parametrize(
    ("body", "where", "hint"),
    [
        ({"options": {"budget": {"token": 5}}}, "options.budget.token", "Did you mean 'tokens'?"),
        ({"options": {"budget": {"tokens": -5}}}, "options.budget.tokens", "Leave it out where there is no limit."),
        ({"options": {"timeuot": "2m"}}, "options.timeuot", "Did you mean 'timeout'?"),
        ({"option": {}}, "option", "Did you mean 'options'?"),
    ],
)
@pytest.mark.parametrize("path", ["/api/executions", "/api/patterns/noop/execute"])
async def test_a_misspelt_option_is_refused(
    house: House, path: str, body: dict[str, object], where: str, hint: str
) -> None:
    """422 with the place, and nothing is sent: a misspelt budget would be none."""
    before = len(house.heard)
    given = body if path.endswith("execute") else {"pattern": "noop", **body}
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post(path, json=given)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["where"], error["hint"]) == (where, hint)
    assert len(house.heard) == before


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
        (
            "POST",
            "/api/executions",
            b'{"pattern": "a"}',
            {"content-type": "application/json", "idempotency-key": ""},
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
        ("GET", "/schema/nothing", b"", {}, 404),
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


async def test_running_a_pattern_by_its_path(house: House) -> None:
    """As a request with its name; one that the engine does not know is not found."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        name = fresh()
        taken = await client.post("/api/patterns/noop/execute", json={"idempotency-key": name})
        assert (taken.status_code, taken.json()["id"]) == (202, name)
        errors = [Problem(where="pattern", what="There is no pattern 'x'.", hint="list them")]
        house.reply = CommandReply(execution_id="x", status="rejected", errors=errors)
        unknown = await client.post("/api/patterns/x/execute", json={})
        assert (unknown.status_code, unknown.json()["errors"][0]["where"]) == (404, "pattern")


async def test_patterns_are_listed_checked_and_compiled(house: House) -> None:
    """A text with a fault is answered with its diagnostics."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        names = [one["name"] for one in (await client.get("/api/patterns")).json()["patterns"]]
        shipped = {file.stem for file in (Path(__file__).parents[3] / "patterns").iterdir()}
        assert set(names) == {"noop"} | shipped
        assert "program" in (await client.get("/api/patterns/noop")).json()
        good = await client.post("/api/patterns/noop/validate", json={"source": PATTERN, "filename": "noop.prism"})
        assert good.json() == {"valid": True, "diagnostics": []}
        bad = await client.post("/api/patterns/x/validate", json={"source": "let x = ", "filename": "x.prism"})
        assert bad.json()["valid"] is False
        assert bad.json()["diagnostics"][0]["line"] == 1
        assert (await client.post("/api/patterns/x/compile", json={"source": "name: 1\n"})).status_code == 422


@pytest.mark.parametrize(
    ("given", "valid", "words"),
    [
        ({"task": "mend"}, True, []),
        ({}, False, ["'task' is missing"]),
        ({"task": 3}, False, ["input.task is a number, not a text"]),
        ({"task": "t", "tsk": "x"}, False, ["there is no input field 'tsk'"]),
    ],
)
async def test_an_input_is_held_against_what_a_pattern_declares(
    house: House, given: dict[str, Any], valid: bool, words: list[str]
) -> None:
    """Of a text that is sent along, and of a pattern of the library, which takes any."""
    source = (
        'export const pattern = {name: "p", version: "1.0.0", input: {task: {type: "string", required: true}}}\n1\n'
    )
    async with httpx.AsyncClient(base_url=house.url) as client:
        body = {"source": source, "filename": "p.prism", "input": given}
        checked = (await client.post("/api/patterns/p/validate", json=body)).json()
        assert (checked["valid"], [one["what"] for one in checked["errors"]]) == (valid, words)
        library = (await client.post("/api/patterns/noop/validate", json={"input": given})).json()
        assert (library["valid"], library["errors"]) == (True, [])


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("/api/patterns/noop/validate", {"inptu": {}}, "inptu"),
        ("/api/patterns/noop/compile", {"sauce": "x"}, "sauce"),
        ("/api/questions/nobody/answer", {"value": 1, "reson": "x"}, "reson"),
        ("/api/executions/nobody/cancel", {"reasn": "x"}, "reasn"),
    ],
)
async def test_a_key_that_means_nothing_is_refused(house: House, path: str, body: dict[str, Any], key: str) -> None:
    """Whatever the body is for: it would be lost without a word."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, key)
    assert "Did you mean" in answer.json()["errors"][0]["hint"]


async def test_what_is_too_large_is_told_where_to_put_it(house: House) -> None:
    """The limit alone helps nobody."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.post("/api/executions", json={"pattern": "noop", "input": {"x": "y" * 1_100_000}})
    assert answer.status_code == 413
    assert "Put large inputs into the repository" in answer.json()["errors"][0]["hint"]


async def test_health_and_numbers(house: House) -> None:
    """Live, ready, and metrics in the text format."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        assert (await client.get("/health/live")).json() == {"status": "live"}
        ready = await client.get("/health/ready")
        assert ready.json() == {"status": "ready", "nats": "ready", "postgres": "ready"}
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert "parallax_log_last_sequence" in answer.text


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


async def test_an_ended_execution_can_be_asked_for_again(house: House) -> None:
    """A retry is a new execution with the same request; one that still runs is refused."""
    name, again = fresh(), fresh()
    await house.tell(name, ending=False)
    async with httpx.AsyncClient(base_url=house.url) as client:
        early = await client.post(f"/api/executions/{name}/retry")
        assert (early.status_code, early.json()["status"]) == (409, 409)
        await house.bus.append(ExecutionCompleted(execution_id=name))
        late = await client.post(f"/api/executions/{name}/retry", headers={"idempotency-key": again})
        assert (late.status_code, late.json()["id"]) == (202, again)
    body = next(json.loads(one.payload) for one in house.heard if again in one.payload.decode())
    assert body["pattern"] == "noop"


async def test_executions_go_on_without_postgres(nats_url: str, tmp_path: Path) -> None:
    """Lists answer 503 and say when to come back; requests are taken, and events and executions come from the log."""
    environment = {
        "PARALLAX_NATS_URL": nats_url,
        "PARALLAX_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "PARALLAX_PATTERNS_DIR": str(tmp_path),
        "PARALLAX_API_URL": "http://127.0.0.1:0",
    }
    settings = load(environment)
    bus = await Bus.connect(settings, name="gateway")
    await bus.ensure_streams()
    gateway = Gateway(settings, bus)
    await gateway.begin()
    house = House(gateway, bus)
    name = fresh()
    worker = await bus.work(durable=f"test-{name}", stream="requests", filters=[subjects.REQUEST], handler=house.handle)
    try:
        await house.tell(name)
        async with httpx.AsyncClient(base_url=gateway.address) as client:
            away = await client.get("/api/executions")
            assert (away.status_code, away.headers["retry-after"]) == (503, "2")
            assert away.headers["content-type"] == "application/problem+json"
            assert (await client.get(f"/api/executions/{name}")).json()["status"] == "completed"
            events = (await client.get(f"/api/executions/{name}/events")).json()["events"]
            assert [one["type"] for one in events][-1] == "execution.completed"
            assert (await client.post("/api/executions", json={"pattern": "noop"})).status_code == 202
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/health/live")).status_code == 200
    finally:
        await worker.stop()
        await gateway.halt()
        await bus.close()


async def raw(house: House, *parts: bytes, half_close: bool = True) -> bytes:
    """What the gateway answers to bytes that come in parts, from a client that then stops sending."""
    reader, writer = await asyncio.open_connection(*house.url.removeprefix("http://").split(":"))
    for part in parts:
        writer.write(part)
        await writer.drain()
    if half_close:
        writer.write_eof()
    found = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return found


async def test_a_client_that_stops_sending_gets_its_answer(house: House) -> None:
    """A request byte by byte, and one whose sender closes its side at once, are answered like any other."""
    name = fresh()
    await house.tell(name)
    request = f"GET /api/executions/{name}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
    whole = await raw(house, request)
    assert whole.startswith(b"HTTP/1.1 200")
    assert b"execution.completed" in whole
    bits = await raw(house, *(request[place : place + 1] for place in range(len(request))), half_close=False)
    assert bits.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET /api/stats HTTP/1.1\r\n", b"", b"\x16\x03\x01\x02"])
async def test_what_is_no_request_harms_nobody(house: House, sent: bytes) -> None:
    """Nonsense, half a request and a TLS greeting end their connection; the next client is served."""
    assert b" 200 " not in await raw(house, sent)
    async with httpx.AsyncClient(base_url=house.url) as client:
        assert (await client.get("/health/live")).status_code == 200


async def test_half_a_body_is_no_body(house: House) -> None:
    """A body that ends before its length asks for nothing."""
    name = fresh()
    body = f'{{"pattern": "noop", "execution_id": "{name}"}}'.encode()
    head = f"POST /api/executions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body) + 9}\r\n".encode()
    await raw(house, head + b"content-type: application/json\r\n\r\n" + body)
    assert not [one for one in house.heard if name in one.payload.decode()]


async def test_a_wrong_method_is_told_the_right_ones(house: House) -> None:
    """405 names what the path takes."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        answer = await client.delete("/api/executions")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, POST, OPTIONS"
        assert (await client.request("TRACE", "/health/live")).headers["allow"] == "GET, OPTIONS"
