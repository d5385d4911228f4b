"""What an execution is promised: its program stays as it was, its budget holds, it ends once, and it may be long."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from schemas.base import Usage
from schemas.events import (
    ENDINGS,
    ExecutionAccepted,
    ExecutionCompleted,
    ExecutionFailed,
    TaskCompleted,
    TaskRequested,
)
from shared.bus import Fence
from shared.testing import eventually
from tests.services.pattern_engine.conftest import PATTERNS, House

LONG = """
export const pattern = {name: "long", version: "1.0.0", workspace: {enabled: false}}
let sum = 0
while (sum < 10000) { sum = sum + (random() < 2 ? 1 : 0) }
{sum: sum}
"""


def texts(records: list[object]) -> list[str]:
    """What tasks were asked, in order."""
    return [record.text for record in records if isinstance(record, TaskRequested)]


async def test_an_edit_of_the_pattern_changes_no_execution_that_runs(house: House) -> None:
    """The program is in the log: another engine goes on with it; only a new request gets the edited one."""
    engine = await house.engine()
    house.puppet.hold = True
    await house.request(house.id("before"))
    await eventually(lambda: len(house.puppet.held) == 2)
    edited = PATTERNS["team.yaml"].replace('task} last"', 'task} EDITED"')
    (house.patterns / "team.yaml").write_text(edited, encoding="utf-8")
    await house.crash(engine)
    await house.engine()
    await house.puppet.let_go()
    assert isinstance(await house.ended(house.id("before")), ExecutionCompleted)
    assert texts([record.data for record in await house.events(house.id("before"))])[-1] == "t last"
    assert (await house.replay(house.id("before"))).identical
    await house.request(house.id("after"))
    assert isinstance(await house.ended(house.id("after")), ExecutionCompleted)
    assert texts([record.data for record in await house.events(house.id("after"))])[-1] == "t EDITED"


async def test_an_accepted_request_whose_pattern_has_vanished_fails_with_that_reason(house: House) -> None:
    """Its engine died between accepting and starting, and the pattern is gone since."""
    name = house.id("vanished")
    accepted = ExecutionAccepted(execution_id=name, pattern="gone-since", request_digest="x", engine="dead", input={})
    await house.bus.append_all([accepted], fence=Fence(name, 0))
    await house.engine()
    ending = await house.ended(name)
    assert isinstance(ending, ExecutionFailed)
    assert ending.error.code == "pattern_unavailable"
    assert "gone-since" in ending.error.message


async def test_an_accepted_request_is_started_by_the_next_engine(house: House) -> None:
    """Its engine died between accepting and starting."""
    name = house.id("late")
    accepted = ExecutionAccepted(
        execution_id=name, pattern="team", request_digest="x", engine="dead", input={"task": "t"}
    )
    await house.bus.append_all([accepted], fence=Fence(name, 0))
    await house.engine()
    assert isinstance(await house.ended(name), ExecutionCompleted)
    assert (await house.replay(name)).identical


async def test_a_budget_that_is_used_up_starts_no_further_task(house: House) -> None:
    """What the tasks report is added up over the log; the execution fails and says which limit was reached."""
    await house.engine()
    house.puppet.hold = True
    name = house.id("budget")
    await house.request(name, options={"budget": {"tokens": 15}})
    await eventually(lambda: len(house.puppet.held) == 2)
    for task in house.puppet.held:
        await house.bus.append(
            TaskCompleted(
                execution_id=name,
                task_id=task.task_id,
                effect=task.effect,
                role=task.role,
                session="s",
                agent_id="a",
                attempt=1,
                result={},
                usage=Usage(input_tokens=5, output_tokens=5),
            )
        )
    ending = await house.ended(name)
    assert isinstance(ending, ExecutionFailed)
    assert ending.error.code == "budget_exceeded"
    assert "15 tokens" in ending.error.message
    assert Counter(record.type for record in await house.events(name))["task.requested"] == 2
    assert (await house.replay(name)).identical


@pytest.mark.parametrize(("budget", "tasks"), [({"turns": 2}, 2), ({"turns": 1}, 1), ({"wall_ms": 400}, 2)])
async def test_turns_and_wall_time_are_limited_whatever_agents_report(
    house: House, budget: dict[str, int], tasks: int
) -> None:
    """Agents that say nothing of turns have taken one for each attempt, and those at work count; time needs no word."""
    await house.engine()
    house.puppet.hold = "wall_ms" in budget
    name = house.id("limits")
    await house.request(name, options={"budget": budget})
    ending = await house.ended(name)
    assert isinstance(ending, ExecutionFailed)
    assert ending.error.code == "budget_exceeded"
    assert next(iter(budget)) in ending.error.message
    assert Counter(record.type for record in await house.events(name))["task.requested"] == tasks
    assert (await house.replay(name)).identical


async def test_a_cancel_that_races_the_completion_ends_an_execution_once(house: House) -> None:
    """One of the two wins; the answer to the cancel says which."""
    await house.engine()
    names = [house.id(f"race-{number}") for number in range(20)]
    house.puppet.hold = True
    for name in names:
        await house.request(name)
    await eventually(lambda: len(house.puppet.held) == 40)
    letting_go = asyncio.create_task(house.puppet.let_go())
    answers = await asyncio.gather(*(house.command(name, "cancel", {"reason": "race"}) for name in names))
    await letting_go
    for name, answer in zip(names, answers, strict=True):
        ending = await house.ended(name)
        await eventually(lambda name=name: not house.engines[0].runs)
        kinds = Counter(record.type for record in await house.events(name))
        assert sum(kinds[kind] for kind in ENDINGS) == 1, kinds
        assert (ending.TYPE == "execution.cancelled") == (answer.status == "accepted"), (ending, answer)
        assert (await house.replay(name)).identical


@pytest.mark.parametrize("crash", [False, True], ids=["whole", "adopted"])
async def test_a_program_of_ten_thousand_effects_completes_and_replays(house: House, *, crash: bool) -> None:
    """Each effect is one event; the log is written in portions, and an engine that comes later reads them all."""
    (house.patterns / "long.prism").write_text(LONG + ("wait('go')\n{sum: sum}\n" if crash else ""), encoding="utf-8")
    engine = await house.engine()
    name = house.id("long")
    await house.request(name, "long")
    if crash:
        await eventually(lambda: name in engine.runs and engine.runs[name].waiting, timeout_s=20)
        await house.crash(engine)
        await house.engine()
        assert (await house.command(name, "signal", {"name": "go"})).status == "accepted"
    ending = await house.ended(name, within_s=30)
    assert isinstance(ending, ExecutionCompleted)
    assert ending.result == {"sum": 10_000}
    kinds = Counter(record.type for record in await house.events(name))
    assert kinds["effect.recorded"] == 10_000
    report = await house.replay(name)
    assert report.identical
    assert report.effects == 10_000 + crash
