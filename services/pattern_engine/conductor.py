"""One execution as a function of its log: facts in, decisions out, no I/O.

The conductor holds the program of an execution and says what has to be appended next. A live run hands it each fact as
the log delivers it; a recovery and a replay hand it the recorded ones in the same order. Because the program sees
nothing but facts in log order and values that are themselves recorded, all three make the same decisions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from compiler.orchestration import GATE_CODES, UNPUBLISHED, Books, Conclusion, conclusion_of, open_machine
from compiler.orchestration.origin import explained, place_of
from compiler.orchestration.questions import Questions
from compiler.orchestration.values import as_doubles
from compiler.prism import EffectFailed, Machine, PrismError, Step
from schemas.base import Failure
from schemas.effects import AnyEffect, Now, Random, Select, Selection, Task, Wait
from schemas.events import (
    EffectRecorded,
    Event,
    ExecutionAccepted,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    QuestionAnswered,
    QuestionAsked,
    SignalReceived,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TimerSet,
    WorkspaceFailed,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrated,
    WorkspaceReady,
    WorkspaceRequested,
)
from schemas.events.tasks import saying_whether_interactive
from schemas.patterns import CompiledPattern
from services.pattern_engine.admission import started_pattern
from services.pattern_engine.decisions import (
    IMMEDIATE,
    answer,
    answers,
    decide,
    request_digest,
    selection,
    withdraw,
)
from services.pattern_engine.spending import Spending
from shared.ids import digest

SAYS_INTERACTIVE = 2
"""From this meaning on (`execution.started.semantics`) the input of a command agent ends after its task line."""

EXACT_NUMBERS = 2
"""From this meaning on whole numbers beyond 2**53 stay what they are in programs."""

_JSON_ANSWERS = ("result", "value", "data", "body")

Phase = Literal["new", "workspace", "program", "finalizing", "ended"]


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value comes from that is not in the log yet: the time in epoch milliseconds, a number in [0, 1)."""

    now_ms: Callable[[], int]
    random: Callable[[], float]


class Conductor:
    """The program of one execution and everything it waits for.

    `recorded` holds what the log already has, by event id: values are taken from there before they are made anew.
    Every method returns the decisions that follow, in the order in which they belong into the log; those that are
    recorded already are among them. While `sliced` is true the program has more to compute: call `go_on`.
    """

    def __init__(
        self,
        accepted: ExecutionAccepted,
        started: ExecutionStarted,
        sources: Sources,
        recorded: Mapping[str, Event] | None = None,
    ) -> None:
        self.execution_id = accepted.execution_id
        self.accepted = accepted
        self.pattern = started_pattern(started)
        self.phase: Phase = "new"
        self.effects = 0
        self.sliced = False
        self.asked: dict[str, Event] = {}
        self.ending: Event | None = None
        self._input = started.input
        self._semantics = started.meaning
        self._books = Books()
        self._sources = sources
        self._recorded: Mapping[str, Event] = recorded or {}
        self._machine: Machine | None = None
        self._immediate: deque[tuple[str, AnyEffect]] = deque()
        self._signals: dict[str, deque[SignalReceived]] = {}
        self._selections: dict[str, int] = {}
        self._spending = Spending()
        self._questions = Questions(self.execution_id, self.pattern, self._recorded, self._unanswered, digest)
        self._ready: WorkspaceReady | None = None
        self._commit = ""
        self._conclusion: Conclusion | None = None
        self._refused: Failure | None = None
        self._unpublished = ""
        self._out: list[Event] = []

    def begin(self) -> list[Event]:
        """The first decisions: a workspace where the pattern works in one, otherwise what the program asks first."""
        if self.pattern.workspace.enabled:
            self.phase = "workspace"
            self._out.append(
                WorkspaceRequested(
                    execution_id=self.execution_id,
                    repo=self.accepted.repo,
                    spec=msgspec.to_builtins(self.pattern.workspace),
                )
            )
        else:
            self._start(None)
        return self._take()

    def hear(self, fact: Event) -> list[Event]:
        """What follows from a fact. Late, repeated and foreign facts follow to nothing."""
        if self.phase == "ended":
            return []
        match fact:
            case TaskCompleted() | TaskFailed():
                self._task_ended(fact)
            case QuestionAsked():
                self._out += self._questions.asked(fact)
            case SignalReceived():
                self._signal(fact)
            case WorkspaceReady() | WorkspaceFailed() | WorkspaceFinalized():
                self._workspace(fact)
            case _:
                if isinstance(fact, QuestionAnswered):
                    self._out += self._questions.answered(fact.question_id)
                if isinstance(fact, WorkspaceIntegrated):
                    self._commit = fact.commit or self._commit
                path: str = getattr(fact, "effect", "")
                self._resume(path, fact)
        return self._take()

    def _task_ended(self, fact: TaskCompleted | TaskFailed) -> None:
        self._spending.add(fact)
        if self._questions.owns(fact.task_id):
            result = fact.result if isinstance(fact, TaskCompleted) else None
            self._out += self._questions.heard(fact.task_id, result, failed=isinstance(fact, TaskFailed))
            return
        self._out += self._questions.ended(fact.task_id)
        self._resume(fact.effect, fact)

    def _unanswered(self, task_id: str, error: EffectFailed) -> None:
        """A question that must be answered was not: the task that asked it is given up."""
        for path, asked in self.asked.items():
            if isinstance(asked, TaskRequested) and asked.task_id == task_id and self._machine is not None:
                self._withdraw(path)
                self._absorb(self._give(self._machine, path, error))
                return

    def _workspace(self, fact: WorkspaceReady | WorkspaceFailed | WorkspaceFinalized) -> None:
        match fact:
            case WorkspaceReady() if self.phase == "workspace":
                self._ready = fact
                self._commit = fact.base_commit
                self._start({"path": fact.path, "branch": fact.branch, "base": fact.base_branch})
            case WorkspaceFailed() if self.phase == "workspace":
                self._fail(fact.error)
            case WorkspaceFinalized() if self.phase == "finalizing":
                self._finalized(fact)
            case _:
                pass

    def go_on(self) -> list[Event]:
        """Computes another slice of a program that was interrupted so that others may run."""
        if self._machine is not None and self.sliced:
            self._absorb(self._machine.go_on())
        return self._take()

    def close(self) -> None:
        """Drops the program. The log can rebuild it."""
        self.phase = "ended"
        self.asked.clear()
        if self._machine is not None:
            self._machine.close()
            self._machine = None

    # -- the program ------------------------------------------------------------------------------------------------

    def _start(self, workspace: dict[str, Any] | None) -> None:
        self.phase = "program"
        context = {"executionId": self.execution_id, "pattern": self.pattern.name}
        values = self._input if self._semantics >= EXACT_NUMBERS else as_doubles(self._input)
        try:
            self._machine = open_machine(
                self.pattern,
                input=values,
                workspace=workspace,
                context=context,
                semantics=self._semantics,
                books=self._books,
            )
        except (PrismError, EffectFailed) as error:
            self._fail(_failure(error, self.pattern, self._input))
            return
        self._absorb(self._machine.start())

    def _resume(self, path: str, fact: Event) -> None:
        asked = self.asked.get(path)
        if asked is None or self._machine is None or not answers(fact, asked):
            return
        wanted = getattr(asked, "task_id", None)
        if wanted is not None and getattr(fact, "task_id", wanted) != wanted:
            return
        del self.asked[path]
        value = answer(fact, asked)
        self._absorb(self._give(self._machine, path, value if self._semantics >= EXACT_NUMBERS else _in_doubles(value)))

    @staticmethod
    def _give(machine: Machine, path: str, value: Any) -> Step:
        if isinstance(value, EffectFailed):
            return machine.resume(path, error=value)
        return machine.resume(path, value)

    def _signal(self, fact: SignalReceived) -> None:
        for path, asked in self.asked.items():
            if isinstance(asked, TimerSet) and asked.signal == fact.name:
                self._resume(path, fact)
                return
        self._signals.setdefault(fact.name, deque()).append(fact)

    def _absorb(self, step: Step) -> None:
        """Takes in what a step of the program asks for, answering at once what can be answered at once."""
        while True:
            for path in step.cancelled:
                self._withdraw(path)
            for pending in step.new:
                self.effects += 1
                self._ask(pending.path, pending.request)
                if self.phase == "ended":
                    return
            self.sliced = step.status == "sliced"
            if self.sliced:
                return
            if step.status in ("finished", "failed"):
                self._finish(step)
                return
            found = self._answerable()
            if found is None or self._machine is None:
                return
            path, request = found
            step = self._give(self._machine, path, self._value(path, request))

    def _answerable(self) -> tuple[str, AnyEffect] | None:
        """The next effect that can be answered at once. A wait cannot when another wait took the signal it saw."""
        while self._immediate:
            path, request = self._immediate.popleft()
            if not isinstance(request, Wait) or self._signals.get(request.signal):
                return path, request
        return None

    def _ask(self, path: str, request: AnyEffect) -> None:
        if isinstance(request, IMMEDIATE):
            self._immediate.append((path, request))
            return
        budget = self.accepted.options.budget
        if isinstance(request, Task) and budget is not None:
            at_work = sum(isinstance(asked, TaskRequested) for asked in self.asked.values())
            if over := self._spending.exceeds(budget, at_work):
                self._fail(Failure(code="budget_exceeded", message=over, where=f"effect {path}"))
                return
        event = decide(
            self.execution_id,
            path,
            request,
            workspace=self.pattern.workspace.enabled,
            now_ms=self._sources.now_ms(),
        )
        known = self._recorded.get(event.event_id)
        if isinstance(event, TimerSet | QuestionAsked) and isinstance(known, type(event)):
            deadline = "due_at" if isinstance(event, TimerSet) else "deadline_at"
            event = msgspec.structs.replace(event, **{deadline: getattr(known, deadline)})
        self._out.append(event)
        self.asked[path] = event
        waiting = self._signals.get(request.signal) if isinstance(request, Wait) else None
        if waiting:
            self._immediate.append((path, request))

    def _value(self, path: str, request: AnyEffect) -> Any:
        """The value of an effect that is answered at once: the recorded one, or a new one that is recorded now."""
        if isinstance(request, Wait):
            return answer(self._signals[request.signal].popleft(), self.asked.pop(path))
        event = EffectRecorded(
            execution_id=self.execution_id,
            effect=path,
            digest=request_digest(request),
            kind=str(request.__struct_config__.tag or ""),
            value=None,
        )
        known = self._recorded.get(event.event_id)
        value = known.value if isinstance(known, EffectRecorded) else self._make(request)
        self._out.append(msgspec.structs.replace(event, value=value))
        if not isinstance(request, Select):
            return value
        self._selections[request.role] = self._selections.get(request.role, 0) + 1
        return msgspec.convert(value, Selection)

    def _make(self, request: AnyEffect) -> Any:
        match request:
            case Now():
                return self._sources.now_ms()
            case Random():
                return self._sources.random()
            case Select():
                return msgspec.to_builtins(selection(request, self._selections.get(request.role, 0)))
            case _:
                return getattr(request, "message", None)

    def _withdraw(self, path: str) -> None:
        self._immediate = deque(entry for entry in self._immediate if entry[0] != path)
        asked = self.asked.pop(path, None)
        event = None if asked is None else withdraw(self.execution_id, path, asked, "no longer needed")
        if event is not None:
            self._out.append(event)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _finish(self, step: Step) -> None:
        self._out += self._questions.close()
        for path in list(self.asked):
            self._withdraw(path)
        if step.status == "failed":
            self._refuse(_failure(step.error, self.pattern, self._input))
            return
        works = self.pattern.workspace.enabled
        try:
            self._conclusion = conclusion_of(step, self._books, semantics=self._semantics, workspace=works)
        except PrismError as error:
            self._fail(_failure(error, self.pattern, self._input))
            return
        if self._conclusion.failure is not None:
            self._refuse(self._conclusion.failure)
        elif works:
            self._publish(passed=self._conclusion.approved is not False)
        else:
            self._complete(None)

    def _refuse(self, failure: Failure) -> None:
        """Fails. Work that did not pass is published before where that was asked for in so many words."""
        refused = failure.code in GATE_CODES and bool(self._books.standing())
        if refused and self.pattern.workspace.enabled and self._wants_push:
            if self.accepted.options.push == "always":
                self._refused = failure
                self._publish(passed=False)
                return
            self._unpublished = UNPUBLISHED
        self._fail(failure)

    @property
    def _wants_push(self) -> bool:
        return bool(self.accepted.options.push) or self.pattern.workspace.push

    def _publish(self, *, passed: bool) -> None:
        """Has the result published as asked. Work that did not pass its gates is pushed with `always` alone."""
        self.phase = "finalizing"
        push = self._wants_push and (passed or self.accepted.options.push == "always")
        if self._wants_push and not push:
            self._unpublished = UNPUBLISHED
        message = f"{self.pattern.name}: result of execution {self.execution_id}"
        self._out.append(WorkspaceFinalizeRequested(execution_id=self.execution_id, push=push, message=message))

    def _finalized(self, fact: WorkspaceFinalized) -> None:
        self._commit = fact.commit or self._commit
        if self._refused is not None:
            self._unpublished = "" if fact.error is None else f"The result was not pushed: {fact.error.message}"
            self._fail(self._refused)
        elif fact.error is not None:
            self._fail(fact.error)
        else:
            self._complete(fact)

    def _complete(self, published: WorkspaceFinalized | None) -> None:
        made = self._conclusion or Conclusion(result=None, confidence=None, source="")
        self._end(
            ExecutionCompleted(
                execution_id=self.execution_id,
                result=made.result,
                confidence=made.confidence,
                confidence_source=made.source,
                branch=published.branch if published else "",
                commit=published.commit if published else "",
                pr_url=published.pr_url if published else "",
                effects=self.effects,
                usage=self._spending.total,
                approved=UNSET if made.approved is None else made.approved,
                evidence=made.refusals or UNSET,
                unpublished=self._unpublished or UNSET,
            )
        )

    def _fail(self, error: Failure) -> None:
        self._out += self._questions.close()
        for path in list(self.asked):
            self._withdraw(path)
        self._end(self.failed(error))

    def failed(self, error: Failure) -> ExecutionFailed:
        """The event that ends this execution with an error, as things stand."""
        branch = self._ready.branch if self._ready else ""
        refusals = self._books.standing() if error.code in GATE_CODES else []
        return ExecutionFailed(
            execution_id=self.execution_id,
            error=error,
            branch=branch,
            commit=self._commit if branch else "",
            effects=self.effects,
            evidence=refusals or UNSET,
            unpublished=self._unpublished or UNSET,
        )

    def _end(self, event: Event) -> None:
        self._out.append(event)
        self.ending = event
        self.close()

    def _take(self) -> list[Event]:
        out, self._out = self._out, []
        if self._semantics >= SAYS_INTERACTIVE:
            out = [saying_whether_interactive(event) if isinstance(event, TaskRequested) else event for event in out]
        return out


def _in_doubles(answered: Any) -> Any:
    """What a program is resumed with, its numbers as they were before whole numbers were kept exactly."""
    if not isinstance(answered, msgspec.Struct):
        return answered
    names = [name for name in _JSON_ANSWERS if hasattr(answered, name)]
    return msgspec.structs.replace(answered, **{name: as_doubles(getattr(answered, name)) for name in names})


def _failure(error: Any, pattern: CompiledPattern, given: dict[str, Any]) -> Failure:
    """An error of a program as the log says it: where in the program, and which step of the file that is."""
    match error:
        case EffectFailed():
            return Failure(code=error.code, message=error.message)
        case PrismError():
            code = {"LimitError": "limit_exceeded"}.get(error.kind, error.code or "program_error")
            message = explained(error.message, pattern, given)
            return Failure(code=code, message=message, where=place_of(pattern, error))
        case _:
            return Failure(code="program_error", message=str(error))
