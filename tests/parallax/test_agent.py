"""The kit for agents: what a handler sees and says, what becomes of what it returns or raises, and how it leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parallax
from parallax.agent import Agent, AgentError, Result, Task
from schemas.agents import (
    TaskAccepted,
    TaskFault,
    TaskProgress,
    TaskQuestion,
    TaskRefused,
    TaskResult,
)
from shared.testing import eventually
from tests.parallax.agent_room import room, running


async def test_a_task_is_seen_as_it_was_offered(nats_url: str, tmp_path: Path) -> None:
    """Text, input, context, worktree, ids; progress is said; the answer of a question is awaited."""

    async def work(task: Task) -> Result:
        task.progress("first")
        await task.progress("second")
        answer = await task.ask("which?", ["a", "b"])
        seen = [
            task.text,
            task.input,
            task.context,
            str(task.workspace),
            task.id,
            task.attempt,
            task.role,
            task.session,
        ]
        return Result([answer, *seen], confidence=0.5)

    async with room(nats_url) as here, running(nats_url, work) as agent:
        offer = await here.offer(
            agent.id, task="say", input={"n": 1}, context={"attempt": 2}, workspace=str(tmp_path), attempt=2
        )
        asked = (await eventually(lambda: here.about(offer, TaskQuestion)))[0]
        assert (asked.question, asked.options) == ("which?", ["a", "b"])
        await here.control(offer, action="answer", question_id="another", value="wrong")
        await here.control(offer, action="answer", question_id=asked.question_id, value="b")
        ended = await here.ended(offer)
        seen = ["say", {"n": 1}, {"attempt": 2}, str(tmp_path), offer.task_id, 2, "worker", "worker-1"]
        assert (ended.result, ended.confidence) == (["b", *seen], 0.5)
        assert [word.text for word in here.about(offer, TaskProgress)] == ["first", "second"]
        assert [line.text for line in here.output if line.stream == "progress"] == ["first", "second"]


async def test_a_plain_function_works_in_a_thread(nats_url: str) -> None:
    """It may block: the agent speaks on meanwhile, and questions are asked with `ask_and_wait`."""

    def work(task: Task) -> Result:
        task.progress("working")
        return Result(task.ask_and_wait("sure?"))

    async with room(nats_url) as here, running(nats_url, work) as agent:
        offer = await here.offer(agent.id)
        asked = (await eventually(lambda: here.about(offer, TaskQuestion)))[0]
        beats = len(here.beats)
        await eventually(lambda: len(here.beats) > beats)
        assert here.beats[-1].running == [offer.task_id]
        await here.control(offer, action="answer", question_id=asked.question_id, value={"yes": True})
        assert (await here.ended(offer)).result == {"yes": True}


@pytest.mark.parametrize(
    ("returned", "result"),
    [(None, None), ("text", "text"), ({"a": (1, 2)}, {"a": [1, 2]}), (Result(), None), (0.5, 0.5)],
)
async def test_any_json_value_is_a_result(nats_url: str, returned: Any, result: Any) -> None:
    """Returned as it is, or in a Result; without a confidence there is no self-report."""
    async with room(nats_url) as here, running(nats_url, lambda _task: returned) as agent:
        ended = await here.result(agent.id)
        assert (ended.result, ended.confidence) == (result, None)


def circle() -> list[Any]:
    """A list in itself."""
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (object, "cannot be written as JSON"),
        (lambda: {"f": print}, "cannot be written as JSON"),
        (circle, "cannot be written as JSON"),
        (lambda: "\ud800", "cannot be written as JSON"),
        (lambda: Result(1, confidence=1.5), "$.confidence: 1.5 is no number from 0 to 1"),
        (lambda: Result(1, confidence=float("nan")), "$.confidence: nan is no number from 0 to 1"),
        (lambda: Result(1, confidence="high"), "$.confidence: 'high' is no number from 0 to 1"),  # pyright: ignore[reportArgumentType] - the very mistake
        (lambda: Result(1, confidence=True), "$.confidence: True is no number from 0 to 1"),
        (lambda: "x" * 70_000_000, "bytes"),
    ],
    ids=["object", "function", "circle", "surrogate", "1.5", "nan", "text", "bool", "large"],
)
async def test_a_result_that_cannot_be_one_fails_the_task(nats_url: str, make: Callable[[], Any], words: str) -> None:
    """With a sentence; the agent takes the next task."""
    made = [make]

    async def work(_task: Task) -> Any:
        return made.pop()() if made else "next"

    async with room(nats_url) as here, running(nats_url, work) as agent:
        failed = await here.fault(agent.id)
        assert words in failed.error.message
        assert not failed.interrupted
        assert (await here.result(agent.id)).result == "next"


class OwnError(BaseException):
    """Not an Exception."""


@pytest.mark.parametrize("plain", [False, True], ids=["async", "thread"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no good"), "ValueError: no good"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (OwnError("odd"), "OwnError: odd"),
        (asyncio.CancelledError(), "cancelled by something of its own"),
        (StopIteration(), "StopIteration"),
        (AgentError("wrong use"), "wrong use"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_whatever_a_handler_raises_is_the_tasks_failure(
    nats_url: str, error: BaseException, words: str, plain: bool
) -> None:
    """Not the agent's end: the error is named, and the next task is done."""
    raised = [error]

    def work(_task: Task) -> str:
        if raised:
            raise raised.pop()
        return "next"

    async def awaited(task: Task) -> str:
        return work(task)

    async with room(nats_url) as here, running(nats_url, work if plain else awaited) as agent:
        failed = await here.fault(agent.id)
        assert failed.error.code == "task_failed"
        assert words in failed.error.message
        assert (await here.result(agent.id)).result == "next"


async def test_an_offer_that_comes_again_is_done_once(nats_url: str) -> None:
    """While it runs it is accepted again; afterwards it is answered from memory."""
    done: list[str] = []
    go = asyncio.Event()

    async def work(task: Task) -> str:
        done.append(task.id)
        await go.wait()
        return "once"

    async with room(nats_url) as here, running(nats_url, work) as agent:
        offer = await here.offer(agent.id, task_id="t1")
        await eventually(lambda: done)
        await here.offer(agent.id, task_id="t1")
        await eventually(lambda: here.about(offer, TaskAccepted))
        go.set()
        await here.ended(offer)
        await here.offer(agent.id, task_id="t1")
        await eventually(lambda: len(here.about(offer, TaskResult)) == 2)
        assert done == ["t1"]


async def test_another_attempt_ends_the_one_before(nats_url: str) -> None:
    """The handler is cancelled, and called anew."""
    attempts: list[int] = []

    async def work(task: Task) -> int:
        attempts.append(task.attempt)
        if task.attempt == 1:
            await asyncio.Event().wait()
        return task.attempt

    async with room(nats_url) as here, running(nats_url, work) as agent:
        first = await here.offer(agent.id, task_id="t1")
        await eventually(lambda: attempts)
        second = await here.offer(agent.id, task_id="t1", attempt=2)
        assert (await here.ended(second)).result == 2
        assert (await here.ended(first)).error.code == "cancelled"


async def test_a_cancelled_task_stops_its_handler(nats_url: str) -> None:
    """What it has to tidy up is tidied up; a task of another id is not touched."""
    tidied: list[str] = []
    begun: list[str] = []

    async def work(task: Task) -> None:
        begun.append(task.id)
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append(task.id)

    async with room(nats_url) as here, running(nats_url, work, max_concurrency=2) as agent:
        first, second = await here.offer(agent.id), await here.offer(agent.id)
        await eventually(lambda: len(begun) == 2)
        await here.control(first, action="cancel", reason="enough")
        ended = await here.ended(first)
        assert (ended.error.code, ended.error.message) == ("cancelled", "enough")
        assert tidied == [first.task_id]
        await here.control(second, action="cancel")
        await here.ended(second)


async def test_an_agent_takes_as_many_tasks_as_it_says(nats_url: str) -> None:
    """One more is refused, with the reason."""
    go = asyncio.Event()

    async def work(_task: Task) -> None:
        await go.wait()

    async with room(nats_url) as here, running(nats_url, work, max_concurrency=2) as agent:
        offers = [await here.offer(agent.id) for _ in range(3)]
        refused = (await eventually(lambda: here.about(offers[2], TaskRefused)))[0]
        assert refused.reason == "busy with 2 tasks"
        go.set()
        for offer in offers[:2]:
            assert isinstance(await here.ended(offer), TaskResult)


async def test_a_leaving_agent_finishes_what_it_has(nats_url: str) -> None:
    """It deregisters first, refuses what is new, and `serve` returns when the last task is done."""
    go = asyncio.Event()

    async def work(_task: Task) -> str:
        await go.wait()
        return "finished"

    async with room(nats_url) as here:
        async with running(nats_url, work) as agent:
            offer = await here.offer(agent.id)
            await eventually(lambda: here.beats and here.beats[-1].running == [offer.task_id])
            agent.stop()
            await eventually(lambda: [word for word in here.departures if word.agent_id == agent.id])
            assert here.about(offer, TaskResult) == []
            go.set()
        assert (await here.ended(offer)).result == "finished"


async def test_an_unknown_agent_registers_again(nats_url: str) -> None:
    """A registry that has forgotten it is told anew at the next heartbeat."""
    async with room(nats_url) as here, running(nats_url, lambda _task: None) as agent:
        here.ids.clear()
        await eventually(lambda: agent.id in here.ids)
        assert len([one for one in here.registrations if one.agent_id == agent.id]) >= 2


async def test_a_program_without_a_handler_says_so() -> None:
    """Before it connects to anything."""
    with pytest.raises(AgentError, match=r"has no handler: put @agent.task before"):
        await Agent("a", url="nats://127.0.0.1:1").serve()


def test_wrong_use_is_said_at_once() -> None:
    """A bad name, capabilities in one text, no room for a task, two handlers, a handler without an argument."""
    for name in ("", "a.b", "a b", "*", "x" * 201):
        with pytest.raises(AgentError, match="cannot be an agent's name"):
            Agent(name, url="nats://x")
    with pytest.raises(AgentError, match=r"write \['review'\]"):
        Agent("a", "review", url="nats://x")
    with pytest.raises(AgentError, match="at least one task"):
        Agent("a", max_concurrency=0, url="nats://x")
    agent = parallax.Agent("a", url="nats://x")
    with pytest.raises(AgentError, match="must take one argument"):
        agent.task(lambda: None)  # pyright: ignore[reportArgumentType] - the very mistake
    agent.task(lambda _task: None)
    with pytest.raises(AgentError, match="has a handler already"):
        agent.task(lambda _task: None)


async def test_a_plain_handler_keeps_its_place_until_it_returns(nats_url: str) -> None:
    """A thread cannot be interrupted: after a cancellation no other task runs beside it, and the refusal says why."""
    order: list[str] = []
    go = threading.Event()

    def work(task: Task) -> str:
        order.append(f"begin {task.text}")
        while task.text == "first" and not task.cancelled:
            time.sleep(0.01)
        if task.text == "first":
            go.wait(10)
        order.append(f"end {task.text}")
        return task.cancelled or "done"

    async with room(nats_url) as here, running(nats_url, work) as agent:
        first = await here.offer(agent.id, task="first")
        await eventually(lambda: order)
        await here.control(first, action="cancel", reason="enough")
        second = await here.offer(agent.id, task="second")
        refused = (await eventually(lambda: here.about(second, TaskRefused)))[0]
        assert first.task_id in refused.reason
        assert "has not returned yet" in refused.reason
        again = await here.offer(agent.id, task_id=first.task_id, attempt=2, task="first")
        await eventually(lambda: here.about(again, TaskRefused))
        assert not here.about(first, TaskFault)
        go.set()
        ended = await here.ended(first)
        assert (ended.error.code, ended.error.message) == ("cancelled", "enough")
        assert (await here.result(agent.id, task="third")).result == "done"
        assert order == ["begin first", "end first", "begin third", "end third"]


async def test_a_plain_handler_that_asks_hears_that_there_is_no_answer(nats_url: str) -> None:
    """It would wait for ever in its thread, and keep the agent's place."""
    heard: list[str] = []

    def work(task: Task) -> str:
        try:
            return str(task.ask_and_wait("Which?"))
        except AgentError as error:
            heard.append(str(error))
            raise

    async with room(nats_url) as here, running(nats_url, work) as agent:
        offer = await here.offer(agent.id)
        await eventually(lambda: here.about(offer, TaskQuestion))
        await here.control(offer, action="cancel", reason="enough")
        assert (await here.ended(offer)).error.code == "cancelled"
        assert heard == ["The task was cancelled: enough."]


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_pause_reaches_the_handler(nats_url: str, threaded: bool) -> None:
    """`task.paused` is true, whoever waits for the end of the pause goes on with it, and signs of life say it."""
    steps: list[bool] = []

    async def awaits(task: Task) -> str:
        await eventually(lambda: task.paused)
        steps.append(task.paused)
        await task.resumed()
        return f"paused: {task.paused}"

    def waits(task: Task) -> str:
        while not task.paused:
            time.sleep(0.01)
        steps.append(task.paused)
        task.wait_while_paused()
        return f"paused: {task.paused}"

    async with room(nats_url) as here, running(nats_url, waits if threaded else awaits) as agent:
        offer = await here.offer(agent.id)
        await eventually(lambda: here.about(offer, TaskAccepted))
        await here.control(offer, action="pause")
        await eventually(lambda: steps)
        await eventually(lambda: any(word.paused for word in here.about(offer, TaskAccepted)), timeout_s=5)
        assert not here.about(offer, TaskResult, TaskFault)
        await here.control(offer, action="resume")
        assert (await here.ended(offer)).result == "paused: False"


async def test_a_cancellation_ends_a_pause(nats_url: str) -> None:
    """A thread that waits for the end of the pause returns, and sees that it is not wanted."""

    def work(task: Task) -> str:
        while not task.paused:
            time.sleep(0.01)
        task.wait_while_paused()
        return task.cancelled

    async with room(nats_url) as here, running(nats_url, work) as agent:
        offer = await here.offer(agent.id)
        await here.control(offer, action="pause")
        await eventually(lambda: any(word.paused for word in here.about(offer, TaskAccepted)), timeout_s=5)
        await here.control(offer, action="cancel", reason="enough")
        assert (await here.ended(offer)).error.code == "cancelled"
