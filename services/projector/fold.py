"""From events to rows: a pure fold, the same for the live projector and for a rebuild.

Rows are dictionaries. The store loads the ones that a batch of events touches (`touched`), hands them in, and writes
back what has changed. A row holds nothing that is not in the log, so the same events give the same rows whatever the
batches were.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import UNSET

from schemas.events import (
    ATTEMPT_ENDS,
    ENDINGS,
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
    TaskCompleted,
    TaskFailed,
    VerificationCompleted,
    VerificationRequested,
)
from services.projector import fold_work
from services.projector.rows import Fact, Key, Row, Rows, plain

FOLD = 3
"""The number of this fold. Tables that another one has made are made anew from the log: raise it when rows change."""

_LONGEST_NAME = 256


def touched(fact: Fact) -> Iterator[Key]:
    """The rows that an event may read or change."""
    event = fact.event
    yield "executions", event.execution_id
    fields = event.__struct_fields__
    if "task_id" in fields and (task_id := getattr(event, "task_id", "")):
        yield "tasks", task_id
    if "agent_id" in fields and (agent_id := getattr(event, "agent_id", "")):
        yield "agents", agent_id
        yield "agent_participations", fold_work.participation(event.execution_id, agent_id)
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


def touched_through(rows: Rows, fact: Fact) -> Iterator[Key]:
    """The rows that an event may change and that only the rows of `touched` can name."""
    event = fact.event
    if event.TYPE in ATTEMPT_ENDS:
        yield from (("questions", asked) for asked in _asked_by(rows.peek("tasks", getattr(event, "task_id", ""))))
    if isinstance(event, TaskFailed):
        agent_id = rows.peek("tasks", event.task_id).get("agent_id")
        if agent_id:
            yield "agent_participations", fold_work.participation(event.execution_id, agent_id)


def begun(rows: Rows, fact: Fact) -> bool:
    """Whether an event belongs to an execution that an engine has accepted or rejected. What comes before that was
    written by nobody of the platform, and would be an execution that is pending for ever."""
    starts = isinstance(fact.event, ExecutionAccepted | ExecutionRejected)
    return starts or rows.has("executions", fact.event.execution_id)


def apply(rows: Rows, fact: Fact) -> None:
    """Takes one event in."""
    event = fact.event
    if not begun(rows, fact):
        return
    execution = rows.row("executions", event.execution_id)
    execution.setdefault("first_seq", fact.seq)
    execution.setdefault("status", "pending")
    execution["last_seq"] = fact.seq
    entity = event.TYPE.partition(".")[0]
    match entity:
        case "execution":
            _execution(rows, execution, fact)
        case "task":
            fold_work.task(rows, fact)
            _withdraw(rows, execution, fact)
        case "verification":
            fold_work.verification(rows, fact)
        case "workspace":
            fold_work.workspace(rows, fact)
        case "agent":
            fold_work.agent(rows, fact)
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
                pattern_name=event.pattern.partition("@")[0][:_LONGEST_NAME],
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
                usage=plain(event.usage),
                approved=None if event.approved is UNSET else event.approved,
                evidence=None if event.evidence is UNSET else plain(event.evidence),
                unpublished=None if event.unpublished is UNSET else event.unpublished,
            )
            if event.pr_url:
                rows.row("pull_requests", event.execution_id).update(
                    execution_id=event.execution_id, url=event.pr_url, branch=event.branch, created_at=fact.time
                )
        case ExecutionFailed():
            row.update(
                error=plain(event.error),
                branch=event.branch,
                commit=event.commit,
                effects=event.effects,
                approved=None if event.evidence is UNSET else False,
                evidence=None if event.evidence is UNSET else plain(event.evidence),
                unpublished=None if event.unpublished is UNSET else event.unpublished,
            )
        case ExecutionRejected():
            row.update(
                error={"code": "rejected", "errors": plain(event.errors)},
                pattern_name=event.pattern[:_LONGEST_NAME],
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
    if not rows.has("pattern_versions", _version(event)):
        rows.row("pattern_versions", _version(event)).update(
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


# -- questions --------------------------------------------------------------------------------------------------------


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
            if rows.has("tasks", event.task_id):
                task = rows.row("tasks", event.task_id)
                task["asks"] = [*_asked_by(task), event.question_id]
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


def _withdraw(rows: Rows, execution: Row, fact: Fact) -> None:
    """Nobody waits for what an attempt asked once it is over."""
    event = fact.event
    if event.TYPE not in ATTEMPT_ENDS:
        return
    task = rows.row("tasks", getattr(event, "task_id", ""))
    for name in _asked_by(task):
        row = rows.row("questions", name)
        if row.get("status") == "open":
            row.update(status="withdrawn", reason=ATTEMPT_ENDS[event.TYPE], answered_at=fact.time)
            _questions_open(execution, -1)
    task["asks"] = None


def _asked_by(task: Row) -> list[str]:
    """The questions that an attempt of a task has asked; they may be answered by now."""
    asked = task.get("asks")
    return msgspec.json.decode(asked, type=list[str]) if isinstance(asked, msgspec.Raw) else asked or []


def _questions_open(execution: Row, change: int) -> None:
    left = max(0, (execution.get("open_questions") or 0) + change)
    execution["open_questions"] = left
    if execution.get("status") in ("running", "waiting"):
        execution["status"] = "waiting" if left else "running"


def _from_ms(value: int, like: datetime) -> datetime:
    return datetime.fromtimestamp(value / 1000, like.tzinfo)
