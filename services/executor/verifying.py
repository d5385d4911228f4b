"""Verification: command oracles are run by a runtime in a session's worktree, and what they find is one fact."""

from __future__ import annotations

import asyncio
import math

import structlog

from schemas.agents import OracleResult, VerifyOffer, VerifyReply
from schemas.base import Failure, Model
from schemas.events import (
    ENDINGS,
    TaskCompleted,
    VerificationCompleted,
    VerificationRequested,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceReady,
)
from services.executor.runtimes import RUNTIME
from services.executor.sessions import Sessions
from shared import subjects
from shared.bus import Bus, Delivery, NoResponder, RequestFailed, Retry

_log = structlog.get_logger(__name__)

_LONGEST_REASON = 2_000
_ASK_FOR_S = 10.0
"""A runtime that is at a verification already joins whoever asks again: asking again is how its death is noticed."""

_TYPES = (
    "workspace.ready",
    "workspace.prepared",
    "task.completed",
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
        found = await _worktree(self._bus, request)
        if found is None:
            self._without_runtime.pop(request.verification_id, None)
            return
        path, session = found.path, found.session
        if request.merged and session and found.prepared is None:
            await self._bus.append(_preparation(request, session), cause=delivery)
            raise Retry(_PREPARED_S)
        refused = found.prepared.error if found.prepared is not None else None
        if not path or refused is not None:
            reason = refused.message if refused else f"There is no worktree to verify for {request.role or 'it'}."
            error = _failure(reason)
            await self._bus.append(_completed(request, [], error), cause=delivery)
            return
        offer = VerifyOffer(
            verification_id=request.verification_id,
            execution_id=request.execution_id,
            session=session,
            role=request.role,
            workspace=path,
            oracles=[oracle for oracle in request.oracles if oracle.type == "command"],
        )
        reply = await self._ask(offer)
        if reply.error == STOPPING:
            raise Retry(_AGAIN_S)
        self._without_runtime.pop(request.verification_id, None)
        error = _failure(reply.error) if reply.error else None
        await self._bus.append(_completed(request, reply.results, error), cause=delivery)

    async def parked(self, delivery: Delivery, reason: str) -> None:
        """A verification that could not be handled again and again ends without evidence: a program waits for it."""
        if isinstance(delivery.data, VerificationRequested):
            error = _failure(f"The verification could not be made: {reason[:_LONGEST_REASON]}")
            await self._bus.append(_completed(delivery.data, [], error), cause=delivery)

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


def _failure(message: str) -> Failure:
    return Failure(code="verification_failed", message=message)


_AGAIN_S = 1.0

_PREPARED_S = 0.1
"""So soon it is looked whether the workspace service has brought the worktree up to the result."""

STOPPING = "the runtime is stopping"
"""What a runtime says that did not come to the end of a verification."""


class _Worktree(Model, frozen=True, kw_only=True):
    """Where to verify. `prepared` is the answer to the wish of this very verification, once there is one."""

    path: str
    session: str
    prepared: WorkspacePrepared | None = None


def _preparation(request: VerificationRequested, session: str) -> WorkspacePrepareRequested:
    """The wish that the session's worktree be brought up to the result, as before a task of the session."""
    return WorkspacePrepareRequested(
        execution_id=request.execution_id,
        task_id=request.verification_id,
        attempt=1,
        role=request.role,
        session=session,
    )


async def _worktree(bus: Bus, request: VerificationRequested) -> _Worktree | None:
    """The worktree to verify in. None: it is verified already, or the execution is over."""
    prepared: WorkspacePrepared | None = None
    session, result, paths, owners = request.session, "", dict[str, str](), dict[str, str]()
    async for record in bus.read(request.execution_id, types=_TYPES):
        match record.data:
            case VerificationCompleted(verification_id=known) if known == request.verification_id:
                return None
            case WorkspaceReady(path=path):
                result = path
            case WorkspacePrepared() as event:
                prepared = event if event.task_id == request.verification_id else prepared
                if event.path:
                    paths[event.session] = event.path
            case TaskCompleted(task_id=task_id, session=name):
                owners[task_id] = name
            case _:
                if record.type in ENDINGS:
                    return None
    session = session or owners.get(request.task_id, "")
    path = paths.get(session, "") if session else result
    return _Worktree(path=path, session=session, prepared=prepared)


def _completed(
    request: VerificationRequested, results: list[OracleResult], error: Failure | None
) -> VerificationCompleted:
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
    )


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
