"""Engines that die, freeze and wake: whatever the instant, the execution goes on elsewhere, once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from schemas.events import ENDINGS, ExecutionClaimed, ExecutionCompleted, ExecutionFailed, ExecutionRejected
from shared import subjects
from shared.bus import Recorded
from shared.bus.lives import MOST_DEATHS
from shared.testing import eventually
from tests.services.pattern_engine.conftest import House

POINTS = [
    ("after_read", 1),
    ("before_ack", 1),
    *(("before_append", number) for number in (1, 2, 3)),
    *(("after_append", number) for number in (1, 2, 3)),
]


class Doomed:
    """An engine of another process."""

    def __init__(self, process: asyncio.subprocess.Process, engine_id: str) -> None:
        self.process = process
        self.engine_id = engine_id

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self.process.pid, number)


@asynccontextmanager
async def doomed(house: House, point: str = "never", count: int = 1) -> AsyncGenerator[Doomed]:
    """An engine that dies at a point; killed at the end of the block in any case."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.services.pattern_engine.doomed",
        house.nats_url, str(house.patterns), point, str(count),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        name = await asyncio.wait_for(process.stdout.readline(), 20)
        yield Doomed(process, name.decode().strip())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def put(house: House, execution_id: str) -> None:
    """Publishes a request and waits for no answer."""
    body = {"execution_id": execution_id, "pattern": "team", "input": {"task": "t"}}
    await house.bus.submit(subjects.REQUEST, body)


async def check_once(house: House, execution_id: str) -> list[Recorded]:
    """The execution is completed, everything in it happened once, and its replay is identical."""
    assert isinstance(await house.ended(execution_id, within_s=30), ExecutionCompleted)
    records = await house.events(execution_id)
    kinds = Counter(record.type for record in records)
    assert kinds["execution.accepted"] == kinds["execution.started"] == 1
    assert sum(kinds[ending] for ending in ENDINGS) == 1
    assert kinds["task.requested"] == kinds["task.completed"] == 3
    assert len({record.id for record in records}) == len(records)
    report = await house.replay(execution_id)
    assert report.identical, report
    return records


@pytest.mark.parametrize(("point", "count"), POINTS, ids=str)
async def test_an_engine_that_is_killed_anywhere_is_succeeded(house: House, point: str, count: int) -> None:
    """kill -9 around each read, append and ack; the engine that comes after it finishes, and nothing is there twice."""
    execution_id = house.id("once")
    async with doomed(house, point, count) as victim:
        await put(house, execution_id)
        assert await asyncio.wait_for(victim.process.wait(), 20) == -signal.SIGKILL
    await house.engine()
    await check_once(house, execution_id)


async def test_an_owner_that_is_frozen_loses_its_execution_and_cannot_take_it_back(house: House) -> None:
    """SIGSTOP: another engine claims it. SIGCONT: the former owner wakes, and appends nothing more."""
    execution_id = house.id("frozen")
    house.puppet.hold = True
    async with doomed(house) as owner:
        await put(house, execution_id)
        await eventually(lambda: len(house.puppet.held) == 2, timeout_s=15)
        owner.signal(signal.SIGSTOP)
        heir = await house.engine()
        await eventually(lambda: execution_id in heir.runs and heir.runs[execution_id].ready, timeout_s=15)
        await house.puppet.finish(house.puppet.held.pop(0))
        owner.signal(signal.SIGCONT)
        await house.puppet.let_go()
        records = await check_once(house, execution_id)
        claim = next(record for record in records if isinstance(record.data, ExecutionClaimed))
        assert claim.data.former == owner.engine_id
        writers = {
            record.source
            for record in records
            if record.seq >= claim.seq and record.type in {"task.requested", "execution.completed", "execution.claimed"}
        }
        assert writers == {heir.engine_id}
        assert owner.process.returncode is None


async def test_two_engines_share_a_crowd_and_one_of_them_dies(house: House) -> None:
    """Forty executions at two engines, one of which is killed among them: each is completed once."""
    names = [house.id(f"crowd-{number}") for number in range(40)]
    async with doomed(house, "after_append", 25) as victim:
        await house.engine()
        for name in names:
            await put(house, name)
        await asyncio.wait_for(victim.process.wait(), 30)
        for name in names:
            await check_once(house, name)


async def until_at_rest(house: House, execution_id: str, most: int) -> int:
    """Starts one engine after the other, each of which may die of it, until the execution has ended. Returns how many
    died."""
    for lives in range(most):
        async with doomed(house, "deadly") as victim:
            dying = asyncio.create_task(victim.process.wait())
            ending = asyncio.create_task(house.ended(execution_id, within_s=60))
            await asyncio.wait({dying, ending}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                dying.cancel()
                return lives
            ending.cancel()
    raise AssertionError(f"{most} engines died of {execution_id}")


async def test_a_request_that_kills_every_engine_is_rejected_after_a_few_lives(house: House) -> None:
    """Under its own id and with its reason; it is a dead letter, and other requests are handled."""
    execution_id, other = house.id("deadly-request"), house.id("other")
    await put(house, execution_id)
    await put(house, other)
    assert await until_at_rest(house, execution_id, 10) == MOST_DEATHS + 1
    ending = await house.ended(execution_id)
    assert isinstance(ending, ExecutionRejected)
    assert f"{MOST_DEATHS} times in a row" in ending.errors[0].what
    letters = [letter async for letter in house.bus.dead_letters() if execution_id in letter.body]
    assert [letter.worker for letter in letters] == ["engine-requests"]
    await house.engine()
    assert isinstance(await house.ended(other, within_s=30), ExecutionCompleted)


async def test_an_execution_whose_recovery_kills_every_engine_fails_after_a_few_lives(house: House) -> None:
    """With its reason; the executions beside it go on, and its log can be replayed."""
    execution_id, other = house.id("one-deadly"), house.id("other")
    house.puppet.hold = True
    engine = await house.engine()
    await put(house, execution_id)
    await put(house, other)
    await eventually(lambda: len(house.puppet.held) == 4, timeout_s=15)
    await house.crash(engine)
    assert 1 <= await until_at_rest(house, execution_id, 10) <= MOST_DEATHS + 2
    ending = await house.ended(execution_id)
    assert isinstance(ending, ExecutionFailed)
    assert ending.error.code == "internal_error"
    assert f"{MOST_DEATHS} times in a row" in ending.error.message
    await house.puppet.let_go()
    await house.engine()
    assert isinstance(await house.ended(other, within_s=30), ExecutionCompleted)
    report = await house.replay(execution_id)
    assert report.identical, report
