"""Tasks from request to end, on real servers: agents of the kit, and programs started by the runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path

from parallax.agent import Agent, Result, Task
from schemas.agents import AgentSpec
from schemas.events import (
    TaskCompleted,
    TaskFailed,
    TaskRetrying,
)
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
