"""Raw output on its way to whoever watches: bounded in length, in number and in rate, never part of the log."""

from __future__ import annotations

import time
from typing import Literal

from schemas.agents import OutputLine
from shared import subjects
from shared.bus import Bus
from shared.shortening import shortened

MAX_CHARS = 4096
_BURST = 1000
_PER_S = 200.0

Stream = Literal["stdout", "stderr", "progress", "message"]


class Output:
    """The output of one agent. Lines beyond the rate are counted and left out, which is said once they stop."""

    def __init__(self, bus: Bus, agent_id: str, execution_id: str) -> None:
        self._bus = bus
        self._agent_id = agent_id
        self._execution_id = execution_id
        self._subject = subjects.agent_output(agent_id)
        self._credit = float(_BURST)
        self._at = time.monotonic()
        self._left_out = 0

    async def say(self, stream: Stream, text: str, task_id: str = "", *, bytes_in_all: int = 0) -> bool:
        """Publishes a line, or counts it as left out. True when it was published.

        `bytes_in_all` is how long the line was where `text` is only its beginning.
        """
        now = time.monotonic()
        self._credit = min(float(_BURST), self._credit + (now - self._at) * _PER_S)
        self._at = now
        if self._credit < 1:
            self._left_out += 1
            return False
        self._credit -= 1
        await self.settle(task_id)
        await self._publish(stream, text, task_id, bytes_in_all)
        return True

    async def settle(self, task_id: str = "") -> None:
        """Says how many lines were left out, if any were since it was last said."""
        if self._left_out:
            missing, self._left_out = self._left_out, 0
            await self._publish("message", f"({missing} lines were left out)", task_id)

    async def _publish(self, stream: Stream, text: str, task_id: str, bytes_in_all: int = 0) -> None:
        shown = shortened(text, MAX_CHARS)
        if bytes_in_all:
            shown = f"{text[:MAX_CHARS]} … (a line of {bytes_in_all:,} bytes)"
        line = OutputLine(
            agent_id=self._agent_id, execution_id=self._execution_id, task_id=task_id, stream=stream, text=shown
        )
        await self._bus.publish(self._subject, line)
