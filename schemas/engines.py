"""What engines tell one another: signs of life, commands handed to an owner, and what is open.

None of it is part of the log. Losing any of it costs time, never a decision: ownership itself is decided by fenced
events alone.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.base import ExecutionId, Model

CommandVerb = Literal["cancel", "pause", "resume", "signal", "answer"]


class EngineHeartbeat(Model, frozen=True, kw_only=True):
    """The body of `parallax.engines.heartbeat`. `running` counts the executions the engine owns."""

    engine: str
    running: int = 0
    leaving: bool = False


class ForwardedCommand(Model, frozen=True, kw_only=True):
    """A command on its way to the engine that owns its execution. `number` is that of its message."""

    execution_id: ExecutionId
    verb: CommandVerb
    number: int
    body: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))


class OpenExecution(Model, frozen=True, kw_only=True):
    """One execution that has begun and not ended: who owns it, in which epoch, and the last `execution.*` sequence."""

    engine: str
    epoch: int
    fence: int


class OpenExecutions(Model, frozen=True, kw_only=True):
    """A snapshot of everything open after the event at `position`, so that a start need not read the whole log."""

    position: int
    open: dict[str, OpenExecution] = {}
