"""One call of `append`: the messages it will be, the fence in front of them, and what it has come to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from schemas.events import Event
from shared import subjects
from shared.bus import headers as hdr
from shared.bus.connection import size_of
from shared.bus.messages import Delivery, Recorded

_ENCODER = msgspec.json.Encoder()
_TOKENS = itertools.count(1)

MOST_IN_A_DECISION = 1000
"""What the server takes as one atomic batch."""

Cause = Recorded | Delivery | None


@dataclass(frozen=True, slots=True)
class Fence:
    """Nothing is appended unless `last_seq` is the sequence of the execution's last `execution.*` event (0: none)."""

    execution_id: str
    last_seq: int


@dataclass(slots=True)
class Entry:
    """One event, encoded. `headers` lack the fence and what a batch adds."""

    event_id: str
    kind: str
    subject: str
    headers: dict[str, str]
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        return size_of(self.headers) + len(self.payload)


def fence_headers(fence: Fence | None) -> dict[str, str]:
    """The headers of a fence. In a batch they go on the first message alone."""
    if fence is None:
        return {}
    return {
        "Nats-Expected-Last-Subject-Sequence": str(fence.last_seq),
        "Nats-Expected-Last-Subject-Sequence-Subject": subjects.fence_of(fence.execution_id),
    }


class Decision:
    """Events that belong together, in order."""

    __slots__ = ("attempts", "begun", "done", "entries", "execution_id", "fence", "token", "uncertain")

    def __init__(self, execution_id: str, entries: list[Entry], fence: Fence | None, token: str, now: float) -> None:
        self.entries = entries
        self.execution_id = execution_id
        self.fence = fence
        self.token = token
        self.begun = now
        self.attempts = 0
        self.uncertain = False
        self.done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        return sum(entry.size for entry in self.entries)

    def part(self, entries: list[Entry]) -> Decision:
        """Some of the events, under the same fence and token; for writing only."""
        return Decision(self.execution_id, entries, self.fence, self.token, self.begun)

    def succeed(self, seqs: list[int]) -> None:
        """It is in the log."""
        if not self.done.done():
            self.done.set_result(seqs)

    def fail(self, error: BaseException) -> None:
        """It is not, and will not be."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()


def encode(stamp: hdr.Stamp, events: Sequence[Event], fence: Fence | None, cause: Cause, now: float) -> Decision:
    """A decision, ready to be written. Raises ValueError for no events, too many, or several executions."""
    if not events:
        raise ValueError("A decision of no events cannot be appended.")
    execution_id = events[0].execution_id
    if any(event.execution_id != execution_id for event in events):
        raise ValueError("The events of one decision belong to one execution.")
    if len(events) > MOST_IN_A_DECISION:
        raise ValueError(f"{len(events)} events are too many for one decision: {MOST_IN_A_DECISION} is the limit.")
    if fence is not None and fence.execution_id != execution_id:
        raise ValueError(f"The fence is of {fence.execution_id}, the events of {execution_id}.")
    if not subjects.is_execution_id(execution_id):
        raise ValueError(f"{execution_id!r} is no execution id.")
    if cause is not None:
        stamp.learn(execution_id, cause.traceparent)
    token = f"{stamp.source}-{next(_TOKENS)}"
    entries = [_entry(stamp, event, cause, token) for event in events]
    return Decision(execution_id, entries, fence, token, now)


def _entry(stamp: hdr.Stamp, event: Event, cause: Cause, token: str) -> Entry:
    identity = event.event_id
    correlation = (cause.correlation if cause is not None else "") or event.execution_id
    block = stamp.block(
        event.TYPE,
        identity=identity,
        subject=event.execution_id,
        correlation=correlation,
        causation=cause.id if cause is not None else "",
        traceparent=cause.traceparent if cause is not None else "",
        version=event.VERSION,
    )
    block["Nats-Msg-Id"] = block["ce-id"]
    block[hdr.APPEND_TOKEN] = token
    return Entry(identity, event.TYPE, subjects.append(event.execution_id, event.TYPE), block, _ENCODER.encode(event))
