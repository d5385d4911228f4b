"""How tasks find agents, on real servers: matching, limits, fairness, refusals, strangers, and nobody at all."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parallax.agent import Agent, Result, Task
from schemas.agents import AgentRegistration, AgentSpec, RegistrationReply, TaskOffer, TaskResult
from schemas.base import Failure
from schemas.events import (
    AgentSpawned,
    AgentSpawnRequested,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionPaused,
    ExecutionResumed,
    QuestionAnswered,
    QuestionAsked,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskRetrying,
    TaskStarted,
)
from shared import subjects
from shared.ids import new_id
from shared.testing import eventually
from tests.services.executor.rooms import House, command, house


async def member(
    rooms: House, *capabilities: str, handler: Callable[[Task], Any] | None = None, room: int = 1
) -> Agent:
    """A registered agent; without a handler it says who it is."""
    agent = Agent(f"m-{new_id()}", capabilities, url=rooms.settings.nats_url, max_concurrency=room)

    async def tell(_task: Task) -> str:
        return agent.id

    agent.task(handler or tell)
    return await rooms.agent(agent)


async def done(rooms: House, *requests: TaskRequested) -> list[TaskCompleted]:
    """How these tasks were completed."""
    return [await rooms.wait_for(request, TaskCompleted) for request in requests]


async def test_each_role_gets_who_has_all_of_its_capabilities(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """And nobody needs those of other roles."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        code, review = new_id(), new_id()
        coder, reviewer = await member(rooms, code), await member(rooms, review, "more")
        spec = AgentSpec(capabilities=[code])
        first = await rooms.request(agent=spec, role="coder")
        second = await rooms.request(agent=AgentSpec(capabilities=[review]), role="reviewer")
        found = [event.agent_id for event in await done(rooms, first, second)]
        assert found == [coder.id, reviewer.id]


async def test_nobody_who_fits_fails_the_task_in_time_and_says_so(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """With what was looked for, for which role and how long; it does not wait for ever."""
    async with house(nats_url, etcd_url, tmp_path, agent_timeout_ms=1500) as rooms:
        await rooms.open("registry", "executor")
        await member(rooms, "painting")
        request = await rooms.request(agent=AgentSpec(kinds=["claude", "custom"], capabilities=["juggling"]))
        failed = await rooms.wait_for(request, TaskFailed)
        assert failed.error.code == "no_agent"
        assert failed.error.message == (
            "No agent of kind claude or custom with juggling was registered for the role worker within 1.5 s. "
            "Start one and run it again (`parallax agents` shows who is registered), or give the role a program of its "
            "own under agentConfig.command."
        )
        assert failed.attempts == 1


async def test_a_task_waits_for_an_agent_that_comes_later(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """It is offered as soon as one registers."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill = new_id()
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        agent = await member(rooms, skill)
        assert (await done(rooms, request))[0].agent_id == agent.id


async def test_shared_agents_serve_executions_within_their_room(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Two agents with room for two and one: never more at once, all tasks done once, in the order they came."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill = new_id()
        now: Counter[str] = Counter()
        most: Counter[str] = Counter()
        order: list[str] = []

        def working(name: str) -> Callable[[Task], Any]:
            async def work(task: Task) -> str:
                order.append(task.execution_id)
                now[name] += 1
                most[name] = max(most[name], now[name])
                await asyncio.sleep(0.05)  # so that the tasks of one agent overlap, if they are let to
                now[name] -= 1
                return name

            return work

        await member(rooms, skill, handler=working("wide"), room=2)
        await member(rooms, skill, handler=working("narrow"))
        many = [await rooms.request(f"big{new_id()[:8]}", agent=AgentSpec(capabilities=[skill]))]
        for effect in range(2, 25):
            many.append(await rooms.request(many[0].execution_id, effect=effect, agent=AgentSpec(capabilities=[skill])))
        small = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        assert len(await done(rooms, *many, small)) == 25
        assert most == {"wide": 2, "narrow": 1}
        assert len(order) == 25
        assert small.execution_id in order[-6:]


async def test_missing_agents_are_started_up_to_the_maximum(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Four tasks of a role of at most two: two sessions, one task at a time each, ended with the execution."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "runtime_local", "executor")
        program = command(
            "import json, os, time", "time.sleep(0.2)", "print(json.dumps({'type': 'result', 'result': os.getpid()}))"
        )
        spec = AgentSpec(kinds=program.kinds, command=program.command, max_instances=2)
        first = await rooms.request(agent=spec)
        rest = [await rooms.request(first.execution_id, effect=number, agent=spec) for number in (2, 3, 4)]
        sessions = Counter(event.session for event in await done(rooms, first, *rest))
        assert set(sessions) == {"worker-1", "worker-2"}
        events = [record.data for record in await rooms.events(first.execution_id)]
        assert len([event for event in events if isinstance(event, AgentSpawnRequested)]) == 2
        assert most_at_once(events) == {"worker-1": 1, "worker-2": 1}
        await rooms.bus.append(ExecutionCompleted(execution_id=first.execution_id))

        async def stopped() -> bool:
            return (await rooms.types(first.execution_id)).count("agent.stopped") == 2

        await eventually(stopped, timeout_s=10)


def most_at_once(events: list[Any]) -> dict[str, int]:
    """How many tasks each session had at once at most."""
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for event in events:
        if isinstance(event, TaskStarted):
            now[event.session] += 1
            most[event.session] = max(most[event.session], now[event.session])
        elif isinstance(event, TaskCompleted):
            now[event.session] -= 1
    return dict(most)


async def test_a_role_has_its_minimum_of_agents_from_the_start(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """minInstances are started with the first task."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "runtime_local", "executor")
        spec = AgentSpec(kinds=["command"], command=["true"], min_instances=3, max_instances=3)
        request = await rooms.request(agent=spec)
        await done(rooms, request)

        async def names() -> list[str]:
            events = [record.data for record in await rooms.events(request.execution_id)]
            return sorted(event.session for event in events if isinstance(event, AgentSpawned))

        await eventually(lambda: all_three(names), timeout_s=10)


async def all_three(names: Callable[[], Any]) -> bool:
    """Whether there are three sessions."""
    return await names() == ["worker-1", "worker-2", "worker-3"]


async def test_a_failed_attempt_is_retried_in_one_layer(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Three attempts are three calls of the agent, with a back-off in the log that grows; then the task fails once."""
    async with house(nats_url, etcd_url, tmp_path, agent_retries=2) as rooms:
        await rooms.open("registry", "executor")
        skill, calls = new_id(), list[int]()

        async def work(task: Task) -> Result:
            calls.append(task.context["attempt"])
            raise ValueError("no luck")

        await member(rooms, skill, handler=work)
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        failed = await rooms.wait_for(request, TaskFailed)
        assert (failed.attempts, failed.error.message) == (3, "ValueError: no luck")
        assert calls == [1, 2, 3]
        types = Counter(await rooms.types(request.execution_id))
        assert types == {"task.requested": 1, "task.started": 3, "task.retrying": 2, "task.failed": 1}
        delays = [record.data.delay_ms for record in await rooms.events(request.execution_id)
                  if isinstance(record.data, TaskRetrying)]  # fmt: skip
        assert delays[0] <= 200
        assert delays[1] <= 400


async def test_a_task_that_nobody_wants_is_cancelled_wherever_it_is(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """Waiting for an agent, or with one: a lost race ends in `task.cancelled`, and the handler is stopped."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill, stopped, begun = new_id(), asyncio.Event(), asyncio.Event()

        async def work(_task: Task) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        await member(rooms, skill, handler=work)
        spec = AgentSpec(capabilities=[skill])
        running = await rooms.request(agent=spec)
        await asyncio.wait_for(begun.wait(), 10)
        waiting = await rooms.request(running.execution_id, effect=2, agent=spec)
        for request in (waiting, running):
            await rooms.bus.append(
                TaskCancelRequested(
                    execution_id=request.execution_id, task_id=request.task_id, effect=request.effect, reason="lost"
                )
            )
            assert (await rooms.wait_for(request, TaskCancelled)).reason == "lost"
        await asyncio.wait_for(stopped.wait(), 10)
        types = Counter(await rooms.types(running.execution_id))
        assert types["task.cancelled"] == 2
        assert types["task.completed"] == types["task.failed"] == 0


async def test_a_task_of_an_execution_that_is_over_is_not_begun(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Its request, delivered late, is answered with a cancellation."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        skill, called = new_id(), list[str]()

        async def work(task: Task) -> None:
            called.append(task.id)

        request = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        await rooms.bus.append(ExecutionCancelled(execution_id=request.execution_id, reason="stop"))
        await rooms.open("registry")
        await member(rooms, skill, handler=work)
        await rooms.open("executor")
        assert (await rooms.wait_for(request, TaskCancelled)).reason == "stop"
        assert called == []


async def test_a_time_limit_stops_the_handler(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """And fails the task at once: another attempt would have no time left."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill, stopped = new_id(), asyncio.Event()

        async def work(_task: Task) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        await member(rooms, skill, handler=work)
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]), timeout_ms=500)
        failed = await rooms.wait_for(request, TaskFailed)
        assert failed.error == Failure(code="task_timeout", message="worker did not finish within 500 ms.")
        await asyncio.wait_for(stopped.wait(), 10)


async def test_answers_to_other_tasks_and_from_strangers_are_not_heard(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """An answer to another task or attempt, or under another name, changes nothing; nor does a second one."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill, name = new_id(), f"m-{new_id()}"
        offers: list[TaskOffer] = []

        async def take(offer: TaskOffer) -> None:
            if offers:
                return
            offers.append(offer)
            for task_id, attempt, agent_id in (
                ("another", 1, name), (offer.task_id, 2, name), (offer.task_id, 0, name), (offer.task_id, 1, "stranger")
            ):  # fmt: skip
                word = TaskResult(task_id=task_id, attempt=attempt, agent_id=agent_id, result="wrong")
                await rooms.bus.publish(offer.reply_to, word)
            for body in (
                b"",
                b"{",
                b'{"type": "dance"}',
                b'{"type": "result", "task_id": "a b", "attempt": 1}',
                b"\xff",
            ):
                await rooms.bus.publish(offer.reply_to, body)
            for result in ("right", "late"):
                word = TaskResult(task_id=offer.task_id, attempt=1, agent_id=name, result=result)
                await rooms.bus.publish(offer.reply_to, word)

        await rooms.bus.serve(subjects.agent_task(name), TaskOffer, take)
        agent = AgentRegistration(agent_id=name, capabilities=[skill])
        reply = await rooms.bus.request(subjects.AGENT_REGISTER, agent, RegistrationReply, timeout_s=5)
        assert reply.accepted
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        assert (await done(rooms, request))[0].result == "right"
        assert Counter(await rooms.types(request.execution_id))["task.completed"] == 1


async def test_an_agent_that_dies_in_its_turn_is_replaced(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Its lease ends, the attempt counts as interrupted, and another agent does the task once."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill, mute = new_id(), f"m-{new_id()}"
        agent = AgentRegistration(agent_id=mute, capabilities=[skill])
        await rooms.bus.request(subjects.AGENT_REGISTER, agent, RegistrationReply, timeout_s=5)
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]), attempts=1)
        assert (await rooms.wait_for(request, TaskStarted)).agent_id == mute
        other = await member(rooms, skill)
        completed = await rooms.wait_for(request, TaskCompleted, within_s=25)
        assert (completed.agent_id, completed.attempt) == (other.id, 2)
        retrying = await rooms.wait_for(request, TaskRetrying)
        assert (retrying.interrupted, retrying.error.code) == (True, "agent_lost")


async def test_an_agent_that_is_there_is_not_silent(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """However short PARALLAX_AGENT_TIMEOUT is: it is asked several times before, and a handler may take longer."""
    async with house(nats_url, etcd_url, tmp_path, agent_timeout_ms=900) as rooms:
        await rooms.open("registry", "executor")
        skill = new_id()

        async def work(_task: Task) -> str:
            await asyncio.sleep(2.5)  # more than twice the silence that is allowed
            return "slow"

        await member(rooms, skill, handler=work)
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        completed = (await done(rooms, request))[0]
        assert (completed.result, completed.attempt) == ("slow", 1)


async def test_a_question_goes_into_the_log_and_its_answer_to_the_agent(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """Once, also when an executor is killed in between."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry")
        skill = new_id()

        async def work(task: Task) -> Result:
            return Result(await task.ask("which?", ["a", "b"]))

        await member(rooms, skill, handler=work)
        first = await rooms.process("executor")
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        asked = await rooms.wait_for(request, QuestionAsked)
        assert (asked.question, asked.options, asked.role) == ("which?", ["a", "b"], "worker")
        first.kill()
        await first.wait()
        await rooms.bus.append(
            QuestionAnswered(
                execution_id=request.execution_id, question_id=asked.question_id, task_id=request.task_id, value="b"
            )
        )
        await rooms.process("executor")
        assert (await done(rooms, request))[0].result == "b"
        assert Counter(await rooms.types(request.execution_id))["question.asked"] == 1


async def test_two_agents_of_one_id_do_not_share_its_tasks(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """The second is refused, by name, and does nothing; as soon as the first is gone it takes its place."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill, name = new_id(), f"twin-{new_id()}"
        done_by: list[str] = []

        def twin(which: str) -> Agent:
            agent = Agent(name, [skill], url=rooms.settings.nats_url, max_concurrency=4)

            @agent.task
            async def work(_task: Task) -> str:
                done_by.append(which)
                return which

            return agent

        first = await rooms.agent(twin("first"))
        second = twin("second")
        serving = asyncio.create_task(second.serve())
        rooms.agents.append((second, serving))
        refused = await eventually(lambda: second.refused, timeout_s=10)
        assert name in refused
        assert f"process {first.registration.pid}" in refused
        spec = AgentSpec(capabilities=[skill])
        requests = [await rooms.request(effect=str(number), agent=spec) for number in range(8)]
        for request in requests:
            await rooms.wait_for(request, TaskCompleted)
        assert set(done_by) == {"first"}
        first.stop()
        await asyncio.wait_for(second.registered(), 10)
        last = await rooms.request(agent=spec)
        assert (await rooms.wait_for(last, TaskCompleted)).result == "second"


async def test_a_pause_reaches_an_agent_that_came_by_itself(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """It hears of it, its silence is not held against it, and it goes on with the execution."""
    async with house(nats_url, etcd_url, tmp_path, agent_timeout_ms=2_000) as rooms:
        await rooms.open("registry", "executor")
        skill, seen = new_id(), list[str]()

        def work(task: Task) -> str:  # in a thread, where nobody could freeze it
            seen.append("begun")
            while not task.paused:
                time.sleep(0.01)
            seen.append("paused")
            task.wait_while_paused()
            return "went on"

        await member(rooms, skill, handler=work)
        request = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        await eventually(lambda: seen)
        await rooms.bus.append(ExecutionPaused(execution_id=request.execution_id, number=1))
        await eventually(lambda: "paused" in seen)
        await asyncio.sleep(2.5)
        assert "task.completed" not in await rooms.types(request.execution_id)
        await rooms.bus.append(ExecutionResumed(execution_id=request.execution_id, number=1))
        completed = await rooms.wait_for(request, TaskCompleted)
        assert (completed.result, completed.attempt) == ("went on", 1)
