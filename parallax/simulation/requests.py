"""What the effects of a program are in the log of a simulated run, and what ends them.

The same as in the engine (`services.pattern_engine.decisions`), which cannot be imported here; a test replays the logs
of simulated runs in the engine and so holds the two together.
"""

from __future__ import annotations

from typing import Any

from compiler.orchestration.origin import place_of
from compiler.prism import EffectFailed, PrismError
from schemas.base import Failure
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
from schemas.patterns import CompiledPattern
from shared.ids import digest_of_given, task_id

IMMEDIATE = (Now, Random, Log, Select)
"""Effects that are answered at once."""


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
    """The digest of an effect request."""
    return digest_of_given(request)


def requested(
    execution_id: str, path: str, request: AnyEffect, *, workspace: bool, now_ms: int, signature: str
) -> Event:
    """The event that records a request. Raises TypeError for an effect that has none."""
    common: dict[str, Any] = {"execution_id": execution_id, "effect": path, "digest": signature}
    match request:
        case Task():
            return TaskRequested(
                **common,
                task_id=task_id(execution_id, path),
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
                **common,
                verification_id=task_id(execution_id, path),
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
            return WorkspaceIntegrationRequested(**common, commits=request.commits, step=request.step)
        case Http():
            return HttpRequested(
                **common,
                method=request.method,
                url=request.url,
                headers=request.headers,
                body=request.body,
                timeout_ms=request.timeout_ms,
            )
        case Sleep():
            return TimerSet(**common, due_at=now_ms + request.ms)
        case Wait():
            due = None if request.timeout_ms is None else now_ms + request.timeout_ms
            return TimerSet(**common, due_at=due, signal=request.signal)
        case Ask():
            return QuestionAsked(
                **common,
                question_id=f"{execution_id}-q{path.replace('.', '_')}",
                question=request.question,
                kind=request.kind,
                options=request.options,
                role=request.role,
                who=request.who,
                default=request.default,
                deadline_at=None if request.deadline_ms is None else now_ms + request.deadline_ms,
            )
        case _:
            raise TypeError(f"the effect {type(request).__name__} has no event of its own")


def withdrawn(execution_id: str, path: str, asked: Event, reason: str) -> Event | None:
    """The event that takes back a request. None where nothing has to be said."""
    match asked:
        case TaskRequested():
            return TaskCancelRequested(execution_id=execution_id, task_id=asked.task_id, effect=path, reason=reason)
        case QuestionAsked():
            return QuestionAnswered(
                execution_id=execution_id, question_id=asked.question_id, effect=path, by="withdrawn", reason=reason
            )
        case _:
            return None


def answer(fact: Event, asked: Event) -> Any:
    """What the program is resumed with: a result of `schemas.effects`, or an EffectFailed."""
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
    """The session that a selection gets: the one it names, else the sessions of a role in turn."""
    in_turn = f"{request.role}-{turn % max(1, request.max_instances or 1) + 1}"
    return Selection(role=request.role, session=request.session or in_turn)


def failure_of(error: Any, pattern: CompiledPattern) -> Failure:
    """An error of a program as the log says it: where in the program, and which step of the file that is."""
    match error:
        case EffectFailed():
            return Failure(code=error.code, message=error.message)
        case PrismError():
            code = {"LimitError": "limit_exceeded"}.get(error.kind, error.code or "program_error")
            return Failure(code=code, message=error.message, where=place_of(pattern, error))
        case _:
            return Failure(code="program_error", message=str(error))
