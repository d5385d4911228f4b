"""Where two things meet at the wrong moment: the execution ends, once, and its replay agrees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from schemas.base import Failure
from schemas.engines import OpenExecution
from schemas.events import (
    Event,
    ExecutionCompleted,
    ExecutionFailed,
    QuestionAnswered,
    QuestionAsked,
    TaskCancelled,
    TaskFailed,
    TaskRequested,
    TaskRetrying,
    TimerFired,
    TimerSet,
)
from services.pattern_engine.decisions import FACTS
from services.pattern_engine.ownership import adopt
from services.pattern_engine.service import PatternEngine
from shared.bus import Bus, Recorded, large
from shared.config import load
from shared.testing import eventually
from tests.services.pattern_engine.conftest import House

ONE = 'agents { one: Agent { id: "one", agentType: "custom", capabilities: ["work"] } }'


def prism(house: House, name: str, body: str, more: str = "") -> None:
    """Puts a pattern there that needs no workspace."""
    head = f'export const pattern = {{name: "{name}", version: "1.0.0", workspace: {{enabled: false}}{more}}}\n'
    (house.patterns / f"{name}.prism").write_text(head + body, encoding="utf-8")


async def recorded_of(house: House, name: str, kind: type[Any], count: int = 1) -> list[Any]:
    """The events of a kind, once there are so many."""

    async def found() -> list[Any]:
        events = [record.data for record in await house.events(name) if isinstance(record.data, kind)]
        return events if len(events) >= count else []

    return await eventually(found, timeout_s=15)


async def test_one_early_signal_ends_one_of_two_waits(house: House) -> None:
    """Two branches wait for a signal that came before they did: one has it, the other waits for the next one."""
    prism(
        house,
        "twins",
        'sleep(300)\nparallel([() => wait("go", {timeoutMs: 60000}), () => wait("go", {timeoutMs: 60000})])\n',
    )
    await house.engine()
    name = house.id("twins")
    await house.request(name, "twins")
    assert (await house.command(name, "signal", {"name": "go", "data": 1})).status == "accepted"
    await recorded_of(house, name, TimerSet, 3)
    assert (await house.command(name, "signal", {"name": "go", "data": 2})).status == "accepted"
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted), end
    assert [one["data"] for one in end.result] == [1, 2]
    assert (await house.replay(name)).identical


async def test_the_time_limit_of_a_pattern_holds(house: House) -> None:
    """Without one in the request, the pattern's own `timeoutMs` ends the execution, also at another engine."""
    prism(house, "slow", "sleep(3600000)\n", ", timeoutMs: 1500")
    first = await house.engine()
    name, other = house.id("slow"), house.id("moved")
    await house.request(other, "slow")
    await house.crash(first)
    await house.engine()
    await house.request(name, "slow")
    for execution_id in (name, other):
        end = await house.ended(execution_id)
        assert isinstance(end, ExecutionFailed)
        assert end.error.code == "execution_timeout"


async def test_an_engine_that_lost_an_execution_does_not_take_it_back(house: House) -> None:
    """What it follows may lag behind: the log tells that somebody else has claimed the execution meanwhile."""
    first = await house.engine()
    house.puppet.hold = True
    name = house.id("mine")
    await house.request(name)
    await eventually(lambda: len(house.puppet.held) == 2)
    stale = OpenExecution(engine=first.engine_id, epoch=1, fence=first.runs[name].fence)
    second = await house.engine()
    await adopt(second, name, stale, "a test")
    assert second.runs[name].epoch == 2
    first.runs.pop(name, None)
    await adopt(first, name, stale, "what it followed is old")
    assert name not in first.runs
    await house.puppet.let_go()
    assert isinstance(await house.ended(name), ExecutionCompleted)
    assert (await house.replay(name)).identical


async def test_facts_followed_while_the_log_is_read_are_heard_once(house: House, monkeypatch: Any) -> None:
    """An engine that takes over follows the log and reads it: a signal that came both ways is one signal."""
    prism(
        house, "once", 'sleep(1500)\nlet a = wait("go")\nlet b = wait("go", {timeoutMs: 700, onError: "continue"})\nb\n'
    )
    first = await house.engine()
    name = house.id("once")
    await house.request(name, "once")
    assert (await house.command(name, "signal", {"name": "go"})).status == "accepted"
    await house.crash(first)
    settings = load({"PARALLAX_NATS_URL": house.nats_url, "PARALLAX_PATTERNS_DIR": str(house.patterns)})
    bus = await Bus.connect(settings, name="pattern_engine")
    engine = PatternEngine(settings, bus)
    read = bus.read

    async def overheard(execution_id: str, **how: Any) -> AsyncIterator[Recorded]:
        async for record in read(execution_id, **how):
            if record.type in FACTS and execution_id in engine.runs:
                engine.runs[execution_id].hear(record)
            yield record

    monkeypatch.setattr(bus, "read", overheard)
    await engine.start()
    house.engines.append(engine)
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted), end
    assert end.result["received"] is False
    assert (await house.replay(name)).identical


async def test_a_decision_too_large_for_the_log_ends_the_execution_at_a_successor_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine that takes over fails it with the same code instead of trying for ever."""
    monkeypatch.setattr(large, "LARGEST", 5 << 20)
    grown = 'reduce(range(20), (text, n) => concat(text, text), "0123456789")'
    prism(house, "huge", f'{ONE}\nassign(one, "begin")\n{grown}\n')
    first = await house.engine()
    house.puppet.hold = True
    name, live = house.id("huge"), house.id("live")
    await house.request(name, "huge")
    await eventually(lambda: len(house.puppet.held) == 1)
    await house.crash(first)
    await house.puppet.let_go()
    await house.engine()
    await house.request(live, "huge")
    for execution_id in (name, live):
        end = await house.ended(execution_id)
        assert isinstance(end, ExecutionFailed)
        assert end.error.code == "event_too_large"


async def test_an_answer_in_the_moment_of_withdrawal_leaves_the_replay_identical(house: House) -> None:
    """The log has one answer to one question; whether a person or the program was first changes no decision."""
    prism(house, "late", 'parallel([() => ask("Well?"), () => sleep(60000)], {strategy: "race"})\n"done"\n')
    first = await house.engine()
    name = house.id("late")
    await house.request(name, "late")
    (asked,) = await recorded_of(house, name, QuestionAsked)
    (timer,) = await recorded_of(house, name, TimerSet)
    await house.crash(first)
    await house.bus.append(TimerFired(execution_id=name, effect=timer.effect))
    await house.bus.append(
        QuestionAnswered(
            execution_id=name, question_id=asked.question_id, effect=asked.effect, value="well", by="somebody"
        )
    )
    await house.engine()
    assert isinstance(await house.ended(name), ExecutionCompleted)
    report = await house.replay(name)
    assert report.identical, report


async def test_of_two_answers_at_once_one_is_refused(house: House) -> None:
    """Both find the question open; one is recorded, and the other one is told so."""
    prism(house, "asks", 'ask("Well?")\n')
    await house.engine()
    name = house.id("asks")
    await house.request(name, "asks")
    (asked,) = await recorded_of(house, name, QuestionAsked)
    async with asyncio.TaskGroup() as group:
        replies = [
            group.create_task(house.command(name, "answer", {"question_id": asked.question_id, "value": value}))
            for value in ("yes", "no", "perhaps")
        ]
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted)
    statuses = [task.result().status for task in replies]
    assert statuses.count("accepted") == 1, statuses
    accepted = ("yes", "no", "perhaps")[statuses.index("accepted")]
    assert end.result["value"] == accepted


async def test_only_who_may_answer_answers_and_nobody_in_the_engines_name(house: House) -> None:
    """A question names who may answer it; the engine's own words for who answered are no client's."""
    prism(house, "private", 'ask("Well?", {who: ["ada", "bo"]})\n')
    await house.engine()
    name = house.id("private")
    await house.request(name, "private")
    (asked,) = await recorded_of(house, name, QuestionAsked)
    answer: dict[str, Any] = {"question_id": asked.question_id, "value": "well"}
    for by in ("", "eve", "withdrawn", "deadline", "role:ada"):
        reply = await house.command(name, "answer", {**answer, "by": by})
        assert (reply.status, reply.errors[0].where) == ("rejected", "by"), by
    assert (await house.command(name, "answer", {**answer, "by": "bo"})).status == "accepted"
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted)
    assert end.result["by"] == "bo"


async def test_an_answer_delivered_again_is_accepted_again(house: House) -> None:
    """Whose reply was lost is not told that somebody else was first."""
    prism(house, "patient", 'ask("Well?")\nwait("never")\n')
    await house.engine()
    name = house.id("patient")
    await house.request(name, "patient")
    (asked,) = await recorded_of(house, name, QuestionAsked)
    answer = {"question_id": asked.question_id, "value": "well", "by": "ada"}
    assert [(await house.command(name, "answer", answer)).status for _ in range(2)] == ["accepted", "accepted"]
    other = await house.command(name, "answer", {**answer, "value": "ill"})
    assert (other.status, other.errors[0].where) == ("rejected", "question_id")
    assert len(await recorded_of(house, name, QuestionAnswered)) == 1


@pytest.mark.parametrize(
    ("options", "said", "recorded"),
    [
        (["1", "2"], 2, "2"),
        (["1", "2"], "2", "2"),
        (["1", "2"], " 2 ", "2"),
        (["1", "2"], 3, None),
        (["1", "2"], True, None),
        (["1", "2"], [2], None),
        (["0.5", "1.5"], 1.5, "1.5"),
        (["true", "false"], True, "true"),
        (["null", "more"], None, "null"),
    ],
)
async def test_a_number_means_the_option_that_reads_as_it(
    house: House, options: list[str], said: object, recorded: str | None
) -> None:
    """Options are texts; the log has the option, whatever the client wrote for it."""
    prism(house, "choice", f'ask("Which?", {{options: {json.dumps(options)}}})\n')
    await house.engine()
    name = house.id("choice")
    await house.request(name, "choice")
    (asked,) = await recorded_of(house, name, QuestionAsked)
    reply = await house.command(name, "answer", {"question_id": asked.question_id, "value": said})
    if recorded is None:
        assert (reply.status, reply.errors[0].where) == ("rejected", "value")
        assert f"Options: {', '.join(options)}" in reply.errors[0].hint
    else:
        assert reply.status == "accepted"
        end = await house.ended(name)
        assert isinstance(end, ExecutionCompleted)
        assert end.result["value"] == recorded


NO = Failure(code="task_failed", message="no")


@pytest.mark.parametrize(
    ("over", "why"),
    [
        (TaskRetrying(execution_id="", task_id="", attempt=1, error=NO, delay_ms=9), "cut off"),
        (TaskFailed(execution_id="", task_id="", effect="", role="one", error=NO, attempts=1), "has failed"),
        (TaskCancelled(execution_id="", task_id="", effect=""), "was cancelled"),
    ],
)
async def test_what_an_attempt_that_is_over_asked_takes_no_answer(house: House, over: Event, why: str) -> None:
    """It would go nowhere: the answer is refused with the reason, and nothing is recorded."""
    prism(house, "curious", ONE + '\nparallel([() => assign(one, "work"), () => wait("never")])\n')
    house.puppet.hold = True
    await house.engine()
    name = house.id("curious")
    await house.request(name, "curious")
    (task,) = await recorded_of(house, name, TaskRequested)
    first, second = f"{task.task_id}-1-1", f"{task.task_id}-2-1"
    await house.bus.append(QuestionAsked(execution_id=name, question_id=first, question="?", task_id=task.task_id))
    await house.bus.append(msgspec.structs.replace(over, execution_id=name, task_id=task.task_id))
    refused = await house.command(name, "answer", {"question_id": first, "value": 1})
    assert (refused.status, refused.errors[0].where) == ("rejected", "question_id")
    assert "no longer asked" in refused.errors[0].what
    assert why in refused.errors[0].what
    if isinstance(over, TaskRetrying):  # what the next attempt asks is answered as ever
        await house.bus.append(QuestionAsked(execution_id=name, question_id=second, question="?", task_id=task.task_id))
        assert (await house.command(name, "answer", {"question_id": second, "value": 1})).status == "accepted"
    answers = [record.data for record in await house.events(name) if isinstance(record.data, QuestionAnswered)]
    assert [answer.question_id for answer in answers] == ([second] if isinstance(over, TaskRetrying) else [])


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_jumps_holds_nothing_up(house: House, hours: int) -> None:
    """What sleeps wakes, and what has a time limit ends, when the time has passed, whatever the clock says by then."""
    prism(house, "sleeper", "sleep(2000)\n1\n")
    prism(house, "limited", "sleep(7200000)\n", ", timeoutMs: 2000")
    engine = await house.engine()
    names = [house.id("sleeper"), house.id("limited")]
    for name, pattern in zip(names, ("sleeper", "limited"), strict=True):
        await house.request(name, pattern)
        await recorded_of(house, name, TimerSet)
    right = engine.now_ms
    engine.now_ms = lambda: right() + hours * 3_600_000
    assert isinstance(await house.ended(names[0]), ExecutionCompleted)
    end = await house.ended(names[1])
    assert isinstance(end, ExecutionFailed)
    assert end.error.code == "execution_timeout"


async def test_nothing_is_kept_of_what_has_ended(house: House) -> None:
    """Whichever comes first, the end or the word of the log about it: an engine that runs for long holds no more."""
    prism(house, "quick", "1\n")
    engine = await house.engine()
    names = [house.id(f"quick-{number}") for number in range(50)]
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(house.request(name, "quick"))
    for name in names:
        await house.ended(name)
    await eventually(lambda: not engine.runs and not engine.unfollowed_ends)


@pytest.mark.parametrize("branches", [1000])
async def test_a_thousand_branches_at_once(house: House, branches: int) -> None:
    """All are asked for, all are answered, and the replay agrees."""
    prism(house, "wide", f'{ONE}\nlen(parallel(map(range({branches}), n => () => assign(one, "do ${{n}}"))))\n')
    await house.engine()
    name = house.id("wide")
    await house.request(name, "wide")
    end = await house.ended(name, 120)
    assert isinstance(end, ExecutionCompleted), end
    assert end.result == branches
    assert (await house.replay(name)).identical


async def test_a_task_that_says_nothing_names_its_step_and_the_input(house: House) -> None:
    """Which was not given: the pattern says nothing about its input, so the request is in order."""
    prism(house, "mute", f'{ONE}\nassign(one, "${{text(input?.foo)}}", {{id: "speak"}})\n')
    await house.engine()
    name = house.id("mute")
    await house.request(name, "mute")
    end = await house.ended(name)
    assert isinstance(end, ExecutionFailed)
    assert end.error.message == "the task of step 'speak' is empty: input.foo is not given"
    assert end.error.code == "invalid_argument"
    assert (await house.replay(name)).identical
