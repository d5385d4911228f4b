"""How things fail on the bus, on one page.

BusError
├── BusClosed            this connection was closed by us
├── Unreachable          no server could be reached in the time that was given
├── UnfitServer          a server that does not do what the platform asks of it
├── StaleFence           somebody else has appended to the execution since: read again
├── EventTooLarge        a message that no server of this size would take
├── ValueLost            a value that a message refers to is not in the store
├── Disconnected         the connection went away while an answer was awaited
└── NoResponder          nobody answers on that subject now
    └── RequestFailed    somebody answered that it could not

Verdict                  what a handler of work raises to say what is to become of its message
├── Retry(after_s)       not now: deliver it again later
├── Reject(reason)       never: park it in the dead letters
└── Conflict             the state it was decided on has changed: again, at once
"""

from __future__ import annotations


class BusError(Exception):
    """Something went wrong on the bus."""


class BusClosed(BusError):
    """The connection to the bus was closed."""


class Unreachable(BusError, ConnectionError):
    """No NATS server could be reached."""


class UnfitServer(BusError):
    """The NATS server does not do what the platform needs."""


class StaleFence(BusError):
    """Somebody else has appended to the execution since the fence was read."""


class EventTooLarge(BusError, ValueError):
    """The message is larger than the server takes. `where` names the message, and its largest field."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class ValueLost(BusError):
    """A value that was kept beside a message is not where it was put."""


class Disconnected(BusError, ConnectionError):
    """The connection was lost before the answer came; whether the message arrived is not known."""


class NoResponder(BusError):
    """Nobody answers on this subject now."""


class RequestFailed(NoResponder):
    """Whoever answers on this subject could not."""


class Verdict(Exception):
    """What is to become of a message that was not handled."""


class Retry(Verdict):
    """Deliver the message again after so many seconds."""

    def __init__(self, after_s: float = 1.0) -> None:
        super().__init__(f"again in {after_s:g} s")
        self.after_s = after_s


class Conflict(Retry):
    """What the handler decided on has changed meanwhile: deliver the message again at once."""

    def __init__(self, after_s: float = 0.02) -> None:
        super().__init__(after_s)


class Reject(Verdict):
    """Park the message in the dead letters; delivering it again would change nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
