"""kill -9 of the executor at every fact of a task's life: the next one goes on, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from schemas.events import (
    QuestionAnswered,
    QuestionAsked,
    TaskCompleted,
    TaskFinished,
    TaskRequested,
    WorkspaceCommitted,
    WorkspacePrepared,
    WorkspacePrepareRequested,
)
from shared import subjects
from shared.bus import Recorded
from shared.ids import new_id
from tests.services.executor.rooms import House, command, house

FACTS = [
    "task.requested",
    "workspace.prepare_requested",
    "workspace.prepared",
    "agent.spawn_requested",
    "agent.spawned",
    "task.started",
    "task.finished",
    "workspace.committed",
    "task.retrying",
    "question.asked",
    "question.answered",
]


async def world(rooms: House, execution_id: str, tree: Path, facts: asyncio.Queue[Recorded]) -> None:
    """The workspace service and a person who answers, played by the test; every fact is handed on."""
    async for record in rooms.bus.follow([subjects.events_of(execution_id)], after=0):
        match record.data:
            case WorkspacePrepareRequested() as event:
                await rooms.bus.append(
                    WorkspacePrepared(
                        execution_id=execution_id, task_id=event.task_id, attempt=event.attempt, role=event.role,
                        session=event.session, path=str(tree),
                    )
                )  # fmt: skip
            case TaskFinished() as event:
                await rooms.bus.append(
                    WorkspaceCommitted(
                        execution_id=execution_id, task_id=event.task_id, attempt=event.attempt, role=event.role,
                        session=event.session, commit=f"commit-{event.attempt}",
                    )
                )  # fmt: skip
            case QuestionAsked() as event:
                await rooms.bus.append(
                    QuestionAnswered(
                        execution_id=execution_id, question_id=event.question_id, task_id=event.task_id, value="go"
                    )
                )
            case _:
                pass
        facts.put_nowait(record)


@pytest.mark.parametrize("fact", FACTS)
async def test_an_executor_that_is_killed_at_a_fact(nats_url: str, etcd_url: str, tmp_path: Path, fact: str) -> None:
    """The first attempt fails, the second asks and succeeds: two runs of the program, one question, one end."""
    async with house(nats_url, etcd_url, tmp_path, agent_retries=1) as rooms:
        runs = tmp_path / "runs"
        tree = tmp_path / "tree"
        tree.mkdir()
        spec = command(
            "import json, os, sys",
            "turn = json.loads(sys.stdin.readline())",
            f"open({str(runs)!r}, 'a').write(str(turn['context']['attempt']))",
            "turn['context']['attempt'] == 1 and sys.exit('not yet')",
            "print(json.dumps({'type': 'question', 'question': 'go?'}), flush=True)",
            "print(json.dumps({'type': 'result', 'result': sys.stdin.readline().strip(), 'confidence': 0.5}))",
        )
        await rooms.open("registry", "runtime_local")
        execution_id = f"e{new_id()[:12]}"
        facts: asyncio.Queue[Recorded] = asyncio.Queue()
        following = asyncio.create_task(world(rooms, execution_id, tree, facts))
        executor = await rooms.process("executor")
        try:
            request = await rooms.request(execution_id, agent=spec, workspace=True, attempts=2)
            while (await asyncio.wait_for(facts.get(), 20)).type != fact:
                pass
            executor.kill()
            await executor.wait()
            await rooms.process("executor")
            completed = await rooms.wait_for(request, TaskCompleted, within_s=30)
        finally:
            following.cancel()
        assert (completed.result, completed.confidence, completed.attempt) == ("go", 0.5, 2)
        assert completed.commit == "commit-2"
        assert runs.read_text() == "12"
        assert await doubled(rooms, request) == {}


async def doubled(rooms: House, request: TaskRequested) -> dict[str, int]:
    """The facts of a task that are in the log more often than its two attempts explain."""
    counts = Counter(await rooms.types(request.execution_id))
    expected = {
        "task.requested": 1, "workspace.prepare_requested": 2, "workspace.prepared": 2, "agent.spawn_requested": 1,
        "agent.spawned": 1, "task.started": 2, "task.finished": 2, "workspace.committed": 2, "task.retrying": 1,
        "question.asked": 1, "question.answered": 1, "task.completed": 1,
    }  # fmt: skip
    return {kind: number for kind, number in counts.items() if number != expected.get(kind, 0)}
