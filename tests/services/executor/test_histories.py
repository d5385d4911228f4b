"""Many tasks of one execution that ask for their history at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection

import pytest

from schemas.events import TaskCancelRequested
from services.executor.histories import Histories
from shared.bus import Bus, Recorded, Retry
from shared.config import load
from shared.ids import new_id


class Counted:
    """A bus that counts its readings, and fails the ones it is told to."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.readings = 0
        self.broken: set[int] = set()

    async def read(
        self, execution_id: str, types: Collection[str] | None = None, after: int = 0
    ) -> AsyncGenerator[Recorded]:
        self.readings += 1
        if self.readings in self.broken:
            raise OSError("cut off")
        async for record in self.bus.read(execution_id, types, after):
            yield record


@pytest.fixture
async def counted(nats_url: str) -> AsyncIterator[Counted]:
    """A real bus behind a counter."""
    bus = await Bus.connect(load({"PARALLAX_NATS_URL": nats_url}), name="test")
    await bus.ensure_streams()
    yield Counted(bus)
    await bus.close()


def event(execution_id: str, number: int) -> TaskCancelRequested:
    """An event of a task."""
    return TaskCancelRequested(execution_id=execution_id, task_id=f"t{number}", effect="1")


async def test_tasks_that_ask_together_share_a_reading(counted: Counted) -> None:
    """A hundred tasks cost two readings: the one that the first began, and the one that all others share."""
    name = new_id()
    for number in range(100):
        await counted.bus.append(event(name, number))
    histories = Histories(counted)  # type: ignore[arg-type] # it reads, and that is all that is asked of it
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(histories.of_task(name, f"t{number}")) for number in range(100)]
    assert [[record.data for record in task.result()] for task in asked] == [[event(name, n)] for n in range(100)]
    assert counted.readings <= 2
    assert await histories.of_task(name, "t100") == []


async def test_a_reading_begins_after_whoever_it_serves_has_asked(counted: Counted) -> None:
    """What was stored before the question is in the answer, whatever is being read at that moment."""
    name = new_id()
    histories = Histories(counted)  # type: ignore[arg-type] # as above
    for number in range(30):
        early = asyncio.create_task(histories.of_task(name, "t-none"))
        await counted.bus.append(event(name, number))
        assert len(await histories.of_task(name, f"t{number}")) == 1
        await early


async def test_a_reading_that_breaks_is_tried_again_by_everybody(counted: Counted) -> None:
    """Its leader gets the error, those that joined are to come again, and the next reading is a new one."""
    name = new_id()
    await counted.bus.append(event(name, 1))
    counted.broken = {2}
    histories = Histories(counted)  # type: ignore[arg-type] # as above
    first = asyncio.create_task(histories.of_task(name, "t1"))
    leader = asyncio.create_task(histories.of_task(name, "t1"))
    joined = asyncio.create_task(histories.of_task(name, "t1"))
    with pytest.raises(OSError, match="cut off"):
        await leader
    with pytest.raises(Retry):
        await joined
    assert len(await first) == 1
    assert len(await histories.of_task(name, "t1")) == 1
