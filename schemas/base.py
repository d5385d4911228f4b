"""The base of all structs and the few scalar types that several rooms share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

EXECUTION_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""An execution id: letters, digits, `-` and `_`, at most 64, so that it is one token of a subject and one path part."""

ROLE_ID_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
"""A role id: like an execution id, beginning with a letter."""

ExecutionId = Annotated[str, Meta(pattern=EXECUTION_ID_PATTERN)]
"""The idempotency key of a request and the second token of every event subject."""

LONGEST_SESSION = 128
"""So long the name of a session may be: a role's id (64) and a number, or what a program calls it."""

LONGEST_TOKEN = 200
"""So long a token may be. An agent's id is the longest one: execution id (64), session (128) and what tells it from
others (8). A file is named after it, with an affix or two, and no file's name is longer than 255 bytes."""

Token = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_-]{{1,{LONGEST_TOKEN}}}$")]
"""One token of a subject: an agent id, a task id, a session."""

Score = Annotated[float, Meta(ge=0.0, le=1.0)]
"""A confidence in [0, 1]."""

Millis = Annotated[int, Meta(ge=0)]
"""A duration in milliseconds."""

Json = Any
"""Any JSON value."""


MOST_LEVELS = 100
"""So deeply a JSON value may be nested that becomes part of an event. Whoever reads an event has less room on its stack
than whoever wrote it, so that without a bound there would be events that can be written and not read."""


def too_deep(value: Json) -> bool:
    """Whether a JSON value is nested in more than `MOST_LEVELS` levels."""
    level: list[Json] = [value]
    for _ in range(MOST_LEVELS + 1):
        inner: list[Json] = []
        for one in level:
            if isinstance(one, dict):
                inner += cast("dict[str, Json]", one).values()
            elif isinstance(one, list):
                inner += cast("list[Json]", one)
        if not inner:
            return False
        level = inner
    return True


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value of the vocabulary: keyword-only, written whole on the wire, unknown fields ignored."""


class Problem(Model, frozen=True, kw_only=True):
    """One thing that is wrong with an input: where it is, what is wrong, and what to do about it."""

    where: str
    what: str
    hint: str = ""


class Failure(Model, frozen=True, kw_only=True):
    """Why something ended badly. `code` is stable and made for programs, `message` is a sentence for people."""

    code: str
    message: str
    where: str = ""


LossKind = Literal[
    "runtime_lost",
    "runtime_failed",
    "session_unreachable",
    "workspace_away",
    "agent_lost",
    "agent_unreachable",
    "agent_interrupted",
    "turn_cancelled",
    "keeper_killed",
]
"""How an attempt was lost through no fault of its agent.

The platform broke: the runtime that ran the agent was killed, stopped or restarted (`runtime_lost`) or could not do its
part (`runtime_failed`), nobody took the offer for a session that was said to be ready (`session_unreachable`), the
workspace service did not answer (`workspace_away`).

The reason is not known: the lease of the agent ended (`agent_lost`), it never took the offer (`agent_unreachable`), it
said itself that it was interrupted (`agent_interrupted`), it stopped unasked (`turn_cancelled`), the process that
watches over its program was killed (`keeper_killed`).
"""


class Usage(Model, frozen=True, kw_only=True):
    """What a turn consumed. Token counts are of this turn alone, never cumulative over a session."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    turns: int = 0
    wall_ms: int = 0

    def plus(self, other: Usage | None) -> Usage:
        """Both together."""
        if other is None:
            return self
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            turns=self.turns + other.turns,
            wall_ms=self.wall_ms + other.wall_ms,
        )
