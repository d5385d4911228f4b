"""Time that passes only because something is due: no run waits for anything, and all of them keep the same order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

START_MS = 1_767_225_600_000
"""When every simulated run begins, in epoch milliseconds: the first moment of 2026 in UTC."""


class Alarm:
    """Something that is due. `cancel` makes it nothing."""

    __slots__ = ("_action", "_arguments")

    def __init__(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._action: Callable[..., None] | None = action
        self._arguments = arguments

    def cancel(self) -> None:
        """It will not happen."""
        self._action = None
        self._arguments = ()

    @property
    def cancelled(self) -> bool:
        """Whether it will not happen."""
        return self._action is None

    def ring(self) -> None:
        """It happens."""
        if self._action is not None:
            self._action(*self._arguments)


class Clock:
    """A virtual clock. What is due at the same moment happens in the order in which it was set."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._due: list[tuple[int, int, Alarm]] = []
        self._set = 0

    def after(self, ms: int, action: Callable[..., None], *arguments: Any) -> Alarm:
        """Has something happen `ms` milliseconds from now."""
        self._set += 1
        alarm = Alarm(action, arguments)
        heapq.heappush(self._due, (self.now_ms + max(0, ms), self._set, alarm))
        return alarm

    def next_ms(self) -> int | None:
        """When the next thing is due; None when nothing is."""
        while self._due and self._due[0][2].cancelled:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def step(self) -> None:
        """Goes on to the next thing that is due, and lets it happen. Raises IndexError when nothing is."""
        at, _, alarm = heapq.heappop(self._due)
        self.now_ms = max(self.now_ms, at)
        alarm.ring()
