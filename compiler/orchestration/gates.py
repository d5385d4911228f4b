"""What was decided about the work of an execution: who said no, whether that still stands, and what the evidence says.

A gate is a `review`, an `approve`, a `verify` or the `verify` of a role. Its "no" stands until a later gate passes the
same work, or work that was made of it with that "no" in mind. Pure bookkeeping over what the program did and the
results it was fed, so that a program that runs again from the top keeps the same books.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from compiler.prism import EffectFailed
from schemas.agents import Oracle
from schemas.base import Failure
from schemas.events import ConfidenceSource, Refusal

BOOKS_SINCE = 2
"""The meaning of programs, `execution.started.semantics`, in which `gate: true` decides and the books are kept."""

STANDING_SINCE = 3
"""The meaning in which the "no" of a gate in a branch of a parallel step stands whatever the step's `onError` says."""

GATE_CODES = frozenset({"not_approved", "verification_failed"})
"""How an execution fails whose work did not pass."""

UNPUBLISHED = (
    "The result was not pushed: the work did not pass. "
    'With --push=always, or "push": "always" in the options, it is pushed all the same.'
)
"""Why nothing was pushed although it was asked for."""


class Refused(EffectFailed):
    """A gate's "no" that ends the program. `step` is the gate's."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code, refusal_words(refusal))
        self.step = refusal.step


@dataclass(slots=True)
class _No:
    """A refusal, and the tasks that no gate has passed since. `continued`: the chart goes on all the same."""

    refusal: Refusal
    open: set[str]
    checks: frozenset[str]
    continued: bool
    over: bool = False


@dataclass(slots=True)
class _Proof:
    """What evidence about some work is worth. `at` is when it was taken."""

    tasks: frozenset[str]
    checks: frozenset[str]
    score: float | None
    at: int
    merged: bool


@dataclass(slots=True)
class Books:
    """The books of one execution, shared by all patterns that it runs."""

    _noes: list[_No] = field(default_factory=list[_No])
    _proofs: list[_Proof] = field(default_factory=list[_Proof])
    _held: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    _made_of: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    _replaced: set[str] = field(default_factory=set[str])
    _dropped: set[str] = field(default_factory=set[str])
    _begun: dict[str, int] = field(default_factory=dict[str, int])
    _merged: dict[str, int] = field(default_factory=dict[str, int])
    _tick: int = 0
    _passes: int = 0

    # -- work -------------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """A moment of the program, later than all before it."""
        self._tick += 1
        return self._tick

    def begun(self, task_id: str, at: int) -> None:
        """A task was begun at that moment."""
        self._begun[task_id] = at

    def merged(self, task_ids: Iterable[str]) -> None:
        """The commits of these tasks are part of the result now; work that begins later is made on top of them."""
        at = self.now()
        self._merged.update((task_id, at) for task_id in task_ids)

    def replaced(self, old: Iterable[str], new: str) -> None:
        """A task was done instead of others: a revision."""
        gone = {task_id for task_id in old if task_id != new}
        self._made_of.setdefault(new, set()).update(gone)
        self._replaced |= gone

    def answered(self, steps: Iterable[str], new: str) -> None:
        """A task was given what these gates had said, so that it revises the work they had said it about."""
        for step in steps:
            self._made_of.setdefault(new, set()).update(self._held.get(step, ()))

    def dropped(self, task_ids: Iterable[str]) -> None:
        """The work of a branch that failed, or came too late, is no part of what is delivered."""
        self._dropped.update(task_ids)

    # -- verdicts ---------------------------------------------------------------------------------------------------

    def proved(self, tasks: Sequence[str], oracles: Sequence[Oracle], score: float | None, *, merged: bool) -> None:
        """Evidence was taken about some work."""
        proof = _Proof(frozenset(tasks), checks_of(oracles), score, self.now(), merged)
        self._proofs.append(proof)

    def passed(
        self, kind: str, step: str, tasks: Sequence[str], oracles: Sequence[Oracle] = (), *, merged: bool = False
    ) -> None:
        """A gate passed some work: what was said against it before, or against what it was made of, is settled.

        Checks that pass do not outvote an `approve` that refused the very same work.
        """
        self._passes += 1
        self._held.pop(step, None)
        roots, checks = self._roots(tasks), checks_of(oracles)
        began = min((self._begun.get(task_id, 0) for task_id in tasks), default=0)
        for no in self._noes:
            outvoted = no.refusal.kind == "approve" and kind in {"verify", "assign"}
            had = bool(no.open)
            no.open -= roots - set(tasks) if outvoted else roots
            same = (
                not outvoted
                and bool(no.checks)
                and no.checks <= checks
                and self._contains(no.refusal.tasks, began, merged=merged)
            )
            no.over = no.over or same or (had and not no.open)

    def refused(self, refusal: Refusal, oracles: Sequence[Oracle] = (), *, continued: bool) -> None:
        """A gate did not pass some work."""
        self._held[refusal.step] = tuple(refusal.tasks)
        self._noes.append(_No(refusal, set(refusal.tasks), checks_of(oracles), continued))

    def standing(self, within: str = "") -> list[Refusal]:
        """What was said against delivered work and still stands. `within` is the beginning of the steps' ids."""
        return [
            no.refusal
            for no in self._noes
            if not no.continued and self._stands(no) and no.refusal.step.startswith(within)
        ]

    def objections(self) -> list[Refusal]:
        """All that was said against delivered work and still stands, also where the chart goes on all the same."""
        return [no.refusal for no in self._noes if self._stands(no)]

    @property
    def approved(self) -> bool | None:
        """Whether every gate was passed in the end. None: there was none."""
        if any(self._stands(no) for no in self._noes):
            return False
        return True if self._passes or self._noes else None

    # -- the end ----------------------------------------------------------------------------------------------------

    def failure(self) -> Failure | None:
        """Why the execution fails although its program came to its end. None: nothing stands against its work."""
        standing = self.standing()
        if not standing:
            return None
        return Failure(code=standing[0].code, message="; ".join(map(refusal_words, standing)))

    def bounded(
        self, confidence: float | None, source: ConfidenceSource, delivered: frozenset[str] | None
    ) -> tuple[float | None, ConfidenceSource]:
        """A confidence that is not above the evidence about the work that is delivered.

        `delivered` are the tasks whose work that is; None: all that were not replaced or dropped. Where evidence was
        asked for and none was found, there is no confidence.
        """
        if confidence is None:
            return None, source
        scores = [proof.score for proof in self._proofs if self._counts(proof, delivered)]
        scores += [no.refusal.score for no in self._noes if self._stands(no) and no.checks]
        if any(score is None for score in scores):
            return None, ""
        least = min((score for score in scores if score is not None), default=1.0)
        return (confidence, source) if confidence <= least else (least, "verification")

    # -- what belongs together --------------------------------------------------------------------------------------

    def _stands(self, no: _No) -> bool:
        return not no.over and not (no.refusal.tasks and self._dropped.issuperset(no.refusal.tasks))

    def _roots(self, tasks: Iterable[str]) -> set[str]:
        """The tasks, and those that they were done instead of."""
        found: set[str] = set()
        waiting = list(tasks)
        while waiting:
            task_id = waiting.pop()
            if task_id not in found:
                found.add(task_id)
                waiting += self._made_of.get(task_id, ())
        return found

    def _contains(self, tasks: Sequence[str], began: int, *, merged: bool) -> bool:
        """Whether work that began then was made on top of these tasks; the merged result holds all that is merged."""
        known = [self._merged.get(task_id) for task_id in tasks]
        return bool(known) and all(at is not None and (merged or at < began) for at in known)

    def _counts(self, proof: _Proof, delivered: frozenset[str] | None) -> bool:
        live = proof.tasks - self._replaced - self._dropped
        if not live or (delivered is not None and live.isdisjoint(delivered)):
            return False
        return not any(later.at > proof.at and self._outdates(later, proof) for later in self._proofs)

    def _outdates(self, later: _Proof, proof: _Proof) -> bool:
        """Whether later evidence says the same about the same work, as it has become."""
        if not proof.checks or not proof.checks <= later.checks or later.tasks <= self._dropped:
            return False
        began = min((self._begun.get(task_id, 0) for task_id in later.tasks), default=0)
        return proof.tasks <= self._roots(later.tasks) or self._contains(
            sorted(proof.tasks), began, merged=later.merged
        )


def checks_of(oracles: Iterable[Oracle]) -> frozenset[str]:
    """What tells commands and other oracles from each other."""
    return frozenset(f"{one.type}\0{one.run}\0{one.cwd}\0{one.role}\0{one.rubric}\0{one.options}" for one in oracles)


def refusal_words(refusal: Refusal) -> str:
    """A refusal as a sentence."""
    said = f"{refusal.verdict}: {refusal.critique}" if refusal.critique else refusal.verdict
    if refusal.code == "verification_failed":
        return f"step {refusal.step!r} did not pass: {refusal.critique or refusal.verdict}"
    who = "a person" if refusal.by == "nobody" else refusal.by
    return f"step {refusal.step!r} was not approved by {who} ({said})"
