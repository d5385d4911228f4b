"""A program that asks a server: recorded, answered from the log on replay, let alone when nobody wants the answer."""

from __future__ import annotations

from schemas.base import Failure
from schemas.events import ExecutionCancelled, ExecutionCompleted, ExecutionFailed, HttpCompleted, HttpRequested
from shared.testing import eventually
from tests.services.pattern_engine.conftest import House

PROGRAM = """
export const pattern = {name: "asks", version: "1.0.0", workspace: {enabled: false}}
const made = http({method: "POST", url: "https://x.example/a", body: {n: 1}})
const won = parallel([
  () => http({url: "https://x.example/slow"}),
  () => sleep(10),
], {strategy: "race"})
{status: made.status, got: made.body.got, lost: won[0].error.code}
"""


async def begun(house: House, name: str) -> None:
    """An execution of it."""
    (house.patterns / "asks.prism").write_text(PROGRAM, "utf-8")
    await house.engine()
    await house.request(name, pattern="asks", input={})


async def asked(house: House, name: str, count: int) -> list[HttpRequested]:
    """The requests in its log, as soon as there are so many."""

    async def found() -> list[HttpRequested]:
        events = [record.data for record in await house.events(name)]
        made = [event for event in events if isinstance(event, HttpRequested)]
        return made if len(made) >= count else []

    return await eventually(found)


async def test_a_request_is_answered_from_the_log(house: House) -> None:
    """One that lost its race is not waited for, and an answer that comes late changes nothing."""
    name = house.id("asks")
    await begun(house, name)
    (first,) = await asked(house, name, 1)
    assert (first.method, first.url, first.body, first.timeout_ms) == ("POST", "https://x.example/a", {"n": 1}, 30_000)
    await house.bus.append(
        HttpCompleted(execution_id=name, effect=first.effect, status=201, body={"got": [1, 2]}),
    )
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted), end
    assert end.result == {"status": 201, "got": [1, 2], "lost": "cancelled"}
    late = (await asked(house, name, 2))[1]
    await house.bus.append(HttpCompleted(execution_id=name, effect=late.effect, status=200))
    assert (await house.replay(name)).identical


async def test_no_answer_fails_the_program(house: House) -> None:
    """With the code and the sentence of the executor."""
    name = house.id("asks")
    await begun(house, name)
    (first,) = await asked(house, name, 1)
    error = Failure(code="http_refused", message="Requests to x.example:443 are not allowed.")
    await house.bus.append(HttpCompleted(execution_id=name, effect=first.effect, error=error))
    end = await house.ended(name)
    assert isinstance(end, ExecutionFailed)
    assert (end.error.code, end.error.message) == (error.code, error.message)
    assert (await house.replay(name)).identical


async def test_a_cancelled_execution_waits_for_no_server(house: House) -> None:
    """It ends at once; the executor finds it ended and asks nothing."""
    name = house.id("asks")
    await begun(house, name)
    await asked(house, name, 1)
    await house.command(name, "cancel", {"reason": "enough"})
    assert isinstance(await house.ended(name), ExecutionCancelled)
    assert (await house.replay(name)).identical
