"""Requests of programs over HTTP, made by a real executor to a real server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from schemas.events import ExecutionCancelled, HttpCompleted, HttpRequested
from services.executor import http_calls
from services.executor.http_calls import HttpRefused, check_host
from shared.ids import new_id
from shared.testing import eventually
from tests.services.executor.rooms import House, house


class Server:
    """A small web server that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.port = 0
        self.hold = asyncio.Event()
        self.hold.set()

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever the path asks for."""
        self.asked.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        await self.hold.wait()
        answers: dict[str, Callable[[], Awaitable[web.StreamResponse] | web.StreamResponse]] = {
            "/json": lambda: web.json_response({"a": [1, None]}, headers={"ETag": '"1"', "Set-Cookie": "s=1"}),
            "/text": lambda: web.Response(text="grüße", charset="latin-1"),
            "/broken": lambda: web.Response(body=b"{no", content_type="application/json"),
            "/deep": lambda: web.Response(text="[" * 5000 + "]" * 5000, content_type="application/json"),
            "/control": lambda: web.Response(body=b"\x01" * http_calls.MOST_BYTES, content_type="text/plain"),
            "/large": lambda: web.Response(body=b"x" * (http_calls.MOST_BYTES + 1)),
            "/loop": lambda: web.Response(status=302, headers={"Location": "/loop"}),
            "/see": lambda: web.Response(status=303, headers={"Location": "/json"}),
            "/away": lambda: web.Response(status=302, headers={"Location": f"http://localhost:{self.port}/json"}),
            "/teapot": lambda: web.Response(status=418),
        }
        made = answers[request.path]()
        return await made if isinstance(made, Awaitable) else made


@asynccontextmanager
async def server() -> AsyncGenerator[Server]:
    """A server on a free port."""
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        made.hold.set()
        await runner.cleanup()


async def ask(rooms: House, url: str, execution_id: str = "", **fields: Any) -> HttpRequested:
    """Puts a request into the log."""
    values: dict[str, Any] = {"method": "GET", "effect": "1", "digest": "d"} | fields
    asked = HttpRequested(execution_id=execution_id or new_id(), url=url, **values)
    await rooms.bus.append(asked)
    return asked


async def answered(rooms: House, asked: HttpRequested) -> HttpCompleted:
    """What came of it."""

    async def found() -> list[Any]:
        events = [record.data for record in await rooms.events(asked.execution_id)]
        return [event for event in events if isinstance(event, HttpCompleted)]

    return (await eventually(found))[0]


async def test_what_a_server_says(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """JSON is a value, other bodies are text, and only harmless headers are kept; any status is an answer."""
    async with server() as web_server:
        allow = (f"127.0.0.1:{web_server.port}",)
        async with house(nats_url, etcd_url, tmp_path, http_allow=allow) as rooms:
            await rooms.open("executor")
            sent: dict[str, Any] = {"method": "POST", "headers": {"X-One": "1"}, "body": {"k": "v"}}
            asked = await ask(rooms, web_server.url("/json?q=1"), **sent)
            made = await answered(rooms, asked)
            assert (made.status, made.body, made.headers["etag"]) == (200, {"a": [1, None]}, '"1"')
            assert "set-cookie" not in made.headers
            method, path, headers, body = web_server.asked[0]
            assert (method, path, body) == ("POST", "/json?q=1", '{"k":"v"}')
            assert (headers["X-One"], headers["Content-Type"]) == ("1", "application/json")
            assert headers["Idempotency-Key"] == asked.event_id
            expected = {
                "/text": (200, "grüße"),
                "/broken": (200, "{no"),
                "/control": (200, "\x01" * http_calls.MOST_BYTES),
                "/deep": (200, "[" * 5000 + "]" * 5000),
                "/teapot": (418, None),
            }
            for path, (status, text) in expected.items():
                made = await answered(rooms, await ask(rooms, web_server.url(path)))
                assert (made.status, made.body, made.error) == (status, text, None)


async def test_redirects_and_sizes_have_an_end(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Each hop has to be allowed, and a POST becomes a GET where the server says so."""
    async with server() as web_server:
        allow = (f"127.0.0.1:{web_server.port}",)
        async with house(nats_url, etcd_url, tmp_path, http_allow=allow) as rooms:
            await rooms.open("executor")
            made = await answered(rooms, await ask(rooms, web_server.url("/see"), method="POST", body={"a": 1}))
            assert (made.status, made.body) == (200, {"a": [1, None]})
            assert [(method, body) for method, _, _, body in web_server.asked] == [("POST", '{"a":1}'), ("GET", "")]
            for path, code, words in (
                ("/loop", "http_failed", "more than 5 times"),
                ("/large", "http_too_large", "larger than 256 KiB"),
                ("/away", "http_refused", "localhost"),
            ):
                made = await answered(rooms, await ask(rooms, web_server.url(path)))
                assert made.error is not None
                assert (made.error.code, words in made.error.message) == (code, True), made.error
            web_server.hold.clear()
            made = await answered(rooms, await ask(rooms, web_server.url("/json"), timeout_ms=50))
            assert made.error is not None
            assert made.error.code == "http_timeout"


async def test_nothing_is_asked_unless_a_setting_allows_it(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """The failure names the setting. A star does not open this machine."""
    async with server() as web_server:
        for allow in ((), ("*",), ("example.org",)):
            async with house(nats_url, etcd_url, tmp_path, http_allow=allow) as rooms:
                await rooms.open("executor")
                for host in ("127.0.0.1", "localhost"):
                    made = await answered(rooms, await ask(rooms, f"http://{host}:{web_server.port}/json"))
                    assert made.error is not None
                    assert made.error.code == "http_refused"
                    assert "PARALLAX_HTTP_ALLOW" in made.error.message
        assert web_server.asked == []


async def test_a_request_is_made_again_by_the_next_executor(
    nats_url: str, etcd_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same key, when the first one died before there was an answer; and one fact is what comes of both."""
    async with server() as web_server:
        allow = f"127.0.0.1:{web_server.port}"
        monkeypatch.setenv("PARALLAX_HTTP_ALLOW", allow)
        async with house(nats_url, etcd_url, tmp_path, http_allow=(allow,)) as rooms:
            web_server.hold.clear()
            first = await rooms.process("executor")
            asked = await ask(rooms, web_server.url("/json"))
            await eventually(lambda: len(web_server.asked) == 1)
            first.kill()
            await first.wait()
            web_server.hold.set()
            await rooms.open("executor")
            assert (await answered(rooms, asked)).body == {"a": [1, None]}
            assert [headers["Idempotency-Key"] for _, _, headers, _ in web_server.asked] == [asked.event_id] * 2
            assert (await rooms.types(asked.execution_id)).count("http.completed") == 1


async def test_an_execution_that_is_over_asks_nothing(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """What it asked for and nobody has begun is left."""
    async with server() as web_server:
        allow = (f"127.0.0.1:{web_server.port}",)
        async with house(nats_url, etcd_url, tmp_path, http_allow=allow) as rooms:
            name = new_id()
            await rooms.bus.append(ExecutionCancelled(execution_id=name, reason="enough"))
            await ask(rooms, web_server.url("/json"), name)
            await rooms.open("executor")
            await answered(rooms, await ask(rooms, web_server.url("/teapot")))
            assert [path for _, path, _, _ in web_server.asked] == ["/teapot"]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/",
        "http://127.9.9.9/", "http://x.localhost/", "file:///etc/passwd", "http://127\u30020\u30020\u30021/",
        "http://%31%32%37.0.0.1/",
    ],
)  # fmt: skip
def test_a_star_does_not_reach_inside(url: str) -> None:
    """Addresses of this machine and of the link have to be named, however they are spelt."""
    with pytest.raises(HttpRefused):
        check_host(url, ("*",))


def test_hosts_are_named_alone_or_with_a_port() -> None:
    """Case does not matter, and the port of the scheme counts."""
    check_host("https://API.Example.org/x", ("api.example.org",))
    check_host("https://api.example.org/x", ("api.example.org:443",))
    check_host("http://[::1]:8080/", ("[::1]:8080",))
    for url in ("http://api.example.org/", "https://api.example.org:444/", "https://b.api.example.org/"):
        with pytest.raises(HttpRefused):
            check_host(url, ("api.example.org:443",))
