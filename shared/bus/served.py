"""A subject of core NATS that is listened on, and how its handler is called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from shared.bus.connection import Connection
from shared.bus.subscription import Subscription


class Served:
    """A subject that is listened on."""

    def __init__(self, connection: Connection, subscription: Subscription) -> None:
        self._connection = connection
        self._subscription = subscription
        self.tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Listens no longer; what is being answered is answered."""
        await self._connection.unsubscribe(self._subscription)
        if self.tasks:
            await asyncio.wait(set(self.tasks), timeout=2.0)


def takes_two(handler: Callable[..., Awaitable[object]]) -> bool:
    """Whether a handler wants the message as well as its body."""
    positional = [
        parameter
        for parameter in inspect.signature(handler).parameters.values()
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL}
        and parameter.default is parameter.empty
    ]
    return len(positional) > 1 or any(parameter.kind is parameter.VAR_POSITIONAL for parameter in positional)
