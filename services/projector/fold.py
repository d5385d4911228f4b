"""From events to rows: a pure fold, the same for the live projector and for a rebuild.

Rows are dictionaries. The store loads the ones that a batch of events touches (`touched`), hands them in, and writes
back what has changed. A row holds nothing that is not in the log, so the same events give the same rows whatever the
batches were.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from schemas.base import Model
from schemas.events import (
    ENDINGS,
    AgentLost,
    AgentSpawned,
    AgentSpawnFailed,
    AgentSpawnRequested,
    AgentStopped,
    Event,
    ExecutionAccepted,
    ExecutionClaimed,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionRejected,
    ExecutionResumed,
    ExecutionStarted,
    QuestionAnswered,
    QuestionAsked,
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

Row = dict[str, Any]
Key = tuple[str, str]


class Rows:
    """The rows at hand, by table and key, and which of them were changed."""

    def __init__(self, loaded: dict[Key, Row] | None = None) -> None:
        self._rows: dict[Key, Row] = loaded or {}
        self.changed: dict[Key, Row] = {}

    def row(self, table: str, key: str) -> Row:
        """The row of that key, to be changed; a new one where there is none."""
        row = self._rows.setdefault((table, key), {"id": key})
        self.changed[table, key] = row
        return row


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An event with what its envelope says."""

    seq: int
    time: datetime
    event: Event


def touched(fact: Fact) -> Iterator[Key]:
    """The rows that an event may read or change."""
    event = fact.event
    yield "executions", event.execution_id
    fields = event.__struct_fields__
    if "task_id" in fields and (task_id := getattr(event, "task_id", "")):
        yield "tasks", task_id
    if "agent_id" in fields and (agent_id := getattr(event, "agent_id", "")):
        yield "agents", agent_id
        yield "agent_participations", _participation(event.execution_id, agent_id)
    match event:
        case ExecutionStarted():
            yield "patterns", event.pattern_name
            yield "pattern_versions", _version(event)
        case ExecutionCompleted():
            yield "pull_requests", event.execution_id
        case VerificationRequested() | VerificationCompleted():
            yield "verifications", event.verification_id
        case TaskCompleted():
            yield "confidence_points", event.task_id
        case QuestionAsked() | QuestionAnswered():
            yield "questions", event.question_id
        case _ if event.TYPE.startswith("workspace."):
            yield "workspaces", event.execution_id
        case _:
            return


def apply(rows: Rows, fact: Fact) -> None:
    """Takes one event in."""
    event = fact.event
    execution = rows.row("executions", event.execution_id)
    execution.setdefault("first_seq", fact.seq)
    execution.setdefault("status", "pending")
    execution["last_seq"] = fact.seq
    entity = event.TYPE.partition(".")[0]
    match entity:
        case "execution":
            _execution(rows, execution, fact)
        case "task":
            _task(rows, fact)
        case "verification":
            _verification(rows, fact)
        case "workspace":
            _workspace(rows, fact)
        case "agent":
            _agent(rows, fact)
        case "question":
            _question(rows, execution, fact)
        case _:
            return


# -- executions -----------------------------------------------------------------------------------------------------


def _execution(rows: Rows, row: Row, fact: Fact) -> None:
    event = fact.event
    if row.get("ended_at") is not None:
        return
    match event:
        case ExecutionAccepted():
            row.update(
                pattern_name=event.pattern.partition("@")[0],
                input=event.input,
                repo=event.repo.url if event.repo else "",
                labels=event.options.labels,
                requested_at=fact.time,
                engine=event.engine,
                open_questions=0,
            )
        case ExecutionStarted():
            row.update(
                status="running",
                pattern_name=event.pattern_name,
                pattern_version=event.pattern_version,
                pattern_digest=event.pattern_digest,
                input=event.input,
                engine=event.engine,
                started_at=fact.time,
            )
            _pattern(rows, fact, event)
        case ExecutionClaimed():
            row["engine"] = event.engine
        case ExecutionPaused():
            row["status"] = "paused"
        case ExecutionResumed():
            row["status"] = "waiting" if row.get("open_questions") else "running"
        case _ if event.TYPE in ENDINGS:
            row.update(status=event.TYPE.partition(".")[2], ended_at=fact.time)
            _ending(rows, row, fact)
        case _:
            return


def _ending(rows: Rows, row: Row, fact: Fact) -> None:
    event = fact.event
    match event:
        case ExecutionCompleted():
            row.update(
                result=event.result,
                confidence=event.confidence,
                confidence_source=event.confidence_source,
                branch=event.branch,
                commit=event.commit,
                pr_url=event.pr_url,
                effects=event.effects,
                usage=_plain(event.usage),
            )
            if event.pr_url:
                rows.row("pull_requests", event.execution_id).update(
                    execution_id=event.execution_id, url=event.pr_url, branch=event.branch, created_at=fact.time
                )
        case ExecutionFailed():
            row.update(error=_plain(event.error), branch=event.branch, commit=event.commit, effects=event.effects)
        case ExecutionRejected():
            row.update(
                error={"code": "rejected", "errors": _plain(event.errors)},
                pattern_name=event.pattern,
                requested_at=fact.time,
            )
        case _:
            row["error"] = {"code": "cancelled", "message": getattr(event, "reason", "")}


def _pattern(rows: Rows, fact: Fact, event: ExecutionStarted) -> None:
    pattern = rows.row("patterns", event.pattern_name)
    pattern.update(
        version=event.pattern_version,
        digest=event.pattern_digest,
        format=event.pattern_format,
        executions=(pattern.get("executions") or 0) + 1,
        last_used_at=fact.time,
    )
    version = rows.row("pattern_versions", _version(event))
    if version.get("first_used_at") is None:
        version.update(
            name=event.pattern_name,
            version=event.pattern_version,
            digest=event.pattern_digest,
            format=event.pattern_format,
            source=event.pattern_source or event.program,
            program=event.program,
            first_used_at=fact.time,
        )


def _version(event: ExecutionStarted) -> str:
    return f"{event.pattern_name}@{event.pattern_version}+{event.pattern_digest[:16]}"


# -- tasks ----------------------------------------------------------------------------------------------------------


def _task(rows: Rows, fact: Fact) -> None:
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
            row.update(status="retrying", error=_plain(event.error))
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
                usage=_plain(event.usage),
                error=None,
                ended_at=fact.time,
            )
            _completed(rows, fact, event)
        case TaskFailed():
            row.update(status="failed", error=_plain(event.error), attempt=event.attempts, ended_at=fact.time)
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


def _participation(execution_id: str, agent_id: str) -> str:
    return f"{execution_id}/{agent_id}"


def _participates(rows: Rows, fact: Fact, agent_id: str, role: str, session: str) -> Row:
    row = rows.row("agent_participations", _participation(fact.event.execution_id, agent_id))
    row.setdefault("execution_id", fact.event.execution_id)
    row.setdefault("agent_id", agent_id)
    row.setdefault("first_at", fact.time)
    row.setdefault("tasks_completed", 0)
    row.setdefault("tasks_failed", 0)
    row.update(role=role, session=session or row.get("session") or "", last_at=fact.time)
    return row


def _verification(rows: Rows, fact: Fact) -> None:
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
                oracles=_plain(event.oracles),
                ended_at=fact.time,
            )
        case _:
            return


# -- workspaces -----------------------------------------------------------------------------------------------------


def _workspace(rows: Rows, fact: Fact) -> None:
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
            row.update(status="failed", error=_plain(event.error))
        case WorkspaceIntegrated():
            row["commit"] = event.commit
        case WorkspaceConflicted():
            row.update(status="conflicted", conflicts=event.paths)
        case WorkspaceFinalized():
            row.update(status="failed" if event.error else "finalized", commit=event.commit or row.get("commit"))
            row["error"] = _plain(event.error)
        case WorkspaceCleaned():
            row["status"] = "cleaned"
        case _:
            return


# -- agents and questions -------------------------------------------------------------------------------------------


def _agent(rows: Rows, fact: Fact) -> None:
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


def _question(rows: Rows, execution: Row, fact: Fact) -> None:
    event = fact.event
    match event:
        case QuestionAsked():
            row = rows.row("questions", event.question_id)
            if row.get("asked_at") is not None:
                return
            row.update(
                execution_id=event.execution_id,
                task_id=event.task_id,
                kind=event.kind,
                question=event.question,
                options=event.options,
                who=event.who,
                status="open",
                deadline_at=None if event.deadline_at is None else _from_ms(event.deadline_at, fact.time),
                asked_at=fact.time,
            )
            _questions_open(execution, 1)
        case QuestionAnswered():
            row = rows.row("questions", event.question_id)
            if row.get("status") != "open":
                return
            row.update(
                status="withdrawn" if event.by == "withdrawn" else "answered",
                value=event.value,
                answered_by=event.by,
                reason=event.reason,
                answered_at=fact.time,
            )
            _questions_open(execution, -1)
        case _:
            return


def _questions_open(execution: Row, change: int) -> None:
    left = max(0, (execution.get("open_questions") or 0) + change)
    execution["open_questions"] = left
    if execution.get("status") in ("running", "waiting"):
        execution["status"] = "waiting" if left else "running"


def _from_ms(value: int, like: datetime) -> datetime:
    return datetime.fromtimestamp(value / 1000, like.tzinfo)


def _plain(value: Model | list[Any] | None) -> Any:
    return None if value is None else msgspec.to_builtins(value)
