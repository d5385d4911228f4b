"""One connection to NATS that never gives up: subscriptions and requests outlive any number of servers.

What is said while there is no server waits for one. What was said just before a server died may be lost, as
core NATS is; whoever needs more than that asks for an answer and repeats (the log's writer does).
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import structlog

from shared.bus.errors import BusClosed, Disconnected, EventTooLarge, NoResponder, Unreachable
from shared.bus.wire import Message, Wire

_log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_S = 2.0
_PING_EVERY_S = 3.0
_PINGS_UNANSWERED = 3
_LONGEST_WAIT_S = 1.0
_MANY_WAITING = 20_000

Callback = Callable[[Message], None]


class Subscription:
    """Interest in a subject that outlives reconnects."""

    __slots__ = ("callback", "queue", "sid", "subject")

    def __init__(self, sid: int, subject: str, queue: str, callback: Callback) -> None:
        self.sid = sid
        self.subject = subject
        self.queue = queue
        self.callback = callback

    def line(self) -> bytes:
        """What the server is told."""
        return f"SUB {self.subject} {self.queue + ' ' if self.queue else ''}{self.sid}\r\n".encode()


class Connection:
    """A connection to one of several servers, renewed for ever."""

    def __init__(self, url: str, name: str) -> None:
        self._urls = [part.strip() for part in url.split(",") if part.strip()]
        self._name = name
        self._wire: Wire | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._up: asyncio.Event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._subscriptions: dict[int, Subscription] = {}
        self._last_sid = 0
        self._inbox = f"_INBOX.{os.urandom(11).hex()}"
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._requests = 0
        self._watchers: list[Callable[[], Awaitable[None] | None]] = []
        self._last_error = ""
        self._greeted = False
        self.closed = False
        self.reconnects = 0
        self.max_payload = 1 << 20
        self.server_version = ""
        self._inbox_prefix = len(self._inbox) + 1
        self.subscribe(f"{self._inbox}.*", self._answered)

    # -- life -------------------------------------------------------------------------------------------------------

    async def open(self, timeout_s: float | None = None) -> None:
        """Connects, waiting for a server for as long as it takes, or raises Unreachable after `timeout_s`."""
        self._task = asyncio.get_running_loop().create_task(self._keep_connected(), name="bus-connection")
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError:
            await self.close()
            raise Unreachable(f"No NATS server answers at {self.shown_url}: {self._last_error or 'timeout'}.") from None
        except asyncio.CancelledError:
            await self.close()
            raise
        if self.closed:
            raise BusClosed("The connection was closed while it was opened.")

    @property
    def shown_url(self) -> str:
        """The addresses, without passwords."""
        return ", ".join(part.rpartition("@")[2] if "@" in part else part for part in self._urls)

    @property
    def connected(self) -> bool:
        """Whether there is a server now."""
        return self._up.is_set() and not self.closed

    @property
    def congested(self) -> bool:
        """Whether the server reads more slowly than we write."""
        return self._wire is not None and self._wire.congested

    def on_reconnect(self, watcher: Callable[[], Awaitable[None] | None]) -> Callable[[], None]:
        """Calls `watcher` after each connection but the first; gives back what ends that."""
        self._watchers.append(watcher)

        def forget() -> None:
            with suppress(ValueError):
                self._watchers.remove(watcher)

        return forget

    async def until_connected(self) -> Wire:
        """The connection as soon as there is one. Raises BusClosed."""
        while True:
            if self.closed:
                raise BusClosed("The connection to the bus is closed.")
            if self._wire is not None and self._up.is_set():
                return self._wire
            await self._up.wait()

    async def close(self) -> None:
        """Writes what is left and closes for good."""
        if self.closed:
            return
        wire = self._wire
        if wire is not None and self._up.is_set():
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await wire.ping()
        self.closed = True
        self._up.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if wire is not None:
            wire.finish()
        self._fail_waiting(BusClosed("The connection to the bus was closed."))

    async def _keep_connected(self) -> None:
        wait, attempt = 0.02, 0
        first = True
        while not self.closed:
            url = self._urls[attempt % len(self._urls)]
            attempt += 1
            try:
                await self._connect(url)
            except (OSError, TimeoutError, ssl.SSLError, ValueError, msgspec.MsgspecError) as error:
                self._drop()
                self._say_once(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
                await asyncio.sleep(wait * random.uniform(0.7, 1.3))
                wait = min(wait * 1.7, _LONGEST_WAIT_S)
                continue
            wait, self._last_error = 0.02, ""
            self._up.set()
            if not first:
                self.reconnects += 1
                _log.info("bus_reconnected", reconnects=self.reconnects)
                self._tell_watchers()
            first = False
            await self._stay()
            self._drop()
            _log.warning("bus_disconnected")

    def _say_once(self, error: str) -> None:
        if error != self._last_error:
            _log.warning("bus_unreachable", servers=self.shown_url, error=error)
        self._last_error = error

    def _tell_watchers(self) -> None:
        for watcher in list(self._watchers):
            outcome = watcher()
            if outcome is not None:
                task = asyncio.ensure_future(outcome)  # noqa: TID251 - watchers are coroutines or plain functions
                task.add_done_callback(_report)

    async def _connect(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        loop = asyncio.get_running_loop()
        self._lost.clear()
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, wire = await loop.create_connection(
                lambda: Wire(self._heard, self._gone), parts.hostname or "127.0.0.1", parts.port or 4222
            )
            self._wire = wire
            await wire.informed
            if parts.scheme == "tls" or wire.info.get("tls_required"):
                context = ssl.create_default_context()
                secure = await loop.start_tls(wire.transport, wire, context, server_hostname=parts.hostname)
                assert secure is not None
                wire.connection_made(secure)
            wire.say(b"CONNECT " + msgspec.json.encode(self._greeting(parts.username, parts.password)) + b"\r\n")
            await wire.ping()
            self._greeted = True
            for subscription in self._subscriptions.values():
                wire.say(subscription.line())
            await wire.ping()
        self.max_payload = int(wire.info.get("max_payload", 1 << 20))
        self.server_version = str(wire.info.get("version", ""))

    def _greeting(self, user: str | None, password: str | None) -> dict[str, Any]:
        greeting: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "lang": "python-parallax",
            "version": "0.1.0",
            "protocol": 1,
            "headers": True,
            "no_responders": True,
            "echo": True,
            "name": self._name,
        }
        if user and password:
            greeting |= {"user": unquote(user), "pass": unquote(password)}
        elif user:
            greeting["auth_token"] = unquote(user)
        return greeting

    async def _stay(self) -> None:
        """Returns when the connection is lost, or when the server has stopped answering."""
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(_PING_EVERY_S):
                    await self._lost.wait()
            except TimeoutError:
                wire = self._wire
                if wire is None or wire.unanswered >= _PINGS_UNANSWERED:
                    _log.warning("bus_server_silent")
                    return
                wire.ping().add_done_callback(_swallow)

    def _gone(self, _error: Exception | None) -> None:
        self._lost.set()
        self._greeted = False
        if not self.closed:
            self._up.clear()
            self._fail_waiting(Disconnected("The connection to the bus was lost."))

    def _drop(self) -> None:
        if not self.closed:
            self._up.clear()
        self._greeted = False
        wire, self._wire = self._wire, None
        if wire is not None:
            self._last_error = self._last_error or wire.error
            wire.abort()
        self._fail_waiting(Disconnected("The connection to the bus was lost."))

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)
                future.exception()

    # -- saying and hearing -----------------------------------------------------------------------------------------

    def subscribe(self, subject: str, callback: Callback, queue: str = "") -> Subscription:
        """Calls `callback` with each message on a subject, in order. It must be quick and not raise."""
        self._last_sid += 1
        subscription = Subscription(self._last_sid, subject, queue, callback)
        self._subscriptions[subscription.sid] = subscription
        if self._wire is not None and self._greeted:
            self._wire.say(subscription.line())
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more calls."""
        if self._subscriptions.pop(subscription.sid, None) is not None and self._greeted:
            assert self._wire is not None
            self._wire.say(b"UNSUB %d\r\n" % subscription.sid)

    async def publish(self, subject: str, payload: bytes, headers: bytes = b"", reply: str = "") -> None:
        """Says something as soon as there is a server. Raises EventTooLarge, BusClosed."""
        wire = self._wire
        if wire is None or not self._up.is_set() or self.closed:
            wire = await self.until_connected()
        if wire.congested:
            await wire.writable()
        wire.say(self.frame(subject, payload, headers, reply))

    def publish_now(self, subject: str, payload: bytes, headers: bytes = b"", reply: str = "") -> bool:
        """Says something if there is a server at this moment; says whether there was."""
        if self._wire is None or not self._up.is_set() or self.closed:
            return False
        self._wire.say(self.frame(subject, payload, headers, reply))
        return True

    def frame(self, subject: str, payload: bytes, headers: bytes, reply: str) -> bytes:
        """The bytes of one message. Raises EventTooLarge."""
        size = len(headers) + len(payload)
        if size > self.max_payload:
            raise EventTooLarge(f"A message of {size} bytes is larger than the server takes ({self.max_payload}).")
        if not subject or " " in subject or not subject.isprintable():
            raise ValueError(f"{subject!r} is no subject.")
        target = f"{subject} {reply}" if reply else subject
        if headers:
            return b"HPUB %b %d %d\r\n%b%b\r\n" % (target.encode(), len(headers), size, headers, payload)
        return b"PUB %b %d\r\n%b\r\n" % (target.encode(), size, payload)

    def ask(self, subject: str, payload: bytes, headers: bytes = b"") -> asyncio.Future[Message]:
        """Publishes a request at once; the future gets the answer, or Disconnected. Raises EventTooLarge."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._requests += 1
        token = f"{self._requests:x}"
        if self._wire is None or not self._up.is_set() or self.closed:
            future.set_exception(Disconnected("There is no connection to the bus."))
            future.exception()
            return future
        frame = self.frame(subject, payload, headers, f"{self._inbox}.{token}")
        if len(self._waiting) > _MANY_WAITING:
            self._waiting = {key: waiting for key, waiting in self._waiting.items() if not waiting.done()}
        self._waiting[token] = future
        self._wire.say(frame)
        return future

    async def request(self, subject: str, payload: bytes = b"", headers: bytes = b"", timeout_s: float = 2.0) -> Message:
        """Asks and waits for the answer. Raises NoResponder, TimeoutError, Disconnected, BusClosed, EventTooLarge."""
        async with asyncio.timeout(timeout_s):
            await self.until_connected()
            future = self.ask(subject, payload, headers)
            token = f"{self._requests:x}"
            try:
                message = await future
            finally:
                self._waiting.pop(token, None)
        if message.status == 503:
            raise NoResponder(f"Nobody answers on {subject}.")
        return message

    def new_inbox(self) -> str:
        """A subject that nobody else has."""
        return f"_INBOX.{os.urandom(11).hex()}"

    async def flush(self, timeout_s: float = 2.0) -> None:
        """Returns when the server has seen everything that was said before."""
        async with asyncio.timeout(timeout_s):
            wire = await self.until_connected()
            await wire.ping()

    def _answered(self, message: Message) -> None:
        future = self._waiting.pop(message.subject[self._inbox_prefix :], None)
        if future is not None and not future.done():
            future.set_result(message)

    def _heard(self, message: Message) -> None:
        subscription = self._subscriptions.get(message.sid)
        if subscription is None:
            return
        try:
            subscription.callback(message)
        except Exception as error:  # noqa: BLE001 - a callback's fault must not end the connection of everybody else
            _log.exception("bus_callback_failed", subject=message.subject, exc_info=error)


def _swallow(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()


def _report(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("bus_watcher_failed", exc_info=task.exception())
