"""One reader of the log that hears how executions end, shared by everything that waits for a result.

A reader for each execution would cost the server a consumer apiece; this one costs one, however many are waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from parallax.client_events import Event, event_of
from schemas.events import ENDINGS
from shared import subjects

if TYPE_CHECKING:
    from shared.bus import Bus


class Endings:
    """Resolves a future for each execution that ends. Begins to listen with the first that is expected."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, list[asyncio.Future[Event]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def expect(self, execution_id: str) -> asyncio.Future[Event]:
        """A future for the ending of an execution. Only endings stored after this call are heard for sure."""
        await self._listen()
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(execution_id, []).append(future)
        return future

    def forget(self, execution_id: str, future: asyncio.Future[Event]) -> None:
        """Nobody waits for `future` any more."""
        futures = self._waiting.get(execution_id, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waiting.pop(execution_id, None)

    async def close(self) -> None:
        """Stops listening; futures that are still open are cancelled."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _listen(self) -> None:
        async with self._starting:
            if self._reader is None or self._reader.done():
                position = await self._bus.last_seq()
                self._reader = asyncio.create_task(self._read(position), name="endings")
                self._reader.add_done_callback(self._stopped)

    async def _read(self, position: int) -> None:
        filters = [subjects.event_of_type("*", kind) for kind in sorted(ENDINGS)]
        async for record in self._bus.follow(filters, after=position):
            for future in self._waiting.pop(record.execution_id, ()):
                if not future.done():
                    future.set_result(event_of(record))

    def _stopped(self, reader: asyncio.Task[None]) -> None:
        """Whoever waits learns that nobody listens any more."""
        error = None if reader.cancelled() else reader.exception()
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error) if error is not None else future.cancel()
        self._waiting.clear()
