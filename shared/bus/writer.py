"""Writing the log: many hands, one writer, group commit.

A flush to disk costs the same for one message as for many. So while few events wait they go out one by one and
pipelined, which is quickest; when many wait they go out as one atomic batch that holds decisions of many executions,
each fenced on its first event, and what arrives meanwhile is the next batch. One stale fence or one id that is known
already refuses the whole batch: then each decision is tried on its own.

A short decision of several events goes out in steps, each event fenced by the `execution.*` event before it, since an
atomic batch costs as much as six publishes. Who dies in between leaves the beginning of a decision in the log; the next
owner comes to the same decision and appends what is owed (`services.pattern_engine.ownership`).

An answer may never come: the server was killed, the line was cut. Then it is not known whether the decision was
stored. Nothing is taken for lost or for done before the log itself has been asked, and until then nothing else of
the same execution is written, so that no order is ever turned round.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any

import structlog

from shared import subjects
from shared.bus import headers as hdr
from shared.bus.answers import DUPLICATE, NOBODY, STALE, TOO_LARGE, Refused, stored_at
from shared.bus.connection import Connection
from shared.bus.decisions import Decision, Entry, Fence, fence_headers
from shared.bus.errors import BusClosed, BusError, Disconnected, EventTooLarge, StaleFence
from shared.bus.raw import RawMessage
from shared.bus.reader import read_subject
from shared.bus.streams import ensure_all

_log = structlog.get_logger(__name__)

FEW_EVENTS = 20
"""Up to so many waiting single events are quicker one by one than as a batch (`parallax bench log`)."""

SHORT_DECISION = 6
"""A decision of up to so many events is quicker in steps than as a batch, while nothing else waits."""

MOST_EVENTS = 500
"""The largest batch; the server takes 1,000."""

_MOST_BYTES = 8 << 20
_ANSWER_WITHIN_S = 5.0


def _events_of(decisions: list[Decision]) -> int:
    return sum(len(decision.entries) for decision in decisions)


def _steps(decision: Decision) -> Iterator[list[Entry]]:
    """The events of a decision in groups of one fence: an `execution.*` event ends a group, as it moves the fence."""
    step: list[Entry] = []
    for entry in decision.entries:
        step.append(entry)
        if decision.fence is not None and entry.kind.startswith("execution."):
            yield step
            step = []
    if step:
        yield step


class Writer:
    """Appends decisions to the log for everybody in this process.

    Up to `few_events` events that wait go one by one; more, and long decisions, go as one batch.
    """

    def __init__(self, connection: Connection, few_events: int = FEW_EVENTS) -> None:
        self._connection = connection
        self._few_events = few_events
        self._waiting: deque[Decision] = deque()
        self._busy: set[str] = set()
        self._flying = 0
        self._batching = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._batch_prefix = os.urandom(6).hex()
        self._batches = 0
        self._closed = False
        self._nobody = 0
        self.counts = {"singles": 0, "batches": 0, "batched": 0, "split": 0, "resolved": 0}

    def write(self, decision: Decision) -> asyncio.Future[list[int]]:
        """Takes a decision on. The future gives the sequences, or StaleFence, EventTooLarge, BusClosed."""
        if self._closed:
            decision.fail(BusClosed("The connection to the bus is closed."))
            return decision.done
        room = self._connection.max_payload - 512
        largest = max(entry.size for entry in decision.entries)
        if largest > room:
            decision.fail(
                EventTooLarge(
                    f"An event of {largest} bytes is too large for the log: the server takes {room} bytes a message."
                )
            )
            return decision.done
        self._waiting.append(decision)
        self._schedule()
        return decision.done

    async def close(self) -> None:
        """Fails what has not been written."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks) if tasks else None
        while self._waiting:
            self._waiting.popleft().fail(BusClosed("The connection to the bus was closed."))

    # -- choosing ---------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Looks at what waits when this turn of the loop is over, so that what is said together goes together."""
        if not self._scheduled and self._waiting and not self._closed:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        self._scheduled = False
        if self._batching or self._closed:
            return
        lanes = self._choose()
        if not lanes:
            return
        decisions = [decision for lane in lanes.values() for decision in lane]
        events = sum(len(decision.entries) for decision in decisions)
        longest = max(len(decision.entries) for decision in decisions)
        if longest <= SHORT_DECISION and events + self._flying <= self._few_events:
            for execution_id, lane in lanes.items():
                self._flying += _events_of(lane)
                in_steps = len(lane) == 1 and len(lane[0].entries) > 1
                self._start(self._write_steps(lane[0]) if in_steps else self._write_lane(lane), lane, {execution_id})
            return
        self._batching = True
        self._start(self._write_together(decisions), decisions, set(lanes), batch=True)

    def _choose(self) -> dict[str, list[Decision]]:
        """What may be written now, by execution and in order.

        Nothing of an execution of which something is still on its way. Several facts of one execution may go
        together, but a fenced decision goes alone: the server refuses two fences over one filter in a batch.
        """
        lanes: dict[str, list[Decision]] = {}
        held: list[Decision] = []
        kept_back: set[str] = set()
        events = size = 0
        while self._waiting:
            decision = self._waiting.popleft()
            if decision.done.done():
                continue
            key = decision.execution_id
            lane = lanes.get(key)
            joins = lane is None or (decision.fence is None and lane[0].fence is None)
            if key in self._busy or key in kept_back or not joins:
                kept_back.add(key)
                held.append(decision)
                continue
            if lanes and (events + len(decision.entries) > MOST_EVENTS or size + decision.size > _MOST_BYTES):
                held.append(decision)
                break
            lanes.setdefault(key, []).append(decision)
            events += len(decision.entries)
            size += decision.size
        self._waiting.extendleft(reversed(held))
        return lanes

    def _start(
        self, work: Coroutine[Any, Any, None], decisions: list[Decision], ids: set[str], *, batch: bool = False
    ) -> None:
        self._busy |= ids
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._busy -= ids
            if batch:
                self._batching = False
            else:
                self._flying -= _events_of(decisions)
            failure = None if task.cancelled() else task.exception()
            if failure is not None and not isinstance(failure, BusClosed):
                _log.error("append_failed", exc_info=failure)
            for decision in decisions:
                decision.fail(BusClosed("The connection to the bus was closed.") if failure is None else failure)
            self._schedule()

        task.add_done_callback(ended)

    # -- one by one -------------------------------------------------------------------------------------------------

    async def _write_lane(self, lane: list[Decision]) -> None:
        """Writes single events of one execution, pipelined. Where one fails, it and the rest go step by step."""
        if any(decision.uncertain for decision in lane):
            for decision in lane:
                await self._write_alone(decision, None)
            return
        answers = [await self._ask(decision.entries[0], fence_headers(decision.fence)) for decision in lane]
        for place, (decision, answer) in enumerate(zip(lane, answers, strict=True)):
            try:
                decision.succeed([await self._answer(answer, decision.fence)])
                self.counts["singles"] += 1
            except (Refused, Disconnected, TimeoutError) as error:
                self._note(decision, error)
                for rest in lane[place + 1 :]:
                    rest.uncertain = True
                for rest in lane[place:]:
                    await self._write_alone(rest, None if rest is not decision else error)
                return

    async def _write_steps(self, decision: Decision) -> None:
        """Writes a short decision: what has the same fence pipelined, what needs the next fence after its answer."""
        if decision.uncertain:
            await self._write_alone(decision, None)
            return
        seqs: list[int] = []
        fence = decision.fence
        try:
            for step in _steps(decision):
                answers = [await self._ask(entry, fence_headers(fence)) for entry in step]
                for answer in answers:
                    seq = await self._answer(answer, fence)
                    seqs.append(seq)
                if fence is not None:
                    fence = Fence(fence.execution_id, seqs[-1])
        except (Refused, Disconnected, TimeoutError) as error:
            self._note(decision, error)
            # what has one fence is refused together, so that only the first event of all can have found it stale
            is_stale = isinstance(error, Refused) and error.err_code == STALE
            decision.uncertain = decision.uncertain or not is_stale or len(seqs) > 0
            await self._write_alone(decision, error)
            return
        self.counts["singles"] += len(seqs)
        decision.succeed(seqs)

    async def _ask(self, entry: Entry, more: dict[str, str]) -> asyncio.Future[RawMessage]:
        return await self._connection.ask(entry.subject, entry.payload, {**entry.headers, **more})

    async def _answer(self, answer: asyncio.Future[RawMessage], fence: Fence | None = None) -> int:
        """The sequence it is stored at. Raises Refused, Disconnected, TimeoutError."""
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            message = await answer
        return stored_at(message, fenced=fence is not None)

    # -- together ---------------------------------------------------------------------------------------------------

    async def _write_together(self, decisions: list[Decision]) -> None:
        """Writes decisions as one atomic batch; a batch that is refused is tried in halves."""
        doubtful = [decision for decision in decisions if decision.uncertain]
        if doubtful or len(decisions) == 1:
            for decision in doubtful or decisions:
                await self._write_alone(decision, None)
            decisions = [decision for decision in decisions if not decision.done.done()]
            if not decisions:
                return
        try:
            last = await self._commit(decisions)
        except Refused as error:
            if error.err_code not in {STALE, DUPLICATE}:
                _log.warning("append_refused", error=str(error), decisions=len(decisions))
                await asyncio.sleep(0.05)
            self.counts["split"] += 1
            middle = len(decisions) // 2
            await self._write_together(decisions[:middle])
            await self._write_together(decisions[middle:])
            return
        except (Disconnected, TimeoutError):
            for decision in decisions:
                decision.uncertain = True
            for decision in decisions:
                await self._write_alone(decision, None)
            return
        seq = last - sum(len(decision.entries) for decision in decisions)
        for decision in decisions:
            size = len(decision.entries)
            decision.succeed(list(range(seq + 1, seq + size + 1)))
            seq += size

    async def _commit(self, decisions: list[Decision]) -> int:
        """One atomic batch. Returns the sequence of its last event."""
        self._batches += 1
        identity = f"{self._batch_prefix}-{self._batches}"
        frames: list[tuple[Entry, dict[str, str]]] = [
            (entry, fence_headers(decision.fence) if place == 0 else {})
            for decision in decisions
            for place, entry in enumerate(decision.entries)
        ]
        for number, (entry, fence) in enumerate(frames[:-1], 1):
            block = {**entry.headers, **fence, "Nats-Batch-Id": identity, "Nats-Batch-Sequence": str(number)}
            if not await self._connection.publish_now(entry.subject, entry.payload, block):
                raise Disconnected("There is no connection to the bus.")
        entry, fence = frames[-1]
        last = {"Nats-Batch-Id": identity, "Nats-Batch-Sequence": str(len(frames)), "Nats-Batch-Commit": "1"}
        seq = await self._answer(await self._ask(entry, {**fence, **last}))
        self.counts["batches"] += 1
        self.counts["batched"] += len(frames)
        return seq

    # -- until it is known ------------------------------------------------------------------------------------------

    async def _write_alone(self, decision: Decision, error: Exception | None) -> None:
        """Writes one decision, whatever happens to the server, until it is known to be stored or refused."""
        pause = 0.02
        while True:
            if isinstance(error, Refused):
                if error.err_code == TOO_LARGE:
                    decision.fail(EventTooLarge(str(error)))
                    return
                if error.err_code == STALE and not decision.uncertain:
                    decision.fail(StaleFence(f"{decision.execution_id} has changed: {error}."))
                    return
                if error.err_code not in {STALE, DUPLICATE}:
                    _log.warning("append_refused", execution_id=decision.execution_id, error=str(error))
                    await self._mend(error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 1.0)
            if decision.done.done():
                return
            await self._connection.until_connected()
            try:
                if decision.uncertain or isinstance(error, Refused):
                    await self._resolve(decision)
                else:
                    decision.succeed(await self._store(decision.entries, decision))
            except StaleFence as stale:
                decision.fail(stale)
            except (Refused, Disconnected, TimeoutError) as failure:
                self._note(decision, failure)
                error = failure
                continue
            return

    def _note(self, decision: Decision, error: Exception) -> None:
        decision.attempts += 1
        if not isinstance(error, Refused):
            decision.uncertain = True

    async def _store(self, entries: list[Entry], decision: Decision) -> list[int]:
        """Writes some events of a decision at once. Raises Refused, Disconnected, TimeoutError."""
        if len(entries) == 1:
            answer = await self._ask(entries[0], fence_headers(decision.fence))
            seq = await self._answer(answer, decision.fence)
            self.counts["singles"] += 1
            return [seq]
        last = await self._commit([decision.part(entries)])
        return list(range(last - len(entries) + 1, last + 1))

    async def _resolve(self, decision: Decision) -> None:
        """Asks the log what is stored already, and writes the rest. Raises StaleFence and what `_store` raises."""
        self.counts["resolved"] += 1
        stored: dict[str, tuple[int, str]] = {}
        newest = 0
        async for message in read_subject(
            self._connection, subjects.STREAM_EVENTS, subjects.events_of(decision.execution_id)
        ):
            seq = int(message.header("Nats-Sequence"))
            stored.setdefault(hdr.text_of(message.header("ce-id")), (seq, message.header(hdr.APPEND_TOKEN)))
            if message.header("Nats-Subject").split(".")[-2:-1] == ["execution"]:
                newest = seq
        ours = {seq for seq, token in stored.values() if token == decision.token}
        missing = [entry for entry in decision.entries if entry.event_id not in stored]
        all_ours = all(stored.get(entry.event_id, (0, ""))[1] == decision.token for entry in decision.entries)
        if decision.fence is not None and not all_ours:
            if newest != decision.fence.last_seq and newest not in ours:
                raise StaleFence(f"{decision.execution_id} has changed: its last sequence is {newest}.")
            decision.fence = Fence(decision.execution_id, newest)
        if missing:
            written = await self._store(missing, decision)
            for entry, seq in zip(missing, written, strict=True):
                stored[entry.event_id] = (seq, decision.token)
        decision.succeed([stored[entry.event_id][0] for entry in decision.entries])

    async def _mend(self, error: Refused) -> None:
        """Makes the streams anew when somebody has taken them away."""
        if error.err_code == NOBODY:
            self._nobody += 1
            if self._nobody % 10 == 0:
                with suppress(BusError, TimeoutError):
                    await ensure_all(self._connection)
        else:
            self._nobody = 0
