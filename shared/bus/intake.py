"""The receiving half of work: a durable pull consumer that is always asked for as much as there are hands free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from shared.bus.connection import Connection
from shared.bus.errors import BusError
from shared.bus.raw import RawMessage
from shared.bus.streams import STREAM_NOT_FOUND, ApiError, ensure_all, patiently
from shared.bus.subscription import Subscription

_log = structlog.get_logger(__name__)

_SECOND = 1_000_000_000
_PULL_S = 20.0
_HEARTBEAT_S = 2.0
_SILENT_S = 6.0
_PULL_BYTES = 32 << 20
_MOST_UNACKED = 50_000


class Intake:
    """One durable consumer. `take` is called with each message; `free` says how many more could be handled."""

    def __init__(
        self,
        connection: Connection,
        *,
        stream: str,
        durable: str,
        filters: Sequence[str],
        ack_wait_s: float,
        take: Callable[[RawMessage], None],
        free: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._durable = durable
        self._filters = list(filters)
        self._ack_wait_s = ack_wait_s
        self._take = take
        self._free = free
        self._inbox = connection.new_inbox()
        self._subscription: Subscription | None = None
        self._asked = 0
        self._heard_at = 0.0
        self._forget = connection.on_reconnect(self.renew)

    async def start(self) -> None:
        """Makes the consumer what it is to be, and begins."""
        await self._ensure()
        self._subscription = await self._connection.subscribe(self._inbox, self._heard)
        await self.renew()

    async def stop(self) -> None:
        """Takes nothing more. What was asked for and not taken is delivered again elsewhere."""
        self._forget()
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await self._connection.unsubscribe(subscription)

    async def _ensure(self) -> None:
        config: dict[str, Any] = {
            "durable_name": self._durable,
            "ack_policy": "explicit",
            "ack_wait": int(self._ack_wait_s * _SECOND),
            "max_deliver": -1,
            "max_ack_pending": _MOST_UNACKED,
            "max_waiting": 512,
            "deliver_policy": "all",
            "replay_policy": "instant",
        }
        if len(self._filters) == 1:
            config["filter_subject"] = self._filters[0]
        elif self._filters:
            config["filter_subjects"] = self._filters
        body = {"stream_name": self._stream, "config": config, "action": ""}
        await patiently(
            self._connection, f"CONSUMER.DURABLE.CREATE.{self._stream}.{self._durable}", body, within_s=3600.0
        )

    async def renew(self) -> None:
        """Forgets what was asked for and asks anew."""
        self._asked = 0
        self._heard_at = asyncio.get_running_loop().time()
        await self.ask()

    async def ask(self) -> None:
        """Asks for more as soon as half of what could be handled has not been asked for."""
        free = self._free()
        if self._subscription is None or self._asked * 2 > free or free <= self._asked:
            return
        batch = free - self._asked
        body = {
            "batch": batch,
            "max_bytes": _PULL_BYTES,
            "expires": int(_PULL_S * _SECOND),
            "idle_heartbeat": int(_HEARTBEAT_S * _SECOND),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        self._asked += batch
        if not await self._connection.publish_now(subject, msgspec.json.encode(body), None, self._inbox):
            self._asked -= batch

    async def look(self) -> None:
        """To be called now and then: asks anew where the server has fallen silent."""
        if self._subscription is None or not self._connection.connected or self._asked <= 0:
            return
        if asyncio.get_running_loop().time() - self._heard_at > _SILENT_S:
            _log.warning("work_silent", durable=self._durable)
            with suppress(BusError, TimeoutError):
                await self._mend()
            await self.renew()

    async def _mend(self) -> None:
        """Makes the consumer anew, and the streams before it where somebody has taken them away."""
        try:
            await self._ensure()
        except ApiError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            _log.error("streams_gone", stream=self._stream)
            await ensure_all(self._connection)
            await self._ensure()

    async def _heard(self, message: RawMessage) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if message.reply.startswith("$JS.ACK"):
            self._asked -= 1
            self._take(message)
        elif message.status == 409 and "deleted" in message.status_text.lower():
            _log.warning("work_consumer_gone", durable=self._durable)
            self._heard_at = 0.0  # the next look makes it anew
            return
        elif message.status != 100:
            left = message.header("Nats-Pending-Messages")
            self._asked -= int(left) if left.isdigit() else self._asked
            if message.status not in {404, 408} and "MaxBytes" not in message.status_text:
                _log.info("work_pull_ended", durable=self._durable, status=message.status, text=message.status_text)
        await self.ask()
