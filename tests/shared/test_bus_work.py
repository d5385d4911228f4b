"""Work: handled once by somebody, redelivered when it must be, parked with a reason when it cannot be handled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats

from schemas.commands import ExecutionRequest
from shared import subjects
from shared.bus import Bus, DeadLetter, Delivery, Reject, Retry
from shared.bus.streams import api
from shared.testing import eventually
from tests.shared.conftest import Connect
from tests.shared.events import accepted, fact


async def letters(bus: Bus, durable: str) -> list[DeadLetter]:
    return [letter async for letter in bus.dead_letters() if letter.worker == durable]


def work(bus: Bus, key: str, handler: Callable[[Delivery], Awaitable[object]], **options: Any) -> Any:
    """A worker on the facts of one execution."""
    settings: dict[str, Any] = {"filters": [subjects.events_of(key)], "stream": "events", **options}
    return bus.work(durable=f"work-{key}", handler=handler, **settings)


async def test_each_message_is_handled_once_by_one_of_many(nats_url: str, connect: Connect, key: str) -> None:
    """Two workers of one name share the work; what was there before they came is handled too."""
    one, two = await connect(nats_url), await connect(nats_url)
    await one.append_all([fact(key, number) for number in range(100)])
    handled: list[tuple[int, str]] = []

    def hands(name: str) -> Callable[[Delivery], Awaitable[None]]:
        async def handle(delivery: Delivery) -> None:
            await asyncio.sleep(0.001)  # long enough for the other one to get its share
            handled.append((delivery.seq, name))

        return handle

    first = await work(one, key, hands("one"), concurrency=8)
    second = await work(two, key, hands("two"), concurrency=8)
    await one.append_all([fact(key, number) for number in range(100, 400)])
    await eventually(lambda: len(handled) >= 400, timeout_s=10)
    await asyncio.sleep(0.2)  # a second delivery would come now
    assert len({seq for seq, _ in handled}) == len(handled) == 400
    assert {name for _, name in handled} == {"one", "two"}
    await first.stop()
    await second.stop()


async def test_a_delivery_tells_all_about_its_message(bus: Bus, key: str) -> None:
    """Data, record, sequence, attempt and headers."""
    found: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        found.append(delivery)

    worker = await work(bus, key, handle)
    seq = await bus.append(fact(key, 1))
    await eventually(lambda: found)
    (delivery,) = found
    assert delivery.data == fact(key, 1)
    assert (delivery.seq, delivery.attempt) == (seq, 1)
    assert delivery.recorded is not None
    assert delivery.recorded.seq == seq
    assert delivery.headers["ce-type"] == "task.cancel_requested"
    assert delivery.traceparent.startswith("00-")
    caused = await bus.append(fact(key, 2), cause=delivery)
    (record,) = [record async for record in bus.read(key, after=seq) if record.seq == caused]
    assert record.causation == fact(key, 1).event_id
    await worker.stop()


async def test_never_more_than_allowed_are_in_hand(bus: Bus, key: str) -> None:
    """`concurrency` holds, and is used."""
    now = most = done = 0

    async def handle(_: Delivery) -> None:
        nonlocal now, most, done
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)  # work
        now -= 1
        done += 1

    worker = await work(bus, key, handle, concurrency=5)
    await bus.append_all([fact(key, number) for number in range(60)])
    await eventually(lambda: done == 60)
    assert most == 5
    await worker.stop()


async def test_retry_comes_again_after_its_time(bus: Bus, key: str) -> None:
    """However often; asking for time is not failing."""
    attempts: list[float] = []

    async def handle(delivery: Delivery) -> None:
        attempts.append(time.monotonic())
        if delivery.attempt < 12:
            raise Retry(0.03)

    worker = await work(bus, key, handle, max_deliver=2)
    await bus.append(fact(key, 1))
    await eventually(lambda: len(attempts) == 12)
    assert attempts[-1] - attempts[0] >= 11 * 0.03
    await asyncio.sleep(0.1)  # no more come
    assert len(attempts) == 12
    assert await letters(bus, f"work-{key}") == []
    await worker.stop()


async def test_a_long_handler_keeps_its_message(bus: Bus, key: str) -> None:
    """In-progress acks are sent while it runs, many times the ack wait."""
    runs = 0
    release = asyncio.Event()

    async def handle(_: Delivery) -> None:
        nonlocal runs
        runs += 1
        await release.wait()

    worker = await work(bus, key, handle, ack_wait_s=0.3)
    await bus.append(fact(key, 1))
    await eventually(lambda: runs == 1)
    await asyncio.sleep(1.2)  # four times the ack wait
    assert runs == 1
    release.set()
    await eventually(lambda: worker.running == 0)
    await worker.stop()


async def test_what_is_in_hand_is_finished_when_a_worker_stops(nats_url: str, connect: Connect, key: str) -> None:
    """Stopping waits for handlers; what was not begun is handled by the next worker, and nothing twice."""
    bus = await connect(nats_url)
    begun: list[int] = []
    finished: list[int] = []
    going = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        begun.append(delivery.seq)
        await going.wait()
        finished.append(delivery.seq)

    worker = await work(bus, key, handle, concurrency=3, ack_wait_s=1)
    await bus.append_all([fact(key, number) for number in range(10)])
    await eventually(lambda: len(begun) == 3)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.05)  # stopping waits now
    going.set()
    await stopping
    assert len(finished) == 3
    after = await work(bus, key, handle, ack_wait_s=1)
    await eventually(lambda: len(finished) == 10, timeout_s=8)
    assert sorted(finished) == sorted(set(finished))
    await after.stop()


async def test_a_handler_that_always_fails_ends_in_the_dead_letters(bus: Bus, key: str) -> None:
    """With the fault as the reason; others are handled meanwhile."""
    handled: list[str] = []

    async def handle(delivery: Delivery) -> None:
        if delivery.data.task_id == "tpoison":
            raise RuntimeError("password=hunter2hunter2 Bearer abcdefghijklmnop")
        handled.append(delivery.data.task_id)

    worker = await work(bus, key, handle, max_deliver=3)
    await bus.append_all([fact(key, "poison"), fact(key, 1), fact(key, 2)])
    await eventually(lambda: len(handled) == 2)
    (letter,) = await eventually(lambda: letters(bus, f"work-{key}"))
    assert "RuntimeError" in letter.reason
    assert "3 attempts" in letter.reason
    assert "abcdefghijklmnop" not in letter.reason
    assert letter.subject == f"parallax.events.{key}.task.cancel_requested"
    assert letter.stream == subjects.STREAM_EVENTS
    assert '"tpoison"' in letter.body
    assert letter.headers["ce-id"] == fact(key, "poison").event_id
    await worker.stop()


async def test_what_cannot_be_read_is_parked_at_once(bus: Bus, nats_url: str, key: str) -> None:
    """Unknown types, bad bodies: one letter each, with the reason, and never the handler's trouble."""
    handled: list[Any] = []

    async def handle(delivery: Delivery) -> None:
        handled.append(delivery.data)

    worker = await work(bus, key, handle)
    client = await nats.connect(nats_url)
    try:
        stream = client.jetstream()
        await stream.publish(f"parallax.append.{key}.task.vanished", b"{}")
        await stream.publish(f"parallax.append.{key}.task.completed", b"\xff{")
        await stream.publish(f"parallax.append.{key}.task.completed", b'{"x":' + b"[" * 100_000)
        await stream.publish(f"parallax.append.{key}.task.completed", b"{}")
    finally:
        await client.close()
    await bus.append(fact(key, 1))
    await eventually(lambda: handled == [fact(key, 1)])

    async def four() -> bool:
        return len(await letters(bus, f"work-{key}")) == 4

    await eventually(four)
    reasons = [letter.reason for letter in await letters(bus, f"work-{key}")]
    assert any("unknown type" in reason for reason in reasons)
    assert any("nested too deeply" in reason for reason in reasons)
    assert any("execution_id" in reason for reason in reasons)
    await worker.stop()


async def test_a_dead_letter_is_handled_again_by_its_own_worker(bus: Bus, key: str) -> None:
    """Requeued it comes back once, as the message it was; nothing new is in the log; dropped it is gone."""
    broken = True
    handled: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        if broken:
            raise Reject("not today: é\r\nX: y")
        handled.append(delivery)

    worker = await work(bus, key, handle)
    seqs = await bus.append_all([fact(key, 1), fact(key, 2)])

    async def two() -> bool:
        return len(await letters(bus, f"work-{key}")) == 2

    await eventually(two)
    first, second = await letters(bus, f"work-{key}")
    assert first.reason == "not today: é\r\nX: y"
    assert await bus.dead_letter(first.id) == first
    broken = False
    assert await bus.requeue(first.id)
    await eventually(lambda: handled)
    assert handled[0].seq == seqs[0]
    assert handled[0].data == fact(key, 1)
    assert handled[0].recorded is not None
    assert not await bus.requeue(first.id)
    assert await bus.drop(second.id)
    assert not await bus.drop(second.id)
    assert await letters(bus, f"work-{key}") == []
    assert len([record async for record in bus.read(key)]) == 2
    await worker.stop()


async def test_a_parked_message_that_fails_again_is_parked_again(bus: Bus, key: str) -> None:
    """Handing it back to a worker that still cannot does not lose it."""

    async def handle(_: Delivery) -> None:
        raise Reject("never")

    worker = await work(bus, key, handle)
    await bus.append(fact(key, 1))
    (letter,) = await eventually(lambda: letters(bus, f"work-{key}"))
    assert await bus.requeue(letter.id)

    async def again() -> bool:
        found = await letters(bus, f"work-{key}")
        return len(found) == 1 and found[0].id != letter.id

    await eventually(again)
    assert (await letters(bus, f"work-{key}"))[0].subject == letter.subject
    await worker.stop()


async def test_whoever_waits_is_told_that_a_message_was_parked(bus: Bus, key: str) -> None:
    """Once it is safely among the dead letters; a word that fails changes nothing for the message."""
    told: list[tuple[str, int]] = []

    async def handle(_: Delivery) -> None:
        raise ValueError("no good")

    async def parked(delivery: Delivery, reason: str) -> None:
        told.append((reason, len(await letters(bus, f"work-{key}"))))
        raise RuntimeError(delivery.id)

    worker = await work(bus, key, handle, max_deliver=1, parked=parked)
    await bus.append(fact(key, 1))
    await eventually(lambda: told)
    assert told[0][0].startswith("ValueError: no good")
    assert told[0][1] == 1
    await worker.stop()
    assert len(told) == 1


async def test_a_message_has_one_number_at_every_delivery(bus: Bus, key: str) -> None:
    """Delivered again, and handed back from the dead letters: what is done by number is done once."""
    found: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        found.append(delivery)
        raise [Retry(0.01), Reject("never"), Reject("never")][len(found) - 1]

    worker = await work(bus, key, handle)
    await bus.append(fact(key, 1))
    (letter,) = await eventually(lambda: letters(bus, f"work-{key}"))
    assert await bus.requeue(letter.id)
    await eventually(lambda: len(found) == 3)
    assert len({delivery.number for delivery in found}) == 1
    assert 1e15 < found[0].number < 2**53
    await worker.stop()


def test_the_messages_of_a_stream_that_was_made_anew_have_numbers_of_their_own() -> None:
    """Its sequences begin again; its time does not."""

    def number(seq: int, ms: int) -> int:
        return Delivery("requests", "s", seq, 1, b"", {}, time_ns=ms * 1_000_000 + 999).number

    now = 1_800_000_000_000
    numbers = {number(seq, ms) for seq in (1, 2, 999, 1000) for ms in (now, now + 1, now + 2)}
    assert len(numbers) == 12


async def test_requests_reach_their_handler_whatever_they_hold(bus: Bus, nats_url: str, key: str) -> None:
    """A request that cannot be read is for the handler to answer; the raw bytes and the reply inbox are there."""
    found: dict[bytes, Delivery] = {}

    async def handle(delivery: Delivery) -> None:
        found[delivery.payload] = delivery

    worker = await bus.work(
        durable=f"work-{key}",
        stream="requests",
        filters=[subjects.command(key, "signal"), subjects.REQUEST],
        handler=handle,
    )
    marker = f"not json {key}".encode()
    client = await nats.connect(nats_url)
    try:
        await client.jetstream().publish(subjects.REQUEST, marker, headers={"Parallax-Reply-To": "_INBOX.me"})
    finally:
        await client.close()
    seq = await bus.submit(subjects.REQUEST, ExecutionRequest(pattern=key), msg_id=key, reply_to="_INBOX.other")
    assert await bus.submit(subjects.REQUEST, ExecutionRequest(pattern=key), msg_id=key) == seq
    await eventually(lambda: marker in found and any(one.seq == seq for one in found.values()))
    assert found[marker].data is None
    assert found[marker].error
    assert found[marker].reply_to == "_INBOX.me"
    (good,) = [one for one in found.values() if one.seq == seq]
    assert good.data == ExecutionRequest(pattern=key)
    assert good.reply_to == "_INBOX.other"
    await worker.stop()


async def test_a_consumer_that_was_taken_away_is_made_again(bus: Bus, key: str) -> None:
    """Work goes on without anybody's help."""
    handled: list[int] = []

    async def handle(delivery: Delivery) -> None:
        handled.append(delivery.seq)

    worker = await work(bus, key, handle, ack_wait_s=0.6)
    await bus.append(accepted(key))
    await eventually(lambda: len(handled) == 1)
    await api(bus.connection, f"CONSUMER.DELETE.{subjects.STREAM_EVENTS}.work-{key}", {})
    seq = await bus.append(fact(key, 1))
    await eventually(lambda: seq in handled, timeout_s=10)
    await worker.stop()
