"""The bus: one package is the only place that speaks NATS.

`Bus` is what everybody uses. The log is written through `append` and `append_all`, read with `read`, followed with
`follow`; `work` hands each message to one of many; `publish`, `request` and `serve` are plain messages.
"""

from __future__ import annotations

from shared.bus.bus import Bus, Served
from shared.bus.dead_letters import DeadLetter
from shared.bus.decisions import Cause, Fence
from shared.bus.errors import (
    BusClosed,
    BusError,
    Conflict,
    Disconnected,
    EventTooLarge,
    NoResponder,
    Reject,
    RequestFailed,
    Retry,
    StaleFence,
    UnfitServer,
    Unreachable,
    Verdict,
)
from shared.bus.key_value import Held, KeyValue
from shared.bus.messages import Delivery, Message, Recorded, Undecodable, UnknownEvent
from shared.bus.worker import Worker

__all__ = [
    "Bus",
    "BusClosed",
    "BusError",
    "Cause",
    "Conflict",
    "DeadLetter",
    "Delivery",
    "Disconnected",
    "EventTooLarge",
    "Fence",
    "Held",
    "KeyValue",
    "Message",
    "NoResponder",
    "Recorded",
    "Reject",
    "RequestFailed",
    "Retry",
    "Served",
    "StaleFence",
    "Undecodable",
    "UnfitServer",
    "UnknownEvent",
    "Unreachable",
    "Verdict",
    "Worker",
]
