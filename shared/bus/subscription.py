"""What is listened on: a subject and who is called, for as long as the bus lives, over whatever connection there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from shared.bus.raw import RawMessage

_log = structlog.get_logger(__name__)

_MOST_PENDING = 1_000_000
_MOST_PENDING_BYTES = 512 << 20

Callback = Callable[[RawMessage], Awaitable[None]]


class Subscription:
    """Interest in a subject that outlives connections."""

    __slots__ = ("callback", "current", "queue", "subject")

    def __init__(self, subject: str, queue: str, callback: Callback) -> None:
        self.subject = subject
        self.queue = queue
        self.callback = callback
        self.current: NatsSubscription | None = None

    async def attach(self, client: Any) -> None:
        """Listens over this client; one that is closed meanwhile is replaced by another, which attaches it again."""
        with suppress(nats.errors.ConnectionClosedError):
            self.current = await client.subscribe(
                self.subject,
                queue=self.queue,
                cb=self.take,
                pending_msgs_limit=_MOST_PENDING,
                pending_bytes_limit=_MOST_PENDING_BYTES,
            )

    async def take(self, message: Msg) -> None:
        """Hands a message on. Whatever becomes of it, the next one is heard."""
        try:
            await self.callback(RawMessage(message.subject, message.reply, message.headers, message.data))
        except Exception as error:  # noqa: BLE001 - the next message is heard all the same
            _log.exception("bus_callback_failed", subject=message.subject, exc_info=error)
