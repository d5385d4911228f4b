"""Reviews, with the loop of revisions they call for, and gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from compiler.orchestration.evidence import Evidence, gather
from compiler.orchestration.flow import run_all
from compiler.orchestration.gates import Refused
from compiler.orchestration.tasks import accomplish, record, weigh
from compiler.orchestration.team import Assignment, Options
from compiler.orchestration.values import Value, bare, plain, prism_value, readable, with_confidence
from compiler.orchestration.verdicts import INSTRUCTION, Reading, read_verdict
from compiler.prism import EffectFailed
from schemas.base import Model
from schemas.effects import Answered, Ask, TaskOutcome
from schemas.events import Refusal

if TYPE_CHECKING:
    from compiler.orchestration.roles import Role
    from compiler.orchestration.team import Team
    from compiler.prism import Machine
    from schemas.agents import Oracle

HUMAN = "human"


class Opinion(Model, frozen=True, kw_only=True):
    """One verdict on one state of the work. `approved` only where a verdict was read and no evidence contradicts it."""

    outcome: TaskOutcome
    reading: Reading
    evidence: Evidence

    @property
    def approved(self) -> bool:
        """Approval needs the reviewer's word, and the evidence where any was asked for."""
        return self.reading.word == "approve" and (self.evidence.passed or not self.evidence.expected)

    @property
    def verdict(self) -> str:
        """The reviewer's word; an approval that the evidence contradicts is a call for revision."""
        return "revise" if self.reading.word == "approve" and not self.approved else self.reading.word

    @property
    def critique(self) -> str:
        """What the reviewer and the evidence say against the work."""
        parts = [self.reading.critique, "" if self.evidence.passed else self.evidence.critique]
        return "\n\n".join(part for part in parts if part)

    @property
    def confidence(self) -> float | None:
        """The evidence's score, else the reviewer's own number; None where no verdict was read."""
        if self.reading.word == "none":
            return None
        if self.evidence.expected:
            return self.evidence.score
        return self.outcome.confidence if self.reading.score is None else self.reading.score

    @property
    def source(self) -> str:
        """Where the confidence came from."""
        if self.confidence is None:
            return ""
        return self.evidence.source if self.evidence.expected else "review"


def review(team: Team, machine: Machine, reviewer: Role, subject: Value, of: list[Value], options: Options) -> Value:
    """Asks for a verdict, and on `revise` has the reviewed work done again, at most `maxIterations` times."""
    revised, session, rounds = list(of), "", 0
    while True:
        opinion = _opinion(team, machine, reviewer, _question(subject, revised, rounds), options, session, revised)
        if opinion.approved or opinion.verdict != "revise" or rounds >= options.max_iterations:
            break
        again = [task for task in tasks_in(revised) if team.assignment(task) is not None]
        if not again:
            break
        rounds += 1
        replaced = _revise(team, machine, again, opinion.critique, options)
        revised = [_replace(value, replaced) for value in revised]
        session = opinion.outcome.session
    review_id = team.keep_revisions(opinion.outcome.task_id, revised)
    _vouch(team, role=reviewer, opinion=opinion, works=revised)
    if team.is_gate(options):
        _pass_or_refuse(team, opinion, reviewer, "review", revised, options)
    return _record(opinion, {"iterations": float(rounds), "review_id": review_id})


def approve(team: Team, machine: Machine, approver: Value, subject: Value, of: list[Value], options: Options) -> Value:
    """A gate about the works in `of`. Without an approval it fails with `not_approved`, unless the program decides."""
    question = readable(subject) or "May this go on?"
    if bare(approver) == HUMAN:
        made, by = _ask_person(machine, question, options)
        if team.is_gate(options):
            fields = cast("dict[str, Value]", bare(made))
            words = (readable(fields["verdict"]), readable(fields["critique"]))
            settle(team, "approve", by, bool(fields["approved"]), words, tasks_in(of), options)
    else:
        role = team.role(approver, "approve")
        opinion = _opinion(team, machine, role, question, options, "", [subject])
        made = _record(opinion, {})
        _vouch(team, role=role, opinion=opinion, works=of)
        if team.is_gate(options):
            _pass_or_refuse(team, opinion, role, "approve", of, options)
    if team.is_gate(options):
        return made
    fields = cast("dict[str, Value]", bare(made))
    if options.gate is not False and options.on_error == "fail" and not fields["approved"]:
        critique = readable(fields["critique"])
        said = f"{readable(fields['verdict'])}: {critique}" if critique else readable(fields["verdict"])
        who = "a person" if bare(approver) == HUMAN else readable(fields["role"])
        raise EffectFailed("not_approved", f"step {options.id!r} was not approved by {who} ({said})")
    return made


def _vouch(team: Team, *, role: Role, opinion: Opinion, works: list[Value]) -> None:
    """Enters what the reviewer's own checks say about the works."""
    if opinion.evidence.expected and (tasks := tasks_in(works)):
        team.books.proved(tasks, role.oracles, opinion.evidence.score, merged=False)


def _pass_or_refuse(
    team: Team, opinion: Opinion, role: Role, kind: Literal["review", "approve"], works: list[Value], options: Options
) -> None:
    words, evidence = (opinion.verdict, opinion.critique), opinion.evidence
    settle(team, kind, role.id, opinion.approved, words, tasks_in(works), options, evidence, role.oracles)


def settle(
    team: Team,
    kind: Literal["review", "approve"],
    by: str,
    approved: bool,
    words: tuple[str, str],
    tasks: list[str],
    options: Options,
    evidence: Evidence | None = None,
    oracles: Sequence[Oracle] = (),
) -> None:
    """Enters a verdict into the books. `words` are verdict and critique.

    Raises as `stop`.
    """
    step = options.id or kind
    if approved:
        team.books.passed(kind, step, tasks, oracles)
        return
    refusal = Refusal(
        code="not_approved",
        step=step,
        kind=kind,
        by=by,
        verdict=words[0],
        critique=words[1],
        score=evidence.score if evidence is not None and evidence.expected else None,
        tasks=tasks,
        checks=[] if evidence is None else list(evidence.checks),
    )
    expected = evidence is not None and evidence.expected
    team.books.refused(refusal, oracles if expected else (), continued=options.on_reject == "continue")
    stop(refusal, options)


def stop(refusal: Refusal, options: Options) -> None:
    """Ends the program on a "no" of `approve` and `verify`, unless a later gate may pass the work or the chart says to
    go on. Behind a rejected review the program goes on, and fails at its end where the "no" still stands.

    Raises `Refused`.
    """
    if refusal.kind in {"approve", "verify"} and options.on_reject == "fail" and not options.may_pass_later:
        raise Refused(refusal)


def tasks_in(values: Sequence[Value]) -> list[str]:
    """The ids of the tasks whose records are in these values, at any depth, in order."""
    found: list[str] = []
    for value in map(bare, values):
        if isinstance(value, list):
            found += tasks_in(cast("list[Value]", value))
        elif isinstance(value, dict) and isinstance(task_id := cast("dict[str, Value]", value).get("task_id"), str):
            found.append(task_id)
    return [task for task in dict.fromkeys(found) if task]


def _question(subject: Value, revised: list[Value], rounds: int) -> str:
    if rounds == 0 and isinstance(bare(subject), str):
        return readable(subject)
    work = revised[0] if len(revised) == 1 else revised
    if isinstance(bare(subject), str):
        return f"{readable(subject)}\n\nRevised since your last review:\n{readable(work)}"
    return f"Review this work:\n\n{readable(work if rounds and revised else subject)}"


def _opinion(
    team: Team, machine: Machine, role: Role, question: str, options: Options, session: str, of: list[Value]
) -> Opinion:
    context = {"subject": [plain(value) for value in of], "answer": INSTRUCTION, "workspace": team.context}
    assignment = Assignment(role=role, text=question, options=options)
    outcome = team.perform_task(machine, assignment, session=session, context=context)
    reading = read_verdict(outcome.result, team.semantics)
    evidence = gather(team, machine, role, role.oracles, role.combine, outcome, options.id)
    return Opinion(outcome=outcome, reading=reading, evidence=evidence)


def _revise(team: Team, machine: Machine, tasks: list[str], critique: str, options: Options) -> dict[str, Value]:
    """Does the tasks again, each in its own session, with the critique. Returns the new records by the old task ids."""

    def again(task_id: str) -> Callable[[], Value]:
        def run() -> Value:
            assignment = team.assignment(task_id)
            assert assignment is not None
            context = {"critique": critique, "revision": True}
            done = accomplish(team, machine, assignment, session=assignment.done_by, context=context)
            team.books.replaced([task_id], done.outcome.task_id)
            weigh(team, assignment, done)
            team.contribute(machine, [done.outcome], assignment.options.id or options.id)
            return record(done)

        return run

    if len(tasks) == 1:
        return {tasks[0]: again(tasks[0])()}
    return dict(zip(tasks, run_all(team, machine, [again(task) for task in tasks], options.id), strict=True))


def _replace(value: Value, replaced: dict[str, Value]) -> Value:
    inner = bare(value)
    if isinstance(inner, list):
        return [_replace(item, replaced) for item in cast("list[Value]", inner)]
    if isinstance(inner, dict):
        return replaced.get(readable(cast("dict[str, Value]", inner).get("task_id")), value)
    return value


def _record(opinion: Opinion, more: dict[str, Any]) -> Value:
    fields: dict[str, Any] = {
        "approved": opinion.approved,
        "verdict": opinion.verdict,
        "critique": opinion.critique,
        "confidence": opinion.confidence,
        "confidence_source": opinion.source,
        "role": opinion.outcome.role,
        "session": opinion.outcome.session,
    }
    if opinion.outcome.files:
        fields["files_ignored"] = list(opinion.outcome.files)
    if opinion.evidence.expected:
        fields["verification"] = opinion.evidence.summary()
    value = {**cast("dict[str, Value]", prism_value(fields)), **more}
    return with_confidence(value, opinion.confidence)


def _ask_person(machine: Machine, question: str, options: Options) -> tuple[Value, str]:
    """The record of a person's answer, and who gave it."""
    request = Ask(
        question=question,
        kind="approval",
        options=["approve", "deny"],
        who=options.who,
        deadline_ms=options.timeout_ms if options.deadline_ms is None else options.deadline_ms,
    )
    answer: Answered = machine.perform(request)
    approved = answer.by != "deadline" and answer.value in (True, "approve", "approved", "yes")
    word = "approve" if approved else "none" if answer.by == "deadline" else "reject"
    made: Value = {
        "approved": approved,
        "verdict": word,
        "critique": answer.reason or ("nobody answered in time" if answer.by == "deadline" else ""),
        "confidence": None,
        "confidence_source": "",
        "role": HUMAN,
        "session": "",
    }
    return made, "nobody" if answer.by == "deadline" else answer.by or "a person"


def failed_review(error: EffectFailed, role: str) -> dict[str, Value]:
    """What a review or a gate that could not be held leaves where the step may fail: no verdict, so no approval."""
    return {
        "approved": False,
        "verdict": "none",
        "critique": error.message,
        "confidence": None,
        "confidence_source": "",
        "role": role,
        "session": "",
        "error": {"code": error.code, "message": error.message},
    }
