"""Drives a pattern's machine with results that a test feeds it, one by one, as an engine would from its log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from compiler.orchestration import Books, Conclusion, conclusion_of, open_machine
from compiler.prism import EffectFailed, PrismError, Step
from schemas.agents import OracleResult
from schemas.effects import Answered, Integrate, Integration, Select, Selection, Task, TaskOutcome, Verification, Verify
from schemas.events import SEMANTICS
from schemas.patterns import CompiledPattern, WorkspaceSpec

WORKSPACE = {"path": "/work/tree", "branch": "parallax/e1/result", "base": "main"}

Answer = Callable[[Any, str], Any]


@dataclass
class Life:
    """What a run asked for, in order, and how it ended."""

    asked: list[tuple[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    value: Any = None
    confidence: float | None = None
    source: str = ""
    error: PrismError | None = None
    books: Books = field(default_factory=Books)
    conclusion: Conclusion | None = None

    @property
    def code(self) -> str:
        """The code with which the execution fails; empty where it completes."""
        if self.error is not None:
            return self.error.code
        failure = self.conclusion.failure if self.conclusion is not None else None
        return "" if failure is None else failure.code

    @property
    def tasks(self) -> list[Task]:
        """The tasks that were asked for."""
        return [request for _, request in self.asked if isinstance(request, Task)]

    def kinds(self) -> list[str]:
        """What was asked for, in short: `dev` for a task of role dev, else the effect's name."""
        return [one.role if isinstance(one, Task) else type(one).__name__.lower() for _, one in self.asked]

    def integrated(self) -> list[list[str]]:
        """The commits of each integration."""
        return [[one.commit for one in request.commits] for _, request in self.asked if isinstance(request, Integrate)]


def pattern(program: str, *, roles: dict[str, Any] | None = None, workspace: bool = True) -> CompiledPattern:
    """A pattern around a program."""
    return CompiledPattern(
        name="test",
        version="1.0.0",
        format="prism",
        digest="",
        program=program,
        source=program,
        roles=roles or {},
        workspace=WorkspaceSpec(enabled=workspace),
    )


def outcome(request: Task, path: str, result: Any = "done", confidence: float | None = None) -> TaskOutcome:
    """A finished task; its commit is called after its path."""
    return TaskOutcome(
        task_id=f"t{path.replace('.', '_')}",
        result=result,
        confidence=confidence,
        confidence_source="self_report" if confidence is not None else "",
        role=request.role,
        session=request.session or f"{request.role}-1",
        commit=f"c{path}",
        files=["a.py"],
    )


def verified(score: float | None, output: str = "") -> Verification:
    """What a command oracle found."""
    passed = score is not None and score >= 1.0
    return Verification(
        score=score,
        passed=passed,
        oracles=[OracleResult(type="command", name="tests", score=score, passed=passed, output=output)],
    )


def simply(request: Any, path: str) -> Any:
    """The world at its best: every task done, every check passed."""
    match request:
        case Task():
            return outcome(request, path)
        case Integrate():
            return Integration(commit=f"i{path}")
        case Verify():
            return verified(1.0)
        case Select():
            return Selection(role=request.role, session=f"{request.role}-7")
        case _:
            return Answered(value="approve", by="ada")


def scripted(**results: list[Any]) -> Answer:
    """Answers the tasks of each role from a list: a result, `(result, confidence)`, or an EffectFailed."""
    left = {role: list(entries) for role, entries in results.items()}

    def answer(request: Any, path: str) -> Any:
        name = request.role if isinstance(request, Task) else type(request).__name__.lower()
        if name not in left:
            return simply(request, path)
        entry = left[name].pop(0)
        if not isinstance(request, Task) or isinstance(entry, EffectFailed):
            return entry
        return outcome(request, path, *entry) if isinstance(entry, tuple) else outcome(request, path, entry)

    return answer


def run(
    what: CompiledPattern | str,
    answer: Answer = simply,
    *,
    input: dict[str, Any] | None = None,  # noqa: A002 - as the engine calls it
    workspace: bool = True,
    last_first: bool = False,
    semantics: int = SEMANTICS,
) -> Life:
    """Runs a pattern to its end. `last_first` answers the newest request first: another order of the log."""
    made = pattern(what, workspace=workspace) if isinstance(what, str) else what
    context = {"executionId": "e1", "pattern": made.name}
    place = WORKSPACE if workspace else None
    life, waiting = Life(), dict[str, Any]()
    machine = open_machine(
        made, input=input or {}, workspace=place, context=context, semantics=semantics, books=life.books
    )
    step: Step = machine.start()
    while True:
        for pending in step.new:
            life.asked.append((pending.path, pending.request))
            waiting[pending.path] = pending.request
        for path in step.cancelled:
            life.cancelled.append(path)
            del waiting[path]
        if step.status == "sliced":
            step = machine.go_on()
        elif step.status == "suspended":
            path = list(waiting)[-1 if last_first else 0]
            given = answer(waiting.pop(path), path)
            error = given if isinstance(given, EffectFailed) else None
            step = machine.resume(path, error=error) if error is not None else machine.resume(path, given)
        else:
            break
    if step.status == "finished":
        made_of = conclusion_of(step, life.books, semantics=semantics, workspace=workspace and made.workspace.enabled)
        life.conclusion = made_of
        life.value, life.confidence, life.source = made_of.result, made_of.confidence, made_of.source
    life.error = step.error
    return life
