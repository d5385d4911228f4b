"""kill -9 of the server, and of the line to it: nothing that was acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress

from shared import subjects
from shared.bus import Bus, Delivery, Fence, Recorded, StaleFence
from shared.testing import eventually
from tests.shared.conftest import Connect, OwnServer
from tests.shared.events import accepted, claimed, fact

KILLS = 3


async def _write_an_execution(bus: Bus, name: str, acknowledged: dict[str, list[list[int]]]) -> None:
    """One engine's life: an opening of several events, then decisions one after the other, each fenced."""
    seqs = await bus.append_all([accepted(name), fact(name, "a"), fact(name, "b")], fence=Fence(name, 0))
    acknowledged[name].append(seqs)
    fence = seqs[0]
    for epoch in range(2, 6):
        seqs = await bus.append_all([claimed(name, bus.id, epoch), fact(name, epoch)], fence=Fence(name, fence))
        acknowledged[name].append(seqs)
        fence = seqs[0]
    acknowledged[name].append([await bus.append(fact(name, "last"))])


async def test_decisions_survive_the_death_of_the_server_whole_and_once(
    own_server: OwnServer, connect: Connect, key: str
) -> None:
    """Every acknowledged decision is in the log once, whole, in a row, at the sequences that were answered.

    All the while a follower and a worker see every event, the follower exactly once and in order.
    """
    writers = [await connect(own_server.url, f"writer{number}") for number in range(2)]
    reader = await connect(own_server.url, "reader")
    followed: list[Recorded] = []
    worked: set[int] = set()

    async def follow() -> None:
        async for batch in reader.follow_batches(
            [subjects.event("*", "execution", "*"), subjects.event("*", "task", "*")], after=0
        ):
            followed.extend(batch)

    async def handle(delivery: Delivery) -> None:
        worked.add(delivery.seq)

    following = asyncio.create_task(follow())
    worker = await reader.work(
        durable="all-facts", stream="events", filters=[subjects.event("*", "task", "*")], handler=handle, ack_wait_s=1
    )
    acknowledged: dict[str, list[list[int]]] = defaultdict(list)
    done = asyncio.Event()

    async def killer() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(0.25)  # lets writing get going between the kills
            await own_server.kill_and_restart()
        done.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(killer())
        for number, bus in enumerate(writers):
            group.create_task(_keep_writing(bus, f"{key}-{number}", done, acknowledged))

    assert len(acknowledged) >= 24
    total, tasks = await _check_stored(reader, acknowledged)
    await eventually(lambda: len(followed) >= total, timeout_s=20)
    assert [record.seq for record in followed] == list(range(1, total + 1))
    await eventually(lambda: worked >= tasks, timeout_s=20)
    await worker.stop()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def _keep_writing(bus: Bus, prefix: str, done: asyncio.Event, acknowledged: dict[str, list[list[int]]]) -> None:
    count = 0
    while not done.is_set():
        async with asyncio.TaskGroup() as group:
            for lane in range(12):
                group.create_task(_write_an_execution(bus, f"{prefix}-{count}-{lane}", acknowledged))
        count += 1


async def _check_stored(reader: Bus, acknowledged: dict[str, list[list[int]]]) -> tuple[int, set[int]]:
    """Every decision is there whole and once. How many events there are, and the sequences of tasks."""
    total = 0
    tasks: set[int] = set()
    for name, decisions in acknowledged.items():
        records = [record async for record in reader.read(name)]
        assert [record.seq for record in records] == [seq for decision in decisions for seq in decision], name
        assert len({record.id for record in records}) == len(records) == 12
        assert all(seqs == list(range(seqs[0], seqs[0] + len(seqs))) for seqs in decisions)
        total += len(records)
        tasks |= {record.seq for record in records if record.type.startswith("task.")}
    return total, tasks


async def test_two_engines_fight_over_executions_while_the_server_is_killed(
    own_server: OwnServer, connect: Connect, key: str
) -> None:
    """Whatever answers are lost on the way, each epoch has one owner, and only the owner was told so."""
    engines = [await connect(own_server.url, f"engine{number}") for number in range(2)]
    (fence,) = await engines[0].append_all([accepted(key)], fence=Fence(key, 0))
    wins: dict[int, list[str]] = defaultdict(list)
    killing = asyncio.create_task(_kill_now_and_then(own_server))

    async def claim(bus: Bus, epoch: int, expected: int) -> int:
        try:
            seqs = await bus.append_all([claimed(key, bus.id, epoch), fact(key, epoch)], fence=Fence(key, expected))
        except StaleFence:
            return 0
        wins[epoch].append(bus.id)
        return seqs[0]

    epoch = 1
    async with asyncio.timeout(60):
        while not killing.done():
            epoch += 1
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(claim(bus, epoch, fence)) for bus in engines]
            (fence,) = [task.result() for task in tasks if task.result()]
    records = [record async for record in engines[0].read(key, types=["execution.claimed"])]
    assert [record.data.epoch for record in records] == list(range(2, epoch + 1))
    assert {record.data.epoch: [record.data.engine] for record in records} == dict(wins)


async def _kill_now_and_then(server: OwnServer) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(0.2)  # lets the fight go on between the kills
        await server.kill_and_restart()


async def test_an_append_waits_for_a_server_that_is_away(own_server: OwnServer, connect: Connect, key: str) -> None:
    """What is said while there is no server is stored when there is one again; requests fail at once meanwhile."""
    bus = await connect(own_server.url)
    own_server.kill()
    await eventually(lambda: not bus.connected)
    append = asyncio.create_task(bus.append_all([accepted(key), fact(key, 1)], fence=Fence(key, 0)))
    say = asyncio.create_task(bus.publish("tests.nobody", accepted(key)))
    await asyncio.sleep(0.2)  # a server that is away answers nobody
    assert not append.done()
    assert not say.done()
    await own_server.start()
    async with asyncio.timeout(10):
        seqs = await append
        await say
    assert [record.seq async for record in bus.read(key)] == seqs


async def test_who_begins_to_listen_while_there_is_no_server_is_heard_when_it_is_back(
    own_server: OwnServer, connect: Connect
) -> None:
    """A service that starts to answer in an outage answers after it, each question once."""
    bus, asking = await connect(own_server.url), await connect(own_server.url, "asking")
    heard: list[str] = []

    async def hear(body: dict[str, str]) -> dict[str, str]:
        heard.append(body["x"])
        return body

    own_server.kill()
    await eventually(lambda: not bus.connected)
    await bus.serve("tests.outage", dict[str, str], hear)
    await own_server.start()
    await eventually(lambda: bus.connected)
    assert await asking.request("tests.outage", {"x": "there"}, dict[str, str], timeout_s=10) == {"x": "there"}
    await own_server.kill_and_restart()
    await eventually(lambda: bus.connected)
    await bus.flush()
    assert await asking.request("tests.outage", {"x": "again"}, dict[str, str], timeout_s=10) == {"x": "again"}
    assert heard == ["there", "again"]


async def test_a_client_that_the_server_throws_out_comes_back(
    own_server: OwnServer, connect: Connect, key: str
) -> None:
    """nats-py gives up for good when its connection is closed; the bus does not, and loses no subscription."""
    bus = await connect(own_server.url)
    heard: list[str] = []

    async def hear(body: dict[str, str]) -> None:
        heard.append(body["x"])

    await bus.serve("tests.thrown", dict[str, str], hear)
    seen: list[int] = []

    async def follow() -> None:
        async for batch in bus.follow_batches([subjects.events_of(key)], after=0):
            seen.extend(record.seq for record in batch)

    following = asyncio.create_task(follow())
    await bus.append(accepted(key))
    await eventually(lambda: len(seen) == 1)
    await bus.connection._client.close()
    seqs = [await bus.append(fact(key, number)) for number in range(3)]
    await bus.publish("tests.thrown", {"x": "again"})
    await eventually(lambda: heard == ["again"])
    await eventually(lambda: seen[1:] == seqs)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
