"""A pattern that calls others, on a real server: fixed at its start, replayed, taken over by another engine."""

from __future__ import annotations

from schemas.events import ExecutionCompleted, ExecutionFailed, ExecutionStarted, TaskRequested
from shared.testing import eventually
from tests.services.pattern_engine.conftest import House

INNER = """
export const pattern = {
  name: "inner", version: "1.2.0", workspace: {enabled: false}, input: {task: {type: "string", required: true}},
}
agents { one: Agent { id: "one", agentType: "custom", capabilities: ["work"] } }
sleep(10)
assign(one, "inner ${input.task}", {id: "do"})
"""

OUTER = """
export const pattern = {name: "outer", version: "1.0.0", workspace: {enabled: false}}
const both = parallel([
  () => call("inner@1.x", {task: "a"}, {id: "left"}),
  () => call("team", {task: "b"}, {id: "right"}),
])
const last = call("inner@1.x", {task: both[0].result.did})
last.result.did
"""


def written(house: House) -> None:
    """Puts the patterns into the house's directory."""
    (house.patterns / "inner.prism").write_text(INNER, "utf-8")
    (house.patterns / "outer.prism").write_text(OUTER, "utf-8")


async def test_what_is_called_runs_as_it_was_at_the_start(house: House) -> None:
    """An edit of a called pattern changes nothing of an execution, and another engine goes on with the old text."""
    written(house)
    first = await house.engine()
    house.puppet.hold = True
    name = house.id("calls")
    await house.request(name, pattern="outer", input={})
    await eventually(lambda: len(house.puppet.held) == 3)
    (house.patterns / "inner.prism").write_text(INNER.replace('"inner $', '"edited $'), "utf-8")
    await house.crash(first)
    await house.engine()
    await house.puppet.let_go()
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted), end
    assert end.result == "inner inner a"
    events = [record.data for record in await house.events(name)]
    started = next(event for event in events if isinstance(event, ExecutionStarted))
    assert set(started.called) == {"inner@1.x", "team"}
    assert {"left-one", "right-one", "right-two", "inner-one"} <= set(started.roles)
    tasks = [event for event in events if isinstance(event, TaskRequested)]
    assert {task.role for task in tasks} == {"left-one", "right-one", "right-two", "inner-one"}
    assert (await house.replay(name)).identical


async def test_a_failure_inside_a_called_pattern_says_where(house: House) -> None:
    """The file that it is in, not a line of the caller alone."""
    written(house)
    await house.engine()
    house.puppet.fail = lambda task: task.role == "inner-one"
    name = house.id("calls")
    await house.request(name, pattern="outer", input={})
    end = await house.ended(name)
    assert isinstance(end, ExecutionFailed)
    assert end.error.where.startswith("inner@1.2.0:7:"), end.error
    assert (await house.replay(name)).identical


async def test_a_request_for_a_pattern_with_a_bad_call_is_refused(house: House) -> None:
    """With the place of the call."""
    (house.patterns / "outer.prism").write_text(OUTER, "utf-8")
    await house.engine()
    reply = await house.request(house.id("calls"), pattern="outer", input={})
    assert reply.status == "rejected"
    assert any("there is no pattern 'inner'" in problem.what for problem in reply.errors)
