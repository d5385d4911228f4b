"""Work: messages that are handled once each by somebody, in parallel, and acknowledged when they are.

While a handler runs its message is kept alive by in-progress acks. An ack that the server loses with its life leads
to a redelivery, so every handler tolerates one.

What cannot be handled never blocks and never loops: a body that cannot be read, what a handler fails at again and
again, and what ends the process that handles it (`shared.bus.lives`), goes to the dead letters, with the reason. When
it is safely there whoever waits is told, and only then the original is put aside.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

import structlog

from shared import subjects
from shared.bus import dead_letters
from shared.bus.connection import Connection
from shared.bus.errors import BusClosed, BusError, Reject, Retry
from shared.bus.intake import Intake
from shared.bus.lives import Lives, when_survived
from shared.bus.messages import (
    Delivery,
    Undecodable,
    UnknownEvent,
    ack_fields,
    decode_body,
    place_of,
    recorded,
    stored_at,
)
from shared.bus.raw import RawMessage

_log = structlog.get_logger(__name__)

Handler = Callable[[Delivery], Awaitable[object]]
Parked = Callable[[Delivery, str], Awaitable[object]]
"""Says to whoever waits that a message was put aside, and why."""

_LONGEST_BACK_OFF_S = 30.0
_REQUEUED_AT_ONCE = 8
_MOST_REMEMBERED = 20_000


class Worker:
    """Handles the messages of one durable consumer. `await` it to know that it is at work."""

    def __init__(
        self,
        connection: Connection,
        *,
        service: str,
        durable: str,
        stream: str,
        filters: Sequence[str],
        handler: Handler,
        concurrency: int,
        ack_wait_s: float,
        max_deliver: int,
        undecodable: bool,
        parked: Parked | None = None,
        whole: Callable[[RawMessage], Awaitable[RawMessage]],
    ) -> None:
        self._connection = connection
        self._service = service
        self._durable = durable
        self._stream = stream
        self._handler = handler
        self._concurrency = concurrency
        self._ack_wait_s = ack_wait_s
        self._max_deliver = max_deliver
        self._undecodable = undecodable
        self._parked = parked
        self._whole = whole
        self._running: dict[str, tuple[asyncio.Task[None], float]] = {}
        self._failures: dict[tuple[str, int], int] = {}
        self._given_back: dict[tuple[str, int], int] = {}
        """Messages that this worker has asked to be delivered again, and at which attempt."""
        self._lives = Lives(connection, durable)
        self._stopping = False
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._main = Intake(
            connection,
            stream=stream,
            durable=durable,
            filters=filters,
            ack_wait_s=ack_wait_s,
            take=self._take,
            free=lambda: self._concurrency - len(self._running),
        )
        self._requeued = Intake(
            connection,
            stream=subjects.STREAM_DEAD_LETTERS,
            durable=durable,
            filters=[subjects.requeued(durable)],
            ack_wait_s=ack_wait_s,
            take=self._take,
            free=lambda: _REQUEUED_AT_ONCE,
        )
        self._task = loop.create_task(self._tend(), name=f"work-{durable}")

    def __await__(self) -> Generator[Any, None, Worker]:
        return self._until_ready().__await__()

    async def _until_ready(self) -> Worker:
        await asyncio.wait({self._ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            self._task.result()
        return self

    async def stop(self, grace_s: float = 10.0) -> None:
        """Takes nothing more and lets what is in hand come to its end; what does not is delivered again elsewhere."""
        self._stopping = True
        await self._main.stop()
        await self._requeued.stop()
        tasks = [task for task, _ in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in [*tasks, self._task]:
            task.cancel()
        await asyncio.wait([*tasks, self._task])
        if not self._ready.done():
            self._ready.cancel()

    @property
    def running(self) -> int:
        """How many messages are being handled."""
        return len(self._running)

    async def _tend(self) -> None:
        """Makes the consumers, keeps long work alive, and asks anew where the server has fallen silent."""
        await self._main.start()
        await self._requeued.start()
        self._ready.set_result(None)
        loop = asyncio.get_running_loop()
        step = min(self._ack_wait_s / 3.0, 1.0)
        while True:
            await asyncio.sleep(step)
            begun_before = loop.time() - step
            for reply, (_, begun) in list(self._running.items()):
                if begun <= begun_before:
                    await self._connection.publish_now(reply, b"+WPI")
            await self._main.look()
            await self._requeued.look()

    # -- one message ------------------------------------------------------------------------------------------------

    def _take(self, message: RawMessage) -> None:
        if self._stopping or message.reply in self._running:
            return
        loop = asyncio.get_running_loop()
        self._running[message.reply] = (loop.create_task(self._handle(message)), loop.time())

    async def _handle(self, message: RawMessage) -> None:
        try:
            delivery = self._delivery(await self._whole(message))
            if delivery.attempt > 1 and self._given_back.pop((delivery.stream, delivery.seq), 0) < delivery.attempt - 1:
                await self._handle_marked(message.reply, delivery)
            else:
                await self._settle(message.reply, delivery, await self._try(delivery))
        except (BusError, TimeoutError) as error:
            # the message could not be settled: it stays where it is and is delivered again
            if not isinstance(error, BusClosed):
                _log.warning("work_unsettled", durable=self._durable, error=str(error))
        finally:
            self._running.pop(message.reply, None)
            if not self._stopping:
                await self._main.ask()
                await self._requeued.ask()

    async def _handle_marked(self, reply: str, delivery: Delivery) -> None:
        """Handles a message that came back although nobody asked for it: whoever had it before may have died of it."""
        what = f"{delivery.stream}.{delivery.seq}"
        why_not, release = await self._lives.begin(what)
        if why_not:
            await self._park(reply, delivery, why_not)
            return

        async def survive() -> None:
            release()
            await self._lives.survived(what)

        surviving = asyncio.get_running_loop().create_task(when_survived(survive), name=f"survive-{self._durable}")
        try:
            outcome = await self._try(delivery)
        finally:
            release()
            surviving.cancel()
            await asyncio.wait({surviving})
        await self._settle(reply, delivery, outcome)
        if not isinstance(outcome, BusClosed):
            await self._lives.end(what)

    async def _try(self, delivery: Delivery) -> Exception | None:
        """Runs the handler. Returns None when the message is handled, else the verdict or the fault."""
        if delivery.error and not self._undecodable:
            return Reject(delivery.error)
        try:
            await self._handler(delivery)
        except (Retry, Reject, BusClosed) as verdict:
            return verdict
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its message's fault alone
            _log.exception(
                "work_failed",
                durable=self._durable,
                subject=delivery.subject,
                seq=delivery.seq,
                attempt=delivery.attempt,
                exc_info=error,
            )
            return error
        return None

    async def _settle(self, reply: str, delivery: Delivery, outcome: Exception | None) -> None:
        """Acks, asks for another delivery, or parks. Each message is settled once."""
        key = (delivery.stream, delivery.seq)
        match outcome:
            case None:
                self._failures.pop(key, None)
                await self._say(reply, b"+ACK")
            case BusClosed():
                return
            case Retry(after_s=after_s):
                self._remember_giving_back(key, delivery.attempt)
                await self._say(reply, b'-NAK {"delay": %d}' % int(max(after_s, 0.0) * 1_000_000_000))
            case Reject(reason=reason):
                await self._park(reply, delivery, reason)
            case _:
                failures = self._failures.get(key, 0) + 1
                if failures >= self._max_deliver:
                    await self._park(
                        reply, delivery, f"{type(outcome).__name__}: {outcome} (after {failures} attempts)"
                    )
                    return
                self._failures[key] = failures
                self._remember_giving_back(key, delivery.attempt)
                delay = min(0.1 * 2 ** (failures - 1), _LONGEST_BACK_OFF_S) * random.uniform(0.8, 1.2)
                await self._say(reply, b'-NAK {"delay": %d}' % int(delay * 1_000_000_000))

    def _remember_giving_back(self, key: tuple[str, int], attempt: int) -> None:
        if len(self._given_back) >= _MOST_REMEMBERED:
            self._given_back.pop(next(iter(self._given_back)))
        self._given_back[key] = attempt

    async def _park(self, reply: str, delivery: Delivery, reason: str) -> None:
        await dead_letters.bury(self._connection, self._service, self._durable, delivery, reason, place_of(reply))
        if self._parked is not None:
            try:
                await self._parked(delivery, reason)
            except BusClosed:
                raise
            except Exception as error:  # noqa: BLE001 - it is parked all the same
                _log.exception("parked_untold", durable=self._durable, seq=delivery.seq, exc_info=error)
        self._failures.pop((delivery.stream, delivery.seq), None)
        await self._say(reply, b"+TERM")
        _log.error("dead_letter", durable=self._durable, subject=delivery.subject, seq=delivery.seq, reason=reason)

    async def _say(self, reply: str, word: bytes) -> None:
        await self._connection.publish_now(reply, word)

    def _delivery(self, message: RawMessage) -> Delivery:
        attempt, seq, time_ns, _ = ack_fields(message.reply)
        delivery = Delivery(self._stream, message.subject, seq, attempt, message.payload, message.headers)
        delivery.time_ns = time_ns
        original = delivery.headers.get(dead_letters.SUBJECT)
        if original is not None and message.subject == subjects.requeued(self._durable):
            delivery.subject = original
            delivery.stream = delivery.headers.get(dead_letters.STREAM, self._stream)
            with suppress(ValueError):
                delivery.seq = int(delivery.headers.get(dead_letters.SEQUENCE, ""))
            with suppress(ValueError):
                delivery.time_ns = int(delivery.headers.get(dead_letters.TIME, ""))
        if delivery.stream == subjects.STREAM_EVENTS:
            stored = stored_at(message.reply) if delivery.seq == seq else ""
            record = recorded(
                delivery.stream, delivery.seq, delivery.subject, delivery.headers, delivery.payload, stored
            )
            delivery.recorded = record
            if isinstance(record.data, UnknownEvent):
                delivery.error = f"{record.type}: {record.data.reason}"
            else:
                delivery.data = record.data
            return delivery
        try:
            delivery.data = decode_body(delivery.stream, delivery.subject, delivery.payload)
        except Undecodable as error:
            delivery.error = str(error)
        return delivery
