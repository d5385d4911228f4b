"""What is neither a program nor an agent in a simulated run: checks, people, git. Each says how it will answer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection
from typing import Any

from parallax.simulation.draws import Draws
from parallax.simulation.model import Cast, People, Workspace
from parallax.simulation.turns import milliseconds
from parallax.simulation.works import Works
from schemas.agents import Oracle, OracleResult
from schemas.base import Failure, Model
from schemas.effects import Ask, Integrate, Verify
from schemas.events import VerificationCompleted, VerificationRequested

Person = Callable[[Ask], Any]
"""A function that plays whoever answers questions: gives the answer, or None for none."""


class Reaction(Model, frozen=True, kw_only=True):
    """An answer to a question, `ms` after it was asked. `given` False: nobody answers."""

    given: bool
    ms: int = 0
    value: Any = None


def person_reacts(people: People | Person, ask: Ask, draws: Draws, quality: float | None, good: float) -> Reaction:
    """How a question is answered. Approval depends on the quality of the latest work; None counts as good."""
    if not isinstance(people, People):
        value = people(ask)
        return Reaction(given=value is not None, ms=0, value=value)
    ms = milliseconds(people.seconds, draws)
    answers, chosen = draws.chance(people.answers), draws.uniform()
    if not answers:
        return Reaction(given=False)
    if ask.kind == "approval":
        approves = chosen < (people.approve_good if quality is None or quality >= good else people.approve_bad)
        return Reaction(given=True, ms=ms, value="approve" if approves else "deny")
    weights = {option: people.choices.get(option, 0.0) for option in ask.options or people.choices}
    if sum(weights.values()) <= 0:
        weights = dict.fromkeys(weights, 1.0)
    left = chosen * sum(weights.values())
    for option, weight in weights.items():
        left -= weight
        if left < 0:
            return Reaction(given=True, ms=ms, value=option)
    return Reaction(given=True, ms=ms, value=next(reversed(weights), "An answer"))


def checked(
    cast_of: Cast, works: Works, request: Verify, asked: VerificationRequested, draws: Draws, *, workspace: bool
) -> tuple[int, VerificationCompleted]:
    """How long the command oracles take, and what they find. Without a worktree they find nothing."""
    oracles = [oracle for oracle in request.oracles if oracle.type == "command"]
    known = works.by_task.get(request.task_id)
    role, step = (known.role, known.step) if known is not None else (request.role, request.step)
    error = None
    if not workspace:
        message = f"There is no worktree to verify for {request.role or 'it'}."
        error, oracles = Failure(code="verification_failed", message=message), []
    quality = known.quality if known is not None and known.quality is not None else works.latest(asked.effect)
    good = quality is None or quality >= cast_of.agents.good
    model, results, ms = cast_of.model(role, step).verify, list[OracleResult](), 0
    for oracle in oracles:
        took = min(milliseconds(model.seconds, draws), oracle.timeout_ms)
        missing, chance = draws.chance(model.missing), draws.uniform()
        ms += took
        passed = chance >= model.false_fail if good else chance < model.false_pass
        results.append(_result(oracle, took, missing=missing, passed=passed, quality=quality))
    return ms, VerificationCompleted(
        execution_id=asked.execution_id,
        verification_id=asked.verification_id,
        effect=asked.effect,
        score=None if error else combined(request, oracles, results),
        passed=error is None and bool(results) and all(result.passed for result in results),
        oracles=results,
        task_id=request.task_id,
        role=request.role,
        error=error,
    )


def _result(oracle: Oracle, took: int, *, missing: bool, passed: bool, quality: float | None) -> OracleResult:
    name = oracle.run if isinstance(oracle.run, str) else " ".join(oracle.run)
    if missing:
        return OracleResult(type="command", name=name, duration_ms=took, note="It could not be run.")
    score = oracle.pass_confidence if passed else oracle.fail_confidence
    if oracle.score_pattern and quality is not None:
        score = quality
    return OracleResult(
        type="command", name=name, score=score, passed=passed, exit_code=0 if passed else 1, duration_ms=took
    )


def combined(request: Verify, oracles: list[Oracle], results: list[OracleResult]) -> float | None:
    """One score out of several, as the executor makes it."""
    scores = [result.score for result in results if result.score is not None]
    if not results or len(scores) < len(results):
        return None
    match request.combine:
        case "product":
            return math.prod(scores)
        case "weighted":
            total = sum(oracle.weight for oracle in oracles)
            pairs = zip(oracles, scores, strict=True)
            return sum(oracle.weight * score for oracle, score in pairs) / total if total > 0 else None
        case "min":
            return min(scores)


def conflicts(workspace: Workspace, request: Integrate, changed: Collection[str], draws: Draws) -> bool:
    """Whether the commits of a step cannot be merged: any two with changes, of different sessions, may collide."""
    count = len({contribution.session for contribution in request.commits if contribution.commit in changed})
    return draws.chance(1.0 - (1.0 - workspace.conflict) ** (count * (count - 1) // 2))


def commit_id(*key: object) -> str:
    """Forty hexadecimal digits that look like a commit."""
    return hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=20).hexdigest()
