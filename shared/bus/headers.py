"""Headers of messages: CloudEvents 1.0 in binary mode, W3C trace context, and what the server wants to know.

Built by hand as bytes, with everything that does not change from message to message built once.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

from shared.clock import SYSTEM_CLOCK, Clock

LINE = b"NATS/1.0\r\n"
_SAFE = "".join(chr(code) for code in range(33, 127) if chr(code) != "%") + " "

APPEND_TOKEN = "Parallax-Append"
"""Tells one call of `append` from another, so that a writer knows its own event again after a lost answer."""

REPLY_TO = "Parallax-Reply-To"
"""Where a client that sends a request or a command wants to be answered."""

ERROR = "Parallax-Error"
"""In an answer: why there is no other."""


def value(text: str) -> str:
    """A text made fit to be a header value: what is not printable ASCII is percent-encoded."""
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return quote(text, safe=_SAFE)


def parse(raw: bytes) -> dict[str, str]:
    """All headers of a message. Of a name that comes twice the last one counts."""
    found: dict[str, str] = {}
    for line in raw.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, text = line.partition(":")
        if colon:
            found[name.strip()] = text.strip()
    return found


def text_of(text: str) -> str:
    """The text that `value` made a header value of."""
    return unquote(text) if "%" in text else text


def build(headers: dict[str, str]) -> bytes:
    """A header block from names and values."""
    lines = "".join(f"{name}: {value(text)}\r\n" for name, text in headers.items())
    return LINE + lines.encode() + b"\r\n"


def extend(block: bytes, lines: bytes) -> bytes:
    """A header block with lines (each ending in CR LF) added."""
    return block[:-2] + lines + b"\r\n"


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
    """Writes the headers of one sender."""

    def __init__(self, source: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.source = source
        self._clock = clock
        self._numbers = itertools.count(1)
        self._heads: dict[tuple[str, int], str] = {}
        self._last = (-1, "")

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

    def _head(self, kind: str, version: int) -> str:
        head = self._heads.get((kind, version))
        if head is None:
            head = (
                f"NATS/1.0\r\nce-specversion: 1.0\r\nce-type: {value(kind)}\r\nce-source: {value(self.source)}\r\n"
                f"ce-dataversion: {version}\r\nce-datacontenttype: application/json\r\n"
            )
            self._heads[kind, version] = head
        return head

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
        extra: str = "",
    ) -> bytes:
        """A header block. `extra` holds further lines, each ending in CR LF."""
        trace = (trace_of(traceparent) if traceparent else "") or trace_id(correlation or subject or self.source)
        parts = [
            self._head(kind, version),
            f"ce-id: {value(identity or self.next_id())}\r\nce-time: {self.time()}\r\n",
            f"traceparent: 00-{trace}-{random.getrandbits(64) | 1:016x}-01\r\n",
        ]
        if subject:
            parts.append(f"ce-subject: {value(subject)}\r\n")
        if correlation:
            parts.append(f"ce-correlationid: {value(correlation)}\r\n")
        if causation:
            parts.append(f"ce-causationid: {value(causation)}\r\n")
        parts.append(extra)
        parts.append("\r\n")
        return "".join(parts).encode()
