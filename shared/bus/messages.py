"""What comes out of the bus: events as they were recorded, deliveries of work, and plain messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.agents import AgentDeregistered, AgentGone, AgentRegistered, OutputLine
from schemas.commands import Answer, Cancel, ExecutionRequest, Pause, Resume, Signal
from schemas.events import EVENT_TYPES, Event
from schemas.json_text import mended
from shared import subjects
from shared.bus import headers as hdr
from shared.bus.raw import RawMessage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a stranger's bytes may raise."""


class Undecodable(ValueError):
    """The bytes are not what the subject says they are."""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A message of the log that this version does not know, or cannot read. `payload` is as it came."""

    execution_id: str
    type: str
    payload: bytes
    reason: str

    TYPE = ""

    @property
    def event_id(self) -> str:
        """There is no computed id for what is not known."""
        return ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message of a stream as it was stored: of the log, of the fleet, or of agents' output."""

    seq: int
    subject: str
    execution_id: str
    type: str
    time: datetime
    id: str
    data: Any
    source: str
    correlation: str
    causation: str
    traceparent: str


@dataclass(slots=True)
class Delivery:
    """One message of work. `data` is the decoded body; None, with `error` set, where it could not be decoded.

    `time_ns` is when the server stored it, in epoch nanoseconds; 0 where that is not known.
    """

    stream: str
    subject: str
    seq: int
    attempt: int
    payload: bytes
    headers: dict[str, str]
    data: Any = None
    error: str = ""
    recorded: Recorded | None = None
    time_ns: int = 0

    @property
    def number(self) -> int:
        """A number that no other message of the stream has, nor had before the stream was made anew.

        Sequences begin again with a new stream; so the time counts, in milliseconds, and the sequence tells apart what
        came in the same one. It is the same at every delivery, and a program in JavaScript can hold it.
        """
        return self.time_ns // 1_000_000 * 1000 + self.seq % 1000 if self.time_ns else self.seq

    @property
    def reply_to(self) -> str:
        """Where the sender wants to be answered, or an empty text."""
        return hdr.text_of(self.headers.get(hdr.REPLY_TO, ""))

    @property
    def id(self) -> str:
        """The id of the message, for the causation of what follows from it."""
        return (
            hdr.text_of(self.headers.get("ce-id", "")) or self.headers.get("Nats-Msg-Id") or f"{self.stream}-{self.seq}"
        )

    @property
    def correlation(self) -> str:
        """What the message belongs to."""
        return hdr.text_of(self.headers.get("ce-correlationid", ""))

    @property
    def traceparent(self) -> str:
        """The W3C trace context of the message."""
        return self.headers.get("traceparent", "")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of core NATS, as a handler of `serve` may look at it."""

    subject: str
    reply: str
    payload: bytes
    headers: dict[str, str]


# -- decoding ---------------------------------------------------------------------------------------------------------

_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(payload: bytes, kind: Any) -> Any:
    """A body by its struct. Raises Undecodable with what is wrong and where."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(payload)
    except RecursionError:
        raise Undecodable("JSON that is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Undecodable(str(error)) from None


_COMMANDS: dict[str, Any] = {"cancel": Cancel, "pause": Pause, "resume": Resume, "signal": Signal, "answer": Answer}
_FLEET: dict[str, Any] = {"registered": AgentRegistered, "deregistered": AgentDeregistered, "lost": AgentGone}


def decode_event(subject: str, payload: bytes) -> tuple[str, str, Event | UnknownEvent]:
    """Execution id, type and event of a stored message. Never raises."""
    execution_id, kind = subjects.event_parts(subject)
    known = EVENT_TYPES.get(kind)
    if known is None:
        return execution_id, kind, UnknownEvent(execution_id, kind, payload, "unknown type")
    try:
        event = decode(payload, known)
    except Undecodable as error:
        return execution_id, kind, UnknownEvent(execution_id, kind, payload, str(error))
    if event.execution_id != execution_id:
        reason = f"the body belongs to {event.execution_id!r}"
        return execution_id, kind, UnknownEvent(execution_id, kind, payload, reason)
    return execution_id, kind, event


def decode_body(stream: str, subject: str, payload: bytes) -> Any:
    """The body of a message of work or of a stream other than the log. Raises Undecodable."""
    match stream:
        case subjects.STREAM_REQUESTS if subject == subjects.REQUEST:
            return decode(mended(payload), ExecutionRequest)
        case subjects.STREAM_REQUESTS:
            verb = subject.rpartition(".")[2]
            kind = _COMMANDS.get(verb)
            if kind is None:
                raise Undecodable(f"unknown command {verb!r}")
            return decode(mended(payload) or b"{}", kind)
        case subjects.STREAM_FLEET:
            kind = _FLEET.get(subject.rpartition(".")[2])
            if kind is None:
                raise Undecodable("unknown kind of fleet event")
            return decode(payload, kind)
        case subjects.STREAM_OUTPUT:
            return decode(payload, OutputLine)
        case _:
            return decode(payload, Any)


def recorded(
    stream: str, seq: int, subject: str, headers: dict[str, str], payload: bytes, stored: str = ""
) -> Recorded:
    """A stored message. `stored` is the server's time stamp, for a message whose writer gave no time. Never raises.

    Whoever reads the log gives it, so that a foreign event has the same time for all of them, live and in a rebuild.
    """
    if stream == subjects.STREAM_EVENTS:
        execution_id, kind, data = decode_event(subject, payload)
        if lost := headers.get(hdr.ERROR):  # what it refers to is not to be had: it is not what it was written as
            data = UnknownEvent(execution_id, kind, payload, hdr.text_of(lost))
    else:
        kind = subject.rpartition(".")[2]
        try:
            data = decode_body(stream, subject, payload)
            execution_id = str(getattr(data, "execution_id", "") or "")
        except Undecodable as error:
            execution_id, data = "", UnknownEvent("", kind, payload, str(error))
    return Recorded(
        seq,
        subject,
        execution_id,
        kind,
        moment_of(headers.get("ce-time", "")) or moment_of(stored or headers.get("Nats-Time-Stamp", "")) or _EPOCH,
        hdr.text_of(headers.get("ce-id", "")) or f"{stream}-{seq}",
        data,
        hdr.text_of(headers.get("ce-source", "")),
        hdr.text_of(headers.get("ce-correlationid", "")),
        hdr.text_of(headers.get("ce-causationid", "")),
        headers.get("traceparent", ""),
    )


def recorded_from_server(stream: str, message: RawMessage) -> Recorded:
    """A stored message that came by direct get or by republishing: its place is in its headers."""
    return recorded(
        stream,
        int(message.header("Nats-Sequence") or 0),
        message.header("Nats-Subject") or message.subject,
        message.headers,
        message.payload,
    )


def ack_fields(reply: str) -> tuple[int, int, int, int]:
    """Attempt, stream sequence, time stamp (ns) and number pending, from the reply subject of a consumer's message."""
    parts = reply.split(".")
    if len(parts) >= 11:  # with domain and account: $JS.ACK.d.a.stream.consumer.delivered.sseq.cseq.time.pending[.…]
        return int(parts[6]), int(parts[7]), int(parts[9]), int(parts[10])
    return int(parts[4]), int(parts[5]), int(parts[7]), int(parts[8])


def stored_at(reply: str) -> str:
    """When a consumer's message was stored, from its reply subject, as the server writes a time."""
    moment = _EPOCH + timedelta(microseconds=ack_fields(reply)[2] // 1000)
    return moment.isoformat()


def place_of(reply: str) -> str:
    """Stream and sequence of a consumer's message, from its reply subject."""
    parts = reply.split(".")
    return f"{parts[4]}:{parts[7]}" if len(parts) >= 11 else f"{parts[2]}:{parts[5]}"


def moment_of(text: str) -> datetime | None:
    """A time as the server or a CloudEvents header writes it, or None where it is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:  # the server writes nanoseconds, which Python 3.11 cuts, and a stranger may write anything
            moment = datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=UTC)
        except ValueError:
            return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
