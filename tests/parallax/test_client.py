"""The client on a real server, with a scripted engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import parallax
from parallax.client import Client
from schemas.agents import OutputLine
from schemas.base import Problem
from schemas.commands import ReplayQuery, ReplayReport
from shared import subjects
from shared.ids import new_id
from tests.parallax.scripted import ASKS, BAD, DONE, FAILS, OPEN, SILENT, ScriptedEngine, scripted_engine


@pytest.fixture
async def engine(nats_url: str) -> AsyncIterator[ScriptedEngine]:
    """An engine at work."""
    async with scripted_engine(nats_url) as running:
        yield running


@pytest.fixture
async def px(nats_url: str, engine: ScriptedEngine) -> AsyncIterator[Client]:
    """A client of that engine's server."""
    async with parallax.connect(nats_url, name="ada") as client:
        yield client


async def test_a_result_has_value_and_confidence(px: Client) -> None:
    """The documented three lines work."""
    execution = await px.request(DONE, input={"task": "x"})
    outcome = await execution.result(timeout_s=5)
    assert (outcome.value, outcome.confidence) == ({"n": 1}, 0.5)


async def test_the_documented_lines_find_the_server_by_the_settings(
    nats_url: str, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`connect()` takes PARALLAX_NATS_URL; input, repository, events and outcome are as the reference shows them."""
    monkeypatch.setenv("PARALLAX_NATS_URL", nats_url)
    seen: list[str] = []
    async with parallax.connect() as px:
        execution = await px.request(DONE, input={"task": "…"}, repo="path/or/url")
        async for event in execution.events():
            seen.append(event.type)
            assert event.data["execution_id"] == execution.id
        outcome = await execution.result()
    assert seen == ["execution.accepted", "execution.completed"]
    assert (outcome.value, outcome.confidence) == ({"n": 1}, 0.5)
    assert engine.requests == 1


async def test_work_that_has_ended_is_asked_for_again(px: Client) -> None:
    """`retry` gives an execution of its own; while the first one runs it is refused with what to do."""
    first = await px.request(FAILS, {"task": "x"})
    again = await first.retry()
    assert again.id != first.id
    accepted = (await again.history())[0]
    assert (accepted.data["pattern"], accepted.data["input"]) == (FAILS, {"task": "x"})
    running = await px.request(OPEN)
    with pytest.raises(parallax.CommandRejected, match="not ended"):
        await running.retry()
    with pytest.raises(parallax.UnknownExecution):
        await px.execution(new_id()).retry()


async def test_options_that_cannot_be_read_are_refused(px: Client) -> None:
    """Before anything is sent."""
    with pytest.raises(parallax.RequestRejected, match="timeout_ms"):
        await px.request(DONE, options={"timeout_ms": -1})
    with pytest.raises(parallax.RequestRejected) as refusal:
        await px.request(DONE, options={"budget": {"token": 5}})
    assert refusal.value.errors[0].hint == "Did you mean 'tokens'?"
    with pytest.raises(parallax.RequestRejected, match="not below 0"):
        await px.request(DONE, options={"budget": {"tokens": -5}})
    with pytest.raises(parallax.RequestRejected, match="id is empty"):
        await px.request(DONE, id="")


async def test_events_are_history_then_live_and_end_with_the_ending(px: Client) -> None:
    """Nothing is missed between what is stored and what comes, and the iteration ends by itself."""
    execution = await px.request(OPEN)
    heard: list[str] = []

    async def follow() -> None:
        async for event in execution.events():
            heard.append(event.type)
            if len(heard) == 1:
                await execution.cancel("enough")

    await asyncio.wait_for(follow(), 5)
    assert heard == ["execution.accepted", "execution.cancelled"]
    assert [event.type for event in await execution.history()] == heard
    assert [event.type async for event in execution.events(follow=False)] == heard


async def test_a_failed_execution_raises_with_its_code(px: Client) -> None:
    """`result()` never returns for work that failed."""
    execution = await px.request(FAILS)
    with pytest.raises(parallax.ExecutionFailed, match="It broke") as failed:
        await execution.result(timeout_s=5)
    assert (failed.value.code, failed.value.execution_id) == ("task_failed", execution.id)


async def test_a_cancelled_execution_raises_its_reason(px: Client) -> None:
    """Whoever waits is told, with the reason that was given."""
    execution = await px.request(OPEN)
    waiting = asyncio.create_task(execution.result(timeout_s=5))
    await execution.cancel("changed my mind")
    with pytest.raises(parallax.ExecutionCancelled, match="changed my mind"):
        await waiting


async def test_a_rejected_request_raises_every_reason(px: Client) -> None:
    """Where and what, as the engine said it."""
    with pytest.raises(parallax.RequestRejected, match=r"input\.task: It is missing"):
        await px.request(BAD)


def test_several_reasons_are_a_line_each_with_what_to_do() -> None:
    """A place is not said twice, and each hint stands under its own reason."""
    problems = [
        Problem(where="input.task", what="'task' is missing", hint="Give a value of type string."),
        Problem(where="input.level", what="input.level is more than 3"),
    ]
    assert parallax.RequestRejected("x", problems).lines == [
        "The request was rejected:",
        "  input.task: 'task' is missing",
        "    Give a value of type string.",
        "  input.level is more than 3",
    ]


async def test_an_execution_is_not_retried_under_its_own_id(px: Client) -> None:
    """That would be the same execution again, and look like a new one that ended at once."""
    execution = await px.request(DONE)
    with pytest.raises(parallax.CommandRejected, match="this execution's own"):
        await execution.retry(id=execution.id)


async def test_a_rejected_command_raises_with_the_hint(px: Client) -> None:
    """A command that cannot be carried out is an error, not silence."""
    execution = await px.request(OPEN)
    with pytest.raises(parallax.CommandRejected, match="cannot be paused") as refused:
        await execution.pause()
    assert refused.value.hint == "Wait."


async def test_an_execution_outlives_the_client_that_asked_for_it(px: Client, nats_url: str) -> None:
    """Another client takes hold of it by its id, before and after its end."""
    execution = await px.request(OPEN, id=f"k-{new_id()}")
    async with parallax.connect(nats_url) as other:
        again = other.execution(execution.id)
        assert await again.status() == "running" or await again.status() == "pending"
        waiting = asyncio.create_task(again.result(timeout_s=5))
        await asyncio.sleep(0)
        await execution.cancel()
        with pytest.raises(parallax.ExecutionCancelled):
            await waiting
        with pytest.raises(parallax.ExecutionCancelled):
            await other.execution(execution.id).result(timeout_s=5)


async def test_waiting_may_end_before_the_work(px: Client) -> None:
    """A timeout ends the waiting alone."""
    execution = await px.request(OPEN)
    with pytest.raises(TimeoutError):
        await execution.result(timeout_s=0.05)
    assert await execution.status() == "pending"


async def test_an_unknown_execution_is_called_so(px: Client) -> None:
    """Neither a fresh id nor an impossible one hangs."""
    with pytest.raises(parallax.UnknownExecution):
        await px.execution(new_id()).status()
    for hostile in ("a b", "*", ">", "a.b", "", "x" * 65):
        with pytest.raises(parallax.UnknownExecution):
            px.execution(hostile)


async def test_silence_of_the_engine_is_an_error_that_says_what_is_stored(px: Client) -> None:
    """An engine that is away is not waited for without end; the request is stored."""
    with pytest.raises(parallax.Unanswered, match="is stored"):
        await px.request(SILENT, answer_within_s=0.3)


async def test_a_service_that_is_being_started_again_is_waited_for(px: Client) -> None:
    """A question finds nobody at first, and is answered by who comes; one who says that it cannot is believed."""
    asking = asyncio.create_task(px.ask("tests.restarting", ReplayQuery(execution_id="x"), ReplayReport, who="engine"))
    await asyncio.sleep(0.5)  # the question has found nobody by now
    assert not asking.done()

    async def answer(query: ReplayQuery) -> ReplayReport:
        return ReplayReport(execution=query.execution_id, effects=0, identical=True)

    async def fail(_query: ReplayQuery) -> ReplayReport:
        raise ValueError("no such thing")

    await px.bus.serve("tests.restarting", ReplayQuery, answer)
    assert (await asking).identical
    await px.bus.serve("tests.failing", ReplayQuery, fail)
    with pytest.raises(parallax.Unanswered, match="engine could not answer: "):
        await px.ask("tests.failing", ReplayQuery(execution_id="x"), ReplayReport, who="engine")


async def test_nobody_is_waited_for_only_as_long_as_was_said(px: Client) -> None:
    """The error says who did not answer, and where to look."""
    with pytest.raises(parallax.Unanswered, match="No engine answered") as nobody:
        await px.ask("tests.nobody", ReplayQuery(execution_id="x"), ReplayReport, who="engine", timeout_s=0.3)
    assert "parallax status" in nobody.value.hint


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    """A sentence with the address, within the time given."""
    with pytest.raises(parallax.Unreachable, match=r"127\.0\.0\.1:1"):
        async with parallax.connect("nats://127.0.0.1:1", timeout_s=0.3):
            pass


async def test_without_any_server_the_way_to_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No stack, no setting: the error names both."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(parallax.Unreachable, match="PARALLAX_NATS_URL") as nothing:
        await parallax.connect()
    assert "parallax up" in nothing.value.hint


async def test_the_environment_names_the_server(
    monkeypatch: pytest.MonkeyPatch, nats_url: str, engine: ScriptedEngine
) -> None:
    """`PARALLAX_NATS_URL` is enough."""
    monkeypatch.setenv("PARALLAX_NATS_URL", nats_url)
    client = await parallax.connect()
    try:
        assert (await (await client.request(DONE)).result(timeout_s=5)).value == {"n": 1}
    finally:
        await client.close()


async def test_answers_reach_the_question_and_name_who_gave_them(px: Client) -> None:
    """The log says who answered what."""
    execution = await px.request(ASKS)
    asked = (await execution.history(types=["question.asked"]))[0]
    await execution.answer(asked.data.question_id, True)
    answered = (await execution.history(types=["question.answered"]))[0]
    assert (answered.data.value, answered.data.by) == (True, "ada")


async def test_replay_gives_the_verdict(px: Client) -> None:
    """What the engine found comes back whole."""
    report = await (await px.request(DONE)).replay()
    assert (report.effects, report.identical) == (3, True)


async def test_a_thousand_waiters_share_one_reader(px: Client) -> None:
    """Results of many executions at once come from one subscription."""
    executions = [await px.request(DONE) for _ in range(40)]
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(execution.result(timeout_s=10)) for execution in executions]
    assert all(task.result().value == {"n": 1} for task in waiting)


async def test_output_is_followed_until_the_execution_ends(px: Client) -> None:
    """What was printed before and comes meanwhile is given once, in order; then it is over. Others' is left out."""
    execution = await px.request(OPEN)
    subject = subjects.agent_output(f"{execution.id}-a-1")

    async def prints(text: str, of: str = execution.id) -> None:
        line = OutputLine(agent_id=f"{of}-a-1", execution_id=of, task_id="t", stream="stdout", text=text)
        await px.bus.submit(subject, line)

    await prints("one")
    await prints("a stranger's", of="somebody-else")
    seen: list[str] = []
    async for line in execution.output(follow=True):
        seen.append(line.text)
        if line.text == "one":
            await prints("two")
        elif line.text == "two":
            await prints("three")
            await execution.cancel()
    assert seen == ["one", "two", "three"]
    assert [line.text async for line in execution.output(follow=True)] == seen
