"""An engine that does what a test tells it, on a real server, so that the client is tested without the services."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from schemas.base import Failure, Problem
from schemas.commands import CommandReply, ExecutionRequest, ReplayQuery, ReplayReport
from schemas.events import (
    Event,
    ExecutionAccepted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRejected,
    QuestionAnswered,
    QuestionAsked,
)
from shared import subjects
from shared.bus import Bus, Delivery

OPEN, DONE, FAILS, BAD, ASKS, SILENT = "open", "done", "fails", "bad", "asks", "silent"
"""The patterns it knows: what they do is their name."""


class ScriptedEngine:
    """Answers requests by the name of their pattern, and commands always."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.requests = 0

    async def take(self, delivery: Delivery) -> None:
        """One message of the request stream."""
        if delivery.subject != subjects.REQUEST:
            await self._command(delivery)
            return
        self.requests += 1
        request: ExecutionRequest = delivery.data
        if request.pattern == SILENT:
            return
        status, problems = "accepted", list[Problem]()
        for event in self._life(request):
            await self._bus.append(event)
            if isinstance(event, ExecutionRejected):
                status, problems = "rejected", event.errors
        answer = CommandReply(execution_id=request.execution_id, status=status, errors=problems)
        await self._bus.publish(delivery.reply_to, answer)

    def _life(self, request: ExecutionRequest) -> list[Event]:
        name = request.execution_id
        if request.pattern == BAD:
            return [ExecutionRejected(execution_id=name, errors=[Problem(where="input.task", what="It is missing.")])]
        facts: list[Event] = [
            ExecutionAccepted(
                execution_id=name, pattern=request.pattern, request_digest="d", input=request.input, repo=_repo(request)
            )
        ]
        if request.pattern == ASKS:
            facts.append(
                QuestionAsked(
                    execution_id=name,
                    question_id=f"{name}-q",
                    question="Ship it?",
                    kind="approval",
                    options=request.input.get("options", []),
                )
            )
        if request.pattern == DONE:
            facts.append(ExecutionCompleted(execution_id=name, result={"n": 1}, confidence=0.5))
        if request.pattern == FAILS:
            facts.append(ExecutionFailed(execution_id=name, error=Failure(code="task_failed", message="It broke.")))
        return facts

    async def _command(self, delivery: Delivery) -> None:
        name, verb = subjects.command_parts(delivery.subject)
        if verb == "pause":
            problem = Problem(where="", what="It cannot be paused now.", hint="Wait.")
            answer = CommandReply(execution_id=name, status="rejected", errors=[problem])
        else:
            if verb == "cancel":
                await self._bus.append(ExecutionCancelled(execution_id=name, reason=delivery.data.reason))
            if verb == "answer":
                given = delivery.data
                await self._bus.append(
                    QuestionAnswered(execution_id=name, question_id=given.question_id, value=given.value, by=given.by)
                )
            answer = CommandReply(execution_id=name, status="accepted")
        await self._bus.publish(delivery.reply_to, answer)

    async def replay(self, query: ReplayQuery) -> ReplayReport:
        """Always identical."""
        return ReplayReport(execution=query.execution_id, effects=3, identical=True)


def _repo(request: ExecutionRequest):
    return request.repo if not isinstance(request.repo, str) else None


@asynccontextmanager
async def scripted_engine(nats_url: str) -> AsyncGenerator[ScriptedEngine]:
    """The engine, at work."""
    bus = await Bus.connect(nats_url, name="scripted")
    await bus.ensure_streams()
    engine = ScriptedEngine(bus)
    worker = bus.work(durable="scripted", stream="requests", filters=subjects.REQUESTS_FILTERS, handler=engine.take)
    served = await bus.serve(subjects.QUERY_REPLAY, ReplayQuery, engine.replay)
    try:
        yield engine
    finally:
        await served.stop()
        await worker.stop()
        await bus.close()
