"""Tasks from request to end, on real servers: agents of the kit, and programs started by the runtime."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from parallax.agent import Agent, Result, Task
from schemas.agents import AgentSpec, Oracle
from schemas.events import (
    TaskCompleted,
    TaskFailed,
    TaskFinished,
    TaskRetrying,
    VerificationCompleted,
    VerificationRequested,
    WorkspaceCommitted,
    WorkspacePrepareRequested,
)
from services.executor import verifying
from services.executor.life import Life
from tests.services.executor.rooms import command, house


async def test_a_registered_agent_does_a_task(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Requested, started, completed: nothing else is written, and the self-report is kept."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        agent = Agent("greeter", ["greeting"], url=nats_url)

        @agent.task
        async def greet(task: Task) -> Result:
            return Result({"hello": task.text}, confidence=0.75)

        await rooms.open("registry", "executor")
        await rooms.agent(agent)
        request = await rooms.request(agent=AgentSpec(capabilities=["greeting"]), text="world")
        done = await rooms.wait_for(request, TaskCompleted)
        assert done.result == {"hello": "world"}
        assert (done.confidence, done.confidence_source, done.session) == (0.75, "self_report", "worker-1")
        assert done.agent_id == "greeter"
        assert await rooms.types(request.execution_id) == ["task.requested", "task.started", "task.completed"]


async def test_a_program_does_a_task(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """A `command` agent is started, reads one line, and its result line is the result."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "runtime_local", "executor")
        spec = command(
            "import json, sys",
            "turn = json.loads(sys.stdin.readline())",
            "print(json.dumps({'type': 'result', 'result': turn['task'] + turn['role'], 'confidence': 0.5}))",
        )
        request = await rooms.request(agent=spec)
        done = await rooms.wait_for(request, TaskCompleted)
        assert (done.result, done.confidence, done.session) == ("do itworker", 0.5, "worker-1")
        assert await rooms.types(request.execution_id) == [
            "task.requested", "agent.spawn_requested", "agent.spawned", "task.started", "task.completed"
        ]  # fmt: skip


async def test_a_program_that_fails_is_tried_again_and_then_fails_the_task(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """Exit code 3 is a failed attempt; after the last one the task fails with the end of what it said on stderr."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "runtime_local", "executor")
        spec = command("import sys", "sys.stderr.write('no such luck')", "sys.exit(3)")
        request = await rooms.request(agent=spec, attempts=2)
        failed = await rooms.wait_for(request, TaskFailed)
        assert failed.attempts == 2
        assert failed.error.code == "task_failed"
        assert "exit code 3: no such luck" in failed.error.message
        retrying = await rooms.wait_for(request, TaskRetrying)
        assert (retrying.attempt, retrying.interrupted) == (1, False)
        await asyncio.sleep(0)


async def test_a_result_that_fits_no_message_arrives_whole(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """The end of the task says more than that of the turn, and more than a message holds: it is kept beside the log."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("executor")
        request = await rooms.request(workspace=True)
        await rooms.wait_for(request, WorkspacePrepareRequested)
        turn: dict[str, Any] = {
            "execution_id": request.execution_id,
            "task_id": request.task_id,
            "attempt": 1,
            "role": "worker",
            "session": "worker-1",
        }
        largest = "x" * (rooms.bus.connection.max_payload - 10_000)
        await rooms.bus.append(TaskFinished(**turn, agent_id="a", outcome="ok", result=largest))
        await rooms.bus.append(WorkspaceCommitted(**turn, files=[f"{number:050}.py" for number in range(1000)]))
        done = await rooms.wait_for(request, TaskCompleted)
        assert (done.result == largest, len(done.files)) == (True, 1000)


async def test_a_question_that_fits_no_event_ends_the_task_with_a_word(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """Nobody could ever be asked it, so nobody waits for the answer."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        agent = Agent("asker", ["asking"], url=nats_url)

        @agent.task
        async def ask(task: Task) -> Result:
            # as it stands in the log the question is longer than as it came
            size = rooms.bus.connection.max_payload - 700
            return Result(await task.ask("x" * size))

        await rooms.open("registry", "executor")
        await rooms.agent(agent)
        request = await rooms.request(agent=AgentSpec(capabilities=["asking"]))
        failed = await rooms.wait_for(request, TaskFailed)
        assert failed.error.code == "question_too_large"


async def test_a_task_that_cannot_be_handled_ends_with_a_word(
    nats_url: str, etcd_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it or with us, its execution does not wait for ever; the message is a dead letter."""

    async def broken(_: Life) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(Life, "run", broken)
    monkeypatch.setattr(random, "uniform", lambda *_: 0.01)  # the worker's back-off
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("executor")
        request = await rooms.request()
        failed = await rooms.wait_for(request, TaskFailed)
        assert failed.error.code == "not_handled"
        assert "a mistake of ours" in failed.error.message


async def test_a_verification_that_cannot_be_handled_ends_without_evidence(
    nats_url: str, etcd_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no pass."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(verifying, "_work", broken)
    monkeypatch.setattr(random, "uniform", lambda *_: 0.01)  # the worker's back-off
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("executor")
        request = await rooms.request(agent=AgentSpec(capabilities=["nobody"]))
        asked = VerificationRequested(
            execution_id=request.execution_id,
            verification_id=f"{request.execution_id}-2",
            effect="2",
            digest="d",
            task_id=request.task_id,
            oracles=[Oracle(type="command", run="true")],
        )
        await rooms.bus.append(asked)
        done = await rooms.wait_for(request, VerificationCompleted)
        assert (done.passed, done.score) == (False, None)
        assert "a mistake of ours" in done.error.message


@pytest.mark.parametrize("levels", [90, 500, 970])
async def test_a_result_that_nobody_could_read_is_none(
    nats_url: str, etcd_url: str, tmp_path: Path, levels: int
) -> None:
    """An event with it might be written and not be read; the task fails with a word instead."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        agent, client = Agent("deep", ["deep"], url=nats_url), AgentSpec(capabilities=["deep"])

        @agent.task
        async def dig(task: Task) -> Result:
            del task
            value: Any = "ground"
            for _ in range(levels):
                value = [value]
            return Result(value)

        await rooms.open("registry", "runtime_local", "executor")
        await rooms.agent(agent)
        spec = command(f"print('{{\"type\": \"result\", \"result\": ' + '[' * {levels} + ']' * {levels} + '}}')")
        for request in (await rooms.request(agent=client, attempts=1), await rooms.request(agent=spec, attempts=1)):
            ended = (TaskCompleted, TaskFailed)
            done = await rooms.wait_for(request, ended)  # type: ignore[arg-type] # isinstance takes either
            # a line that cannot be read is text, as any other line
            assert isinstance(done, TaskCompleted) == (levels < 100 or isinstance(getattr(done, "result", None), str))
            assert isinstance(done, TaskCompleted) or done.error.code in {"result_too_large", "task_failed"}, done
