"""The log: fences, ids, decisions that are stored whole, and what everybody sees of it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import nats
import pytest

from schemas.events import ExecutionClaimed
from shared import subjects
from shared.bus import Bus, BusClosed, EventTooLarge, Fence, Recorded, StaleFence, UnknownEvent
from shared.bus import bus as bus_module
from shared.bus.large import LARGEST
from shared.bus.streams import STREAMS, api
from shared.testing import eventually
from tests.shared.conftest import Connect, OwnServer
from tests.shared.events import accepted, claimed, fact


async def history(bus: Bus, execution_id: str) -> list[Recorded]:
    return [record async for record in bus.read(execution_id)]


async def test_an_event_is_read_back_with_its_envelope(bus: Bus, key: str) -> None:
    """Id, type, source, time, trace, correlation and cause are what the writer said."""
    first = await bus.append(accepted(key))
    (cause,) = await history(bus, key)
    second = await bus.append(fact(key, 1), cause=cause)
    one, two = await history(bus, key)
    assert (one.seq, two.seq) == (first, second)
    assert (two.type, two.execution_id, two.id) == ("task.cancel_requested", key, f"{key}:task.cancel_requested:t1")
    assert two.subject == f"parallax.events.{key}.task.cancel_requested"
    assert two.data == fact(key, 1)
    assert two.source == bus.id
    assert (two.correlation, two.causation) == (key, one.id)
    assert abs((datetime.now(UTC) - two.time).total_seconds()) < 10
    assert two.traceparent.split("-")[1] == one.traceparent.split("-")[1]
    assert two.traceparent != one.traceparent


async def test_a_plain_client_sees_cloudevents_headers(bus: Bus, nats_url: str, key: str) -> None:
    """A subscriber that knows nothing of us gets what was stored, once, with its sequence and its envelope."""
    client = await nats.connect(nats_url)
    try:
        subscription = await client.subscribe(f"parallax.events.{key}.>")
        await client.flush()
        seq = await bus.append(accepted(key))
        with pytest.raises(StaleFence):
            await bus.append_all([claimed(key, "x", 2)], fence=Fence(key, 0))
        await bus.append(fact(key, 1))
        message = await subscription.next_msg(2)
        assert message.headers is not None
        assert message.headers["ce-specversion"] == "1.0"
        assert message.headers["content-type"] == message.headers["ce-datacontenttype"] == "application/json"
        assert message.headers["ce-type"] == "execution.accepted"
        assert message.headers["ce-subject"] == key
        assert message.headers["traceparent"].startswith("00-")
        assert message.headers["Nats-Sequence"] == str(seq)
        assert (await subscription.next_msg(2)).subject.endswith("task.cancel_requested")
    finally:
        await client.close()


@pytest.mark.parametrize("facts", [2, 40])
async def test_a_decision_is_stored_in_its_order(bus: Bus, key: str, facts: int) -> None:
    """A short one in steps, a long one as a batch: the sequences are those of the log, and so is the order."""
    await bus.append(accepted(f"{key}-other"))
    events = [accepted(key), claimed(key, "e", 2), *(fact(key, number) for number in range(facts))]
    seqs = await bus.append_all(events, fence=Fence(key, 0))
    records = await history(bus, key)
    assert [record.seq for record in records] == seqs == sorted(seqs)
    assert [record.data for record in records] == events


async def test_every_step_of_a_short_decision_is_fenced(nats_url: str, connect: Connect, key: str) -> None:
    """An owner that is overtaken in the middle of a decision appends no more of it."""
    one, two = await connect(nats_url, "one"), await connect(nats_url, "two")
    for round_ in range(20):
        execution = f"{key}-{round_}"
        (fence,) = await one.append_all([accepted(execution)], fence=Fence(execution, 0))
        decision = [
            claimed(execution, one.id, 2),
            fact(execution, 1),
            fact(execution, 2),
            claimed(execution, one.id, 3),
        ]

        async def take_over(execution: str = execution) -> None:
            while True:
                newest = [record for record in await history(two, execution) if record.type.startswith("execution.")]
                with contextlib.suppress(StaleFence):
                    await two.append_all([claimed(execution, two.id, 9)], fence=Fence(execution, newest[-1].seq))
                    return

        first, _ = await _both(one.append_all(decision, fence=Fence(execution, fence)), take_over())
        records = await history(two, execution)
        place = next(n for n, record in enumerate(records) if record.data == claimed(execution, two.id, 9))
        assert place == len(records) - 1, "something was appended behind the claim of another engine"
        if not isinstance(first, StaleFence):
            assert len(records) == len(decision) + 2


async def test_another_engines_copy_of_a_decision_is_no_success(nats_url: str, connect: Connect, key: str) -> None:
    """The server answers a known id before it looks at the fence; the owner of before must not live on from that."""
    one, two = await connect(nats_url, "one"), await connect(nats_url, "two")
    (first,) = await one.append_all([accepted(key)], fence=Fence(key, 0))
    (claim,) = await two.append_all([claimed(key, two.id, 2)], fence=Fence(key, first))
    await two.append_all([claimed(key, "same", 3), fact(key, 1)], fence=Fence(key, claim))
    for events in ([claimed(key, "same", 3)], [claimed(key, "same", 3), fact(key, 1)], [fact(key, 1)]):
        with pytest.raises(StaleFence):
            await one.append_all(events, fence=Fence(key, first))
    assert len(await history(one, key)) == 4


async def test_nothing_of_a_decision_under_a_stale_fence_is_stored(bus: Bus, key: str) -> None:
    """Neither a decision of one event nor one of several leaves a trace."""
    await bus.append_all([accepted(key)], fence=Fence(key, 0))
    for events in ([fact(key, 1)], [fact(key, 1), fact(key, 2)], [accepted(key)], [accepted(key), fact(key, 3)]):
        with pytest.raises(StaleFence):
            await bus.append_all(events, fence=Fence(key, 0))
    assert len(await history(bus, key)) == 1


async def test_facts_do_not_make_a_fence_stale(bus: Bus, key: str) -> None:
    """Only `execution.*` moves the fence: what other services append in between does not collide."""
    (fence,) = await bus.append_all([accepted(key)], fence=Fence(key, 0))
    await bus.append(fact(key, 1))
    await bus.append_all([fact(key, 2), fact(key, 3)], fence=Fence(key, fence))
    assert len(await history(bus, key)) == 4


async def test_of_two_engines_one_alone_owns_an_execution(nats_url: str, connect: Connect, key: str) -> None:
    """Round for round both claim the same epoch at once; one wins, the other is refused for good."""
    one, two = await connect(nats_url, "one"), await connect(nats_url, "two")
    (fence,) = await one.append_all([accepted(key)], fence=Fence(key, 0))
    for epoch in range(2, 32):
        results = await _both(
            one.append_all([claimed(key, one.id, epoch), fact(key, f"one-{epoch}")], fence=Fence(key, fence)),
            two.append_all([claimed(key, two.id, epoch), fact(key, f"two-{epoch}")], fence=Fence(key, fence)),
        )
        winners = [result for result in results if isinstance(result, list)]
        assert len(winners) == 1, results
        assert sum(isinstance(result, StaleFence) for result in results) == 1
        loser = two if isinstance(results[0], list) else one
        with pytest.raises(StaleFence):
            await loser.append_all([fact(key, "late")], fence=Fence(key, fence))
        fence = winners[0][0]
    records = await history(one, key)
    claims = [record.data for record in records if isinstance(record.data, ExecutionClaimed)]
    assert [claim.epoch for claim in claims] == list(range(2, 32))
    assert len(records) == 1 + 2 * 30


async def _both(*works: object) -> list[object]:
    async def outcome(work: object) -> object:
        try:
            return await work  # type: ignore[misc]
        except StaleFence as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(work)) for work in works]
    return [task.result() for task in tasks]


async def test_a_second_append_of_a_fact_returns_where_the_first_is(
    bus: Bus, nats_url: str, connect: Connect, key: str
) -> None:
    """The same id is stored once, by whomever and in whatever company it comes again."""
    other = await connect(nats_url)
    seq = await bus.append(fact(key, 1))
    assert await bus.append(fact(key, 1)) == seq
    assert await other.append(fact(key, 1)) == seq
    again = await other.append_all([fact(key, 1), fact(key, 2)])
    assert again[0] == seq
    assert [record.id[-2:] for record in await history(bus, key)] == ["t1", "t2"]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.append(fact(key, 3))) for one in (bus, other) for _ in range(40)]
    assert len({task.result() for task in tasks}) == 1
    assert len(await history(bus, key)) == 3


async def test_a_fact_is_known_again_when_the_server_has_forgotten_its_id(
    own_server: OwnServer, connect: Connect, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the server's window the log itself is asked, so nothing is stored twice."""
    settings = dict(STREAMS[subjects.STREAM_EVENTS], duplicate_window=100_000_000)
    monkeypatch.setitem(STREAMS, subjects.STREAM_EVENTS, settings)
    monkeypatch.setattr(bus_module, "_SURELY_REMEMBERED_S", 0.05)
    writer = await connect(own_server.url)
    seq = await writer.append(fact(key, 1))
    await asyncio.sleep(0.5)  # the server's window is real time
    late = await connect(own_server.url)
    assert await late.append(fact(key, 1)) == seq
    assert await writer.append(fact(key, 1)) == seq
    assert (await late.append_all([fact(key, 1), fact(key, 2)]))[0] == seq
    assert len(await history(late, key)) == 2


async def test_each_decision_of_a_crowd_gets_its_own_answer(bus: Bus, key: str) -> None:
    """Among hundreds written together, stale ones are refused, known ones found, and the rest stored whole."""
    await bus.append_all([accepted(f"{key}-7")], fence=Fence(f"{key}-7", 0))
    known = await bus.append(fact(f"{key}-9", 1))

    async def one(number: int) -> object:
        name = f"{key}-{number}"
        try:
            if number % 10 == 9:
                return await bus.append(fact(f"{key}-9", 1))
            return await bus.append_all([accepted(name), fact(name, 1), fact(name, 2)], fence=Fence(name, 0))
        except StaleFence as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(200)]
    for number, task in enumerate(tasks):
        result = task.result()
        if number == 7:
            assert isinstance(result, StaleFence)
        elif number % 10 == 9:
            assert result == known
        else:
            assert isinstance(result, list)
            assert [record.seq for record in await history(bus, f"{key}-{number}")] == result


async def test_facts_of_one_execution_keep_the_order_they_were_said_in(bus: Bus, key: str) -> None:
    """However they are grouped, the log has them in the order of the calls."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bus.append(fact(key, number))) for number in range(300)]
    seqs = [task.result() for task in tasks]
    assert seqs == sorted(seqs)
    assert [record.data.task_id for record in await history(bus, key)] == [f"t{number}" for number in range(300)]


async def test_an_event_that_is_too_large_harms_nobody_else(bus: Bus, key: str) -> None:
    """It is refused with its size; what was said beside it is stored."""
    huge = accepted(f"{key}-huge", "x" * LARGEST)
    async with asyncio.TaskGroup() as group:
        good = group.create_task(bus.append(accepted(key)))
        bad = group.create_task(_refused(bus, huge))
    assert good.result() > 0
    assert f"{LARGEST:,} is the limit" in str(bad.result())
    assert await history(bus, f"{key}-huge") == []


async def _refused(bus: Bus, event: object) -> EventTooLarge:
    with pytest.raises(EventTooLarge) as caught:
        await bus.append(event)  # type: ignore[arg-type]
    return caught.value


async def test_large_events_are_stored(bus: Bus, key: str) -> None:
    """A decision of some megabytes goes whole."""
    events = [accepted(key, "x" * 700_000), *(fact(key, number, "y" * 700_000) for number in range(6))]
    await bus.append_all(events, fence=Fence(key, 0))
    assert [record.data for record in await history(bus, key)] == events


async def test_bad_decisions_are_refused_before_they_are_written(bus: Bus, key: str) -> None:
    """No events, events of two executions, a fence of another one, and an id that is no subject token."""
    with pytest.raises(ValueError, match="no events"):
        await bus.append_all([])
    with pytest.raises(ValueError, match="too many"):
        await bus.append_all([fact(key, number) for number in range(1001)])
    with pytest.raises(ValueError, match="one execution"):
        await bus.append_all([fact(key, 1), fact(f"{key}x", 1)])
    with pytest.raises(ValueError, match="fence"):
        await bus.append_all([fact(key, 1)], fence=Fence("other", 0))
    for bad in ("a.b", "*", ">", "a b", "", "a\r\nPUB x 0\r\n"):
        with pytest.raises(ValueError, match="execution id"):
            await bus.append(fact(bad, 1))
        with pytest.raises(ValueError, match="execution id"):
            _ = [record async for record in bus.read(bad)]


async def test_ids_that_are_no_header_text_come_back_as_they_were(bus: Bus, key: str) -> None:
    """Line breaks, percent signs and letters from anywhere are carried, and inject nothing."""
    event = fact(key, "é%\r\nNats-Msg-Id: x ✓")
    seq = await bus.append(event)
    assert await bus.append(event) == seq
    (record,) = await history(bus, key)
    assert record.id == event.event_id
    assert record.data == event


async def test_reading_takes_some_types_and_a_position(bus: Bus, key: str) -> None:
    """`types` and `after` narrow what is read; many pages are read to their end."""
    seqs = await bus.append_all([accepted(key), *(fact(key, number) for number in range(400))])
    assert [r.seq async for r in bus.read(key, types=["execution.accepted"])] == seqs[:1]
    assert [r.seq async for r in bus.read(key, types=("task.cancel_requested", "task.failed"))] == seqs[1:]
    assert [r.seq async for r in bus.read(key, after=seqs[100])] == seqs[101:]
    more: list[int] = []
    for part in range(4):
        more += await bus.append_all([fact(key, f"{part}-{number}") for number in range(400)])
    assert [r.seq async for r in bus.read(key)] == seqs + more
    assert await bus.last_seq() >= more[-1]


async def test_what_a_stranger_put_into_the_log_is_read_as_unknown(bus: Bus, nats_url: str, key: str) -> None:
    """Unknown types, unreadable bodies and bodies of another execution stop no reader."""
    client = await nats.connect(nats_url)
    try:
        stream = client.jetstream()
        await stream.publish(f"parallax.append.{key}.task.vanished", b"{}")
        await stream.publish(f"parallax.append.{key}.task.completed", b"\xff{")
        await stream.publish(f"parallax.append.{key}.task.completed", b"[" * 100_000)
        await stream.publish(f"parallax.append.{key}.execution.accepted", b'{"execution_id":"other"}')
    finally:
        await client.close()
    records = await history(bus, key)
    assert [record.type for record in records] == [
        "task.vanished",
        "task.completed",
        "task.completed",
        "execution.accepted",
    ]
    assert all(isinstance(record.data, UnknownEvent) for record in records)
    assert records[0].data.reason == "unknown type"
    assert records[0].execution_id == key
    assert abs((datetime.now(UTC) - records[0].time).total_seconds()) < 10


async def test_the_log_can_be_neither_purged_nor_deleted_from(bus: Bus, key: str) -> None:
    """What is in it stays in it."""
    seq = await bus.append(accepted(key))
    with pytest.raises(Exception, match=r"purge|denied|not permitted"):
        await api(bus.connection, f"STREAM.PURGE.{subjects.STREAM_EVENTS}", {})
    with pytest.raises(Exception, match=r"delete|denied|not permitted"):
        await api(bus.connection, f"STREAM.MSG.DELETE.{subjects.STREAM_EVENTS}", {"seq": seq})


async def test_what_was_not_written_when_the_bus_closes_is_said(
    own_server: OwnServer, connect: Connect, key: str
) -> None:
    """An append that waits for a dead server ends with an error, not in silence."""
    bus = await connect(own_server.url)
    own_server.kill()
    await eventually(lambda: not bus.connected)
    task = asyncio.create_task(bus.append(accepted(key)))
    await asyncio.sleep(0.1)  # the append waits for the server now
    await bus.close()
    with pytest.raises(BusClosed):
        await task
