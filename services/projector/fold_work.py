"""The fold of what is done: tasks and their evidence, workspaces, agents."""

from __future__ import annotations

from schemas.events import (
    AgentLost,
    AgentSpawned,
    AgentSpawnFailed,
    AgentSpawnRequested,
    AgentStopped,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskRetrying,
    TaskStarted,
    VerificationCompleted,
    VerificationRequested,
    WorkspaceCleaned,
    WorkspaceConflicted,
    WorkspaceFailed,
    WorkspaceFinalized,
    WorkspaceIntegrated,
    WorkspaceReady,
    WorkspaceRequested,
)
from services.projector.rows import Fact, Row, Rows, plain

# -- tasks ----------------------------------------------------------------------------------------------------------


def task(rows: Rows, fact: Fact) -> None:
    """Takes in an event of a task."""
    event = fact.event
    task_id: str = getattr(event, "task_id", "")
    row = rows.row("tasks", task_id)
    row.setdefault("execution_id", event.execution_id)
    row.setdefault("first_seq", fact.seq)
    row.setdefault("status", "requested")
    if row.get("ended_at") is not None:
        return
    match event:
        case TaskRequested():
            row.update(effect=event.effect, role=event.role, step=event.step, session=event.session, text=event.text)
            row.update(attempt=0, requested_at=fact.time)
        case TaskStarted():
            row.update(status="running", session=event.session, agent_id=event.agent_id, attempt=event.attempt)
            row["started_at"] = row.get("started_at") or fact.time
            _participates(rows, fact, event.agent_id, event.role, event.session)
        case TaskRetrying():
            row.update(status="retrying", error=plain(event.error))
        case TaskCompleted():
            row.update(
                status="completed",
                session=event.session,
                agent_id=event.agent_id,
                attempt=event.attempt,
                result=event.result,
                confidence=event.confidence,
                confidence_source=event.confidence_source,
                commit=event.commit,
                files=event.files,
                usage=plain(event.usage),
                error=None,
                ended_at=fact.time,
            )
            _completed(rows, fact, event)
        case TaskFailed():
            row.update(status="failed", error=plain(event.error), attempt=event.attempts, ended_at=fact.time)
            if row.get("agent_id"):
                part = _participates(rows, fact, row["agent_id"], event.role, event.session)
                part["tasks_failed"] += 1
        case TaskCancelled():
            row.update(status="cancelled", ended_at=fact.time)
        case _:
            return


def _completed(rows: Rows, fact: Fact, event: TaskCompleted) -> None:
    part = _participates(rows, fact, event.agent_id, event.role, event.session)
    part["tasks_completed"] += 1
    if event.confidence is not None:
        rows.row("confidence_points", event.task_id).update(
            execution_id=event.execution_id,
            task_id=event.task_id,
            agent_id=event.agent_id,
            role=event.role,
            score=event.confidence,
            source=event.confidence_source,
            time=fact.time,
        )


def participation(execution_id: str, agent_id: str) -> str:
    """The key of an agent's part in an execution."""
    return f"{execution_id}/{agent_id}"


def _participates(rows: Rows, fact: Fact, agent_id: str, role: str, session: str) -> Row:
    row = rows.row("agent_participations", participation(fact.event.execution_id, agent_id))
    row.setdefault("execution_id", fact.event.execution_id)
    row.setdefault("agent_id", agent_id)
    row.setdefault("first_at", fact.time)
    row.setdefault("tasks_completed", 0)
    row.setdefault("tasks_failed", 0)
    row.update(role=role, session=session or row.get("session") or "", last_at=fact.time)
    return row


def verification(rows: Rows, fact: Fact) -> None:
    """Takes in an event of a verification."""
    event = fact.event
    match event:
        case VerificationRequested():
            row = rows.row("verifications", event.verification_id)
            row.setdefault("status", "requested")
            row.update(execution_id=event.execution_id, task_id=event.task_id, role=event.role, requested_at=fact.time)
        case VerificationCompleted():
            row = rows.row("verifications", event.verification_id)
            row.setdefault("execution_id", event.execution_id)
            row.update(
                status="completed",
                score=event.score,
                passed=event.passed,
                oracles=plain(event.oracles),
                ended_at=fact.time,
            )
        case _:
            return


# -- workspaces -----------------------------------------------------------------------------------------------------


def workspace(rows: Rows, fact: Fact) -> None:
    """Takes in an event of a workspace."""
    event = fact.event
    row = rows.row("workspaces", event.execution_id)
    row.setdefault("execution_id", event.execution_id)
    row.setdefault("status", "requested")
    row["updated_at"] = fact.time
    match event:
        case WorkspaceRequested():
            row["repo"] = event.repo.url if event.repo else ""
        case WorkspaceReady():
            row.update(
                status="ready",
                path=event.path,
                branch=event.branch,
                base_branch=event.base_branch,
                base_commit=event.base_commit,
                commit=event.base_commit,
            )
        case WorkspaceFailed():
            row.update(status="failed", error=plain(event.error))
        case WorkspaceIntegrated():
            row["commit"] = event.commit
        case WorkspaceConflicted():
            row.update(status="conflicted", conflicts=event.paths)
        case WorkspaceFinalized():
            row.update(status="failed" if event.error else "finalized", commit=event.commit or row.get("commit"))
            row["error"] = plain(event.error)
        case WorkspaceCleaned():
            row["status"] = "cleaned"
        case _:
            return


# -- agents -----------------------------------------------------------------------------------------------------------


def agent(rows: Rows, fact: Fact) -> None:
    """Takes in an event of an agent."""
    event = fact.event
    row = rows.row("agents", getattr(event, "agent_id", ""))
    row.setdefault("execution_id", event.execution_id)
    row.setdefault("capabilities", [])
    row["updated_at"] = fact.time
    match event:
        case AgentSpawnRequested():
            row.update(status="starting", name=event.agent_id, type=event.kind, role=event.role, session=event.session)
            row["capabilities"] = event.agent.capabilities
        case AgentSpawned():
            row.update(status="ready", name=event.agent_id, type=event.kind, role=event.role, session=event.session)
            row["endpoint"] = f"runtime:{event.runtime}"
        case AgentSpawnFailed():
            row.update(status="failed", role=event.role, session=event.session)
        case AgentLost():
            row["status"] = "lost"
        case AgentStopped():
            row["status"] = "stopped"
        case _:
            row.setdefault("status", "unknown")
