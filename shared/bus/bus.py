"""The bus: the log, work, following, and core messages, behind one object.

Nothing else in the platform knows what NATS looks like.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

import msgspec
import structlog

from schemas.events import Event
from schemas.json_text import mended
from shared import subjects
from shared.bus import dead_letters
from shared.bus import headers as hdr
from shared.bus.connection import Connection
from shared.bus.dead_letters import DeadLetter
from shared.bus.decisions import Cause, Decision, Fence, encode
from shared.bus.errors import BusError, Disconnected, NoResponder, RequestFailed, Retry
from shared.bus.follower import Follower
from shared.bus.key_value import KeyValue
from shared.bus.large import INLINE, LargeValues
from shared.bus.lives import Lives
from shared.bus.messages import Delivery, Message, Recorded, Undecodable, UnknownEvent, decode, moment_of
from shared.bus.raw import RawMessage
from shared.bus.reader import first_message, read_execution
from shared.bus.served import Served, takes_two
from shared.bus.streams import BY_SHORT_NAME, DEDUP_WINDOW_S, STREAMS, api, ensure_all, last_sequence
from shared.bus.worker import Handler, Parked, Worker
from shared.bus.writer import Writer
from shared.clock import SYSTEM_CLOCK, Clock
from shared.config import Settings
from shared.ids import new_id
from shared.shortening import shortened

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_ENCODER = msgspec.json.Encoder()

_SURELY_REMEMBERED_S = DEDUP_WINDOW_S / 2
"""What happened within this time the server still knows by its id."""

_MOST_BIRTHS = 20_000

_MOST_TOGETHER = 8 << 20
"""Bytes that the events of one decision may have together, without their large values."""

_LIGHT = 64 << 10
"""Bytes to which each event of a larger decision is brought."""


async def _nobody_is_told(_message: Message, _reason: str) -> None:
    """Of a body that cannot be read."""


class Bus:
    """One connection to the bus. `id` is unique to it; `name` is the service's or program's."""

    def __init__(
        self, connection: Connection, name: str, clock: Clock = SYSTEM_CLOCK, *, writer: Writer | None = None
    ) -> None:
        self.name = name
        self.id = f"{name}-{new_id()[-8:]}"
        self.connection = connection
        self._clock = clock
        self._stamp = hdr.Stamp(self.id, clock)
        self._writer = writer or Writer(connection)
        self._large = LargeValues(connection)
        self._births: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(
        cls, where: str | Settings, name: str = "client", *, timeout_s: float | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> Bus:
        """Connects, waiting for a server for ever or at most `timeout_s`. Raises Unreachable."""
        url = where.nats_url if isinstance(where, Settings) else where
        connection = Connection(url, name)
        await connection.open(timeout_s)
        return cls(connection, name, clock)

    async def close(self) -> None:
        """Writes what is left and closes. What was not acknowledged is delivered again elsewhere."""
        await self._writer.close()
        for task in list(self._tasks):
            task.cancel()
        await self.connection.close()

    @property
    def connected(self) -> bool:
        """Whether there is a server at this moment."""
        return self.connection.connected

    async def flush(self, timeout_s: float = 2.0) -> None:
        """Returns when the server has seen everything that was said before. Raises TimeoutError, BusClosed."""
        await self.connection.flush(timeout_s)

    async def ensure_streams(self) -> None:
        """Makes all streams what they are to be, and reads them back. Raises UnfitServer."""
        await ensure_all(self.connection)

    # -- the log ----------------------------------------------------------------------------------------------------

    async def append(self, event: Event, *, cause: Cause = None) -> int:
        """Appends one fact and returns its sequence; a fact that is there already keeps the one it has.

        Raises EventTooLarge, BusClosed.
        """
        return (await self.append_all([event], cause=cause))[0]

    async def append_all(
        self, events: Sequence[Event], *, fence: Fence | None = None, cause: Cause = None
    ) -> list[int]:
        """Appends the events of one decision in order, and returns their sequences.

        Under a stale fence none is stored; who is overtaken or dies on the way may leave the first ones in the log.
        Raises StaleFence, EventTooLarge, BusClosed; ValueError for events of several executions.
        """
        decision = encode(self._stamp, events, fence, cause, time.monotonic())
        if fence is None:
            await self._consider_age(decision, cause)
        if sum(len(entry.payload) for entry in decision.entries) > _LIGHT:
            await self._lighten(decision)
        return await self._writer.write(decision)

    async def _lighten(self, decision: Decision) -> None:
        """Puts beside the log what of a decision does not fit into its messages. Raises EventTooLarge, BusClosed."""
        most = INLINE if decision.size <= _MOST_TOGETHER else _LIGHT
        for entry in decision.entries:
            if entry.size > most or not self._large.fits(entry.payload, entry.headers):
                entry.payload, entry.headers = await self._large.lighten(entry.kind, entry.payload, entry.headers, most)

    async def _consider_age(self, decision: Decision, cause: Cause) -> None:
        """Has the log asked first where this may be a repetition that the server no longer knows by its id."""
        now = self._clock.now().timestamp()
        moment = cause.recorded if isinstance(cause, Delivery) else cause
        if moment is not None and abs(now - moment.time.timestamp()) < _SURELY_REMEMBERED_S:
            return
        born = self._births.get(decision.execution_id)
        if born is None:
            try:
                first = await first_message(
                    self.connection, subjects.STREAM_EVENTS, subjects.events_of(decision.execution_id)
                )
            except (BusError, TimeoutError):
                decision.uncertain = True
                return
            born = now
            if first is not None:
                stamp = first.header("Nats-Time-Stamp")
                born = _seconds(stamp, now)
            if len(self._births) > _MOST_BIRTHS:
                self._births.clear()
            self._births[decision.execution_id] = born
        decision.uncertain = abs(now - born) >= _SURELY_REMEMBERED_S

    def read(self, execution_id: str, types: Collection[str] | None = None, after: int = 0) -> AsyncGenerator[Recorded]:
        """The history of one execution up to now, in order. Raises ValueError, BusClosed."""
        return self._learning(read_execution(self.connection, execution_id, types, after, self._large.whole))

    async def last_seq(self, stream: str = "events") -> int:
        """The sequence of the last message of a stream; 0 when it is empty."""
        return await last_sequence(self.connection, BY_SHORT_NAME[stream])

    async def follow(
        self, filters: Sequence[str] | None = None, after: int | None = None, stream: str = "events"
    ) -> AsyncGenerator[Recorded]:
        """Everything that is stored on some subjects, in order, after a sequence (None: from now), without end."""
        async for batch in self.follow_batches(filters, after, stream):
            for record in batch:
                yield record

    def follow_batches(
        self, filters: Sequence[str] | None = None, after: int | None = None, stream: str = "events"
    ) -> AsyncGenerator[list[Recorded]]:
        """Like `follow`, in lists of what is at hand: never empty, at most 500 long."""
        name = BY_SHORT_NAME[stream]
        everything = subjects.EVENTS_ALL if stream == "events" else STREAMS[name]["subjects"][0]
        chosen = list(filters) if filters else [everything]
        return self._learning_all(Follower(self.connection, name, chosen, after, self._large.whole).batches())

    async def stored(self, filters: Sequence[str], after: int = 0, stream: str = "events") -> AsyncGenerator[Recorded]:
        """Everything that is stored on some subjects by now, in order, of whatever execution. Raises BusClosed."""
        async for batch in Follower(
            self.connection, BY_SHORT_NAME[stream], filters, after, self._large.whole
        ).until_now():
            for record in batch:
                yield record

    async def _learning(self, records: AsyncGenerator[Recorded]) -> AsyncGenerator[Recorded]:
        async with aclosing(records):
            async for record in records:
                self._stamp.learn(record.execution_id, record.traceparent)
                yield record

    async def _learning_all(self, batches: AsyncGenerator[list[Recorded]]) -> AsyncGenerator[list[Recorded]]:
        async with aclosing(batches):
            async for batch in batches:
                for record in batch:
                    self._stamp.learn(record.execution_id, record.traceparent)
                yield batch

    # -- work -------------------------------------------------------------------------------------------------------

    def work(
        self,
        *,
        durable: str,
        stream: str,
        filters: Sequence[str],
        handler: Handler,
        concurrency: int = 64,
        ack_wait_s: float = 5.0,
        max_deliver: int = 8,
        undecodable: bool | None = None,
        parked: Parked | None = None,
    ) -> Worker:
        """Handles messages of a stream, shared with everybody who works under the same durable name.

        `max_deliver` is how often the handler may fail before the message is parked. `undecodable` lets the handler
        have messages whose body cannot be read (`data` None, `error` set): the default for requests, which are
        answered whatever they hold. `parked` is told of a message that was put aside, and why, so that nobody waits
        for an answer to it.
        """
        name = BY_SHORT_NAME[stream]

        async def learning(delivery: Delivery) -> object:
            if delivery.recorded is not None:
                self._stamp.learn(delivery.recorded.execution_id, delivery.traceparent)
            return await handler(delivery)

        return Worker(
            self.connection,
            service=self.name,
            durable=durable,
            stream=name,
            filters=filters,
            handler=learning,
            concurrency=concurrency,
            ack_wait_s=ack_wait_s,
            max_deliver=max_deliver,
            undecodable=name == subjects.STREAM_REQUESTS if undecodable is None else undecodable,
            parked=parked,
            whole=self._large.whole,
        )

    async def submit(
        self, subject: str, payload: object, *, msg_id: str = "", reply_to: str = "", execution_id: str = ""
    ) -> int:
        """Puts a message into a stream and returns its sequence when it is durable.

        Repeated across reconnects; with `msg_id` it is stored once. Raises BusClosed, EventTooLarge, BusError.
        """
        identity = msg_id or new_id()
        block = self._block(payload, identity=identity, execution_id=execution_id)
        block["Nats-Msg-Id"] = block["ce-id"]
        if reply_to:
            block[hdr.REPLY_TO] = hdr.value(reply_to)
        body = _body(payload)
        while True:
            try:
                message = await self.connection.request(subject, body, block, timeout_s=5.0)
            except (Disconnected, TimeoutError):
                continue
            except NoResponder:
                await asyncio.sleep(0.1)
                continue
            ack = decode(message.payload, dict[str, Any])
            if "error" in ack:
                raise BusError(f"The message was refused: {ack['error'].get('description')}.")
            return int(ack["seq"])

    # -- core -------------------------------------------------------------------------------------------------------

    async def publish(self, subject: str, payload: object, headers: dict[str, str] | None = None) -> None:
        """Says something to whoever listens now; waits while there is no server. Raises BusClosed, EventTooLarge."""
        await self.connection.publish(subject, *await self._fitting(payload, self._block(payload, headers)))

    async def request(
        self,
        subject: str,
        payload: object,
        reply_type: type[T],
        timeout_s: float = 2.0,
        headers: dict[str, str] | None = None,
    ) -> T:
        """Asks and waits. Raises NoResponder, RequestFailed, TimeoutError, BusClosed, EventTooLarge."""
        body, block = await self._fitting(payload, self._block(payload, headers))
        try:
            message = await self._large.whole(await self.connection.request(subject, body, block, timeout_s))
        except Disconnected as error:
            raise NoResponder(str(error)) from error
        error = message.header(hdr.ERROR)
        if error:
            raise RequestFailed(hdr.text_of(error))
        try:
            return cast("T", decode(message.payload, reply_type))
        except Undecodable as problem:
            raise RequestFailed(f"The answer cannot be read: {problem}.") from problem

    async def serve(
        self,
        subject: str,
        payload_type: Any,
        handler: Callable[..., Awaitable[object]],
        queue: str = "",
        *,
        unreadable: Callable[[Message, str], Awaitable[None]] = _nobody_is_told,
    ) -> Served:
        """Listens on a subject. `handler(payload)` or `handler(payload, message)`; what it returns is the answer.

        A body that cannot be read is answered with an error, as is a handler that fails; `unreadable` is told of such
        a body, and what is wrong with it.
        """
        both = takes_two(handler)

        async def answer(raw: RawMessage) -> None:
            message = Message(raw.subject, raw.reply, raw.payload, raw.headers)
            try:
                body = decode(mended(await self._whole_body(raw)) or b"{}", payload_type)
            except Undecodable as error:
                _log.info("bad_body", subject=raw.subject, error=str(error))
                await unreadable(message, str(error))
                await self._answer_error(raw.reply, f"The body cannot be read: {error}.")
                return
            try:
                result = await (handler(body, message) if both else handler(body))
            except Retry as verdict:
                await self._answer_error(raw.reply, f"Not now: {verdict}.")
                return
            except Exception as error:  # noqa: BLE001 - the one who asked is told, and the next one is served
                _log.exception("serve_failed", subject=raw.subject, exc_info=error)
                await self._answer_error(raw.reply, f"{type(error).__name__}: {error}")
                return
            if raw.reply and result is not None:
                await self.publish(raw.reply, result)

        async def heard(raw: RawMessage) -> None:
            if raw.status:
                return
            task = asyncio.get_running_loop().create_task(answer(raw))
            served.tasks.add(task)
            self._tasks.add(task)
            task.add_done_callback(ended)

        def ended(task: asyncio.Task[None]) -> None:
            served.tasks.discard(task)
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                _log.warning("answer_not_sent", subject=subject, error=str(task.exception()))

        served = Served(self.connection, await self.connection.subscribe(subject, heard, queue))
        return served

    def new_inbox(self) -> str:
        """A subject that nobody else has, for `serve`; further tokens may be added to it."""
        return self.connection.new_inbox()

    async def key_value(self, name: str, *, ttl_s: float = 0.0) -> KeyValue:
        """A bucket of values by key, made if it is not there. `ttl_s` 0 keeps values for ever."""
        bucket = KeyValue(self.connection, name)
        await bucket.ensure(ttl_s)
        return bucket

    def lives(self, name: str) -> Lives:
        """The marks of a kind of work that is no message: what is begun again after a process died of it."""
        return Lives(self.connection, name)

    async def set_aside(self, record: Recorded, worker: str, reason: str) -> None:
        """Keeps an event of the log that nobody can use as a dead letter of `worker`. Raises BusError, TimeoutError."""
        body = record.data.payload if isinstance(record.data, UnknownEvent) else _ENCODER.encode(record.data)
        delivery = Delivery(
            subjects.STREAM_EVENTS, record.subject, record.seq, 1, body, {"ce-id": hdr.value(record.id)}
        )
        delivery.time_ns = int(record.time.timestamp() * 1_000_000_000)
        place = f"{subjects.STREAM_EVENTS}:{record.seq}"
        await dead_letters.bury(self.connection, self.name, worker, delivery, reason, place)

    # -- dead letters -----------------------------------------------------------------------------------------------

    def dead_letters(self) -> AsyncIterator[DeadLetter]:
        """All dead letters, oldest first."""
        return dead_letters.letters(self.connection)

    async def dead_letter(self, number: int) -> DeadLetter | None:
        """One dead letter, or None."""
        return await dead_letters.letter(self.connection, number)

    async def requeue(self, number: int) -> bool:
        """Has a dead letter handled again by the worker it comes from. False when there is none of this number."""
        return await dead_letters.requeue(self.connection, number)

    async def drop(self, number: int) -> bool:
        """Takes a dead letter off the list for good. False when there is none of this number."""
        return await dead_letters.drop(self.connection, number)

    async def server(self) -> dict[str, Any]:
        """What the server says of itself: `version`, `level` of the JetStream API, `max_payload`, `streams`."""
        info = await api(self.connection, "INFO")
        return {
            "version": self.connection.server_version,
            "level": int(info.get("api", {}).get("level", 0)),
            "max_payload": self.connection.max_payload,
            "streams": int(info.get("streams", 0)),
        }

    async def _whole_body(self, raw: RawMessage) -> bytes:
        """The body of a core message with its large values. Raises Undecodable where one is not to be had."""
        whole = await self._large.whole(raw)
        if lost := whole.headers.get(hdr.ERROR):
            raise Undecodable(hdr.text_of(lost))
        return whole.payload

    async def _fitting(self, payload: object, block: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """The body of a core message with its headers, lightened where it is too long. Raises EventTooLarge."""
        body = _body(payload)
        if self._large.fits(body, block):
            return body, block
        return await self._large.lighten(type(payload).__name__, body, block)

    # -- headers ----------------------------------------------------------------------------------------------------

    def _block(
        self,
        payload: object,
        more: dict[str, str] | None = None,
        *,
        identity: str = "",
        execution_id: str = "",
    ) -> dict[str, str]:
        about = execution_id or str(getattr(payload, "execution_id", "") or "")
        kind = type(payload).__name__
        block = self._stamp.block(kind, identity=identity, subject=about, correlation=about)
        if more:
            block.update({name: hdr.value(text) for name, text in more.items()})
        return block

    async def _answer_error(self, reply: str, text: str) -> None:
        if reply:
            await self.connection.publish(reply, b"{}", {hdr.ERROR: hdr.value(shortened(text, 1000))})


def _body(payload: object) -> bytes:
    return payload if isinstance(payload, bytes) else _ENCODER.encode(payload)


def _seconds(stamp: str, otherwise: float) -> float:
    moment = moment_of(stamp)
    return otherwise if moment is None else moment.timestamp()
