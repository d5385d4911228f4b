"""Gathering evidence about what a task left behind. Evidence beats self-report; none is never the same as good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from compiler.orchestration.roles import Combine
from compiler.orchestration.verdicts import INSTRUCTION, read_verdict
from compiler.prism import EffectFailed
from schemas.agents import Oracle, OracleResult
from schemas.base import Model
from schemas.effects import Answered, Ask, Task, TaskOutcome, Verification, Verify
from schemas.events import Check

if TYPE_CHECKING:
    from compiler.orchestration.roles import Role
    from compiler.orchestration.team import Team
    from compiler.prism import Machine

_OUTPUT_LIMIT = 4000

NO_VERIFICATION = "verification"
"""The type of the entry that says why nothing could be checked. It is nobody's finding."""


class Finding(Model, frozen=True, kw_only=True):
    """What one source of evidence says. `score` None: nothing."""

    score: float | None
    passed: bool
    critique: str = ""
    weight: float = 1.0
    checks: tuple[Check, ...] = ()


class Evidence(Model, frozen=True, kw_only=True):
    """All evidence about one task, combined. `expected` tells whether any was asked for."""

    expected: bool = False
    score: float | None = None
    passed: bool = False
    critique: str = ""
    source: str = ""
    checks: tuple[Check, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The evidence as part of a step's record."""
        return {"score": self.score, "passed": self.passed, "critique": self.critique}


def gather(
    team: Team,
    machine: Machine,
    role: Role,
    oracles: Sequence[Oracle],
    combine: Combine,
    outcome: TaskOutcome,
    step: str,
    *,
    merged: bool = False,
) -> Evidence:
    """Asks every oracle about a task of `role` and combines what they find. `merged`: as in `verify`."""
    if not oracles:
        return Evidence()
    commands = [oracle for oracle in oracles if oracle.type == "command"]
    findings = [_run_commands(machine, commands, combine, outcome, step, merged=merged)] if commands else []
    for oracle in oracles:
        if oracle.type == "checklist":
            findings.append(_run_checklist(machine, oracle, outcome, step, merged=merged))
        elif oracle.type == "agent":
            findings.append(_ask_agent(team, machine, role, oracle, outcome, step))
        elif oracle.type == "human":
            findings.append(_ask_person(team, machine, role, oracle, outcome))
        elif oracle.type == "history":
            raise EffectFailed("unsupported", "history oracles need recorded outcomes, which are not kept yet")
    return Evidence(
        expected=True,
        score=combine_scores(findings, combine),
        passed=all(finding.passed for finding in findings),
        critique="\n\n".join(finding.critique for finding in findings if finding.critique),
        checks=tuple(check for finding in findings for check in finding.checks),
        source="verification" if any(o.type in {"command", "checklist"} for o in oracles) else "review",
    )


def combine_scores(findings: Sequence[Finding], combine: Combine) -> float | None:
    """One score out of several. A source that found nothing leaves no score: what is missing is never made up."""
    scores = [finding.score for finding in findings]
    if not scores or any(score is None for score in scores):
        return None
    known = cast("list[float]", scores)
    if combine == "product":
        return math.prod(known)
    if combine == "weighted":
        total = sum(finding.weight for finding in findings)
        return sum(f.weight * s for f, s in zip(findings, known, strict=True)) / total if total > 0 else None
    return min(known)


def verify(
    machine: Machine,
    oracles: Sequence[Oracle],
    combine: Combine,
    outcome: TaskOutcome,
    step: str,
    *,
    merged: bool = False,
) -> Verification:
    """Runs command oracles in the worktree of a task's session; `merged` brings it up to the result before."""
    found: Verification = machine.perform(
        Verify(
            oracles=list(oracles),
            combine=combine,
            task_id=outcome.task_id,
            role=outcome.role,
            session=outcome.session,
            commit=outcome.commit,
            step=step,
            merged=merged,
        )
    )
    return found


def critique_of(found: Verification) -> str:
    """What a verification has to say against the work, as text for whoever does it again."""
    parts: list[str] = []
    for result in found.oracles:
        if result.type == NO_VERIFICATION:
            parts.append(result.note)
        elif not result.passed:
            name = result.name or "the check"
            code = "" if result.exit_code is None else f" (exit code {result.exit_code})"
            tail = (result.note + "\n" + result.output[-_OUTPUT_LIMIT:]).strip()
            what = (
                f"the set-up of the checks, {name}, did not succeed"
                if result.type == "setup"
                else f"{name} did not pass"
            )
            parts.append(f"{what}{code}:\n{tail}".rstrip(":\n"))
    return "\n\n".join(parts)


def _run_commands(
    machine: Machine, oracles: Sequence[Oracle], combine: Combine, outcome: TaskOutcome, step: str, *, merged: bool
) -> Finding:
    found = verify(machine, oracles, combine, outcome, step, merged=merged)
    weight = sum(oracle.weight for oracle in oracles)
    critique = critique_of(found)
    return Finding(
        score=found.score, passed=found.passed, critique=critique, weight=weight, checks=checks_in(found.oracles)
    )


def checks_in(results: Sequence[OracleResult]) -> tuple[Check, ...]:
    """What command oracles found, as a refusal says it."""
    return tuple(
        Check(
            type=one.type,
            name=one.name,
            passed=one.passed,
            score=one.score,
            exit_code=one.exit_code,
            tests_passed=one.tests_passed,
            tests_failed=one.tests_failed,
            tests_skipped=one.tests_skipped,
            note=one.note,
        )
        for one in results
    )


def failing(checks: Sequence[Check]) -> str:
    """Who found that something is not as it should be; empty where that is nobody."""
    refusing = [one.name or one.type for one in checks if not one.passed and one.type != NO_VERIFICATION]
    return ", ".join(dict.fromkeys(refusing))


def _said(oracle: Oracle, who: str, *, passed: bool, score: float | None, critique: str) -> tuple[Check, ...]:
    """What an agent or a person found."""
    return (Check(type=oracle.type, name=who, passed=passed, score=score, note=critique),)


def _run_checklist(machine: Machine, oracle: Oracle, outcome: TaskOutcome, step: str, *, merged: bool) -> Finding:
    criteria = cast("list[dict[str, Any]]", oracle.options.get("criteria") or [])
    oracles = [Oracle(run=entry.get("run", ""), weight=float(entry.get("weight", 1.0))) for entry in criteria]
    found = verify(machine, oracles, "weighted", outcome, step, merged=merged)
    missed = [
        f"- {entry.get('text') or entry.get('run')}"
        for entry, result in zip(criteria, found.oracles, strict=False)
        if not result.passed
    ]
    critique = "Not met:\n" + "\n".join(missed) if missed else ""
    if any(result.type == NO_VERIFICATION for result in found.oracles):
        critique = critique_of(found)
    checks = checks_in(found.oracles)
    return Finding(score=found.score, passed=found.passed, critique=critique, weight=oracle.weight, checks=checks)


def _ask_agent(team: Team, machine: Machine, role: Role, oracle: Oracle, outcome: TaskOutcome, step: str) -> Finding:
    judge = team.role_named(oracle.role) if oracle.role else team.manager(role)
    if judge is None:
        raise EffectFailed("invalid_argument", f"role {role.id!r} has an agent oracle but nobody to ask")
    rubric = oracle.rubric or "Is the task done, completely and correctly?"
    request = Task(
        role=judge.id,
        text=f"Judge the work of {role.name}. {rubric}",
        agent=judge.agent,
        step=step,
        context={"subject": outcome.result, "commit": outcome.commit, "answer": INSTRUCTION},
        timeout_ms=oracle.timeout_ms or None,
    )
    try:
        answer: TaskOutcome = machine.perform(request)
    except EffectFailed as error:
        critique = f"{judge.name} gave no verdict: {error.message}"
        checks = _said(oracle, judge.id, passed=False, score=None, critique=critique)
        return Finding(score=None, passed=False, critique=critique, checks=checks)
    reading = read_verdict(answer.result, team.semantics)
    if reading.word == "none":
        checks = _said(oracle, judge.id, passed=False, score=None, critique=reading.critique)
        return Finding(score=None, passed=False, critique=reading.critique, weight=oracle.weight, checks=checks)
    passed = reading.word == "approve"
    sure = next((number for number in (reading.score, answer.confidence) if number is not None), None)
    if sure is None:
        score = oracle.pass_confidence if passed else oracle.fail_confidence
    else:
        score = sure if passed else min(1.0 - sure, 0.5)
    checks = _said(oracle, judge.id, passed=passed, score=score, critique=reading.critique)
    return Finding(score=score, passed=passed, critique=reading.critique, weight=oracle.weight, checks=checks)


def _ask_person(team: Team, machine: Machine, role: Role, oracle: Oracle, outcome: TaskOutcome) -> Finding:
    prompt = str(oracle.options.get("prompt") or f"Is the work of {role.name} good?")
    answer: Answered = machine.perform(
        Ask(
            question=prompt,
            kind="approval",
            options=["approve", "deny"],
            deadline_ms=oracle.timeout_ms or None,
            role=role.id,
        )
    )
    word = read_verdict(answer.value, team.semantics).word if answer.by != "deadline" else "none"
    if word == "none":
        checks = _said(oracle, "nobody", passed=False, score=None, critique="Nobody answered.")
        return Finding(score=None, passed=False, critique="Nobody answered.", weight=oracle.weight, checks=checks)
    score = oracle.pass_confidence if word == "approve" else oracle.fail_confidence
    critique = answer.reason or ("" if word == "approve" else "A person did not approve it.")
    checks = _said(oracle, answer.by or "a person", passed=word == "approve", score=score, critique=critique)
    return Finding(score=score, passed=word == "approve", critique=critique, weight=oracle.weight, checks=checks)
