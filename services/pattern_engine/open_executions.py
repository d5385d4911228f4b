"""Which executions are open and who owns them: a fold over `execution.*`, and the engines that are alive.

Both are knowledge, not authority. An engine that acts on a stale view is refused by the fence of the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from schemas.engines import OpenExecution, OpenExecutions
from schemas.events import ENDINGS, Event, ExecutionAccepted, ExecutionClaimed, ExecutionStarted

HEARTBEAT_S = 0.3
SUSPECT_AFTER_S = 1.3
"""An engine that was silent for so long, while our own heartbeats came through, is taken for dead."""


class OpenSet:
    """Every execution that has begun and not ended, as of the event at `position`."""

    def __init__(self, snapshot: OpenExecutions | None = None) -> None:
        self.position = snapshot.position if snapshot else 0
        self._open: dict[str, OpenExecution] = dict(snapshot.open) if snapshot else {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[tuple[str, OpenExecution]]:
        return iter(list(self._open.items()))

    def get(self, execution_id: str) -> OpenExecution | None:
        """The entry of one execution. None: unknown, or ended."""
        return self._open.get(execution_id)

    def snapshot(self) -> OpenExecutions:
        """What a later start can begin with."""
        return OpenExecutions(position=self.position, open=dict(self._open))

    def forget(self, execution_id: str) -> None:
        """Drops an execution that is known to have ended."""
        self._open.pop(execution_id, None)

    def apply(self, execution_id: str, kind: str, seq: int, event: object) -> None:
        """Takes in one event of the log."""
        self.position = max(self.position, seq)
        if not kind.startswith("execution."):
            return
        if kind in ENDINGS:
            self._open.pop(execution_id, None)
            return
        have = self._open.get(execution_id)
        match event:
            case ExecutionAccepted():
                if have is None:
                    self._open[execution_id] = OpenExecution(engine=event.engine, epoch=1, fence=seq)
            case ExecutionStarted() | ExecutionClaimed() if have is not None:  # else nobody accepted it: it is foreign
                self._open[execution_id] = OpenExecution(engine=event.engine, epoch=event.epoch, fence=seq)
            case Event() if have is not None:
                self._open[execution_id] = msgspec.structs.replace(have, fence=seq)
            case _:
                pass


class Roster:
    """The engines that are alive, by their heartbeats. Times are monotonic seconds."""

    def __init__(self, own: str, now: float) -> None:
        self.own = own
        self._seen: dict[str, float] = {}
        self._listening_since = now
        self._own_seen = now

    def heard(self, engine: str, now: float, *, leaving: bool = False) -> None:
        """A heartbeat came in. After a silence of our own the bus was away, and nobody is blamed for it."""
        if engine == self.own:
            if now - self._own_seen > SUSPECT_AFTER_S / 2:
                self._listening_since = now
            self._own_seen = now
        elif leaving:
            self._seen.pop(engine, None)
        else:
            self._seen[engine] = now

    def sure(self, now: float) -> bool:
        """Whether silence means anything: we have been hearing ourselves for long enough."""
        return now - self._own_seen < SUSPECT_AFTER_S / 2 and now - self._listening_since >= SUSPECT_AFTER_S

    def alive(self, now: float) -> list[str]:
        """The engines that are taken for alive, this one among them, sorted."""
        fresh = [engine for engine, seen in self._seen.items() if now - seen < SUSPECT_AFTER_S]
        return sorted({self.own, *fresh})


def heir(execution_id: str, engines: list[str]) -> str:
    """The engine that takes over an execution: rendezvous hashing, so that survivors share without a word."""
    return max(engines, key=lambda engine: hashlib.sha256(f"{engine}/{execution_id}".encode()).digest())
