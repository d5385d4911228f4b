"""Headers of messages: CloudEvents 1.0 in binary mode, W3C trace context, and what the server wants to know.

They are written for every message, so what does not change from one to the next is made once.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

from shared.clock import SYSTEM_CLOCK, Clock

_SAFE = "".join(chr(code) for code in range(33, 127) if chr(code) != "%") + " "

APPEND_TOKEN = "Parallax-Append"  # noqa: S105 - the name of a header, no secret
"""Tells one call of `append` from another, so that a writer knows its own event again after a lost answer."""

CONTENT_TYPE = "content-type"
JSON = "application/json"
"""What every body is. SDKs of CloudEvents look for it in this header, and the NATS binding in `ce-datacontenttype`;
without it they hand the data over as text."""

_MOST_TRACES = 20_000

REPLY_TO = "Parallax-Reply-To"
"""Where a client that sends a request or a command wants to be answered."""

LARGE = "Parallax-Large"
"""The fields of a message that stand in it as references to `PARALLAX_VALUES`, with commas in between."""

ERROR = "Parallax-Error"
"""In an answer: why there is no other."""


def value(text: str) -> str:
    """A text made fit to be a header value: what is not printable ASCII is percent-encoded."""
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return quote(text, safe=_SAFE)


def text_of(text: str) -> str:
    """The text that `value` made a header value of."""
    return unquote(text) if "%" in text else text


@lru_cache(maxsize=4096)
def trace_id(execution_id: str) -> str:
    """The trace that everything of one execution belongs to: the same for every writer."""
    return hashlib.sha256(execution_id.encode()).hexdigest()[:32]


def trace_of(traceparent: str) -> str:
    """The trace id of a W3C traceparent, or an empty text when it is none."""
    parts = traceparent.split("-")
    if len(parts) < 4 or len(parts[0]) != 2 or len(parts[1]) != 32 or parts[1] == "0" * 32:
        return ""
    return parts[1] if all(letter in "0123456789abcdef" for letter in parts[1]) else ""


class Stamp:
    """Writes the headers of one sender, who goes on in the trace in which an execution was last heard of."""

    def __init__(self, source: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.source = value(source)
        self._clock = clock
        self._numbers = itertools.count(1)
        self._last = (-1, "")
        self._traces: dict[str, str] = {}

    def learn(self, execution_id: str, traceparent: str) -> None:
        """The trace that an execution belongs to, from a message about it."""
        if execution_id and execution_id not in self._traces and (trace := trace_of(traceparent)):
            if len(self._traces) >= _MOST_TRACES:
                del self._traces[next(iter(self._traces))]
            self._traces[execution_id] = trace

    def time(self) -> str:
        """The time, RFC 3339 in UTC with milliseconds."""
        now = self._clock.now_ms()
        if self._last[0] != now:
            moment = datetime.fromtimestamp(now / 1000, UTC)
            self._last = (now, moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now % 1000:03d}Z")
        return self._last[1]

    def next_id(self) -> str:
        """An id for a message that has none of its own."""
        return f"{self.source}-{next(self._numbers)}"

    def block(
        self,
        kind: str,
        *,
        identity: str = "",
        subject: str = "",
        correlation: str = "",
        causation: str = "",
        traceparent: str = "",
        version: int = 1,
    ) -> dict[str, str]:
        """The headers of one message."""
        trace = (
            (trace_of(traceparent) if traceparent else "")
            or self._traces.get(subject)
            or trace_id(subject or correlation or self.source)
        )
        block = {
            "ce-specversion": "1.0",
            "ce-type": kind,
            "ce-source": self.source,
            CONTENT_TYPE: JSON,
            "ce-datacontenttype": JSON,
            "ce-id": value(identity) if identity else self.next_id(),
            "ce-time": self.time(),
            "traceparent": f"00-{trace}-{random.getrandbits(64) | 1:016x}-01",
        }
        if version != 1:
            block["ce-dataversion"] = str(version)
        if subject:
            block["ce-subject"] = value(subject)
        if correlation:
            block["ce-correlationid"] = value(correlation)
        if causation:
            block["ce-causationid"] = value(causation)
        return block
