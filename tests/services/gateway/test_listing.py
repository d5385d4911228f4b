"""`parallax ps` asks the gateway, and reads the log only where it has to."""

from __future__ import annotations

from parallax.cli.listing import from_gateway, from_log
from parallax.client import connect
from schemas.events import QuestionAnswered, QuestionAsked
from shared.config import load
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
    assert {view.id: view.status for view in listed} == {asking: "waiting", answered: "running", done: "completed"}
    only = await from_gateway(settings, status="waiting", pattern=None, limit=1000)
    assert [view.id for view in only or []] == [asking]
    async with connect(nats_url) as client:
        logged = {view.id: view.status for view in await from_log(client)}
    assert logged == {view.id: view.status for view in listed}


async def test_without_a_gateway_there_is_no_list(nats_url: str) -> None:
    """Then the log is read."""
    settings = load({"PARALLAX_NATS_URL": nats_url, "PARALLAX_API_URL": "http://127.0.0.1:9"})
    assert await from_gateway(settings, status=None, pattern=None, limit=10) is None
