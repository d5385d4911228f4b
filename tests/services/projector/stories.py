"""Lives of executions with a bit of everything, for the projector's tests."""

from __future__ import annotations

from typing import Any

from schemas.agents import AgentSpec, Oracle, OracleResult
from schemas.base import Failure
from schemas.commands import Repository
from schemas.events import (
    AgentSpawned,
    AgentSpawnRequested,
    AgentStopped,
    Event,
    ExecutionAccepted,
    ExecutionClaimed,
    ExecutionCompleted,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    HttpCompleted,
    HttpRequested,
    QuestionAnswered,
    QuestionAsked,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskRetrying,
    TaskStarted,
    VerificationCompleted,
    VerificationRequested,
    WorkspaceConflicted,
    WorkspaceReady,
    WorkspaceRequested,
)


def beginning(name: str) -> list[Event]:
    """A request that is taken on and started."""
    return [
        ExecutionAccepted(
            execution_id=name, pattern="team@1.x", request_digest="d", repo=Repository(url="/r"), engine="e"
        ),
        ExecutionStarted(
            execution_id=name,
            engine="e",
            epoch=1,
            pattern_name="team",
            pattern_version="1.0.0",
            pattern_format="prism",
            pattern_digest="abc",
            program="1",
            program_digest="p",
            input={"task": "nul \x00 here", "large": 1e22},
        ),
        ExecutionClaimed(execution_id=name, engine="other", epoch=2, former="e"),
        WorkspaceRequested(execution_id=name, repo=Repository(url="/r")),
        WorkspaceReady(execution_id=name, workspace_id=name, path="/w", branch="b", base_branch="m", base_commit="c"),
    ]


def work(name: str) -> list[Event]:
    """Two tasks: one is tried twice and completed, one fails with the agent that had begun it."""
    task, failing, agent = f"{name}-1", f"{name}-2", f"{name}-r-1"
    spec = AgentSpec(capabilities=["work"])
    where: dict[str, Any] = {"execution_id": name, "role": "r", "session": "r-1", "agent_id": agent}
    no = Failure(code="task_failed", message="no")
    return [
        TaskRequested(execution_id=name, task_id=task, effect="1", digest="x", role="r", text="t", agent=spec),
        TaskRequested(execution_id=name, task_id=failing, effect="2", digest="x", role="r", text="t", agent=spec),
        AgentSpawnRequested(**where, kind="custom", runtime="local", agent=spec),
        AgentSpawned(**where, kind="custom", runtime="local"),
        TaskStarted(**where, task_id=task, attempt=1, effect="1"),
        QuestionAsked(execution_id=name, question_id=f"{name}-asked", question="Which?", task_id=task),
        TaskRetrying(execution_id=name, task_id=task, attempt=1, error=no, delay_ms=1),
        TaskStarted(**where, task_id=failing, attempt=1, effect="2"),
        TaskCompleted(
            **where,
            task_id=task,
            effect="1",
            attempt=2,
            result={"text": "\\u0000 and \x00", "deep": [[{"a": None}]]},
            confidence=0.5,
            confidence_source="self_report",
        ),
        TaskFailed(execution_id=name, task_id=failing, effect="2", role="r", error=no, attempts=3),
    ]


def ending(name: str) -> list[Event]:
    """A question, a pause, evidence, a conflict, and the end."""
    oracle = OracleResult(type="command", name="pytest", score=1.0, passed=True)
    return [
        ExecutionPaused(execution_id=name, number=1),
        QuestionAsked(execution_id=name, question_id=f"{name}-q", question="?", deadline_at=1_000),
        ExecutionResumed(execution_id=name, number=2),
        QuestionAnswered(execution_id=name, question_id=f"{name}-q", value={"a": [1, None]}, by="me"),
        VerificationRequested(
            execution_id=name, verification_id=f"{name}-v", effect="3", digest="x", oracles=[Oracle(run="pytest")]
        ),
        VerificationCompleted(
            execution_id=name, verification_id=f"{name}-v", effect="3", score=1.0, passed=True, oracles=[oracle]
        ),
        HttpRequested(execution_id=name, effect="5", digest="x", method="GET", url="https://x.example"),
        HttpCompleted(execution_id=name, effect="5", status=200, body={"a": 1}),
        WorkspaceConflicted(execution_id=name, effect="4", paths=["a.py"]),
        ExecutionCompleted(execution_id=name, result=[1], confidence=0.5, effects=2, pr_url="https://forge/1"),
        AgentStopped(execution_id=name, agent_id=f"{name}-r-1"),
    ]


def story(name: str) -> list[Event]:
    """A whole life."""
    return [*beginning(name), *work(name), *ending(name)]
