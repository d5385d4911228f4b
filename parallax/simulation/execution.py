"""One simulated run: the real program of a pattern, answered by simulated agents on a virtual clock.

The program is the one that an engine would run, and it is told what an engine would tell it, in the order of the log.
A test replays the logs made here in the engine and finds the same decisions.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from msgspec import UNSET

from compiler.orchestration import GATE_CODES, UNPUBLISHED, Books, Conclusion, conclusion_of, open_machine
from compiler.orchestration.questions import Questions
from compiler.prism import EffectFailed, Machine, PrismError, Step
from compiler.prism.machine import path_key
from parallax.simulation import requests
from parallax.simulation.clock import START_MS
from parallax.simulation.paths import path_of
from parallax.simulation.records import Outcome
from parallax.simulation.setting import Setting
from parallax.simulation.spending import Spending
from parallax.simulation.world import WITHDRAWN, World
from schemas.base import Failure
from schemas.effects import AnyEffect, Now, Random, Select, Selection, Task, Wait
from schemas.events import (
    SEMANTICS,
    EffectRecorded,
    Event,
    ExecutionCompleted,
    ExecutionFailed,
    HttpCompleted,
    QuestionAnswered,
    QuestionAsked,
    SignalReceived,
    TaskCancelRequested,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TimerFired,
    TimerSet,
    VerificationCompleted,
    WorkspaceConflicted,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrated,
    WorkspaceReady,
    WorkspaceRequested,
)
from schemas.events.tasks import saying_whether_interactive
from shared.ids import digest


class Execution:
    """One run. `go` plays it to its end."""

    def __init__(self, setting: Setting, run: int) -> None:
        self.setting = setting
        self.world = World(setting, run)
        self.execution_id = self.world.execution_id
        self.outcome = self.world.outcome
        self._asked: dict[str, Event] = {}
        self._immediate: deque[tuple[str, AnyEffect]] = deque()
        self._signals: dict[str, deque[SignalReceived]] = {}
        self._selections: dict[str, int] = {}
        self._spending = Spending()
        self._questions = Questions(self.execution_id, setting.pattern, {}, self._unanswered, digest)
        self._machine: Machine | None = None
        self._ended = False
        self._slices = 0
        self._books = Books()
        self._conclusion: Conclusion | None = None
        self._unpublished = ""
        self._branch, self._commit = "", ""

    # -- the run -------------------------------------------------------------------------------------------------------

    def go(self) -> Outcome:
        """Plays the run to its end, or to where nothing happens any more."""
        try:
            self._open()
            while not self._ended:
                if self.world.inbox:
                    self._hear(self.world.inbox.popleft())
                    continue
                due = self.world.clock.next_ms()
                if due is None or due > self.setting.limits.ms:
                    self._stall(due)
                    break
                self.world.clock.step()
        finally:
            if self._machine is not None:
                self._machine.close()
        return self._report()

    # -- the beginning -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        world, pattern = self.world, self.setting.pattern
        world.open()
        limit = self.setting.timeout_ms or pattern.timeout_ms
        if limit is not None:
            world.clock.after(limit, self._timed_out)
        if world.workspace:
            world.log(WorkspaceRequested(execution_id=self.execution_id, spec=msgspec.to_builtins(pattern.workspace)))
            world.open_workspace()
        else:
            self._start(None)

    def _start(self, workspace: dict[str, Any] | None) -> None:
        pattern = self.setting.pattern
        context = {"executionId": self.execution_id, "pattern": pattern.name}
        try:
            self._machine = open_machine(
                pattern,
                input=self.setting.input,
                workspace=workspace,
                context=context,
                semantics=SEMANTICS,
                books=self._books,
            )
        except PrismError as error:
            self._fail(requests.failure_of(error, self.setting.pattern))
            return
        self._absorb(self._machine.start())

    # -- facts ---------------------------------------------------------------------------------------------------------

    def _hear(self, fact: Event) -> None:
        match fact:
            case TaskCompleted() | TaskFailed():
                self._task_ended(fact)
            case QuestionAsked():
                self._perform(self._questions.asked(fact))
            case VerificationCompleted() | HttpCompleted() | TimerFired() | WorkspaceConflicted():
                self._resume(fact.effect, fact)
            case WorkspaceIntegrated():
                self._commit = fact.commit
                self._resume(fact.effect, fact)
            case QuestionAnswered():
                self._perform(self._questions.answered(fact.question_id))
                self._resume(fact.effect, fact)
            case SignalReceived():
                self._signalled_now(fact)
            case WorkspaceReady() if self._machine is None:
                self._branch, self._commit = fact.branch, fact.base_commit
                self._start({"path": fact.path, "branch": fact.branch, "base": fact.base_branch})
            case WorkspaceFinalized():
                self._complete(fact)
            case _:
                pass

    def _task_ended(self, fact: TaskCompleted | TaskFailed) -> None:
        if isinstance(fact, TaskCompleted):
            self._spending.add(fact.usage)
        if self._questions.owns(fact.task_id):
            result = fact.result if isinstance(fact, TaskCompleted) else None
            self._perform(self._questions.heard(fact.task_id, result, failed=isinstance(fact, TaskFailed)))
            return
        self._perform(self._questions.ended(fact.task_id))
        self._resume(fact.effect, fact)

    def _perform(self, decisions: list[Event]) -> None:
        """Does what follows from an agent's question."""
        for event in decisions:
            self.world.log(event)
            match event:
                case TaskRequested():
                    self.world.begin_hop(event)
                case TaskCancelRequested():
                    self.world.withdraw_task(event.task_id, event.reason)
                case QuestionAnswered():
                    self.world.answered(event)
                case _:
                    pass

    def _unanswered(self, name: str, error: EffectFailed) -> None:
        """A question that must be answered was not: the task that asked it is given up."""
        for path, asked in self._asked.items():
            if isinstance(asked, TaskRequested) and asked.task_id == name and self._machine is not None:
                self._withdraw(path)
                self._absorb(self._machine.resume(path, error=error))
                return

    def _resume(self, path: str, fact: Event) -> None:
        asked, machine = self._asked.get(path), self._machine
        if asked is None or machine is None or not requests.answers(fact, asked):
            return
        del self._asked[path]
        self.world.forget(path)
        self.world.mark(path, fact)
        value = requests.answer(fact, asked)
        if isinstance(value, EffectFailed):
            self._absorb(machine.resume(path, error=value))
        else:
            self._absorb(machine.resume(path, value))

    def _signalled_now(self, fact: SignalReceived) -> None:
        for path, asked in self._asked.items():
            if isinstance(asked, TimerSet) and asked.signal == fact.name:
                self._resume(path, fact)
                return
        self._signals.setdefault(fact.name, deque()).append(fact)

    # -- the program ---------------------------------------------------------------------------------------------------

    def _absorb(self, step: Step) -> None:
        while True:
            for path in step.cancelled:
                self._withdraw(path)
            for pending in step.new:
                self.outcome.effects += 1
                self._ask(pending.path, pending.request)
                if self._ended:
                    return
            machine = self._machine
            if machine is None:
                return
            if step.status == "sliced":
                self._slices += 1
                if self._slices > self.setting.limits.slices:
                    self._stop(f"its program, which computes on for more than {self._slices * 50_000} steps")
                    return
                step = machine.go_on()
            elif step.status in ("finished", "failed"):
                self._finish(step)
                return
            elif self._immediate:
                path, request = self._immediate.popleft()
                step = machine.resume(path, self._value(path, request))
            else:
                return

    def _ask(self, path: str, request: AnyEffect) -> None:
        limits = self.setting.limits
        if self.outcome.effects > limits.effects:
            self._stop(f"nothing: it asks for more than {limits.effects} things and is followed no further")
            return
        if isinstance(request, requests.IMMEDIATE):
            self._immediate.append((path, request))
            return
        if isinstance(request, Task) and (over := self._spending.exceeds(self.setting.budget)):
            self._fail(Failure(code="budget_exceeded", message=over, where=f"effect {path}"))
            return
        try:
            event = requests.requested(
                self.execution_id,
                path,
                request,
                workspace=self.world.workspace,
                now_ms=START_MS + self.world.clock.now_ms,
                signature=requests.request_digest(request) if self.setting.keep_log else "",
            )
        except TypeError:
            kind = type(request).__name__.lower()
            self._fail(Failure(code="unsupported", message=f"{kind} cannot be simulated", where=f"effect {path}"))
            return
        if isinstance(event, TaskRequested):
            event = saying_whether_interactive(event)
        self.world.log(event)
        self._asked[path] = event
        if isinstance(request, Wait) and self._signals.get(request.signal):
            self._immediate.append((path, request))
        else:
            self.world.begin(path, request, event)

    def _value(self, path: str, request: AnyEffect) -> Any:
        """The value of an effect that is answered at once."""
        if isinstance(request, Wait):
            fact = self._signals[request.signal].popleft()
            self.world.mark(path, fact)
            return requests.answer(fact, self._asked.pop(path))
        value: Any
        match request:
            case Now():
                value = START_MS + self.world.clock.now_ms
            case Random():
                value = self.world.draws("random", path).uniform()
            case Select():
                turn = self._selections.get(request.role, 0)
                value = msgspec.to_builtins(requests.selection(request, turn))
                self._selections[request.role] = turn + 1
            case _:
                value = getattr(request, "message", None)
        if self.setting.keep_log:
            kind, signature = str(request.__struct_config__.tag or ""), requests.request_digest(request)
            self.world.log(
                EffectRecorded(execution_id=self.execution_id, effect=path, digest=signature, kind=kind, value=value)
            )
        return msgspec.convert(value, Selection) if isinstance(request, Select) else value

    def _withdraw(self, path: str) -> None:
        self._immediate = deque(entry for entry in self._immediate if entry[0] != path)
        asked = self._asked.pop(path, None)
        if asked is None:
            return
        event = requests.withdrawn(self.execution_id, path, asked, WITHDRAWN)
        if event is not None:
            self.world.log(event)
        self.world.withdraw(path)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _finish(self, step: Step) -> None:
        self._perform(self._questions.close())
        for path in list(self._asked):
            self._withdraw(path)
        if step.status == "failed":
            self._fail(requests.failure_of(step.error, self.setting.pattern))
            return
        try:
            made = conclusion_of(step, self._books, semantics=SEMANTICS, workspace=self.world.workspace)
        except PrismError as error:
            self._fail(requests.failure_of(error, self.setting.pattern))
            return
        self._conclusion = made
        if made.failure is not None:
            self._fail(made.failure)
            return
        if not self.world.workspace:
            self._complete(None)
            return
        pattern = self.setting.pattern
        push = pattern.workspace.push and made.approved is not False
        self._unpublished = UNPUBLISHED if pattern.workspace.push and not push else ""
        message = f"{pattern.name}: result of execution {self.execution_id}"
        self.world.log(WorkspaceFinalizeRequested(execution_id=self.execution_id, push=push, message=message))
        self.world.publish(self._branch, self._commit)

    def _complete(self, published: WorkspaceFinalized | None) -> None:
        made = self._conclusion or Conclusion(result=None, confidence=None, source="")
        outcome = self.outcome
        outcome.status, outcome.result, outcome.confidence = "completed", made.result, made.confidence
        outcome.confidence_source, outcome.approved, outcome.refusals = made.source, made.approved, made.refusals
        self._end(
            ExecutionCompleted(
                execution_id=self.execution_id,
                result=made.result,
                confidence=made.confidence,
                confidence_source=made.source,
                branch=published.branch if published else "",
                commit=published.commit if published else "",
                effects=outcome.effects,
                usage=self._spending.total,
                approved=UNSET if made.approved is None else made.approved,
                evidence=made.refusals or UNSET,
                unpublished=self._unpublished or UNSET,
            )
        )

    def _fail(self, error: Failure) -> None:
        self._perform(self._questions.close())
        for path in list(self._asked):
            self._withdraw(path)
        self._failed(error)

    def _failed(self, error: Failure) -> None:
        self.outcome.status, self.outcome.error = "failed", error
        refusals = self._books.standing() if error.code in GATE_CODES else []
        wants_push = self.world.workspace and self.setting.pattern.workspace.push
        unpublished = UNPUBLISHED if refusals and wants_push else ""
        self.outcome.refusals = refusals
        self.outcome.approved = False if refusals else None
        self._end(
            ExecutionFailed(
                execution_id=self.execution_id,
                error=error,
                branch=self._branch,
                commit=self._commit if self._branch else "",
                effects=self.outcome.effects,
                evidence=refusals or UNSET,
                unpublished=unpublished or UNSET,
            )
        )

    def _timed_out(self) -> None:
        if not self._ended:
            self._failed(Failure(code="execution_timeout", message="The execution did not end within its time limit."))
            for job in list(self.world.jobs.values()):
                job.withdraw("the execution has failed")

    def _end(self, event: Event) -> None:
        self.world.log(event)
        self._ended = True

    def _stop(self, waits_for: str) -> None:
        """Follows the run no further."""
        self.outcome.status, self.outcome.waits_for = "stalled", [waits_for]
        self._ended = True

    def _stall(self, due: int | None) -> None:
        if due is not None:
            days = self.setting.limits.ms // 86_400_000
            self._stop(f"more than {days} days of simulated time, and is followed no further")
            return
        paths = sorted(self._asked, key=path_key)
        self.outcome.waits_for = [self.world.waited_for(path, self._asked[path]) for path in paths]
        self._ended = True

    def _report(self) -> Outcome:
        outcome = self.outcome
        for path in list(self._asked):
            self.world.forget(path)
        outcome.seconds = self.world.clock.now_ms / 1000
        outcome.cost = round(sum(task.cost_usd for task in outcome.tasks), 4)
        outcome.wasted = round(sum(task.wasted_usd for task in outcome.tasks), 4)
        outcome.tokens = sum(task.tokens for task in outcome.tasks)
        outcome.repeats = sum(task.attempts - 1 for task in outcome.tasks)
        outcome.quality = self.world.works.worst(outcome.result)
        outcome.path = path_of(outcome.tasks, self.world.marks)
        return outcome
