"""What a role's confidence policy makes of a score. Pure decisions, so that they can be read and tested as a table."""

from __future__ import annotations

from typing import Literal

from compiler.orchestration.roles import Policy

Decision = Literal["accept", "accept_low", "retry", "escalate"]


def decide(policy: Policy, score: float | None, *, expected: bool, refused: bool = False) -> Decision:
    """What happens with work that is scored `score` (None: there is no score).

    `expected` tells that evidence was asked for: then its absence is worse than any score, because missing evidence
    is never a pass. Without an oracle an agent that reports no confidence is taken at its word, with a warning.
    `refused` work did not pass its checks: no score makes up for that, so whatever the policy has is tried.
    """
    decision = _by_score(policy, score, expected=expected)
    if not refused or decision in {"retry", "escalate"}:
        return decision
    if policy.retry_below is not None:
        return "retry"
    return "accept_low" if policy.escalate_below is None else "escalate"


def _by_score(policy: Policy, score: float | None, *, expected: bool) -> Decision:
    if score is None and not expected:
        return "accept_low"
    if policy.escalate_below is not None and (score is None or score < policy.escalate_below):
        return "escalate"
    if policy.retry_below is not None and (score is None or score < policy.retry_below):
        return "retry"
    return "accept" if score is not None and score >= policy.accept else "accept_low"


def satisfied(policy: Policy, score: float | None, *, expected: bool, refused: bool = False) -> bool:
    """Whether work with this score needs neither a retry nor somebody higher up."""
    return not refused and decide(policy, score, expected=expected) in {"accept", "accept_low"}


def better(second: float | None, first: float | None) -> bool:
    """Whether a second attempt is to be preferred. Any evidence is better than none; a tie goes to the first."""
    if second is None:
        return False
    return first is None or second > first
