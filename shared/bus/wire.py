"""The NATS client protocol on one socket: bytes in, messages out.

It is our own because it is the hot path: every event of every execution passes here several times a second, and a
client of general purpose spends most of that time on a queue and a task for each subscription, on regular expressions
and on header dictionaries that nobody reads. This one hands raw messages to a plain function as they are cut from the
buffer, and writes everything that was said within one turn of the event loop with one system call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

_log = structlog.get_logger(__name__)

_CRLF = b"\r\n"
_MAX_CONTROL_LINE = 1 << 20


class Message:
    """A message as it came: headers still in one piece, `b""` when there are none."""

    __slots__ = ("headers", "payload", "reply", "sid", "subject")

    def __init__(self, sid: int, subject: str, reply: str, headers: bytes, payload: bytes) -> None:
        self.sid = sid
        self.subject = subject
        self.reply = reply
        self.headers = headers
        self.payload = payload

    @property
    def status(self) -> int:
        """The status code in the header line (404, 408, 503, …), or 0."""
        line = self.headers[8:12]
        return int(line) if line[:1] == b" " and line[1:].isdigit() else 0

    @property
    def status_text(self) -> str:
        """The words after the status code."""
        return self.headers[12 : self.headers.find(_CRLF)].decode("utf-8", "replace").strip()

    def header(self, name: bytes) -> str:
        """The value of a header by its exact name, or an empty text."""
        start = self.headers.find(b"\r\n" + name + b":")
        if start < 0:
            return ""
        start += len(name) + 3
        return self.headers[start : self.headers.find(_CRLF, start)].decode("utf-8", "replace").strip()


class Wire(asyncio.Protocol):
    """One connection: cuts what the server says into messages, and gathers what is to be said."""

    def __init__(self, on_message: Callable[[Message], None], on_lost: Callable[[Exception | None], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = 0
        self._out: list[bytes] = []
        self._flushing = False
        self._pongs: list[asyncio.Future[None]] = []
        self._writable: asyncio.Future[None] | None = None
        self._closed = False
        self.info: dict[str, Any] = {}
        self.informed: asyncio.Future[None] = self._loop.create_future()
        self.error = ""
        self.unanswered = 0

    # -- the socket -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open; for TLS this happens a second time, when it is safe."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's classes
        if hasattr(transport, "set_write_buffer_limits"):
            self._transport.set_write_buffer_limits(high=4 << 20)  # type: ignore[union-attr]  # set above

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._closed = True
        self._release(exc)
        self._on_lost(exc)

    def pause_writing(self) -> None:
        """The server reads more slowly than we write."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The server has caught up."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def abort(self) -> None:
        """Drops the socket without another word."""
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Writes what is left and closes the socket."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    @property
    def transport(self) -> asyncio.Transport:
        """The open socket."""
        assert self._transport is not None
        return self._transport

    def _release(self, exc: Exception | None) -> None:
        waiting = [*self._pongs, self.informed]
        self._pongs = []
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionError(self.error or str(exc or "the server closed the connection")))
                future.exception()
        self.resume_writing()

    # -- saying -----------------------------------------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        """Writes soon, together with everything else that is said in this turn of the loop."""
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._out and not self._closed and self._transport is not None:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out = []
            self._transport.write(data)

    async def writable(self) -> None:
        """Waits while the server reads more slowly than we write."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    @property
    def congested(self) -> bool:
        """Whether the server reads more slowly than we write."""
        return self._writable is not None

    def ping(self) -> asyncio.Future[None]:
        """Done when the server has seen everything that was said before."""
        pong: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(pong)
        self.unanswered += 1
        self.say(b"PING\r\n")
        return pong

    # -- hearing ----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Cuts messages out of what has arrived; a rest is kept until there is enough of it."""
        if self._need:
            self._chunks.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._chunks)
            self._chunks.clear()
            self._need = self._have = 0
        elif self._buffer:
            data = self._buffer + data
        self._buffer = b""
        try:
            self._cut(data)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the bytes, the remedy is a new connection
            _log.error("bus_protocol_error", error=f"{type(error).__name__}: {error}")
            self.abort()

    def _cut(self, data: bytes) -> None:
        position, size = 0, len(data)
        while position < size:
            end = data.find(_CRLF, position)
            if end < 0:
                if size - position > _MAX_CONTROL_LINE:
                    raise ValueError("a line without an end")
                break
            first = data[position]
            if first in (72, 77):  # HMSG, MSG
                after = self._message(data, position, end, size, headed=first == 72)
                if after == 0:
                    break
                position = after
            else:
                self._control(data[position:end])
                position = end + 2
        if position < size:
            self._keep(data[position:] if position else data)

    def _keep(self, rest: bytes) -> None:
        if self._need:
            self._chunks.append(rest)
            self._have = len(rest)
        else:
            self._buffer = rest

    def _message(self, data: bytes, position: int, end: int, size: int, *, headed: bool) -> int:
        """Cuts one message and hands it on. Returns where the next one begins, 0 when it is not all there."""
        words = data[position:end].split()
        total = int(words[-1])
        start = end + 2
        after = start + total + 2
        if after > size:
            self._need = after - position
            return 0
        if headed:
            middle = start + int(words[-2])
            headers, payload = data[start:middle], data[middle : start + total]
            reply = words[3].decode() if len(words) == 6 else ""
        else:
            headers, payload = b"", data[start : start + total]
            reply = words[3].decode() if len(words) == 5 else ""
        self._on_message(Message(int(words[2]), words[1].decode("utf-8", "replace"), reply, headers, payload))
        return after

    def _control(self, line: bytes) -> None:
        word = line[:4].upper()
        if word == b"PING":
            self.say(b"PONG\r\n")
        elif word == b"PONG":
            self.unanswered = 0
            if self._pongs:
                pong = self._pongs.pop(0)
                if not pong.done():
                    pong.set_result(None)
        elif word == b"INFO":
            self.info = msgspec.json.decode(line[5:])
            if not self.informed.done():
                self.informed.set_result(None)
        elif word == b"-ERR":
            self.error = line[4:].decode("utf-8", "replace").strip().strip("'")
            _log.warning("bus_server_error", error=self.error)
        elif not line.startswith(b"+OK"):
            raise ValueError(f"unknown word {line[:20]!r}")
