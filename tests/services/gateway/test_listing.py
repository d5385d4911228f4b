"""`parallax ps` asks the gateway, and reads the log only where it has to."""

from __future__ import annotations

import httpx

from parallax.cli.listing import from_gateway, from_log
from parallax.client import connect
from schemas.agents import AgentSpec
from schemas.events import ExecutionCancelled, QuestionAnswered, QuestionAsked, TaskRequested, TaskStarted
from shared.config import load
from shared.testing import eventually
from tests.services.gateway.house import House, fresh


async def test_the_gateway_and_the_log_tell_the_same(house: House, nats_url: str) -> None:
    """Every page of the gateway's list is read, what was just written is in it, and the log says the same."""
    asking, answered, done = fresh(), fresh(), fresh()
    await house.tell(done)
    for name in (asking, answered):
        await house.tell(name, ending=False)
        await house.bus.append(QuestionAsked(execution_id=name, question_id=f"{name}-q", question="Ship it?"))
    await house.bus.append(QuestionAnswered(execution_id=answered, question_id=f"{answered}-q", value="yes", by="ada"))
    settings = load({"PARALLAX_API_URL": house.url})

    listed = await from_gateway(settings, status=None, pattern="noop", limit=1000)

    assert listed is not None
    statuses = {view.id: view.status for view in listed}
    assert (statuses[asking], statuses[answered], statuses[done]) == ("waiting", "running", "completed")
    only = await from_gateway(settings, status="waiting", pattern=None, limit=1000)
    assert [view.id for view in only or [] if view.id in (asking, answered, done)] == [asking]
    async with connect(nats_url) as client:
        logged = {view.id: view.status for view in await from_log(client)}
    assert logged == statuses


async def test_without_a_gateway_there_is_no_list(nats_url: str) -> None:
    """Then the log is read."""
    settings = load({"PARALLAX_NATS_URL": nats_url, "PARALLAX_API_URL": "http://127.0.0.1:9"})
    assert await from_gateway(settings, status=None, pattern=None, limit=10) is None


async def test_what_an_ended_execution_asked_waits_for_nobody(house: House) -> None:
    """Its open questions are withdrawn; those of the others are open until they are answered."""
    ended, asking, answered = fresh(), fresh(), fresh()
    for name in (ended, asking, answered):
        await house.tell(name, ending=False)
        await house.bus.append(QuestionAsked(execution_id=name, question_id=f"{name}-q", question="Ship it?"))
    await house.bus.append(ExecutionCancelled(execution_id=ended, reason="enough"))
    await house.bus.append(QuestionAnswered(execution_id=answered, question_id=f"{answered}-q", value="yes", by="ada"))
    expected = {"open": asking, "withdrawn": ended, "answered": answered}
    async with httpx.AsyncClient(base_url=house.url) as client:

        async def listed() -> bool:
            for status, name in expected.items():
                found = (await client.get("/api/questions", params={"status": status})).json()
                mine = [one for one in found if one["execution_id"] in expected.values()]
                if [(one["execution_id"], one["status"]) for one in mine] != [(name, status)]:
                    return False
            return True

        await eventually(listed, timeout_s=20)


async def test_an_execution_is_counted(house: House) -> None:
    """What is in its log, by kind, whether the tables are there or not; an unknown one is not found."""
    name = fresh()
    await house.tell(name, ending=False)
    await house.bus.append(
        TaskRequested(execution_id=name, task_id="t", effect="1", role="r", digest="d", text="x", agent=AgentSpec())
    )
    await house.bus.append(
        TaskStarted(execution_id=name, task_id="t", effect="1", role="r", attempt=1, session="r-1", agent_id="a")
    )
    await house.bus.append(QuestionAsked(execution_id=name, question_id=f"{name}-q", question="Ship it?"))
    async with httpx.AsyncClient(base_url=house.url) as client:
        found = (await client.get(f"/api/executions/{name}/stats")).json()
        missing = await client.get(f"/api/executions/{fresh()}/stats")
    assert found.pop("seconds") >= 0
    assert found == {
        "execution_id": name,
        "status": "waiting",
        "events": 5,
        "tasks": {"running": 1},
        "attempts": 1,
        "verifications": {},
        "questions": {"asked": 1, "answered": 0},
    }
    assert missing.status_code == 404
