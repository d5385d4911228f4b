"""Everything that can happen to an execution: one frozen struct for each kind of event of the log.

The log is the public event stream. An event's kind is its last two subject tokens (`task.completed` in
`parallax.events.<execution_id>.task.completed`), its `ce-type` header, and `TYPE` of the struct here. Its id is
deterministic: `KEY` names the fields that tell one such event of an execution from another, so that a fact that is
appended twice is stored once and every reader may drop a second copy.

`WRITER` names the only service that may append the kind. Kinds of the entity `execution` are written by engines alone.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from schemas.agents import AgentSpec, Oracle, OracleResult
from schemas.base import ExecutionId, Failure, Json, Millis, Model, Problem, Score, Usage
from schemas.commands import Repository, RequestOptions

ConfidenceSource = Literal["", "self_report", "verification", "review", "aggregate", "program"]
"""Where a confidence came from. Empty: there is none."""


class Event(Model, frozen=True, kw_only=True):
    """One fact of one execution. Every payload carries its execution's id."""

    TYPE: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
    KEY: ClassVar[tuple[str, ...]] = ()
    WRITER: ClassVar[str] = ""

    execution_id: ExecutionId

    @property
    def event_id(self) -> str:
        """The deterministic id of this event: execution, kind, and the fields that `KEY` names."""
        return ":".join((self.execution_id, self.TYPE, *(str(getattr(self, name)) for name in self.KEY)))


# -- execution: written by engines alone, in one fenced sequence ---------------------------------------------------


class ExecutionAccepted(Event, frozen=True, kw_only=True):
    """A request is taken on. `request_digest` tells a repeated request from a different one under the same id."""

    TYPE: ClassVar[str] = "execution.accepted"
    WRITER: ClassVar[str] = "pattern_engine"

    pattern: str
    request_digest: str
    input: dict[str, Json] = {}
    repo: Repository | None = None
    options: RequestOptions = RequestOptions()


class ExecutionRejected(Event, frozen=True, kw_only=True):
    """A request cannot be run. `requested_id` is the id it came with where that could not be used."""

    TYPE: ClassVar[str] = "execution.rejected"
    WRITER: ClassVar[str] = "pattern_engine"

    errors: list[Problem]
    requested_id: str = ""
    pattern: str = ""


class ExecutionStarted(Event, frozen=True, kw_only=True):
    """The program is fixed: its source and digest are here, so a later edit of the pattern changes nothing."""

    TYPE: ClassVar[str] = "execution.started"
    WRITER: ClassVar[str] = "pattern_engine"

    engine: str
    epoch: int
    pattern_name: str
    pattern_version: str
    pattern_format: str
    pattern_digest: str
    program: str
    program_digest: str
    input: dict[str, Json] = {}
    pattern_source: str = ""
    modules: dict[str, str] = {}
    workspace: dict[str, Json] | None = None
    roles: dict[str, Json] = {}
    limits: dict[str, int] = {}


class ExecutionClaimed(Event, frozen=True, kw_only=True):
    """Another engine owns the execution from here on; every append of the former owner is refused."""

    TYPE: ClassVar[str] = "execution.claimed"
    KEY: ClassVar[tuple[str, ...]] = ("epoch",)
    WRITER: ClassVar[str] = "pattern_engine"

    engine: str
    epoch: int
    former: str = ""
    reason: str = ""


class ExecutionPaused(Event, frozen=True, kw_only=True):
    """Nothing new starts and running agents are frozen until `execution.resumed`."""

    TYPE: ClassVar[str] = "execution.paused"
    KEY: ClassVar[tuple[str, ...]] = ("number",)
    WRITER: ClassVar[str] = "pattern_engine"

    number: int
    reason: str = ""
    by: str = ""


class ExecutionResumed(Event, frozen=True, kw_only=True):
    """A paused execution goes on."""

    TYPE: ClassVar[str] = "execution.resumed"
    KEY: ClassVar[tuple[str, ...]] = ("number",)
    WRITER: ClassVar[str] = "pattern_engine"

    number: int
    by: str = ""


class ExecutionCompleted(Event, frozen=True, kw_only=True):
    """The end of an execution that reached its end. `confidence` None: nobody gave any."""

    TYPE: ClassVar[str] = "execution.completed"
    WRITER: ClassVar[str] = "pattern_engine"

    result: Json = None
    confidence: Score | None = None
    confidence_source: ConfidenceSource = ""
    calibrated: bool = False
    branch: str = ""
    commit: str = ""
    pr_url: str = ""
    effects: int = 0
    usage: Usage | None = None


class ExecutionFailed(Event, frozen=True, kw_only=True):
    """The end of an execution that could not reach its end. Work that was committed stays on its branches."""

    TYPE: ClassVar[str] = "execution.failed"
    WRITER: ClassVar[str] = "pattern_engine"

    error: Failure
    branch: str = ""
    commit: str = ""
    effects: int = 0


class ExecutionCancelled(Event, frozen=True, kw_only=True):
    """The end of an execution that somebody stopped."""

    TYPE: ClassVar[str] = "execution.cancelled"
    WRITER: ClassVar[str] = "pattern_engine"

    reason: str = ""
    by: str = ""


# -- effects that the engine answers itself ------------------------------------------------------------------------


class EffectRecorded(Event, frozen=True, kw_only=True):
    """A small effect and its result in one: the time, a random number, a line for the log, a selection."""

    TYPE: ClassVar[str] = "effect.recorded"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str
    digest: str
    kind: str
    value: Json = None


class TimerSet(Event, frozen=True, kw_only=True):
    """A program waits for a time, and perhaps a signal, whichever comes first. `due_at` is in epoch milliseconds."""

    TYPE: ClassVar[str] = "timer.set"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str
    digest: str
    due_at: int | None = None
    signal: str = ""


class TimerFired(Event, frozen=True, kw_only=True):
    """The time came."""

    TYPE: ClassVar[str] = "timer.fired"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str


class SignalReceived(Event, frozen=True, kw_only=True):
    """Somebody sent a signal. It answers the oldest waiting effect of that name, or waits to be asked for."""

    TYPE: ClassVar[str] = "signal.received"
    KEY: ClassVar[tuple[str, ...]] = ("number",)
    WRITER: ClassVar[str] = "pattern_engine"

    number: int
    name: str
    data: Json = None
    by: str = ""


# -- tasks ----------------------------------------------------------------------------------------------------------


class TaskRequested(Event, frozen=True, kw_only=True):
    """A program wants a task done. Everything an executor has to know is here, so that any executor can do it."""

    TYPE: ClassVar[str] = "task.requested"
    KEY: ClassVar[tuple[str, ...]] = ("task_id",)
    WRITER: ClassVar[str] = "pattern_engine"

    task_id: str
    effect: str
    digest: str
    role: str
    text: str
    agent: AgentSpec
    step: str = ""
    session: str = ""
    input: Json = None
    context: Json = None
    timeout_ms: Millis | None = None
    attempts: int | None = None
    workspace: bool = False


class TaskStarted(Event, frozen=True, kw_only=True):
    """A turn was handed to an agent."""

    TYPE: ClassVar[str] = "task.started"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "executor"

    task_id: str
    attempt: int
    effect: str
    role: str
    session: str
    agent_id: str
    step: str = ""


class TaskFinished(Event, frozen=True, kw_only=True):
    """A turn in a workspace is over and what the agent changed is about to be committed."""

    TYPE: ClassVar[str] = "task.finished"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "runtime_local|executor"

    task_id: str
    attempt: int
    role: str
    session: str
    agent_id: str
    outcome: Literal["ok", "failed", "interrupted"]
    result: Json = None
    confidence: Score | None = None
    usage: Usage | None = None
    error: Failure | None = None


class TaskRetrying(Event, frozen=True, kw_only=True):
    """An attempt failed and the task will be tried again after `delay_ms`."""

    TYPE: ClassVar[str] = "task.retrying"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "executor"

    task_id: str
    attempt: int
    error: Failure
    delay_ms: int
    interrupted: bool = False


class TaskCompleted(Event, frozen=True, kw_only=True):
    """A task is done, once. `commit` is what the agent changed, committed by the platform."""

    TYPE: ClassVar[str] = "task.completed"
    KEY: ClassVar[tuple[str, ...]] = ("task_id",)
    WRITER: ClassVar[str] = "executor"

    task_id: str
    effect: str
    role: str
    session: str
    agent_id: str
    attempt: int
    result: Json = None
    confidence: Score | None = None
    confidence_source: ConfidenceSource = ""
    commit: str = ""
    files: list[str] = []
    usage: Usage | None = None
    duration_ms: int = 0
    step: str = ""


class TaskFailed(Event, frozen=True, kw_only=True):
    """A task could not be done in `attempts` attempts."""

    TYPE: ClassVar[str] = "task.failed"
    KEY: ClassVar[tuple[str, ...]] = ("task_id",)
    WRITER: ClassVar[str] = "executor"

    task_id: str
    effect: str
    role: str
    error: Failure
    attempts: int
    session: str = ""
    step: str = ""


class TaskCancelRequested(Event, frozen=True, kw_only=True):
    """A program no longer wants a task (it lost a race, its execution ends): agents at it are to be stopped."""

    TYPE: ClassVar[str] = "task.cancel_requested"
    KEY: ClassVar[tuple[str, ...]] = ("task_id",)
    WRITER: ClassVar[str] = "pattern_engine"

    task_id: str
    effect: str
    reason: str = ""


class TaskCancelled(Event, frozen=True, kw_only=True):
    """Nobody is at the task any more. Its result, if one comes late, is not used."""

    TYPE: ClassVar[str] = "task.cancelled"
    KEY: ClassVar[tuple[str, ...]] = ("task_id",)
    WRITER: ClassVar[str] = "executor"

    task_id: str
    effect: str
    reason: str = ""


# -- verification ---------------------------------------------------------------------------------------------------


class VerificationRequested(Event, frozen=True, kw_only=True):
    """A program wants evidence about a task's outcome from command oracles in the session's worktree."""

    TYPE: ClassVar[str] = "verification.requested"
    KEY: ClassVar[tuple[str, ...]] = ("verification_id",)
    WRITER: ClassVar[str] = "pattern_engine"

    verification_id: str
    effect: str
    digest: str
    oracles: list[Oracle]
    combine: Literal["min", "weighted", "product"] = "min"
    task_id: str = ""
    role: str = ""
    session: str = ""
    commit: str = ""
    step: str = ""


class VerificationCompleted(Event, frozen=True, kw_only=True):
    """What the oracles found. `score` None: there is no evidence, which is never a pass."""

    TYPE: ClassVar[str] = "verification.completed"
    KEY: ClassVar[tuple[str, ...]] = ("verification_id",)
    WRITER: ClassVar[str] = "executor"

    verification_id: str
    effect: str
    score: Score | None = None
    passed: bool = False
    oracles: list[OracleResult] = []
    task_id: str = ""
    role: str = ""
    error: Failure | None = None


# -- agents ---------------------------------------------------------------------------------------------------------


class AgentSpawnRequested(Event, frozen=True, kw_only=True):
    """A role has no agent for a task: a runtime is asked for one."""

    TYPE: ClassVar[str] = "agent.spawn_requested"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id",)
    WRITER: ClassVar[str] = "executor"

    agent_id: str
    role: str
    session: str
    kind: str
    runtime: str
    agent: AgentSpec


class AgentSpawned(Event, frozen=True, kw_only=True):
    """A session of a role is ready for tasks."""

    TYPE: ClassVar[str] = "agent.spawned"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id",)
    WRITER: ClassVar[str] = "runtime_local"

    agent_id: str
    role: str
    session: str
    kind: str
    runtime: str
    pid: int = 0


class AgentSpawnFailed(Event, frozen=True, kw_only=True):
    """A runtime could not start an agent."""

    TYPE: ClassVar[str] = "agent.spawn_failed"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id",)
    WRITER: ClassVar[str] = "runtime_local"

    agent_id: str
    role: str
    session: str
    error: Failure


class AgentLost(Event, frozen=True, kw_only=True):
    """An agent of this execution was gone without a word: its lease ended."""

    TYPE: ClassVar[str] = "agent.lost"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id", "lease")
    WRITER: ClassVar[str] = "registry"

    agent_id: str
    lease: str = ""
    role: str = ""
    session: str = ""


class AgentStopped(Event, frozen=True, kw_only=True):
    """An agent that was spawned for this execution was ended, with everything it had started."""

    TYPE: ClassVar[str] = "agent.stopped"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id",)
    WRITER: ClassVar[str] = "runtime_local"

    agent_id: str
    reason: str = ""


# -- workspaces -----------------------------------------------------------------------------------------------------


class WorkspaceRequested(Event, frozen=True, kw_only=True):
    """An execution wants a clone of a repository (or an empty one) and a branch for its result."""

    TYPE: ClassVar[str] = "workspace.requested"
    WRITER: ClassVar[str] = "pattern_engine"

    repo: Repository | None = None
    spec: dict[str, Json] = {}


class WorkspaceReady(Event, frozen=True, kw_only=True):
    """The clone exists, and the result branch at the base commit."""

    TYPE: ClassVar[str] = "workspace.ready"
    WRITER: ClassVar[str] = "workspace"

    workspace_id: str
    path: str
    branch: str
    base_branch: str
    base_commit: str
    url: str = ""


class WorkspaceFailed(Event, frozen=True, kw_only=True):
    """The repository could not be cloned, or its base branch does not exist."""

    TYPE: ClassVar[str] = "workspace.failed"
    WRITER: ClassVar[str] = "workspace"

    error: Failure


class WorkspacePrepareRequested(Event, frozen=True, kw_only=True):
    """Before an attempt: the session's worktree is to be made, and brought up to the result branch.

    `from_commit` set: the worktree is to stand at that commit (the commit before a failed attempt).
    """

    TYPE: ClassVar[str] = "workspace.prepare_requested"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "executor"

    task_id: str
    attempt: int
    role: str
    session: str


class WorkspacePrepared(Event, frozen=True, kw_only=True):
    """The session's worktree stands at `commit`, clean."""

    TYPE: ClassVar[str] = "workspace.prepared"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "workspace"

    task_id: str
    attempt: int
    role: str
    session: str
    path: str = ""
    branch: str = ""
    commit: str = ""
    error: Failure | None = None


class WorkspaceCommitted(Event, frozen=True, kw_only=True):
    """What a turn changed is committed on the session's branch. No change: `commit` equals `parent`."""

    TYPE: ClassVar[str] = "workspace.committed"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "workspace"

    task_id: str
    attempt: int
    role: str
    session: str
    branch: str = ""
    commit: str = ""
    parent: str = ""
    files: list[str] = []
    error: Failure | None = None


class WorkspaceContribution(Model, frozen=True, kw_only=True):
    """One session's commit that is to become part of the result."""

    role: str
    session: str
    task_id: str
    commit: str


class WorkspaceIntegrationRequested(Event, frozen=True, kw_only=True):
    """A step is over: the commits of its tasks are to be merged onto the result branch, in this order."""

    TYPE: ClassVar[str] = "workspace.integration_requested"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str
    digest: str
    commits: list[WorkspaceContribution]
    step: str = ""


class WorkspaceIntegrated(Event, frozen=True, kw_only=True):
    """The result branch stands at `commit` and holds every contribution of the step."""

    TYPE: ClassVar[str] = "workspace.integrated"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "workspace"

    effect: str
    commit: str
    files: list[str] = []


class WorkspaceConflicted(Event, frozen=True, kw_only=True):
    """A contribution cannot be merged without losing something. The result branch is as it was before the step."""

    TYPE: ClassVar[str] = "workspace.conflicted"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "workspace"

    effect: str
    paths: list[str]
    role: str = ""
    session: str = ""
    task_id: str = ""
    commit: str = ""
    message: str = ""


class WorkspaceFinalizeRequested(Event, frozen=True, kw_only=True):
    """The program is done: the result is to be published as the request and the pattern say."""

    TYPE: ClassVar[str] = "workspace.finalize_requested"
    WRITER: ClassVar[str] = "pattern_engine"

    push: bool = False
    message: str = ""


class WorkspaceFinalized(Event, frozen=True, kw_only=True):
    """The result branch is where it should be. `pushed` tells whether the origin has it."""

    TYPE: ClassVar[str] = "workspace.finalized"
    WRITER: ClassVar[str] = "workspace"

    branch: str = ""
    commit: str = ""
    base_commit: str = ""
    pushed: bool = False
    files: list[str] = []
    insertions: int = 0
    deletions: int = 0
    pr_url: str = ""
    error: Failure | None = None


class WorkspaceCleaned(Event, frozen=True, kw_only=True):
    """The worktrees are gone. `kept_refs` are the refs that keep what was in them."""

    TYPE: ClassVar[str] = "workspace.cleaned"
    WRITER: ClassVar[str] = "workspace"

    workspace_id: str
    kept_refs: list[str] = []


# -- questions ------------------------------------------------------------------------------------------------------


class QuestionAsked(Event, frozen=True, kw_only=True):
    """Somebody has to answer before this goes on. Unanswered never means approved."""

    TYPE: ClassVar[str] = "question.asked"
    KEY: ClassVar[tuple[str, ...]] = ("question_id",)
    WRITER: ClassVar[str] = "pattern_engine|executor"

    question_id: str
    question: str
    kind: Literal["question", "approval"] = "question"
    options: list[str] = []
    effect: str = ""
    digest: str = ""
    task_id: str = ""
    role: str = ""
    who: list[str] = []
    default: Json = None
    deadline_at: int | None = None


class QuestionAnswered(Event, frozen=True, kw_only=True):
    """An answer was given, or the deadline came: then `by` is `deadline` and the value the question's default."""

    TYPE: ClassVar[str] = "question.answered"
    KEY: ClassVar[tuple[str, ...]] = ("question_id",)
    WRITER: ClassVar[str] = "pattern_engine"

    question_id: str
    value: Json = None
    by: str = ""
    reason: str = ""
    effect: str = ""
    task_id: str = ""


def _kinds(base: type[Event]) -> dict[str, type[Event]]:
    return {kind.TYPE: kind for kind in base.__subclasses__()}


EVENT_TYPES: dict[str, type[Event]] = _kinds(Event)
"""Every kind of event by its type, for decoding a message of the log."""

ENDINGS: frozenset[str] = frozenset(
    {"execution.completed", "execution.failed", "execution.cancelled", "execution.rejected"}
)
"""Exactly one of these ends every execution."""

AnyEvent = Any
