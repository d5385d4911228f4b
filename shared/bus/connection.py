"""One connection to NATS that never gives up: subscriptions and requests outlive any number of servers.

A thin layer over nats-py that keeps what we promise where the library does not:

* It is connected for ever. An error word of the server (too many connections, a slow consumer, an authorization that
  was changed) closes nats-py's client for good; then a new one takes its place, with all subscriptions.
* A request fails at once when its connection is lost, instead of waiting out its time.
* `flush` is a barrier. nats-py's own writes its PING past what is still pending, and one that times out leaves a
  cancelled future behind that ends the read loop when the PONG comes after all.
* Nothing is written while there is no server, so nothing is buffered without bound and sent later as if it were new.

What is said while there is no server waits for one. What was said just before a server died may be lost, as core
NATS is; whoever needs more than that asks for an answer and repeats (the log's writer does).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client

from shared.bus.errors import BusClosed, Disconnected, EventTooLarge, NoResponder, Unreachable
from shared.bus.raw import RawMessage
from shared.bus.subscription import Callback, Subscription

_log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_S = 2
_PING_EVERY_S = 5
_PINGS_UNANSWERED = 2
_RECONNECT_WAIT_S = 0.1
_MANY_WAITING = 20_000
_CLOSE_S = 2.0

Watcher = Callable[[], Awaitable[None]]


class Connection:
    """A connection to one of several servers, renewed for ever."""

    def __init__(self, url: str, name: str) -> None:
        self._urls = [part.strip() for part in url.split(",") if part.strip()]
        self._name = name
        self._client = Client()
        self._ever = False
        self._up = asyncio.Event()
        self._connecting = False
        self._renewing: asyncio.Task[None] | None = None
        self._subscriptions: list[Subscription] = []
        self._inbox = f"_INBOX.{os.urandom(11).hex()}"
        self._inbox_prefix = len(self._inbox) + 1
        self._answers = Subscription(f"{self._inbox}.*", "", self._answered)
        self._waiting: dict[str, asyncio.Future[RawMessage] | Callable[[RawMessage], None]] = {}
        self._requests = 0
        self._watchers: list[Watcher] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._last_error = ""
        self.closed = False
        self.losses = 0
        """How often the line to a server was lost. It counts before anything is heard over the next one."""
        self.reconnects = 0

    # -- life -------------------------------------------------------------------------------------------------------

    async def open(self, timeout_s: float | None = None) -> None:
        """Connects, waiting for a server for as long as it takes, or raises Unreachable after `timeout_s`."""
        self._subscriptions.append(self._answers)
        try:
            async with asyncio.timeout(timeout_s):
                await self._renew(again=False)
        except TimeoutError:
            await self.close()
            raise Unreachable(f"No NATS server answers at {self.shown_url}: {self._last_error or 'timeout'}.") from None
        except BaseException:
            await self.close()
            raise

    @property
    def shown_url(self) -> str:
        """The addresses, without users and passwords."""
        return ", ".join(part.rpartition("@")[2] if "@" in part else part for part in self._urls)

    @property
    def connected(self) -> bool:
        """Whether there is a server now."""
        return self._up.is_set() and not self.closed

    @property
    def max_payload(self) -> int:
        """The largest message the server takes, headers included, in bytes."""
        return self._client.max_payload

    @property
    def server_version(self) -> str:
        """The server's version, such as `2.15.1`."""
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    @property
    def jetstream(self) -> bool:
        """Whether the server that is connected says of itself that it keeps streams."""
        info: dict[str, Any] = getattr(self._client, "_server_info", {})
        return bool(info.get("jetstream"))

    def on_reconnect(self, watcher: Watcher) -> Callable[[], None]:
        """Calls `watcher` after each connection but the first; gives back what ends that."""
        self._watchers.append(watcher)

        def forget() -> None:
            with suppress(ValueError):
                self._watchers.remove(watcher)

        return forget

    async def until_connected(self) -> None:
        """Returns as soon as there is a server. Raises BusClosed."""
        while not self._up.is_set() or self.closed:
            if self.closed:
                raise BusClosed("The connection to the bus is closed.")
            await self._up.wait()

    async def close(self) -> None:
        """Writes what is left and closes for good."""
        if self.closed:
            return
        if self._up.is_set():
            with suppress(Disconnected, TimeoutError, BusClosed):
                await self.flush(1.0)
        self.closed = True
        self._up.set()
        if self._renewing is not None:
            self._renewing.cancel()
        self._fail_waiting(BusClosed("The connection to the bus was closed."))
        if self._ever:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):  # nats-py waits without end for a peer that reads no more
                    await self._client.close()

    async def _renew(self, *, again: bool) -> None:
        """Connects a new client and subscribes to everything."""
        self._connecting = True
        while True:
            client = Client()
            options: dict[str, Any] = {
                "servers": self._urls,
                "name": self._name,
                "allow_reconnect": True,
                "max_reconnect_attempts": -1,
                "reconnect_time_wait": _RECONNECT_WAIT_S,
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "ping_interval": _PING_EVERY_S,
                "max_outstanding_pings": _PINGS_UNANSWERED,
                "skip_subject_validation": True,
                "error_cb": self._on_error,
                "disconnected_cb": self._on_disconnect,
                "reconnected_cb": self._on_reconnect,
                "closed_cb": self._on_closed,
            }
            try:
                await client.connect(**options)
                self._client, self._ever = client, True
                for subscription in self._subscriptions:
                    await subscription.attach(client)
                if not client.is_connected:
                    raise nats.errors.ConnectionClosedError
            except (nats.errors.Error, OSError, TimeoutError) as error:
                await self._on_error(error)
                with suppress(nats.errors.Error, OSError):
                    await client.close()
                await asyncio.sleep(_RECONNECT_WAIT_S * 5)
                continue
            except asyncio.CancelledError:
                await client.close()
                raise
            break
        self._connecting = False
        self._up.set()
        self._last_error = ""
        if again:
            await self._tell()

    async def _on_error(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, OSError) and error.errno:
            text = os.strerror(error.errno).lower()
        if isinstance(error, nats.errors.SlowConsumerError):
            _log.error("bus_messages_dropped", subject=error.subject)
            await self._tell()
        elif text != self._last_error and not self.closed:
            self._last_error = text
            _log.warning("bus_error", servers=self.shown_url, error=text)

    async def _on_disconnect(self) -> None:
        if self.closed:
            return
        self.losses += 1
        self._up.clear()
        self._fail_waiting(Disconnected("The connection to the bus was lost."))

    async def _on_reconnect(self) -> None:
        for subscription in self._subscriptions:
            if subscription.current is None:  # was asked for while there was no server: nats-py knows nothing of it
                await subscription.attach(self._client)
        if not self._client.is_connected:
            return  # lost again already
        self._up.set()
        self._last_error = ""
        await self._tell()

    async def _on_closed(self) -> None:
        """nats-py has given up, which we do not."""
        if self.closed or self._connecting:
            return
        self.losses += 1
        self._up.clear()
        self._fail_waiting(Disconnected("The server ended the connection."))
        self._renewing = asyncio.get_running_loop().create_task(self._renew(again=True), name="bus-renew")

    async def _tell(self) -> None:
        self.reconnects += 1
        _log.info("bus_reconnected", reconnects=self.reconnects)
        for watcher in list(self._watchers):
            task = asyncio.get_running_loop().create_task(_run(watcher))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            if isinstance(waiter, asyncio.Future):
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()
            else:
                waiter(RawMessage("", "", {"Status": "503", "Description": str(error)}, b""))

    # -- hearing ----------------------------------------------------------------------------------------------------

    async def subscribe(self, subject: str, callback: Callback, queue: str = "") -> Subscription:
        """Calls `callback` with each message on a subject, in order, one at a time."""
        _check(subject)
        subscription = Subscription(subject, queue, callback)
        self._subscriptions.append(subscription)
        if self._up.is_set() and not self.closed:
            await subscription.attach(self._client)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """No more calls."""
        with suppress(ValueError):
            self._subscriptions.remove(subscription)
        current, subscription.current = subscription.current, None
        if current is not None:
            with suppress(nats.errors.Error):
                await current.unsubscribe()

    # -- saying -----------------------------------------------------------------------------------------------------

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        """Says something as soon as there is a server. Raises EventTooLarge, BusClosed, ValueError for no subject."""
        self._check_size(payload, headers)
        _check(subject)
        while not await self._send(subject, payload, headers, reply):
            await asyncio.sleep(0)  # lets the loss be noticed
            await self.until_connected()

    async def publish_now(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> bool:
        """Says something if there is a server at this moment; says whether there was."""
        self._check_size(payload, headers)
        _check(subject)
        return await self._send(subject, payload, headers, reply)

    async def _send(self, subject: str, payload: bytes, headers: dict[str, str] | None, reply: str) -> bool:
        if not self._up.is_set() or self.closed:
            return False
        try:
            await self._client.publish(subject, payload, reply, headers)
        except (
            nats.errors.ConnectionClosedError,
            nats.errors.ConnectionReconnectingError,
            nats.errors.OutboundBufferLimitError,  # a large message while the connection is being renewed
            OSError,
        ):
            return False
        return True

    def _check_size(self, payload: bytes, headers: dict[str, str] | None) -> None:
        size = len(payload) + (size_of(headers) if headers else 0)
        if size > self.max_payload:
            raise EventTooLarge(f"A message of {size} bytes is larger than the server takes ({self.max_payload}).")

    async def ask(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> asyncio.Future[RawMessage]:
        """Publishes a request at once; the future gets the answer, or Disconnected. Raises EventTooLarge."""
        future: asyncio.Future[RawMessage] = asyncio.get_running_loop().create_future()
        token = self._expect(future)
        if not await self.publish_now(subject, payload, headers, f"{self._inbox}.{token}") and not future.done():
            self._waiting.pop(token, None)
            future.set_exception(Disconnected("There is no connection to the bus."))
            future.exception()
        return future

    def _expect(self, waiter: asyncio.Future[RawMessage] | Callable[[RawMessage], None]) -> str:
        self._requests += 1
        token = f"{self._requests:x}"
        if len(self._waiting) > _MANY_WAITING:
            self._waiting = {
                key: one for key, one in self._waiting.items() if not (isinstance(one, asyncio.Future) and one.done())
            }
        self._waiting[token] = waiter
        return token

    async def request(
        self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None, timeout_s: float = 2.0
    ) -> RawMessage:
        """Asks and waits for the answer. Raises NoResponder, TimeoutError, Disconnected, BusClosed, EventTooLarge."""
        async with asyncio.timeout(timeout_s):
            await self.until_connected()
            message = await (await self.ask(subject, payload, headers))
        if message.status == 503:
            raise NoResponder(f"Nobody answers on {subject}.")
        return message

    async def insist(self, subject: str, payload: bytes, headers: dict[str, str] | None, tries: int) -> RawMessage:
        """Asks again where the answer was lost, at most `tries` times; for what may be asked twice. As `request`."""
        for _ in range(tries - 1):
            with suppress(Disconnected, NoResponder, TimeoutError):
                return await self.request(subject, payload, headers, timeout_s=5.0)
            await self.until_connected()
        return await self.request(subject, payload, headers, timeout_s=5.0)

    async def ask_for_all(self, subject: str, payload: bytes, timeout_s: float) -> tuple[list[RawMessage], RawMessage]:
        """Asks for many answers; returns them and the server's last word, a status. Raises TimeoutError, BusClosed."""
        found: list[RawMessage] = []
        last: asyncio.Future[RawMessage] = asyncio.get_running_loop().create_future()

        def heard(message: RawMessage) -> None:
            if not message.status or "Nats-Sequence" in message.headers:
                found.append(message)
            elif not last.done():
                last.set_result(message)

        token = ""
        try:
            async with asyncio.timeout(timeout_s):
                await self.until_connected()
                token = self._expect(heard)
                await self.publish(subject, payload, None, f"{self._inbox}.{token}")
                return found, await last
        finally:
            self._waiting.pop(token, None)

    def new_inbox(self) -> str:
        """A subject that nobody else has."""
        return f"_INBOX.{os.urandom(11).hex()}"

    async def flush(self, timeout_s: float = 2.0) -> None:
        """Returns when the server has seen everything said before. Raises TimeoutError, Disconnected, BusClosed."""
        echo: asyncio.Future[RawMessage] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(timeout_s):
            await self.until_connected()
            await self.publish(f"{self._inbox}.{self._expect(echo)}", b"")
            await echo

    async def _answered(self, message: RawMessage) -> None:
        token = message.subject[self._inbox_prefix :]
        waiter = self._waiting.get(token)
        if callable(waiter):
            waiter(message)
        elif waiter is not None:
            del self._waiting[token]
            if not waiter.done():
                waiter.set_result(message)


async def _run(watcher: Watcher) -> None:
    try:
        await watcher()
    except BusClosed:
        return
    except Exception as error:  # noqa: BLE001 - one watcher's fault is not the others'
        _log.exception("bus_watcher_failed", exc_info=error)


def size_of(headers: dict[str, str]) -> int:
    """What headers take on the wire, in bytes, for text in ASCII."""
    return 14 + sum(len(name) + len(text) + 4 for name, text in headers.items())


def _check(subject: str) -> None:
    if not subject or " " in subject or not subject.isprintable():
        raise ValueError(f"{subject!r} is no subject.")
