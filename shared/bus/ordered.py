"""An ordered reading of a stream from a position, by a consumer that lives only as long as it is read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.bus.connection import Connection
from shared.bus.errors import Disconnected
from shared.bus.messages import ack_fields
from shared.bus.raw import RawMessage
from shared.bus.streams import patiently
from shared.bus.subscription import Subscription
from shared.ids import new_id

_SECOND = 1_000_000_000
_IDLE_S = 60
_PULL_S = 5.0
_PULL_BYTES = 32 << 20
_PAGE_ENDS = ("MaxBytes", "Batch Completed")
"""How a server says that a page is full, by its bytes or by its number of messages."""


class OrderedReader:
    """Reads pages of a stream in order. Any doubt about completeness raises Disconnected: make another one."""

    def __init__(self, connection: Connection, stream: str, filters: Sequence[str], after: int) -> None:
        self._connection = connection
        self._stream = stream
        self._filters = list(filters)
        self._after = after
        self._name = f"ordered-{new_id()}"
        self._reconnects = connection.reconnects
        self._created = False
        self._expected = 1
        self._inbox = connection.new_inbox()
        self._subscription: Subscription | None = None
        self._found: deque[RawMessage] = deque()
        self._left = 0
        self._stirred = asyncio.Event()
        self._fault = ""
        self.pending = -1

    async def _create(self) -> None:
        config: dict[str, Any] = {
            "name": self._name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _IDLE_S * _SECOND,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._after + 1,
        }
        if len(self._filters) == 1:
            config["filter_subject"] = self._filters[0]
        elif self._filters:
            config["filter_subjects"] = self._filters
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await patiently(self._connection, f"CONSUMER.CREATE.{self._stream}.{self._name}", body)
        self._reconnects = self._connection.reconnects
        self._subscription = await self._connection.subscribe(self._inbox, self._heard)
        self.pending = int(answer.get("num_pending", 0))
        self._created = True

    async def _heard(self, message: RawMessage) -> None:
        if not message.reply.startswith("$JS.ACK"):
            if message.status in {404, 408}:
                self._left = 0
            elif message.status == 409 and any(end in message.status_text for end in _PAGE_ENDS):
                self._left = 0  # the next pull goes on
            elif message.status != 100:
                self._fault = f"{message.status} {message.status_text}"
        else:
            self._found.append(message)
            self._left -= 1
        self._stirred.set()

    async def page(self, most: int, *, wait: bool) -> list[RawMessage]:
        """The next messages, at most `most`; none when there are none now (`wait`: or for some seconds).

        Raises Disconnected, BusClosed, and what the JetStream API raises.
        """
        if not self._created:
            await self._create()
        deadline = asyncio.get_running_loop().time() + _PULL_S
        while not self._found:
            if not wait and self.pending == 0:
                return []
            if self._fault or self._connection.reconnects != self._reconnects:
                raise Disconnected(self._fault or "The connection was renewed: the consumer may be gone.")
            if self._left <= 0:
                await self._pull(most, wait=wait)
            self._stirred.clear()
            rest = deadline + 2.0 - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(rest):
                    await self._stirred.wait()
            except TimeoutError:
                raise Disconnected("The server did not answer a pull.") from None
            if not self._found and self._left <= 0 and (wait or self.pending <= 0):
                return []
            if not self._found and self._left <= 0:
                self.pending = 0
        return self._take(most)

    async def _pull(self, most: int, *, wait: bool) -> None:
        self._left = most
        pull: dict[str, Any] = {"batch": most, "max_bytes": _PULL_BYTES}
        pull.update({"expires": int(_PULL_S * _SECOND)} if wait else {"no_wait": True})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        await self._connection.publish(subject, msgspec.json.encode(pull), None, self._inbox)

    def _take(self, most: int) -> list[RawMessage]:
        page: list[RawMessage] = []
        while self._found and len(page) < most:
            message = self._found.popleft()
            if int(message.reply.split(".")[-3]) != self._expected:
                raise Disconnected("A message is missing.")
            self._expected += 1
            self.pending = ack_fields(message.reply)[3]
            page.append(message)
        return page

    async def close(self) -> None:
        """Removes the consumer; the server would do so itself after a while."""
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)
        if self._created and self._connection.connected:
            await self._connection.publish_now(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}", b"")
