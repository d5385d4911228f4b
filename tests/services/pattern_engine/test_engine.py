"""The engine on a real server: executions run, survive, pause, end once, and replay."""

from __future__ import annotations

import asyncio
import time

import pytest

from schemas.events import ExecutionCancelled, ExecutionCompleted, ExecutionFailed
from shared import subjects
from shared.testing import eventually
from tests.services.pattern_engine.conftest import House


async def test_a_request_becomes_a_completed_execution(house: House) -> None:
    """Accepted, started, three tasks, completed: in this order, with the last task's result."""
    await house.engine()
    name = house.id("a")
    reply = await house.request(name)
    assert (reply.execution_id, reply.status) == (name, "accepted")
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted), end
    kinds = [record.type for record in await house.events(name)]
    assert kinds[:2] == ["execution.accepted", "execution.started"]
    assert kinds.count("task.requested") == kinds.count("task.completed") == 3
    assert kinds[-1] == "execution.completed"
    assert end.confidence is not None


async def test_a_replay_of_a_finished_execution_is_identical(house: House) -> None:
    """The program, run again against its log, makes the same decisions; the effects are counted."""
    await house.engine()
    name = house.id("a")
    await house.request(name)
    await house.ended(name)
    report = await house.replay(name)
    assert report.identical, report
    assert report.effects == 3
    assert report.first_difference is None


async def test_a_replay_of_an_unknown_execution_says_so(house: House) -> None:
    """There is nothing to run, and the answer says that instead of calling it identical."""
    await house.engine()
    report = await house.replay(house.id("nobody"))
    assert not report.identical
    assert report.error


async def test_the_same_request_twice_is_one_execution(house: House) -> None:
    """The second one is answered with the first one's id, and nothing is started for it."""
    await house.engine()
    name = house.id("a")
    first, second = await house.request(name), await house.request(name)
    assert first == second
    await house.ended(name)
    assert (await house.request(name)).status == "accepted"
    kinds = [record.type for record in await house.events(name)]
    assert kinds.count("execution.started") == 1


async def test_another_request_under_a_known_id_is_rejected_under_a_fresh_one(house: House) -> None:
    """The execution that holds the id is not touched."""
    await house.engine()
    name = house.id("a")
    await house.request(name)
    await house.ended(name)
    before = len(await house.events(name))
    other = await house.request(name, input={"task": "something else"})
    assert other.status == "rejected"
    assert other.execution_id != name
    (record,) = await house.events(other.execution_id)
    assert record.type == "execution.rejected"
    assert len(await house.events(name)) == before


async def test_a_bad_request_is_rejected_and_the_next_one_runs(house: House) -> None:
    """Bad input is an event with reasons, and stops nothing."""
    await house.engine()
    name = house.id("bad")
    reply = await house.request(name, pattern="no-such-pattern")
    assert reply.status == "rejected"
    assert reply.errors[0].where == "pattern"
    assert [record.type for record in await house.events(name)] == ["execution.rejected"]
    assert (await house.ask(subjects.REQUEST, [1, 2])).status == "rejected"
    good = house.id("good")
    await house.request(good)
    assert isinstance(await house.ended(good), ExecutionCompleted)


async def test_an_execution_goes_on_at_another_engine_when_its_owner_dies(house: House) -> None:
    """The survivor claims it within a few seconds and finishes it; the replay is still identical."""
    first = await house.engine()
    house.puppet.hold = True
    name = house.id("a")
    await house.request(name)
    await eventually(lambda: len(house.puppet.held) == 2)
    second = await house.engine()
    await asyncio.sleep(0.7)
    died = time.monotonic()
    await house.crash(first)
    await house.puppet.let_go()
    assert isinstance(await house.ended(name), ExecutionCompleted)
    assert time.monotonic() - died < 5
    records = await house.events(name)
    claims = [record for record in records if record.type == "execution.claimed"]
    assert [claim.source.rpartition("/")[2] for claim in claims] == [second.engine_id]
    assert [record.type for record in records].count("task.requested") == 3
    assert (await house.replay(name)).identical


async def test_what_an_engine_left_is_finished_by_its_successor(house: House) -> None:
    """Facts that arrive while no engine lives are not lost."""
    first = await house.engine()
    house.puppet.hold = True
    name = house.id("a")
    await house.request(name)
    await eventually(lambda: len(house.puppet.held) == 2)
    await house.crash(first)
    await house.puppet.let_go()
    await asyncio.sleep(0.2)
    await house.engine()
    assert isinstance(await house.ended(name), ExecutionCompleted)
    assert (await house.replay(name)).identical


async def test_a_cancelled_execution_ends_once_and_starts_nothing_more(house: House) -> None:
    """Results that come late change nothing."""
    await house.engine()
    house.puppet.hold = True
    name = house.id("a")
    await house.request(name)
    await eventually(lambda: len(house.puppet.held) == 2)
    assert (await house.command(name, "cancel", {"reason": "enough"})).status == "accepted"
    end = await house.ended(name)
    assert isinstance(end, ExecutionCancelled)
    assert end.reason == "enough"
    await house.puppet.let_go()
    await asyncio.sleep(0.3)
    kinds = [record.type for record in await house.events(name)]
    assert kinds.count("task.requested") == 2
    assert sum(kind.startswith("execution.c") for kind in kinds) == 1
    assert (await house.command(name, "cancel")).status == "accepted"
    assert (await house.command(name, "pause")).status == "rejected"
    assert (await house.replay(name)).identical


async def test_a_paused_execution_starts_nothing_until_it_is_resumed(house: House) -> None:
    """Facts that arrive in the pause are used after it."""
    await house.engine()
    house.puppet.hold = True
    name = house.id("a")
    await house.request(name)
    await eventually(lambda: len(house.puppet.held) == 2)
    assert (await house.command(name, "pause")).status == "accepted"
    await house.puppet.let_go()
    await asyncio.sleep(0.4)
    assert [record.type for record in await house.events(name)].count("task.requested") == 2
    assert (await house.command(name, "resume")).status == "accepted"
    assert isinstance(await house.ended(name), ExecutionCompleted)
    assert (await house.replay(name)).identical


async def test_a_pause_outlives_the_engine(house: House) -> None:
    """An engine that takes a paused execution over leaves it paused."""
    first = await house.engine()
    house.puppet.hold = True
    name = house.id("a")
    await house.request(name)
    await eventually(lambda: len(house.puppet.held) == 2)
    await house.command(name, "pause")
    await house.crash(first)
    await house.engine()
    await house.puppet.let_go()
    await asyncio.sleep(2.5)
    assert [record.type for record in await house.events(name)].count("task.requested") == 2
    await house.command(name, "resume")
    assert isinstance(await house.ended(name), ExecutionCompleted)


async def test_an_execution_that_takes_too_long_fails(house: House) -> None:
    """The time limit of the request ends it with a code of its own."""
    await house.engine()
    house.puppet.hold = True
    name = house.id("a")
    await house.request(name, options={"timeout_ms": 300})
    end = await house.ended(name)
    assert isinstance(end, ExecutionFailed)
    assert end.error.code == "execution_timeout"


async def test_a_failed_task_fails_the_execution_with_the_reason(house: House) -> None:
    """The error of the task is the error of the execution."""
    await house.engine()
    house.puppet.fail = lambda task: task.role == "two"
    name = house.id("a")
    await house.request(name)
    end = await house.ended(name)
    assert isinstance(end, ExecutionFailed)
    assert "it broke" in end.error.message
    assert (await house.replay(name)).identical


async def test_timers_signals_time_and_dice_are_recorded(house: House) -> None:
    """A program that sleeps, waits, reads the time and rolls a die replays identically."""
    await house.engine()
    name = house.id("naps")
    await house.request(name, pattern="naps")
    await asyncio.sleep(0.4)
    assert (await house.command(name, "signal", {"name": "go", "data": {"x": 1}})).status == "accepted"
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted), end
    assert end.result["slept"] is True
    assert 0 <= end.result["dice"] < 1
    assert (await house.replay(name)).identical


async def test_a_signal_may_come_before_it_is_waited_for(house: House) -> None:
    """It waits to be asked for."""
    await house.engine()
    name = house.id("naps")
    await house.request(name, pattern="naps")
    await house.command(name, "signal", {"name": "go"})
    assert isinstance(await house.ended(name), ExecutionCompleted)
    assert (await house.replay(name)).identical


async def test_a_program_without_end_fails_and_hurts_nobody(house: House) -> None:
    """Its limit is deterministic; another execution runs beside it."""
    await house.engine()
    endless, good = house.id("endless"), house.id("good")
    await house.request(endless, pattern="endless")
    await house.request(good)
    assert isinstance(await house.ended(good), ExecutionCompleted)
    end = await house.ended(endless, 60)
    assert isinstance(end, ExecutionFailed)
    assert end.error.code == "limit_exceeded"


@pytest.mark.parametrize(
    ("verb", "body"), [("signal", {}), ("answer", {"question_id": "x", "value": 1}), ("cancel", [])]
)
async def test_a_command_with_a_bad_body_is_answered(house: House, verb: str, body: object) -> None:
    """What is wrong is said to whoever asked, and the execution goes on."""
    await house.engine()
    house.puppet.hold = True
    name = house.id("a")
    await house.request(name)
    reply = await house.ask(subjects.command(name, verb), body)
    assert reply.status == "rejected"
    assert reply.errors[0].what
    await house.puppet.let_go()
    assert isinstance(await house.ended(name), ExecutionCompleted)


async def test_a_command_for_nobody_is_answered(house: House) -> None:
    """An execution that the log does not know is named in the answer."""
    await house.engine()
    reply = await house.command(house.id("nobody"), "cancel")
    assert reply.status == "rejected"
    assert "no execution" in reply.errors[0].what


async def test_a_command_reaches_the_owner_through_any_engine(house: House) -> None:
    """With several engines the one that pulls the command hands it on."""
    await house.engine()
    await house.engine()
    house.puppet.hold = True
    names = [house.id(f"n{number}") for number in range(6)]
    for name in names:
        await house.request(name)
    for name in names:
        assert (await house.command(name, "cancel")).status == "accepted"
        assert isinstance(await house.ended(name), ExecutionCancelled)
