"""Following: in order, without gaps, from any position, whatever is missed on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import nats
import pytest
import structlog.testing

from schemas.agents import AgentRegistered, AgentRegistration, OutputLine
from shared import subjects
from shared.bus import Bus, Recorded, UnknownEvent, follower
from shared.bus.raw import RawMessage
from shared.testing import eventually
from tests.shared.conftest import Connect
from tests.shared.events import accepted, fact


@asynccontextmanager
async def following(
    bus: Bus, filters: Sequence[str], after: int | None, stream: str = "events"
) -> AsyncGenerator[list[Recorded]]:
    """What a follower has seen so far."""
    seen: list[Recorded] = []

    async def follow() -> None:
        async for batch in bus.follow_batches(filters, after=after, stream=stream):
            seen.extend(batch)

    task = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_history_is_followed_by_what_is_live_without_a_gap(nats_url: str, connect: Connect, key: str) -> None:
    """Ten followers begin in the midst of writing, each at another position; each misses and repeats nothing."""
    writer, reader = await connect(nats_url), await connect(nats_url)
    seqs = await writer.append_all([fact(key, f"old{number}") for number in range(200)])
    kinds = [subjects.event(key, "task", "*"), subjects.event(key, "execution", "*")]
    seen: list[list[Recorded]] = []
    async with asyncio.TaskGroup() as group:
        stack = [following(reader, kinds, after=seqs[20 * number]) for number in range(10)]

        async def write() -> None:
            nonlocal seqs
            for part in range(30):
                seqs = [*seqs, *await writer.append_all([fact(key, f"{part}-{number}") for number in range(20)])]
                seqs.append(await writer.append(fact(key, f"{part}")))

        writing = group.create_task(write())
        seen.extend([await one.__aenter__() for one in stack])
        await writing
        seqs.append(await writer.append(accepted(key)))
        await eventually(lambda: all(part and part[-1].seq == seqs[-1] for part in seen), timeout_s=10)
        for one in stack:
            await one.__aexit__(None, None, None)
    for number, part in enumerate(seen):
        assert [record.seq for record in part] == seqs[20 * number + 1 :]


async def test_many_writers_and_filters_are_heard_in_the_order_of_the_log(
    nats_url: str, connect: Connect, key: str
) -> None:
    """Subscriptions of several filters are merged by their place in the log."""
    writers = [await connect(nats_url) for _ in range(3)]
    reader = await connect(nats_url)
    kinds = [
        subjects.event("*", "task", "*"),
        subjects.event("*", "execution", "*"),
        subjects.event("*", "*", "accepted"),
    ]
    after = await reader.last_seq()
    async with following(reader, kinds, after=after) as seen:

        async def write(bus: Bus, name: str) -> None:
            for number in range(40):
                async with asyncio.TaskGroup() as group:
                    for lane in range(5):
                        execution = f"{name}-{number}-{lane}"
                        group.create_task(bus.append_all([accepted(execution), fact(execution, 1), fact(execution, 2)]))

        async with asyncio.TaskGroup() as group:
            for number, bus in enumerate(writers):
                group.create_task(write(bus, f"{key}-{number}"))
        last = await reader.last_seq()
        await eventually(lambda: seen and seen[-1].seq == last, timeout_s=10)
        assert [record.seq for record in seen] == list(range(after + 1, last + 1))


async def test_from_now_means_from_now(bus: Bus, key: str) -> None:
    """Without a position only what is stored later is seen."""
    await bus.append(fact(key, 1))
    async with following(bus, [subjects.events_of(key)], after=None) as seen:
        await asyncio.sleep(0.2)  # until it follows: from now has no other sign of that
        seq = await bus.append(fact(key, 2))
        await eventually(lambda: seen)
        assert [record.seq for record in seen] == [seq]


async def test_what_was_only_said_and_not_stored_did_not_happen(bus: Bus, nats_url: str, key: str) -> None:
    """A message that somebody publishes straight onto the subjects of the log is not taken for an event."""
    async with following(bus, [subjects.events_of(key)], after=0) as seen:
        first = await bus.append(fact(key, 1))
        await eventually(lambda: len(seen) == 1)
        client = await nats.connect(nats_url)
        try:
            await client.publish(f"parallax.events.{key}.task.completed", b"{}")
            await client.publish(
                f"parallax.events.{key}.task.completed", b"{}", headers={"Nats-Sequence": "9999999", "Nats-Stream": "X"}
            )
            await client.flush()
        finally:
            await client.close()
        second = await bus.append(fact(key, 2))
        await eventually(lambda: len(seen) == 2)
        assert [record.seq for record in seen] == [first, second]


async def test_what_was_stored_and_never_said_is_found(bus: Bus, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower compares its position with the log now and then, and reads what it did not hear."""
    monkeypatch.setattr(follower, "_LOOK_EVERY_S", 0.1)
    async with following(bus, [subjects.events_of(key)], after=0) as seen:
        first = await bus.append(fact(key, 1))
        await eventually(lambda: len(seen) == 1)
        for subscription in bus.connection._subscriptions:
            if subscription.subject == subjects.events_of(key) and subscription.current is not None:
                await subscription.current.unsubscribe()
        second = await bus.append(fact(key, 2))
        await eventually(lambda: len(seen) == 2)
        assert [record.seq for record in seen] == [first, second]


@pytest.mark.parametrize("everything", [True, False])
async def test_what_was_skipped_is_noticed_by_what_is_said_next(bus: Bus, key: str, everything: bool) -> None:
    """A live event names the one before it on its subject; in the whole log, events are without gaps."""
    filters = [subjects.EVENTS_ALL if everything else subjects.events_of(key)]
    async with following(bus, filters, after=await bus.last_seq()) as seen:
        seqs = [await bus.append(fact(key, 1))]
        await eventually(lambda: len(seen) == 1)
        (subscription,) = [one for one in bus.connection._subscriptions if one.subject == filters[0]]
        hear, lost = subscription.callback, asyncio.Event()

        async def lose_one(message: RawMessage) -> None:
            if lost.is_set():
                await hear(message)
            lost.set()

        subscription.callback = lose_one
        seqs.append(await bus.append(accepted(key) if everything else fact(key, 2)))
        await lost.wait()
        seqs.append(await bus.append(fact(key, 3)))
        await eventually(lambda: len(seen) == 3, timeout_s=2)
        assert [record.seq for record in seen] == seqs


async def test_what_is_heard_before_a_reconnect_is_known_does_not_hide_what_came_before(
    nats_url: str, connect: Connect, key: str
) -> None:
    """One event is stored while the line is down, and the next one is heard before anybody is told of the new line."""
    reader, writer = await connect(nats_url), await connect(nats_url)
    client, told = reader.connection._client, asyncio.Event()
    down, up = client._disconnected_cb, client._reconnected_cb
    seqs: list[int] = []

    async def lost() -> None:
        assert down is not None
        await down()
        seqs.append(await writer.append(fact(f"{key}-a", 1)))

    async def back() -> None:
        seqs.append(await writer.append(fact(f"{key}-b", 1)))
        await asyncio.sleep(0.2)
        told.set()
        assert up is not None
        await up()

    filters = [subjects.events_of(f"{key}-a"), subjects.events_of(f"{key}-b")]
    async with following(reader, filters, after=0) as seen:
        seqs.append(await writer.append(fact(f"{key}-b", 0)))
        await eventually(lambda: len(seen) == 1)
        client._disconnected_cb, client._reconnected_cb = lost, back
        assert client._transport is not None
        client._transport.close()
        await told.wait()
        await eventually(lambda: len(seen) == 3)
        assert [record.seq for record in seen] == seqs


async def test_a_line_without_losses_has_no_gaps(nats_url: str, connect: Connect, key: str) -> None:
    """What is said in the common case is taken as it is said: nothing is read a second time."""
    writer, reader = await connect(nats_url), await connect(nats_url)
    with structlog.testing.capture_logs() as lines:
        async with following(reader, [subjects.EVENTS_ALL], after=await writer.last_seq()) as seen:
            await asyncio.sleep(0.2)
            for number in range(20):
                await writer.append_all([fact(key, f"{number}-{part}") for part in range(5)])
                await writer.append(accepted(f"{key}-{number}"))
            await eventually(lambda: sum(record.execution_id.startswith(key) for record in seen) == 120)
    assert not [line for line in lines if line["event"] == "follow_found_gap"]


async def test_a_slow_reader_loses_nothing(bus: Bus, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more waits than is kept, the rest is read from the log."""
    monkeypatch.setattr(follower, "_MOST_WAITING", 20)
    seen: list[int] = []

    async def follow() -> None:
        async for batch in bus.follow_batches([subjects.events_of(key)], after=0):
            await asyncio.sleep(0.02)  # a slow reader
            seen.extend(record.seq for record in batch)

    task = asyncio.create_task(follow())
    seqs: list[int] = []
    for part in range(10):
        seqs += await bus.append_all([fact(key, f"{part}-{number}") for number in range(30)])
    await eventually(lambda: len(seen) == 300)
    assert seen == seqs
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_unknown_events_are_handed_on_as_such(bus: Bus, nats_url: str, key: str) -> None:
    """A follower of tomorrow's log sees what it does not know, and goes on."""
    client = await nats.connect(nats_url)
    try:
        async with following(bus, [subjects.events_of(key)], after=0) as seen:
            await client.jetstream().publish(f"parallax.append.{key}.task.dreamt", b'{"x": 1}')
            await bus.append(fact(key, 1))
            await eventually(lambda: len(seen) == 2)
            assert isinstance(seen[0].data, UnknownEvent)
            assert (seen[0].type, seen[0].execution_id, seen[0].data.payload) == ("task.dreamt", key, b'{"x": 1}')
            assert seen[1].data == fact(key, 1)
    finally:
        await client.close()


async def test_the_fleet_and_output_are_followed_too(bus: Bus, key: str) -> None:
    """Streams that are not said again are followed from a position as well, live after history."""
    agent = AgentRegistered(agent=AgentRegistration(agent_id=key))
    line = OutputLine(agent_id=key, execution_id="x", task_id="t", stream="stdout", text="hello")
    await bus.submit(subjects.fleet(key, "registered"), agent, msg_id=f"{key}-1")
    await bus.publish(subjects.agent_output(key), line)
    async with (
        following(bus, [subjects.fleet(key, "*")], after=0, stream="fleet") as fleet,
        following(bus, [subjects.agent_output(key)], after=0, stream="output") as output,
    ):
        await eventually(lambda: len(fleet) == 1 and len(output) == 1)
        await bus.submit(subjects.fleet(key, "registered"), agent, msg_id=f"{key}-2")
        for _ in range(50):
            await bus.publish(subjects.agent_output(key), line)
        await eventually(lambda: len(fleet) == 2 and len(output) == 51)
    assert fleet[0].data == agent
    assert {record.data for record in output} == {line}
    assert [record.seq for record in output] == sorted(record.seq for record in output)
    assert [record.seq async for record in bus.stored([subjects.agent_output(key)], stream="output")] == [
        record.seq for record in output
    ]


async def test_a_long_history_is_read_by_one_consumer(bus: Bus, key: str) -> None:
    """A page that is full ends with a status of the server's, which is no fault of the reading."""
    seqs: list[int] = []
    for part in range(3):
        seqs += await bus.append_all([fact(key, f"{part}-{number}") for number in range(400)])
    with structlog.testing.capture_logs() as lines:
        records = [record.seq async for record in bus.stored([subjects.events_of(key)])]
    assert records == seqs
    assert not [line for line in lines if line["event"] == "follow_again"]
