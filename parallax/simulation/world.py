"""Everything around the program of a simulated run: its log, its clock, agents, people, checks, git, signals.

The program side asks (`begin`), takes back (`withdraw`) and hears facts in the order of the log (`inbox`).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from parallax.simulation.clock import START_MS, Alarm, Clock
from parallax.simulation.draws import Draws
from parallax.simulation.model import Platform
from parallax.simulation.records import LoggedEvent, Mark, Outcome, TaskRecord
from parallax.simulation.sessions import Sessions
from parallax.simulation.setting import Setting
from parallax.simulation.surroundings import Reaction, checked, commit_id, conflicts, person_reacts
from parallax.simulation.tasks import Job
from parallax.simulation.turns import Crew, milliseconds
from parallax.simulation.works import Works, again, is_verdict
from schemas.commands import RequestOptions
from schemas.effects import AnyEffect, Ask, Integrate, Task, Verify, Wait
from schemas.events import (
    SEMANTICS,
    Event,
    ExecutionAccepted,
    ExecutionStarted,
    HttpCompleted,
    HttpRequested,
    QuestionAnswered,
    QuestionAsked,
    SignalReceived,
    TaskRequested,
    TimerFired,
    TimerSet,
    VerificationCompleted,
    VerificationRequested,
    WorkspaceConflicted,
    WorkspaceFinalized,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
    WorkspaceReady,
)
from shared.ids import digest, task_id

WITHDRAWN = "no longer needed"

_ANSWER_MS = 200
"""So long a server takes to answer a request of a program: 200, and nothing in it."""


class World:
    """The surroundings of one run. `outcome` is what is counted in it."""

    def __init__(self, setting: Setting, run: int) -> None:
        self.setting = setting
        self.key: tuple[object, ...] = (setting.seed, run)
        self.execution_id = f"simulated-{run}"
        self.clock = Clock()
        self.sessions = Sessions()
        self.works = Works()
        self.workspace = setting.pattern.workspace.enabled
        self.platform: Platform = setting.cast.agents.platform
        self.crew = Crew(setting.cast, setting.scripts, self.key, self.works)
        self.outcome = Outcome(run=run, status="stalled")
        self.inbox: deque[Event] = deque()
        self.marks: list[Mark] = []
        self.jobs: dict[str, Job] = {}
        self._requests: dict[str, AnyEffect] = {}
        self._alarms: dict[str, list[Alarm]] = {}
        self._by_task: dict[str, Job] = {}
        self._open_questions: set[str] = set()
        self._signalled = 0
        self._changed: set[str] = set()

    # -- the log -------------------------------------------------------------------------------------------------------

    def log(self, event: Event) -> None:
        """Puts an event into the log."""
        if self.setting.keep_log:
            self.outcome.events.append(LoggedEvent(self.clock.now_ms, event))

    def say(self, event: Event) -> None:
        """Puts a fact into the log; the program hears of it when it is its turn."""
        self.log(event)
        self.inbox.append(event)

    def draws(self, what: str, path: str = "") -> Draws:
        """The draws of one purpose at one place of the program."""
        return Draws(*self.key, what, path)

    # -- the beginning -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """What the log begins with, and the signals that somebody will send."""
        if self.setting.keep_log:
            accepted, started = self._opening()
            self.log(accepted)
            self.log(started)
        for name, model in self.setting.cast.agents.signals.items():
            draws = self.draws("signal", name)
            if draws.chance(model.probability):
                self.clock.after(milliseconds(model.seconds, draws), self._signal, name, model.data)

    def _opening(self) -> tuple[ExecutionAccepted, ExecutionStarted]:
        setting, pattern = self.setting, self.setting.pattern
        accepted = ExecutionAccepted(
            execution_id=self.execution_id,
            pattern=pattern.name,
            request_digest=digest({"pattern": pattern.name, "input": setting.input}),
            engine="simulation",
            input=setting.input,
            options=RequestOptions(budget=setting.budget, timeout_ms=setting.timeout_ms),
        )
        started = ExecutionStarted(
            execution_id=self.execution_id,
            engine="simulation",
            epoch=1,
            pattern_name=pattern.name,
            pattern_version=pattern.version,
            pattern_format=pattern.format,
            pattern_digest=pattern.digest,
            program=pattern.program,
            program_digest=digest([pattern.program, pattern.modules, *([pattern.called] if pattern.called else [])]),
            input=setting.input,
            pattern_source=pattern.source if pattern.source != pattern.program else "",
            modules=pattern.modules,
            called=pattern.called,
            workspace=msgspec.to_builtins(pattern.workspace) if self.workspace else None,
            roles=pattern.roles,
            semantics=SEMANTICS,
        )
        return accepted, started

    def open_workspace(self) -> None:
        """Git makes the workspace that was asked for."""
        ready = WorkspaceReady(
            execution_id=self.execution_id,
            workspace_id=self.execution_id,
            path=f"/workspaces/{self.execution_id}",
            branch=f"parallax/{self.execution_id}/result",
            base_branch="main",
            base_commit=commit_id("base"),
        )
        self._alarm("", self._git_ms("open"), ready)

    def publish(self, branch: str, commit: str) -> None:
        """Git publishes the result branch."""
        published = WorkspaceFinalized(
            execution_id=self.execution_id, branch=branch, commit=commit, base_commit=commit_id("base")
        )
        self._alarm("", self._git_ms("publish"), published)

    def _signal(self, name: str, data: Any) -> None:
        self._signalled += 1
        self.say(
            SignalReceived(
                execution_id=self.execution_id, number=self._signalled, name=name, data=data, by="simulation"
            )
        )

    # -- requests of the program ---------------------------------------------------------------------------------------

    def begin(self, path: str, request: AnyEffect, event: Event) -> None:
        """Has a request answered, sooner, later or never."""
        self._requests[path] = request
        match event:
            case TaskRequested() if isinstance(request, Task):
                self._begin_task(path, request)
            case VerificationRequested() if isinstance(request, Verify):
                self.outcome.checks += 1
                draws = self.draws("verify", path)
                ms, found = checked(self.setting.cast, self.works, request, event, draws, workspace=self.workspace)
                self._alarm(path, ms, found)
            case HttpRequested():
                answered = HttpCompleted(execution_id=self.execution_id, effect=path, status=200)
                self._alarm(path, min(_ANSWER_MS, event.timeout_ms), answered)
            case WorkspaceIntegrationRequested() if isinstance(request, Integrate):
                self._alarm(path, self._git_ms(path), self._merged(path, request))
            case TimerSet(due_at=int(due)):
                fired = TimerFired(execution_id=self.execution_id, effect=path)
                self._alarm(path, due - START_MS - self.clock.now_ms, fired)
            case QuestionAsked() if isinstance(request, Ask):
                self._begin_question(path, request, event)
            case _:
                pass

    def withdraw(self, path: str) -> None:
        """The program does not want an answer any more."""
        job = self.jobs.get(path)
        if job is not None:
            job.withdraw(WITHDRAWN)
        self.forget(path)

    def forget(self, path: str) -> None:
        """A request is answered, or not wanted: nothing more comes of it."""
        for alarm in self._alarms.pop(path, ()):
            alarm.cancel()
        self.jobs.pop(path, None)

    def _begin_task(self, path: str, request: Task) -> None:
        record = self._record(task_id(self.execution_id, path), path, request)
        record.kind = "verdict" if is_verdict(request) else "work"
        self.jobs[path] = self._begun(request, record)

    def begin_hop(self, asked: TaskRequested) -> None:
        """Somebody in the team is asked an agent's question: a task that no effect of the program stands for."""
        request = Task(
            role=asked.role,
            text=asked.text,
            agent=asked.agent,
            context=asked.context,
            timeout_ms=asked.timeout_ms,
            attempts=asked.attempts,
        )
        record = self._record(asked.task_id, "", request)
        record.kind = "answer"
        self._begun(request, record)

    def _record(self, name: str, path: str, request: Task) -> TaskRecord:
        return TaskRecord(
            task_id=name,
            path=path,
            role=request.role,
            step=request.step,
            text=request.text,
            again=again(request),
            requested_ms=self.clock.now_ms,
            input=request.input,
            context=request.context,
        )

    def _begun(self, request: Task, record: TaskRecord) -> Job:
        self.outcome.tasks.append(record)
        self.works.by_task[record.task_id] = record
        job = self._by_task[record.task_id] = Job(self, request, record)
        job.begin()
        return job

    def withdraw_task(self, name: str, reason: str) -> None:
        """A task that no effect stands for is not wanted any more."""
        job = self._by_task[name]
        if job.record.status == "open":
            job.withdraw(reason)

    # -- questions of agents -------------------------------------------------------------------------------------------

    def agent_asks(self, asked: QuestionAsked) -> None:
        """An agent's question is in the log; people see it, and may answer before the team does."""
        self.outcome.agents_asked += 1
        self._open_questions.add(asked.question_id)
        self.say(asked)
        ask = Ask(question=asked.question, options=asked.options, role=asked.role)
        reaction = self._reaction(ask, asked.question_id, asked.effect)
        if reaction.given:
            answered = QuestionAnswered(
                execution_id=self.execution_id,
                question_id=asked.question_id,
                value=reaction.value,
                by="person",
                effect=asked.effect,
                task_id=asked.task_id,
            )
            self.clock.after(reaction.ms, self._person_answers, answered)

    def _person_answers(self, answered: QuestionAnswered) -> None:
        job = self._by_task[answered.task_id]
        if answered.question_id in self._open_questions and job.record.status == "open":
            self.say(answered)
            self.answered(answered)

    def answered(self, answered: QuestionAnswered) -> None:
        """A question of an agent is answered, by whomever: the agent goes on."""
        self._open_questions.discard(answered.question_id)
        who = answered.by.removeprefix("role:") or "nobody"
        self.marks.append(Mark(answered.effect, f"asks: {'a person' if answered.by == 'person' else who}"))
        self._by_task[answered.task_id].answered(answered.question_id)

    def _reaction(self, ask: Ask, key: str, path: str) -> Reaction:
        agents = self.setting.cast.agents
        people = agents.people if self.setting.person is None else self.setting.person
        return person_reacts(people, ask, self.draws("person", key), self.works.latest(path), agents.good)

    def _begin_question(self, path: str, request: Ask, event: QuestionAsked) -> None:
        self.outcome.questions += 1
        if request.kind == "approval" and request.role:
            self.outcome.asked_at_the_top += 1
        reaction = self._reaction(request, path, path)
        answered = QuestionAnswered(
            execution_id=self.execution_id,
            question_id=event.question_id,
            effect=path,
            value=reaction.value,
            by="person",
        )
        if reaction.given:
            self._alarm(path, reaction.ms, answered)
        if request.deadline_ms is not None:
            late = msgspec.structs.replace(answered, value=request.default, by="deadline")
            self._alarm(path, request.deadline_ms, late)

    def _merged(self, path: str, request: Integrate) -> Event:
        last = request.commits[-1]
        if conflicts(self.setting.cast.agents.workspace, request, self._changed, self.draws("merge", path)):
            return WorkspaceConflicted(
                execution_id=self.execution_id,
                effect=path,
                paths=["shared.txt"],
                role=last.role,
                session=last.session,
                task_id=last.task_id,
                commit=last.commit,
            )
        commit = commit_id(*self.key, "merge", path)
        return WorkspaceIntegrated(execution_id=self.execution_id, effect=path, commit=commit)

    def commit_of(self, record: TaskRecord, *, changed: bool) -> str:
        """The commit after a task; empty where there is no workspace, and of reviewers, who change nothing."""
        if not self.workspace or record.kind != "work":
            return ""
        commit = commit_id(*self.key, record.path, record.attempts)
        if changed:
            self._changed.add(commit)
        return commit

    def _git_ms(self, path: str) -> int:
        return milliseconds(self.setting.cast.agents.workspace.seconds, self.draws("git", path))

    def _alarm(self, path: str, ms: int, fact: Event) -> None:
        self._alarms.setdefault(path, []).append(self.clock.after(ms, self.say, fact))

    # -- what is counted -----------------------------------------------------------------------------------------------

    def mark(self, path: str, fact: Event) -> None:
        """Keeps what a fact says about the way that the run takes."""
        request = self._requests.pop(path, None)
        match fact:
            case VerificationCompleted() if not fact.passed:
                self.outcome.checks_failed += 1
                self.marks.append(Mark(path, "checks: fail" if fact.score is not None else "checks: no evidence"))
            case WorkspaceConflicted():
                self.outcome.conflicts += 1
                self.marks.append(Mark(path, "merge: conflict"))
            case QuestionAnswered() if not fact.task_id:
                said = fact.value if isinstance(fact.value, str | bool) else "answer"
                late = fact.by == "deadline"
                self.outcome.unanswered += late
                self.marks.append(
                    Mark(path, "person: no answer" if late else f"person: {' '.join(str(said).split())[:40]}")
                )
            case SignalReceived():
                self.marks.append(Mark(path, f"signal {fact.name}"))
            case TimerFired() if isinstance(request, Wait):
                self.marks.append(Mark(path, f"no signal {request.signal}"))
            case _:
                pass

    def waited_for(self, path: str, asked: Event) -> str:
        """What a request waits for that nothing will answer."""
        match asked:
            case TimerSet():
                return f"the signal {asked.signal!r}, which nobody sends"
            case QuestionAsked():
                question = asked.question.strip().split("\n")[0][:80]
                return f"a person, who does not answer, with no deadline: {question}"
            case TaskRequested():
                job = self.jobs.get(path)
                name = asked.step or asked.role
                if job is not None and job.question:
                    return f"the task {name!r}, whose agent asked what nobody answers: {job.question[:80]}"
                if job is not None and job.never_ends:
                    return f"the task {name!r}, whose agent never ends and which has no timeoutMs"
                return f"the task {name!r}, for which no session of {asked.role!r} becomes free"
            case _:
                return asked.TYPE
