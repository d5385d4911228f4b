"""An engine in a process of its own that sends itself kill -9 at a chosen point.

`python -m tests.services.pattern_engine.doomed NATS_URL PATTERNS POINT COUNT`; says its id when it is at work. It dies
the COUNTth time that it comes to POINT:

    after_read      a request was read, and nothing was done about it
    before_append   a decision was made and not yet appended
    after_append    a decision is in the log, and nothing that follows from it was done
    before_ack      a request was handled and not acknowledged
    deadly          a request or a recovery of an execution called "…-deadly…" was begun
    never
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from services.pattern_engine import ownership
from services.pattern_engine.conductor import Sources
from services.pattern_engine.history import History, Rebuilt
from services.pattern_engine.service import PatternEngine
from shared.bus import Bus, Delivery
from shared.config import load


class Fuse:
    """Kills the process at its point."""

    def __init__(self, point: str, count: int) -> None:
        self._point = point
        self._left = count

    def at(self, point: str) -> None:
        """Here is a point."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DoomedBus(Bus):
    """A bus with the fuse around its appends."""

    fuse: Fuse

    async def append_all(self, *arguments: Any, **options: Any) -> list[int]:
        """As the real one."""
        self.fuse.at("before_append")
        seqs = await super().append_all(*arguments, **options)
        self.fuse.at("after_append")
        return seqs


def _deadly(fuse: Fuse) -> None:
    """Has the fuse around the recovery of some executions."""
    whole = ownership.rebuild

    async def rebuild(history: History, sources: Sources) -> Rebuilt:
        if history.accepted is not None and "-deadly" in history.accepted.execution_id:
            fuse.at("deadly")
        return await whole(history, sources)

    ownership.rebuild = rebuild


class DoomedEngine(PatternEngine):
    """An engine with the fuse around its requests."""

    fuse: Fuse

    async def _request(self, delivery: Delivery) -> None:
        self.fuse.at("after_read")
        if b"-deadly" in delivery.payload:
            self.fuse.at("deadly")
        await super()._request(delivery)
        self.fuse.at("before_ack")


async def main(url: str, patterns: str, point: str, count: str) -> None:
    """Runs until the fuse burns down."""
    settings = load({"PARALLAX_NATS_URL": url, "PARALLAX_PATTERNS_DIR": patterns})
    bus = await DoomedBus.connect(settings, name="pattern_engine")
    assert isinstance(bus, DoomedBus)
    engine = DoomedEngine(settings, bus)
    bus.fuse = engine.fuse = Fuse(point, int(count))
    _deadly(engine.fuse)
    await engine.start()
    sys.stdout.write(f"{engine.engine_id}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
