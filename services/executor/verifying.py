"""Verification: command oracles are run by a runtime, and what they find is one fact.

They are run on a clean checkout of the commit that the fact is about: that of a task, or the result as it was when the
program asked. Executions that began before there were clean checkouts are verified in the session's worktree, as then.
"""

from __future__ import annotations

import asyncio
import math

import msgspec
import structlog

from schemas.agents import EvidenceOrder, OracleResult, VerifyOffer, VerifyReply
from schemas.base import Failure, Model
from schemas.events import (
    ENDINGS,
    ExecutionStarted,
    TaskCompleted,
    VerificationCompleted,
    VerificationRequested,
    WorkspaceIntegrated,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceReady,
)
from schemas.patterns import WorkspaceSpec
from services.executor.runtimes import RUNTIME
from services.executor.sessions import Sessions
from shared import subjects
from shared.bus import Bus, Delivery, NoResponder, RequestFailed, Retry
from shared.shortening import shortened

_log = structlog.get_logger(__name__)

_LONGEST_REASON = 2_000
_ASK_FOR_S = 10.0
"""A runtime that is at a verification already joins whoever asks again: asking again is how its death is noticed."""

_TYPES = (
    "execution.started",
    "workspace.ready",
    "workspace.integrated",
    "workspace.prepared",
    "task.completed",
    "verification.requested",
    "verification.completed",
    *sorted(ENDINGS),
)


class Verifier:
    """Has verifications made. One for which no runtime is there for `within_s` seconds ends without evidence."""

    def __init__(self, bus: Bus, sessions: Sessions, within_s: float) -> None:
        self._bus = bus
        self._sessions = sessions
        self._within_s = within_s
        self._without_runtime: dict[str, float] = {}

    async def verify(self, delivery: Delivery) -> None:
        """Gathers the evidence that a program asked for and appends it, once."""
        request = delivery.data
        if not isinstance(request, VerificationRequested):
            return
        found = await _work(self._bus, request)
        if found is None:
            self._without_runtime.pop(request.verification_id, None)
            return
        if found.order is None and not await self._can_use_the_worktree(request, found, delivery):
            return
        offer = VerifyOffer(
            verification_id=request.verification_id,
            execution_id=request.execution_id,
            session=found.session,
            role=request.role,
            workspace=found.path,
            oracles=[oracle for oracle in request.oracles if oracle.type == "command"],
            evidence=found.order,
        )
        reply = await self._ask(offer)
        if reply.error == STOPPING:
            raise Retry(_AGAIN_S)
        self._without_runtime.pop(request.verification_id, None)
        await self._bus.append(completed(request, reply), cause=delivery)

    async def _can_use_the_worktree(self, request: VerificationRequested, found: _Work, delivery: Delivery) -> bool:
        """Whether the session's worktree is as it has to be; asks for that first. False: it is not, which is said."""
        if request.merged and found.session and found.prepared is None:
            await self._bus.append(_preparation(request, found.session), cause=delivery)
            raise Retry(_PREPARED_S)
        refused = found.prepared.error if found.prepared is not None else None
        if found.path and refused is None:
            return True
        reason = refused.message if refused else f"There is no worktree to verify for {request.role or 'it'}."
        reply = VerifyReply(verification_id=request.verification_id, error=reason)
        await self._bus.append(completed(request, reply), cause=delivery)
        return False

    async def parked(self, delivery: Delivery, reason: str) -> None:
        """A verification that could not be handled again and again ends without evidence: a program waits for it."""
        if isinstance(delivery.data, VerificationRequested):
            reply = VerifyReply(
                verification_id=delivery.data.verification_id,
                error=f"The verification could not be made: {shortened(reason, _LONGEST_REASON)}",
            )
            await self._bus.append(completed(delivery.data, reply), cause=delivery)

    async def _ask(self, offer: VerifyOffer) -> VerifyReply:
        subject = subjects.runtime_verify(RUNTIME)
        try:
            return await self._bus.request(subject, offer, VerifyReply, timeout_s=_ASK_FOR_S)
        except TimeoutError:
            self._without_runtime.pop(offer.verification_id, None)
            raise Retry(0.05) from None
        except RequestFailed as failure:
            return VerifyReply(verification_id=offer.verification_id, error=str(failure))
        except NoResponder:
            return self._without(offer)

    def _without(self, offer: VerifyOffer) -> VerifyReply:
        """Nobody is there: again in a second, until it has been too long. A pause of the execution does not count."""
        key = offer.verification_id
        now = asyncio.get_running_loop().time()
        since = self._without_runtime.setdefault(key, now)
        if self._sessions.paused(offer.execution_id) or not self._bus.connection.connected:
            self._without_runtime[key] = now
        elif now - since >= self._within_s:
            message = (
                f"No runtime was running that could verify it: none answered for {self._within_s:g} s. "
                f"Start one with `parallax up` or `python -m services.runtime_local`."
            )
            return VerifyReply(verification_id=key, error=message)
        _log.info("no_runtime_to_verify", verification_id=key)
        raise Retry(_AGAIN_S)


_AGAIN_S = 1.0

_PREPARED_S = 0.1
"""So soon it is looked whether the workspace service has brought the worktree up to the result."""

STOPPING = "the runtime is stopping"
"""What a runtime says that did not come to the end of a verification."""


class _Work(Model, frozen=True, kw_only=True):
    """What to verify. `order`: a commit, on a clean checkout; without one the session's worktree at `path`.

    `prepared` is the answer to the wish of this very verification that the worktree be brought up to the result.
    """

    path: str
    session: str
    prepared: WorkspacePrepared | None = None
    order: EvidenceOrder | None = None


def _preparation(request: VerificationRequested, session: str) -> WorkspacePrepareRequested:
    """The wish that the session's worktree be brought up to the result, as before a task of the session."""
    return WorkspacePrepareRequested(
        execution_id=request.execution_id,
        task_id=request.verification_id,
        attempt=1,
        role=request.role,
        session=session,
    )


class _Reading:
    """What the log says about the work that a verification is about."""

    def __init__(self, request: VerificationRequested) -> None:
        self._request = request
        self._prepared: WorkspacePrepared | None = None
        self._started: ExecutionStarted | None = None
        self._result = self._base = self._integrated = ""
        self._paths: dict[str, str] = {}
        self._heads: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._asked = False

    def take(self, event: object) -> None:
        """Takes the next event. What is integrated after the request is not what was asked about."""
        match event:
            case ExecutionStarted():
                self._started = event
            case WorkspaceReady(path=path, base_commit=base):
                self._result, self._base = path, base
            case WorkspaceIntegrated(commit=commit) if not self._asked:
                self._integrated = commit
            case WorkspacePrepared():
                self._take_prepared(event)
            case TaskCompleted(task_id=task_id, session=name, commit=commit):
                self._owners[task_id] = name
                self._heads[task_id] = commit or self._heads.get(task_id, "")
            case VerificationRequested(verification_id=known):
                self._asked = self._asked or known == self._request.verification_id
            case _:
                pass

    def _take_prepared(self, event: WorkspacePrepared) -> None:
        if event.task_id == self._request.verification_id:
            self._prepared = event
        if event.path:
            self._paths[event.session] = event.path
            self._heads[event.task_id] = event.commit

    def work(self) -> _Work:
        """What to verify."""
        session = self._request.session or self._owners.get(self._request.task_id, "")
        path = self._paths.get(session, "") if session else self._result
        return _Work(path=path, session=session, prepared=self._prepared, order=self._order())

    def _order(self) -> EvidenceOrder | None:
        started, request = self._started, self._request
        if started is None or started.meaning < 2 or started.workspace is None:
            return None
        of_task = request.commit or self._heads.get(request.task_id, "")
        commit = self._integrated if request.merged or not of_task else of_task
        spec = msgspec.convert(started.workspace, WorkspaceSpec)
        return EvidenceOrder(
            commit=commit or self._base,
            setup=spec.setup or "",
            setup_key=spec.setup_key or [],
            copy=spec.copy or [],
            keep=spec.keep or [],
        )


async def _work(bus: Bus, request: VerificationRequested) -> _Work | None:
    """What to verify. None: it is verified already, or the execution is over."""
    reading = _Reading(request)
    async for record in bus.read(request.execution_id, types=_TYPES):
        match record.data:
            case VerificationCompleted(verification_id=known) if known == request.verification_id:
                return None
            case _ if record.type in ENDINGS:
                return None
            case event:
                reading.take(event)
    return reading.work()


def completed(request: VerificationRequested, reply: VerifyReply) -> VerificationCompleted:
    """What a runtime answered, as the one fact about it. Why there is no evidence is an entry among what was found."""
    results, error = reply.results, misfit(request, reply)
    if reply.error:
        error = Failure(code=reply.code or "verification_failed", message=reply.error)
    if error is not None and not any(result.type == "setup" for result in results):
        results = [*results, OracleResult(type="verification", note=error.message)]
    return VerificationCompleted(
        execution_id=request.execution_id,
        verification_id=request.verification_id,
        effect=request.effect,
        score=None if error else combine(request, results),
        passed=error is None and bool(results) and all(result.passed for result in results),
        oracles=results,
        task_id=request.task_id,
        role=request.role,
        error=error,
        evidence=msgspec.UNSET if reply.evidence is None else reply.evidence,
    )


def misfit(request: VerificationRequested, reply: VerifyReply) -> Failure | None:
    """Why what a runtime answered is no evidence: it is about something else, or not about every check."""
    asked = sum(oracle.type == "command" for oracle in request.oracles)
    if reply.verification_id != request.verification_id:
        message = f"The runtime answered `$.verification_id` {reply.verification_id[:200]!r}, which was not asked for."
    elif len(reply.results) != asked:
        message = f"The runtime answered {len(reply.results)} `$.results` to {asked} checks: that is no evidence."
    else:
        return None
    return Failure(code="verification_failed", message=message)


def combine(request: VerificationRequested, results: list[OracleResult]) -> float | None:
    """One score out of several. An oracle that found nothing leaves none: missing evidence is never a pass."""
    scores = [result.score for result in results if result.score is not None]
    if not results or len(scores) < len(results):
        return None
    match request.combine:
        case "product":
            return math.prod(scores)
        case "weighted":
            weights = [oracle.weight for oracle in request.oracles if oracle.type == "command"]
            total = sum(weights)
            pairs = zip(weights, scores, strict=False)
            return sum(weight * score for weight, score in pairs) / total if total > 0 else None
        case "min":
            return min(scores)
