"""Time as a port. Whoever needs the time takes a clock, so that tests can turn it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how to wait."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...

    def now_ms(self) -> int:
        """The time of day in milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits for so many seconds."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def now_ms(self) -> int:
        """The time of day in milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits for so many seconds."""
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that stands still until a test advances it."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return self._now

    def now_ms(self) -> int:
        """The time of day in milliseconds since 1970."""
        return round(self._now.timestamp() * 1000)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Waits until the clock has been advanced by so many seconds."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._numbers), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Moves the time on, waking every sleeper at its own moment and letting it run."""
        target = self._elapsed + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            moment, _, wake = heapq.heappop(self._sleepers)
            self._move_to(moment)
            if not wake.done():
                wake.set_result(None)
            await _settle()
        self._move_to(target)
        await _settle()

    def jump(self, seconds: float) -> None:
        """Sets the time of day forwards or backwards without any time having passed."""
        self._now += timedelta(seconds=seconds)

    def _move_to(self, moment: float) -> None:
        self._now += timedelta(seconds=moment - self._elapsed)
        self._elapsed = moment


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


SYSTEM_CLOCK = SystemClock()
"""The clock of the machine, for those who were given no other."""
