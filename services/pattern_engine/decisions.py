"""What an effect of a program becomes in the log, and what a fact of the log answers it with.

Two tables, pure and total over the structs of `schemas`: a request is turned into one event (`decide`), and the event
that ends it into the value or the failure that the program is resumed with (`answer`). A live run, a recovery and a
replay all go through them, which is why they cannot disagree.
"""

from __future__ import annotations

from typing import Any

from compiler.prism import EffectFailed
from schemas.effects import (
    Answered,
    AnyEffect,
    Ask,
    Http,
    HttpAnswer,
    Integrate,
    Integration,
    Log,
    Now,
    Random,
    Select,
    Selection,
    Signalled,
    Sleep,
    Task,
    TaskOutcome,
    Verification,
    Verify,
    Wait,
)
from schemas.events import (
    Event,
    HttpCompleted,
    HttpRequested,
    QuestionAnswered,
    QuestionAsked,
    SignalReceived,
    TaskCancelRequested,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TimerFired,
    TimerSet,
    VerificationCompleted,
    VerificationRequested,
    WorkspaceConflicted,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
)
from shared.ids import digest_of_given, task_id

IMMEDIATE = (Now, Random, Log, Select)
"""Effects that the engine answers at once, at the very place where they are asked for."""

FACTS: tuple[str, ...] = (
    "task.completed",
    "task.failed",
    "verification.completed",
    "http.completed",
    "workspace.ready",
    "workspace.failed",
    "workspace.integrated",
    "workspace.conflicted",
    "workspace.finalized",
    "timer.fired",
    "signal.received",
    "question.asked",
    "question.answered",
)
"""The kinds of events that move a program on. A program hears them in the order of the log, live and in a replay."""


WITHDRAWN = "withdrawn"
"""Who "answered" a question that the program no longer asks."""

_ANSWERS: dict[type[Event], type[Event]] = {
    TaskCompleted: TaskRequested,
    TaskFailed: TaskRequested,
    VerificationCompleted: VerificationRequested,
    HttpCompleted: HttpRequested,
    WorkspaceIntegrated: WorkspaceIntegrationRequested,
    WorkspaceConflicted: WorkspaceIntegrationRequested,
    TimerFired: TimerSet,
    SignalReceived: TimerSet,
    QuestionAnswered: QuestionAsked,
}


def answers(fact: Event, asked: Event) -> bool:
    """Whether this kind of fact can be the answer to that kind of request."""
    return isinstance(asked, _ANSWERS.get(type(fact), ()))


def request_digest(request: AnyEffect) -> str:
    """The digest of an effect request: what a recorded request is compared with."""
    return digest_of_given(request)


def question_id(execution_id: str, path: str) -> str:
    """The id of the question that the effect at `path` asks."""
    return f"{execution_id}-q{path.replace('.', '_')}"


def decide(execution_id: str, path: str, request: AnyEffect, *, workspace: bool, now_ms: int) -> Event:
    """The event that records a request which the world has to answer.

    `now_ms` is the time from which deadlines count. Raises TypeError for an effect that is answered at once.
    """
    signature = request_digest(request)
    match request:
        case Task():
            return TaskRequested(
                execution_id=execution_id,
                task_id=task_id(execution_id, path),
                effect=path,
                digest=signature,
                role=request.role,
                text=request.text,
                agent=request.agent,
                step=request.step,
                session=request.session,
                input=request.input,
                context=request.context,
                timeout_ms=request.timeout_ms,
                attempts=request.attempts,
                workspace=workspace,
                builds_on=request.builds_on,
            )
        case Verify():
            return VerificationRequested(
                execution_id=execution_id,
                verification_id=task_id(execution_id, path),
                effect=path,
                digest=signature,
                oracles=request.oracles,
                combine=request.combine,
                task_id=request.task_id,
                role=request.role,
                session=request.session,
                commit=request.commit,
                step=request.step,
                merged=request.merged,
            )
        case Integrate():
            return WorkspaceIntegrationRequested(
                execution_id=execution_id, effect=path, digest=signature, commits=request.commits, step=request.step
            )
        case Http():
            return _http_requested(execution_id, path, request, signature)
        case Sleep():
            return TimerSet(execution_id=execution_id, effect=path, digest=signature, due_at=now_ms + request.ms)
        case Wait():
            due = None if request.timeout_ms is None else now_ms + request.timeout_ms
            return TimerSet(execution_id=execution_id, effect=path, digest=signature, due_at=due, signal=request.signal)
        case Ask():
            due = None if request.deadline_ms is None else now_ms + request.deadline_ms
            return QuestionAsked(
                execution_id=execution_id,
                question_id=question_id(execution_id, path),
                effect=path,
                digest=signature,
                question=request.question,
                kind=request.kind,
                options=request.options,
                role=request.role,
                who=request.who,
                default=request.default,
                deadline_at=due,
            )
        case _:
            raise TypeError(f"the effect {type(request).__name__} has no event of its own")


def _http_requested(execution_id: str, path: str, request: Http, signature: str) -> HttpRequested:
    return HttpRequested(
        execution_id=execution_id,
        effect=path,
        digest=signature,
        method=request.method,
        url=request.url,
        headers=request.headers,
        body=request.body,
        timeout_ms=request.timeout_ms,
    )


def withdraw(execution_id: str, path: str, asked: Event, reason: str) -> Event | None:
    """The event that takes back a request the program no longer wants. None where nothing has to be said."""
    match asked:
        case TaskRequested():
            return TaskCancelRequested(execution_id=execution_id, task_id=asked.task_id, effect=path, reason=reason)
        case QuestionAsked():
            return QuestionAnswered(
                execution_id=execution_id, question_id=asked.question_id, effect=path, by=WITHDRAWN, reason=reason
            )
        case _:
            return None


def answer(fact: Event, asked: Event) -> Any:
    """What a program is resumed with: a result of `schemas.effects`, or an EffectFailed.

    `asked` is the event that recorded the request.
    """
    match fact:
        case TaskCompleted():
            return TaskOutcome(
                task_id=fact.task_id,
                result=fact.result,
                confidence=fact.confidence,
                confidence_source=fact.confidence_source,
                role=fact.role,
                session=fact.session,
                agent_id=fact.agent_id,
                commit=fact.commit,
                files=fact.files,
                usage=fact.usage,
                attempt=fact.attempt,
            )
        case TaskFailed():
            data = {"task_id": fact.task_id, "role": fact.role, "attempts": fact.attempts}
            return EffectFailed(fact.error.code, fact.error.message, data)
        case VerificationCompleted():
            return Verification(
                verification_id=fact.verification_id, score=fact.score, passed=fact.passed, oracles=fact.oracles
            )
        case HttpCompleted(error=error):
            said = HttpAnswer(status=fact.status, headers=fact.headers, body=fact.body)
            return said if error is None else EffectFailed(error.code, error.message)
        case WorkspaceIntegrated():
            return Integration(commit=fact.commit, files=fact.files)
        case WorkspaceConflicted():
            where = f" of {fact.role} ({fact.session})" if fact.role else ""
            message = fact.message or f"The work{where} cannot be merged: {', '.join(fact.paths)}"
            data = {"paths": fact.paths, "role": fact.role, "session": fact.session, "task_id": fact.task_id}
            return EffectFailed("workspace_conflict", message, data)
        case TimerFired():
            return Signalled(received=False) if isinstance(asked, TimerSet) and asked.signal else None
        case SignalReceived():
            return Signalled(received=True, data=fact.data)
        case QuestionAnswered():
            return Answered(value=fact.value, by=fact.by, reason=fact.reason)
        case _:
            raise TypeError(f"{fact.TYPE} answers no effect")


def selection(request: Select, turn: int) -> Selection:
    """The session that a selection gets: the one it names, else the sessions in turn, `turn` counting from 0."""
    in_turn = f"{request.role}-{turn % max(1, request.max_instances or 1) + 1}"
    return Selection(role=request.role, session=request.session or in_turn)
