"""Whether there is a runtime that could start agents: asked only while somebody waits for one."""

from __future__ import annotations

import asyncio
from typing import Any

from shared import subjects
from shared.bus import Bus, NoResponder, RequestFailed

RUNTIME = "local"
"""The kind of runtime that is asked to start agents."""

_ASK_EVERY_S = 1.0


class RuntimeWatch:
    """The runtimes of a kind, as one: does any answer?"""

    def __init__(self, bus: Bus, kind: str = RUNTIME) -> None:
        self.absent = False
        """Whether nobody answered when it was last asked."""
        self._bus = bus
        self._subject = subjects.service_ping(f"runtime_{kind}")
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def look(self) -> bool:
        """True when no runtime answers. Asks at most once a second, however many want to know.

        While the bus itself is away nothing is known of runtimes, and none is taken for absent.
        """
        now = asyncio.get_running_loop().time
        async with self._asking:
            if now() - self._asked_at >= _ASK_EVERY_S:
                self.absent = not await self._answers()
                self._asked_at = now()
        return self.absent

    async def _answers(self) -> bool:
        try:
            await self._bus.request(self._subject, {}, dict[str, Any], timeout_s=_ASK_EVERY_S)
        except RequestFailed:
            return True
        except (NoResponder, TimeoutError):
            return not self._bus.connection.connected
        return True
