"""Following: everything that is stored on some subjects, in order, from a position, without end and without gaps.

What is stored in the log is said again by the server on `parallax.events.>`, with its sequence in a header. So live
events come by a plain subscription, which costs the server next to nothing and arrives first. History, and whatever
may have been missed (a lost line, a server that died between storing and saying, a reader too slow to keep up), is
read from the stream by an ordered consumer; so is every stream that is not republished. A line that was lost counts
from the moment of its loss: over the next one live events may arrive before anybody is told that there is one. What is
said names the event before it on its subject, so one that was skipped is noticed by the next. And every few seconds
the last position is compared with the stream, so that a last message which was stored but never said is found as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
import structlog

from shared import subjects
from shared.bus.connection import Connection
from shared.bus.errors import BusClosed, BusError, Disconnected
from shared.bus.messages import Recorded, ack_fields, moment_of, recorded, recorded_from_server, stored_at
from shared.bus.ordered import OrderedReader
from shared.bus.raw import RawMessage
from shared.bus.reader import message_at
from shared.bus.streams import ApiError, last_sequence
from shared.bus.subscription import Subscription

_log = structlog.get_logger(__name__)

_PAGE = 500
_PAGE_BYTES = 32 << 20
_MOST_WAITING = 100_000
_MOST_WAITING_BYTES = 256 << 20
_LOOK_EVERY_S = 3.0
_ANSWER_WITHIN_S = 3.0


class Follower:
    """One endless reading. Not to be shared; `batches()` may be iterated once."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        filters: Sequence[str],
        after: int | None,
        whole: Callable[[RawMessage], Awaitable[RawMessage]],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._filters = list(filters)
        self._whole = whole
        self._from_now = after is None
        self._position = after or 0
        self._live: deque[tuple[int, RawMessage]] = deque()
        self._live_bytes = 0
        self._heard: asyncio.Event = asyncio.Event()
        self._doubt = True
        self._losses = connection.losses
        self._everything = self._filters == [subjects.EVENTS_ALL]
        self._subscriptions: list[Subscription] = []

    async def batches(self) -> AsyncGenerator[list[Recorded]]:
        """Lists of what is at hand, never empty, at most 500 long."""
        forget = self._connection.on_reconnect(self._doubted)
        try:
            if self._from_now:
                self._position = await last_sequence(self._connection, self._stream)
            if self._stream == subjects.STREAM_EVENTS:
                async for batch in self._follow_live():
                    yield batch
            else:
                async for batch in self._follow_stored():
                    yield batch
        finally:
            forget()
            for subscription in self._subscriptions:
                await self._connection.unsubscribe(subscription)

    async def until_now(self) -> AsyncGenerator[list[Recorded]]:
        """Lists of what is stored by now; then it is over."""
        while self._doubt:
            self._doubt = False
            async for batch in self._catch_up():
                yield batch

    @property
    def _doubtful(self) -> bool:
        return self._doubt or self._losses != self._connection.losses

    async def _doubted(self) -> None:
        self._doubt = True
        self._heard.set()

    # -- live -------------------------------------------------------------------------------------------------------

    async def _follow_live(self) -> AsyncGenerator[list[Recorded]]:
        await self._connection.until_connected()
        self._subscriptions = [await self._connection.subscribe(subject, self._take) for subject in self._filters]
        looking = asyncio.get_running_loop().create_task(self._look(), name="bus-follow-look")
        try:
            while True:
                if self._doubtful:
                    self._doubt, self._losses = False, self._connection.losses
                    async for batch in self._catch_up():
                        yield batch
                    continue
                heard = self._unbroken(await self._taken())
                async for batch in self._recorded(heard):
                    yield batch
                if heard or self._live or self._doubtful:
                    continue
                if self._connection.closed:
                    raise BusClosed("The connection to the bus is closed.")
                self._heard.clear()
                await self._heard.wait()
        finally:
            looking.cancel()

    async def _take(self, message: RawMessage) -> None:
        seq = message.header("Nats-Sequence")
        if not seq.isdigit() or message.header("Nats-Stream") != self._stream:
            return  # said by somebody else on a subject of the log: not stored, so it did not happen
        self._live.append((int(seq), message))
        self._live_bytes += len(message.payload)
        if len(self._live) > _MOST_WAITING or self._live_bytes > _MOST_WAITING_BYTES:
            self._live.clear()
            self._live_bytes = 0
            self._doubt = True
        if not self._heard.is_set():
            self._heard.set()

    async def _taken(self) -> list[tuple[int, RawMessage]]:
        """What has been heard and is complete.

        Each subscription of nats-py hands its messages on in a task of its own, so those of two filters may be
        heard in another order than they came in. Whatever came before a message is heard at the latest one turn of
        the loop after it: what is here now is complete then, up to the highest sequence of now.
        """
        if not self._live:
            return []
        if len(self._filters) > 1:
            complete = max(seq for seq, _ in self._live)
            await asyncio.sleep(0)
            heard = sorted(self._live, key=_sequence)
        else:
            heard = list(self._live)
            complete = heard[-1][0]
        self._live = deque(one for one in heard if one[0] > complete)
        self._live_bytes = sum(len(message.payload) for _, message in self._live)
        return [one for one in heard if one[0] <= complete]

    def _unbroken(self, heard: list[tuple[int, RawMessage]]) -> list[tuple[int, RawMessage]]:
        """What was heard up to the first message before which one is missing. The rest is read from the stream."""
        if self._losses != self._connection.losses:
            return []
        last = self._position
        for number, (seq, message) in enumerate(heard):
            if seq <= last:
                continue
            before = message.header("Nats-Last-Sequence")  # of the same subject, so it is among what is followed
            if (before.isdigit() and int(before) > last) or (self._everything and seq != last + 1):
                _log.info("follow_found_gap", after=last, heard=seq)
                self._doubt = True
                return heard[:number]
            last = seq
        return heard

    async def _look(self) -> None:
        """Asks every few seconds whether something is stored that was never said."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._doubt or self._live or not self._connection.connected:
                continue
            with suppress(BusError, TimeoutError):
                await self._compare()

    async def _compare(self) -> None:
        position = self._position
        for subject in self._filters:
            body = msgspec.json.encode({"seq": position + 1, "next_by_subj": subject})
            message = await self._connection.request(
                f"$JS.API.DIRECT.GET.{self._stream}", body, timeout_s=_ANSWER_WITHIN_S
            )
            if message.status:
                continue
            await asyncio.sleep(0.5)  # what is stored may be on its way; by now it would have been said
            if self._position < int(message.header("Nats-Sequence")) and not self._live:
                _log.warning("follow_found_unsaid", subject=subject, position=position)
                await self._doubted()
            return

    # -- stored -----------------------------------------------------------------------------------------------------

    async def _catch_up(self) -> AsyncGenerator[list[Recorded]]:
        """Everything after the position up to now."""
        reader = OrderedReader(self._connection, self._stream, self._filters, self._position)
        try:
            while True:
                page = await reader.page(_PAGE, wait=False)
                async for batch in self._recorded(_numbered(page)):
                    yield batch
                if reader.pending == 0:
                    return
        except (Disconnected, TimeoutError, ApiError) as error:
            await self._again(error)
        finally:
            await reader.close()

    async def _follow_stored(self) -> AsyncGenerator[list[Recorded]]:
        while True:
            reader = OrderedReader(self._connection, self._stream, self._filters, self._position)
            try:
                while True:
                    page = await reader.page(_PAGE, wait=True)
                    async for batch in self._recorded(_numbered(page)):
                        yield batch
            except (Disconnected, TimeoutError, ApiError) as error:
                await self._again(error)
            finally:
                await reader.close()

    async def _recorded(self, messages: list[tuple[int, RawMessage]]) -> AsyncGenerator[list[Recorded]]:
        """What of the messages is new, with its large values, in lists that are not too long or too large.

        The position moves with what is handed over: whoever stops in between goes on from there.
        """
        batch: list[Recorded] = []
        last, size = self._position, 0
        for seq, message in messages:
            if seq <= last:
                continue
            whole = await self._whole(message)
            if batch and (len(batch) >= _PAGE or size + len(whole.payload) > _PAGE_BYTES):
                self._position = last
                yield batch
                batch, size = [], 0
            batch.append(await self._record(seq, whole))
            last, size = seq, size + len(whole.payload)
        self._position = last
        if batch:
            yield batch

    async def _record(self, seq: int, message: RawMessage) -> Recorded:
        if message.reply.startswith("$JS.ACK"):
            stored = stored_at(message.reply)
            return recorded(self._stream, seq, message.subject, message.headers, message.payload, stored)
        if not moment_of(message.header("ce-time")) and not message.header("Nats-Time-Stamp"):
            # a foreign writer gave no time, and what is said again has none: the stored message tells it
            kept = await message_at(self._connection, self._stream, seq)
            if kept is not None:
                return recorded_from_server(self._stream, kept)
        return recorded_from_server(self._stream, message)

    async def _again(self, error: Exception) -> None:
        if self._connection.closed:
            raise BusClosed("The connection to the bus is closed.")
        _log.debug("follow_again", stream=self._stream, error=str(error))
        self._doubt = True
        await asyncio.sleep(0.05)
        await self._connection.until_connected()


def _numbered(page: list[RawMessage]) -> list[tuple[int, RawMessage]]:
    return [(ack_fields(message.reply)[1], message) for message in page]


def _sequence(heard: tuple[int, RawMessage]) -> int:
    return heard[0]
