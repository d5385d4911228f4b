"""Every disturbance in every phase of an execution: it ends, once, as it should, and its replay agrees."""

from __future__ import annotations

import pytest

from schemas.base import Failure
from schemas.events import (
    ENDINGS,
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    TaskRequested,
    WorkspaceFailed,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
    WorkspaceReady,
    WorkspaceRequested,
)
from shared.testing import eventually
from tests.services.pattern_engine.conftest import House

ALONE = """
name: alone
version: 1.0.0
structure:
  name: one
  roles:
    one: {id: one, name: One, agentType: custom, capabilities: [work]}
workflow:
  name: work
  steps:
    - {type: assign, id: first, role: one, task: do it}
"""
PHASES: dict[str, type[Event]] = {
    "workspace": WorkspaceRequested,
    "program": TaskRequested,
    "integrating": WorkspaceIntegrationRequested,
    "finalizing": WorkspaceFinalizeRequested,
}


class Way:
    """One execution, led from phase to phase by the facts that a test appends."""

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        self.id = name

    async def reached(self, phase: str) -> Event:
        """The request that the phase begins with."""

        async def found() -> Event | None:
            events = [record.data for record in await self.house.events(self.id)]
            return next((event for event in events if isinstance(event, PHASES[phase])), None)

        event = await eventually(found, timeout_s=15)
        assert event is not None
        return event

    async def answer(self, phase: str, error: Failure | None = None) -> None:
        """Answers that request."""
        asked = await self.reached(phase)
        match asked:
            case WorkspaceRequested() if error is not None:
                fact: Event = WorkspaceFailed(execution_id=self.id, error=error)
            case WorkspaceRequested():
                fact = WorkspaceReady(
                    execution_id=self.id, workspace_id=self.id, path="/nowhere", branch="b", base_branch="m",
                    base_commit="0",
                )  # fmt: skip
            case TaskRequested():
                await self.house.puppet.let_go()
                return
            case WorkspaceIntegrationRequested():
                fact = WorkspaceIntegrated(execution_id=self.id, effect=asked.effect, commit="1")
            case _:
                fact = WorkspaceFinalized(execution_id=self.id, branch="b", commit="1", error=error)
        await self.house.bus.append(fact)

    async def to(self, phase: str) -> None:
        """Leads it to a phase."""
        for before in list(PHASES)[: list(PHASES).index(phase)]:
            await self.answer(before)
        await self.reached(phase)

    async def end(self, phase: str) -> Event:
        """Leads it from a phase to its end, which is the only one, and replays it."""
        for now in list(PHASES)[list(PHASES).index(phase) :]:
            await self.answer(now)
        return await self.ended()

    async def ended(self) -> Event:
        """Its end."""
        ending = await self.house.ended(self.id, 20)
        kinds = [record.type for record in await self.house.events(self.id)]
        assert sum(kind in ENDINGS for kind in kinds) == 1
        report = await self.house.replay(self.id)
        assert report.identical, report
        return ending


async def way(house: House, **options: object) -> Way:
    """An execution of its own."""
    (house.patterns / "alone.yaml").write_text(ALONE, encoding="utf-8")
    await house.engine()
    house.puppet.commits = house.puppet.hold = True
    name = house.id("way")
    assert (await house.request(name, "alone", options=options)).status == "accepted"
    return Way(house, name)


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("phase", PHASES)
async def test_cancelled(house: House, phase: str, paused: bool) -> None:
    """Wherever it is, also in a pause."""
    one = await way(house)
    await one.to(phase)
    if paused:
        assert (await house.command(one.id, "pause")).status == "accepted"
    assert (await house.command(one.id, "cancel")).status == "accepted"
    assert isinstance(await one.ended(), ExecutionCancelled)


@pytest.mark.parametrize("phase", PHASES)
async def test_paused_while_the_answer_comes(house: House, phase: str) -> None:
    """The answer waits for the resume; so does its engine's successor."""
    one = await way(house)
    await one.to(phase)
    assert (await house.command(one.id, "pause")).status == "accepted"
    await one.answer(phase)
    before = [record.type for record in await house.events(one.id)]
    await house.crash(house.engines[0])
    await house.engine()
    assert (await house.command(one.id, "resume")).status == "accepted"
    after = list(PHASES)[list(PHASES).index(phase) + 1 :]
    assert not any(PHASES[later].TYPE in before for later in after)
    ending = await one.end(after[0]) if after else await one.ended()
    assert isinstance(ending, ExecutionCompleted)


@pytest.mark.parametrize("phase", PHASES)
async def test_taken_over(house: House, phase: str) -> None:
    """By an engine that comes after the former one is gone."""
    one = await way(house)
    await one.to(phase)
    await house.crash(house.engines[0])
    await house.engine()
    assert isinstance(await one.end(phase), ExecutionCompleted)


@pytest.mark.parametrize("phase", PHASES)
async def test_too_late(house: House, phase: str) -> None:
    """The time limit holds in every phase, when nobody answers."""
    one = await way(house, timeout_ms=3000)
    await one.to(phase)
    ending = await one.ended()
    assert isinstance(ending, ExecutionFailed)
    assert ending.error.code == "execution_timeout"


@pytest.mark.parametrize("phase", ["workspace", "finalizing"])
async def test_a_workspace_that_fails(house: House, phase: str) -> None:
    """Its word ends the execution."""
    one = await way(house)
    await one.to(phase)
    await one.answer(phase, Failure(code="disk_full", message="There is no room."))
    ending = await one.ended()
    assert isinstance(ending, ExecutionFailed)
    assert ending.error.code == "disk_full"


@pytest.mark.parametrize("phase", PHASES)
async def test_answered_twice_and_late(house: House, phase: str) -> None:
    """The same fact again, before and after the end, changes nothing."""
    one = await way(house)
    await one.to(phase)
    await one.answer(phase)
    await one.answer(phase)
    after = list(PHASES)[list(PHASES).index(phase) + 1 :]
    ending = await one.end(after[0]) if after else await one.ended()
    assert isinstance(ending, ExecutionCompleted)
    await one.answer(phase)
    assert isinstance(await one.ended(), ExecutionCompleted)
