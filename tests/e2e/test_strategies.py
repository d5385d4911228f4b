"""Branches that race, agree, settle and queue, with programs as their agents, through the whole product."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

import parallax
from parallax.client import Client
from parallax.client_execution import Execution
from parallax.stack import Stack, embedded
from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from shared.ids import new_id
from shared.testing import eventually
from tests.conftest import missing
from tests.processes import has_ended

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

ROLE = "r-" + "o" * 62
EXECUTION = "e-" + "x" * 62

PRISM = """
export const pattern = {
  name: "crowd", version: "1.0.0", workspace: {enabled: false},
  input: {names: {type: "array", required: true}, options: {type: "object", required: true}},
}
agents { worker: Agent {id: "worker", agentType: "command", agentConfig: {command: COMMAND}, maxInstances: 8} }
const tried = parallel(map(input.names, name => () => assign(worker, name, {attempts: 1})), input.options)
map(tried, one => one.result ?? one.error.code)
"""

DEEP = """
export const pattern = {name: "deep", version: "1.0.0"}
agents { worker: Agent {id: "ROLE", agentType: "command", agentConfig: {command: COMMAND}} }
fn nest(levels) {
  if (levels == 0) { return assign(worker, "deep") }
  return parallel([() => nest(levels - 1)])[0]
}
nest(60).result
"""

CHART = """
name: chart
version: 1.0.0
workspace: {enabled: false}
structure:
  name: four at most two at once
  roles:
    worker:
      id: worker
      name: Worker
      agentType: command
      capabilities: [work]
      maxInstances: 4
      agentConfig: {command: COMMAND}
workflow:
  name: work
  steps:
    - type: parallel
      id: all
      maxConcurrency: 2
      onError: continue
      steps:
        - {type: assign, id: one, role: worker, task: one}
        - {type: assign, id: two, role: worker, task: two fail}
        - {type: assign, id: three, role: worker, task: three}
        - {type: assign, id: four, role: worker, task: four}
"""


class Crowd:
    """A stack whose agents wait for the test's word, and a client of it."""

    def __init__(self, stack: Stack, client: Client, place: Path) -> None:
        self.stack = stack
        self.client = client
        self.place = place

    async def begin(self, names: list[str], **options: object) -> Execution:
        """Asks for branches of these tasks."""
        return await self.client.request("crowd", {"names": names, "options": options}, id=f"c{new_id()[:8]}")

    async def there(self, *names: str) -> list[psutil.Process]:
        """The processes of the agents of these tasks, two each, once they are all there."""
        files = [self.place / f"{name}.pids" for name in names]
        await eventually(lambda: all(file.exists() for file in files), timeout_s=20)
        return [psutil.Process(int(pid)) for file in files for pid in file.read_text().split()]

    def go(self, *names: str) -> None:
        """Lets agents go on."""
        for name in names:
            (self.place / f"{name}.go").touch()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Crowd]:
    """The product, ready, with the patterns above."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    patterns, place = tmp_path_factory.mktemp("patterns"), tmp_path_factory.mktemp("place")
    command = json.dumps([sys.executable, str(Path(__file__).with_name("crowd.py")), str(place)])
    for name, text in {"crowd.prism": PRISM, "deep.prism": DEEP, "chart.yaml": CHART}.items():
        (patterns / name).write_text(text.replace("COMMAND", command).replace("ROLE", ROLE), encoding="utf-8")
    async with (
        embedded(env={"PARALLAX_PATTERNS_DIR": str(patterns)}) as stack,
        parallax.connect(stack.nats_url) as client,
    ):
        yield Crowd(stack, client, place)


async def ended(processes: list[psutil.Process]) -> None:
    """Returns when none of the processes is left."""
    await eventually(lambda: all(map(has_ended, processes)), timeout_s=10)


async def types(execution: Execution) -> list[str]:
    """The kinds of its events."""
    return [event.type for event in await execution.history()]


async def test_the_losers_of_a_race_are_ended(crowd: Crowd) -> None:
    """The first result ends the step; whoever is still at it is stopped with all that it started."""
    execution = await crowd.begin(["race1", "race2", "race3"], strategy="race")
    losers = await crowd.there("race1", "race3")
    await crowd.there("race2")
    crowd.go("race2")
    outcome = await execution.result(20)
    assert outcome.value == ["cancelled", "did race2", "cancelled"]
    await ended(losers)

    async def both_cancelled() -> bool:
        return (await types(execution)).count("task.cancelled") == 2

    await eventually(both_cancelled, timeout_s=10)
    assert (await types(execution)).count("task.completed") == 1


async def test_a_result_that_comes_too_late_harms_nothing(crowd: Crowd) -> None:
    """A loser that gives its result when it is told to stop, and does not stop, has lost all the same."""
    execution = await crowd.begin(["late1 stubborn", "late2"], strategy="race")
    loser = await crowd.there("late1")
    await crowd.there("late2")
    crowd.go("late2")
    assert (await execution.result(20)).value == ["cancelled", "did late2"]
    await ended(loser)

    async def cancelled() -> bool:
        return "task.cancelled" in await types(execution)

    await eventually(cancelled, timeout_s=10)
    assert (await types(execution)).count("task.completed") == 1
    assert (await crowd.client.replay(execution.id)).identical


async def test_a_quorum_is_enough(crowd: Crowd) -> None:
    """Two of four, at their places; a failure counts for nothing, and the one that is still at it is ended."""
    names = ["quorum1", "quorum2", "quorum3 fail", "quorum4"]
    execution = await crowd.begin(names, strategy="quorum", minResults=2)
    loser = await crowd.there("quorum1")
    await crowd.there("quorum2", "quorum3", "quorum4")
    crowd.go("quorum3")

    async def failed() -> bool:
        return "task.failed" in await types(execution)

    await eventually(failed, timeout_s=10)
    crowd.go("quorum4", "quorum2")
    assert (await execution.result(20)).value == ["cancelled", "did quorum2", "task_failed", "did quorum4"]
    await ended(loser)


async def test_all_settled_waits_for_everybody(crowd: Crowd) -> None:
    """Good and bad, each at its place, whatever the order in which they end."""
    execution = await crowd.begin(["settled1", "settled2 fail", "settled3"], strategy="all_settled")
    await crowd.there("settled1", "settled2", "settled3")
    crowd.go("settled3", "settled2", "settled1")
    assert (await execution.result(20)).value == ["did settled1", "task_failed", "did settled3"]


async def test_no_more_at_once_than_allowed(crowd: Crowd) -> None:
    """Of four branches with `max: 2` the third is asked for when one of the first two has ended."""
    execution = await crowd.begin(["max1", "max2", "max3", "max4"], max=2)
    await crowd.there("max1", "max2")
    assert (await types(execution)).count("task.requested") == 2
    crowd.go("max2")
    await crowd.there("max3")
    assert not (crowd.place / "max4.pids").exists()
    crowd.go("max1", "max3", "max4")
    assert (await execution.result(20)).value == ["did max1", "did max2", "did max3", "did max4"]
    assert most_at_once([event.type for event in await execution.history()]) == 2


def most_at_once(kinds: list[str]) -> int:
    """How many tasks were asked for and not done at any time."""
    now = most = 0
    for kind in kinds:
        now += (kind == "task.requested") - (kind in ("task.completed", "task.failed"))
        most = max(most, now)
    return most


async def test_a_team_goes_on_without_the_one_that_failed(crowd: Crowd) -> None:
    """`maxConcurrency` and `onError: continue` of an org chart: three results and a failure, two at once at most."""
    crowd.go("one", "two", "three", "four")
    execution = await crowd.client.request("chart", {}, id=f"c{new_id()[:8]}")
    results = (await execution.result(30)).value
    assert [one["result"] for one in results] == ["did one", None, "did three", "did four"]
    assert results[1]["error"]["code"] == "task_failed"
    assert most_at_once(await types(execution)) == 2


async def test_the_longest_names_go_all_the_way(crowd: Crowd) -> None:
    """An execution id and a role of 64 characters each, a step nested sixty deep, a worktree, a process, a replay."""
    crowd.go("deep")
    execution = await crowd.client.request("deep", {}, id=EXECUTION)
    assert (await execution.result(60)).value == "did deep"
    done = next(event.data for event in await execution.history() if event.type == "task.completed")
    assert done.session == f"{ROLE}-1"
    assert done.agent_id.startswith(f"{EXECUTION}-{ROLE}-1")
    assert len(done.effect) > 110
    assert (await crowd.client.replay(execution.id)).identical
