"""What the server says to a publish on a stream: where it is stored, or why it is not."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.bus.raw import RawMessage

STALE = 10071
"""The fence does not hold."""

DUPLICATE = 10201
"""An event of a batch is known by its id."""

TOO_LARGE = 10054
"""The message is larger than the stream or the server takes."""

NOBODY = 503
"""No stream captures the subject."""


class Refused(Exception):
    """The server did not store it, and says why."""

    def __init__(self, err_code: int, description: str) -> None:
        super().__init__(f"{description} ({err_code})")
        self.err_code = err_code


class _Ack(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


_ACK = msgspec.json.Decoder(_Ack)


def stored_at(message: RawMessage, *, fenced: bool) -> int:
    """The sequence that an answer tells; for a batch that of its last event. Raises Refused.

    The server answers an id that it knows before it looks at the fence. Behind a fence that is no success: the event
    may be another engine's, and to go on from its sequence would be to share an execution with that engine.
    """
    if message.status == NOBODY:
        raise Refused(NOBODY, "nobody keeps the log at this moment")
    ack = _ACK.decode(message.payload)
    if ack.error is not None:
        raise Refused(int(ack.error.get("err_code", 0)), str(ack.error.get("description", "")))
    if ack.duplicate and fenced:
        raise Refused(DUPLICATE, "the event is in the log already")
    return ack.seq
