"""Having a role do something: the turn, the evidence about it, and what the role's confidence policy makes of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from compiler.orchestration import policy
from compiler.orchestration.evidence import Evidence, failing, gather
from compiler.orchestration.team import Assignment, Options
from compiler.orchestration.values import Value, prism_value, with_confidence
from compiler.prism import EffectFailed
from schemas.agents import Oracle
from schemas.base import Model
from schemas.effects import Answered, Ask, TaskOutcome
from schemas.events import Refusal

if TYPE_CHECKING:
    from compiler.orchestration.roles import Combine, Role
    from compiler.orchestration.team import Team
    from compiler.prism import Machine


class Attempt(Model, frozen=True, kw_only=True):
    """One turn and the evidence about it."""

    outcome: TaskOutcome
    evidence: Evidence = Evidence()
    warning: str = ""
    tried: int = 1
    escalated: bool = False
    accepted_by: str = ""
    oracles: tuple[Oracle, ...] = ()

    @property
    def score(self) -> float | None:
        """The confidence in the work: from evidence where any was asked for, else the agent's own."""
        return self.evidence.score if self.evidence.expected else self.outcome.confidence

    @property
    def source(self) -> str:
        """Where the score came from; empty where there is none."""
        if self.score is None:
            return ""
        return self.evidence.source if self.evidence.expected else self.outcome.confidence_source or "self_report"

    @property
    def refused(self) -> bool:
        """Whether evidence was asked for and does not say that the work is good."""
        return self.evidence.expected and not self.evidence.passed and not self.accepted_by


def record(attempt: Attempt) -> Value:
    """The result of an assign step as a value of the program, with its confidence where there is one."""
    outcome = attempt.outcome
    fields: dict[str, Any] = {
        "result": outcome.result,
        "confidence": attempt.score,
        "confidence_source": attempt.source,
        "role": outcome.role,
        "session": outcome.session,
        "task_id": outcome.task_id,
        "commit": outcome.commit,
        "files": list(outcome.files),
        "tasks": attempt.tried,
        "escalated": attempt.escalated,
        "warning": attempt.warning,
    }
    if attempt.evidence.expected:
        fields["verification"] = attempt.evidence.summary()
    return with_confidence(prism_value(fields), attempt.score)


def accomplish(
    team: Team, machine: Machine, assignment: Assignment, *, session: str = "", context: dict[str, Any] | None = None
) -> Attempt:
    """Has the role do the task and applies its policy: accept, retry once with the critique, or escalate."""
    role = assignment.role
    first = _attempt(team, machine, assignment, session, context)
    refused = first.refused and team.is_gate(assignment.options)
    match policy.decide(role.policy, first.score, expected=first.evidence.expected, refused=refused):
        case "accept":
            return first
        case "accept_low":
            return _accepted(role, first)
        case "retry":
            return _accepted(role, _retry(team, machine, assignment, first, context))
        case "escalate":
            return _escalate(team, machine, assignment, first)


def _attempt(
    team: Team,
    machine: Machine,
    assignment: Assignment,
    session: str,
    context: dict[str, Any] | None,
    judged_by: tuple[Sequence[Oracle], Combine] | None = None,
    *,
    builds_on: str = "",
) -> Attempt:
    outcome = team.perform_task(machine, assignment, session=session, context=context, builds_on=builds_on)
    role = assignment.role
    oracles, combine = judged_by or (role.oracles, role.combine)
    evidence = gather(team, machine, role, oracles, combine, outcome, assignment.options.id)
    return Attempt(outcome=outcome, evidence=evidence, oracles=tuple(oracles))


def weigh(team: Team, assignment: Assignment, done: Attempt) -> None:
    """Enters what the evidence says about finished work into the books."""
    options, task = assignment.options, done.outcome.task_id
    team.books.answered(options.revises, task)
    if not done.evidence.expected:
        return
    team.books.proved([task], done.oracles, done.evidence.score, merged=False)
    if not team.is_gate(options):
        return
    step = options.id or done.outcome.role
    if not done.refused:
        team.books.passed("assign", step, [task], () if done.accepted_by else done.oracles)
        return
    refusal = Refusal(
        code="verification_failed",
        step=step,
        kind="assign",
        by=failing(done.evidence.checks),
        verdict="no evidence" if done.evidence.score is None else "failed",
        critique=done.evidence.critique,
        score=done.evidence.score,
        tasks=[task],
        checks=list(done.evidence.checks),
    )
    team.books.refused(refusal, done.oracles, continued=options.on_reject == "continue")


def _better(team: Team, options: Options, second: Attempt, first: Attempt) -> bool:
    """Whether a second attempt is to be preferred. Where checks gate, work that passed them comes first."""
    if team.is_gate(options) and second.refused != first.refused:
        return first.refused
    return policy.better(second.score, first.score)


def _accepted(role: Role, attempt: Attempt) -> Attempt:
    if attempt.warning or (attempt.score is not None and attempt.score >= role.policy.accept):
        return attempt
    if attempt.score is None and not attempt.evidence.expected:
        return attempt
    return msgspec.structs.replace(attempt, warning=f"accepted with {_said(attempt)}; {role.policy.accept:g} is wanted")


def _said(attempt: Attempt) -> str:
    if attempt.score is not None:
        return f"confidence {attempt.score:g}"
    return "no evidence" if attempt.evidence.expected else "no confidence"


def _critique(attempt: Attempt) -> str:
    return attempt.evidence.critique or f"The previous attempt ended with {_said(attempt)}."


def _retry(
    team: Team, machine: Machine, assignment: Assignment, first: Attempt, context: dict[str, Any] | None
) -> Attempt:
    more = {**(context or {}), "critique": _critique(first), "attempt": 2, "previous": first.outcome.result}
    try:
        commit = first.outcome.commit
        second = _attempt(team, machine, assignment, first.outcome.session, more, builds_on=commit)
    except EffectFailed as error:
        warning = f"accepted with {_said(first)}; the retry failed: {error.message}"
        return msgspec.structs.replace(first, warning=warning, tried=2)
    chosen = second if _better(team, assignment.options, second, first) else first
    return msgspec.structs.replace(chosen, tried=2)


def _escalate(team: Team, machine: Machine, assignment: Assignment, first: Attempt) -> Attempt:
    role, rules = assignment.role, assignment.role.escalation
    best, current, seen = first, role, {role.id}
    while rules.default_behavior != "surface_to_user":  # `broadcast` is about questions: work goes up
        if rules.max_depth is not None and len(seen) > rules.max_depth:
            break
        manager = team.manager(current)
        if manager is None or manager.id in seen:
            break
        seen.add(manager.id)
        judged_by = (role.oracles, role.combine) if role.oracles else (manager.oracles, manager.combine)
        context = {"escalated_from": role.id, "critique": _critique(best), "previous": best.outcome.result}
        handed = Assignment(role=manager, text=assignment.text, options=_for_manager(assignment, rules.timeout_ms))
        current = manager
        try:
            reply = _attempt(team, machine, handed, "", {**context, "previous_commit": best.outcome.commit}, judged_by)
        except EffectFailed:
            continue
        reply = msgspec.structs.replace(reply, escalated=True)
        refused = reply.refused and team.is_gate(assignment.options)
        if policy.satisfied(role.policy, reply.score, expected=reply.evidence.expected, refused=refused):
            return msgspec.structs.replace(_accepted(role, reply), tried=len(seen))
        best = reply if _better(team, assignment.options, reply, best) else best
    return _at_the_top(machine, assignment, msgspec.structs.replace(best, tried=len(seen)))


def _for_manager(assignment: Assignment, timeout_ms: int | None) -> Any:
    options = msgspec.structs.replace(assignment.options, session="")
    return options if timeout_ms is None else msgspec.structs.replace(options, timeout_ms=timeout_ms)


def _at_the_top(machine: Machine, assignment: Assignment, best: Attempt) -> Attempt:
    role, rules = assignment.role, assignment.role.escalation
    what = f"the work of {role.name} stands at {_said(best)} and there is nobody left to escalate to"
    asks = rules.default_behavior == "surface_to_user" or rules.on_max_depth == "surface_to_user"
    if asks:
        answer: Answered = machine.perform(
            Ask(
                question=f"{assignment.text}\n\n{what[0].upper()}{what[1:]}. Accept it?",
                kind="approval",
                options=["approve", "deny"],
                deadline_ms=rules.timeout_ms,
                role=role.id,
            )
        )
        if answer.by != "deadline" and answer.value in (True, "approve", "yes"):
            who = answer.by or "a person"
            return msgspec.structs.replace(best, warning=f"accepted by {who} with {_said(best)}", accepted_by=who)
        raise EffectFailed("not_approved", f"{what}, and no person accepted it")
    if rules.on_max_depth == "fail":
        raise EffectFailed("verification_failed", what)
    return msgspec.structs.replace(best, warning=what)
