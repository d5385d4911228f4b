"""What programs ask for over HTTP: allowed hosts only, bounded in every direction, and one fact in the end.

A request is made at least once: an executor that dies after it and before the fact is written makes it again, with the
same `Idempotency-Key`. Whether a host may be asked is decided for each hop, and again for the addresses behind a name,
so that no redirect and no name server leads into this machine or its network's link.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from schemas.base import Failure, Json, too_deep
from schemas.events import ENDINGS, HttpCompleted, HttpRequested
from schemas.json_text import clean_text, read_json
from shared.bus import Bus, Delivery
from shared.shortening import shortened

MOST_BYTES = 256 * 1024
"""Of an answer's body, as it is after decompression."""

MOST_REDIRECTS = 5
SHOWN_HEADERS = frozenset(
    {"cache-control", "content-language", "content-type", "date", "etag", "last-modified", "link", "location",
     "retry-after", "x-request-id"}
)  # fmt: skip
"""The headers of an answer that go into the log: none of them is a secret."""

_HOST = re.compile(r"[a-z0-9._:-]{1,253}\Z")
"""Other letters could mean another host to the client than to the check."""

_LONGEST_HEADER = 2_000
_LONGEST_REASON = 2_000
_SETTING = "PARALLAX_HTTP_ALLOW"


class HttpRefused(Exception):
    """A request that is not made, or whose answer cannot be used; `code` and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class HttpCalls:
    """Makes the requests of programs. `allowed` are hosts, `host:port`, or `*`."""

    def __init__(self, bus: Bus, allowed: tuple[str, ...]) -> None:
        self._bus = bus
        self._allowed = allowed

    async def call(self, delivery: Delivery) -> None:
        """Makes a request that nobody has made yet and appends what came of it."""
        request = delivery.data
        if not isinstance(request, HttpRequested) or await self._over(request):
            return
        await self._bus.append(await self._made(request), cause=delivery)

    async def parked(self, delivery: Delivery, reason: str) -> None:
        """A request that could not be handled again and again fails with a word: a program waits for it."""
        if isinstance(delivery.data, HttpRequested):
            message = f"The request could not be made: {shortened(reason, _LONGEST_REASON)}"
            await self._bus.append(_failed(delivery.data, "http_failed", message), cause=delivery)

    async def _over(self, request: HttpRequested) -> bool:
        async for record in self._bus.read(request.execution_id, types=("http.completed", *sorted(ENDINGS))):
            if record.type in ENDINGS:
                return True
            if isinstance(record.data, HttpCompleted) and record.data.effect == request.effect:
                return True
        return False

    async def _made(self, request: HttpRequested) -> HttpCompleted:
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                return await self._follow(request)
        except TimeoutError:
            return _failed(request, "http_timeout", f"There was no answer within {request.timeout_ms} ms.")
        except HttpRefused as error:
            return _failed(request, error.code, str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            return _failed(
                request, "http_failed", f"The request could not be made: {shortened(reason, _LONGEST_REASON)}"
            )

    async def _follow(self, request: HttpRequested) -> HttpCompleted:
        connector = aiohttp.TCPConnector(resolver=_Resolver(self._allowed), limit=1, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            method, url, body, headers = request.method, request.url, request.body, dict(request.headers)
            for _ in range(MOST_REDIRECTS + 1):
                check_host(url, self._allowed)
                options: dict[str, Any] = {} if body is None else _sent(body, headers)
                sent = {**headers, **options.pop("headers", {}), "Idempotency-Key": request.event_id}
                async with session.request(method, url, headers=sent, allow_redirects=False, **options) as answer:
                    target = answer.headers.get("Location", "")
                    if answer.status not in {301, 302, 303, 307, 308} or not target:
                        return await _answered(request, answer)
                    after = urljoin(url, target)
                    if answer.status == 303 or (answer.status in {301, 302} and method == "POST"):
                        method, body = ("HEAD" if method == "HEAD" else "GET"), None
                    if urlsplit(after)[:2] != urlsplit(url)[:2]:
                        headers = {}
                    url = after
        raise HttpRefused("http_failed", f"The server redirects more than {MOST_REDIRECTS} times.")


def _sent(body: Json, headers: dict[str, str]) -> dict[str, Any]:
    """A text is sent as it is, anything else as JSON."""
    typed = any(name.lower() == "content-type" for name in headers)
    if isinstance(body, str):
        return {"data": body.encode(), "headers": {} if typed else {"Content-Type": "text/plain; charset=utf-8"}}
    return {"data": msgspec.json.encode(body), "headers": {} if typed else {"Content-Type": "application/json"}}


async def _answered(request: HttpRequested, answer: aiohttp.ClientResponse) -> HttpCompleted:
    raw = bytearray()
    async for chunk in answer.content.iter_chunked(16 * 1024):
        raw += chunk
        if len(raw) > MOST_BYTES:
            raise HttpRefused("http_too_large", f"The answer is larger than {MOST_BYTES // 1024} KiB.")
    shown = {
        name.lower(): shortened(text, _LONGEST_HEADER)
        for name, text in answer.headers.items()
        if name.lower() in SHOWN_HEADERS
    }
    body = _body(bytes(raw), answer)
    return HttpCompleted(
        execution_id=request.execution_id, effect=request.effect, status=answer.status, headers=shown, body=body
    )


def _body(raw: bytes, answer: aiohttp.ClientResponse) -> Json:
    if not raw:
        return None
    kind = answer.content_type
    if kind == "application/json" or kind.endswith("+json"):
        try:
            made = read_json(raw)
            if not too_deep(made):
                return made
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    try:
        return clean_text(raw.decode(answer.charset or "utf-8", "replace"))
    except LookupError:
        return clean_text(raw.decode("utf-8", "replace"))


def _failed(request: HttpRequested, code: str, message: str) -> HttpCompleted:
    return HttpCompleted(
        execution_id=request.execution_id, effect=request.effect, error=Failure(code=code, message=message)
    )


# -- who may be asked -------------------------------------------------------------------------------------------------


def check_host(url: str, allowed: tuple[str, ...]) -> None:
    """Raises HttpRefused unless the settings allow the host of a URL."""
    parts = urlsplit(url)
    host, port = (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme not in {"http", "https"} or not _HOST.match(host) or parts.username is not None:
        raise HttpRefused("http_refused", f"{url[:200]!r} is no http:// or https:// URL with a host in plain letters.")
    if not named(host, port, allowed) and "*" not in allowed:
        hint = f"Whoever runs the executor can allow it: {_SETTING}={shown_host(host, port)}"
        raise HttpRefused("http_refused", f"Requests to {shown_host(host, port)} are not allowed. {hint}")
    if is_inside(host) and not named(host, port, allowed):
        raise HttpRefused(
            "http_refused", f"{host} is an address of this machine or its link; {_SETTING} has to name it."
        )


def shown_host(host: str, port: int) -> str:
    """A host and a port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def named(host: str, port: int, allowed: tuple[str, ...]) -> bool:
    """Whether the settings name a host, alone or with its port."""
    bare = f"[{host}]" if ":" in host else host
    return host in allowed or bare in allowed or f"{bare}:{port}" in allowed


def is_inside(host: str) -> bool:
    """Whether an address is of this machine or its link. A name is, when it is `localhost`."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


class _Resolver(AbstractResolver):
    """Resolves names, and refuses those that lead into this machine unless the settings name them as such."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        if is_inside(host) and named(host.lower(), port, self._allowed):
            return found
        if any(is_inside(one["host"]) for one in found):
            raise HttpRefused("http_refused", f"{host} leads to an address of this machine or its link.")
        return found

    async def close(self) -> None:
        """Nothing is held."""
        await self._inner.close()
