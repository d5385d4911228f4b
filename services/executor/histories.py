"""What the log has of a task, when many tasks of one execution ask at once.

An executor that starts finds every open task of a wide execution waiting for it. To read the whole execution for each
of them would cost the square of their number; so those that ask while a reading runs share the next one.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from shared.bus import Bus, Recorded, Retry

_AGAIN_S = 0.2

_ByTask = dict[str, list[Recorded]]


class Histories:
    """Readings of executions, shared by whoever asks before they begin."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._next: dict[str, asyncio.Future[_ByTask]] = {}
        self._reading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of_task(self, execution_id: str, task_id: str) -> list[Recorded]:
        """Everything that was stored of a task before the call, in order.

        Raises what reading the log raises, and Retry where the reading that was shared has failed.
        """
        reading = self._next.get(execution_id)
        if reading is None:
            reading = self._next[execution_id] = asyncio.get_running_loop().create_future()
            await self._lead(execution_id, reading)
        return (await asyncio.shield(reading)).get(task_id, [])

    async def _lead(self, execution_id: str, reading: asyncio.Future[_ByTask]) -> None:
        """Does a reading for everybody who joins before it begins."""
        lock = self._reading.setdefault(execution_id, asyncio.Lock())
        try:
            async with lock:
                del self._next[execution_id]
                reading.set_result(await self._read(execution_id))
        finally:
            if not reading.done():
                if self._next.get(execution_id) is reading:
                    del self._next[execution_id]
                reading.set_exception(Retry(_AGAIN_S))
                reading.exception()  # nobody may have joined

    async def _read(self, execution_id: str) -> _ByTask:
        found: _ByTask = {}
        async for record in self._bus.read(execution_id):
            task_id = getattr(record.data, "task_id", "")
            if task_id:
                found.setdefault(task_id, []).append(record)
        return found
