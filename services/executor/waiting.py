"""Waiting that can be cut short: because there is news about a task, or because nobody wants it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_LONG_S = 3600.0


class Withdrawn(Exception):
    """Nobody wants the task any more."""


class Interruptible:
    """Something that waits. `withdrawn` says why nobody wants it any more; empty while somebody does."""

    def __init__(self) -> None:
        self.withdrawn = ""
        self._told: asyncio.Event | None = None

    def wake(self) -> None:
        """There is news: whoever waits looks again."""
        if self._told is not None:
            self._told.set()

    async def told(self, timeout_s: float) -> bool:
        """Waits for news. False when there was none for so long."""
        told = self._told = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await told.wait()
        except TimeoutError:
            return False
        finally:
            self._told = None
        return True

    async def told_or(self, future: asyncio.Future[Any], timeout_s: float) -> bool:
        """Waits for a future, for news, or for so long. True when the future is done."""
        told = self._told = asyncio.Event()
        news = asyncio.get_running_loop().create_task(told.wait())
        try:
            await asyncio.wait({future, news}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._told = None
            news.cancel()
        return future.done()

    async def unless_withdrawn(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Waits for something that may take long. Raises Withdrawn as soon as nobody wants the task any more."""
        task = asyncio.get_running_loop().create_task(waiting)
        try:
            while not self.withdrawn:
                if await self.told_or(task, _LONG_S):
                    return task.result()
            raise Withdrawn
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
