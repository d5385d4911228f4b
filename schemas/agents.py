"""How agents, the runtimes that host them and the executor talk: registration, offers, and the messages of a turn.

All of it travels over core NATS: an offer that nobody hears is offered again by the executor, whose own source of
truth is the log. An agent answers a second offer of a task it has finished from memory, so that an offer is safe
to repeat.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.base import Failure, Json, LossKind, Model, Score, Token, Usage

AgentKind = Literal["claude", "codex", "gemini", "aider", "acp", "command", "custom"]


class AgentSpec(Model, frozen=True, kw_only=True, omit_defaults=True):
    """What a role asks of its agents: the kinds it takes in order of preference, and how one is started.

    `interactive`: the input of a `command` agent stays open behind the task line, for answers to its questions. None is
    what tasks say that were recorded before the key was known. `secrets` gives variables the values of secrets, by the
    names of those: the runtime knows the values, and nothing else does.
    """

    kinds: list[str] = msgspec.field(default_factory=lambda: ["custom"])
    capabilities: list[str] = []
    command: list[str] = []
    env: dict[str, str] = {}
    config: dict[str, Json] = {}
    min_instances: int = 0
    max_instances: int | None = None
    interactive: bool | None = None
    secrets: dict[str, str] = {}


class AgentRegistration(Model, frozen=True, kw_only=True):
    """The body of `parallax.agents.register`; also the value kept in etcd under the agent's lease.

    `inbox` is the subject to which offers go: `parallax.agents.<agent_id>.task`, or one token more, which tells one
    process of this id from another. `execution_id`, `role` and `session` are set for agents that were
    spawned for one execution; a free agent leaves them empty and is matched by its capabilities.
    """

    agent_id: Token
    name: str = ""
    kind: str = "custom"
    capabilities: list[str] = []
    inbox: str = ""
    runtime: str = ""
    execution_id: str = ""
    role: str = ""
    session: str = ""
    max_concurrency: Annotated[int, Meta(ge=1)] = 1
    host: str = ""
    pid: int = 0
    version: str = ""


class RegistrationReply(Model, frozen=True, kw_only=True):
    """The registry's answer: how long a registration lives without a heartbeat, and how often to send one."""

    accepted: bool
    lease_ms: int = 8000
    heartbeat_ms: int = 2000
    reason: str = ""


class AgentHeartbeat(Model, frozen=True, kw_only=True):
    """The body of `parallax.agents.heartbeat`. The registry renews the lease because the agent spoke, and only then.

    `inbox` is that of the registration: a process whose id another one holds by now is told so.
    """

    agent_id: Token
    running: list[str] = []
    inbox: str | UnsetType = UNSET


class Deregistration(Model, frozen=True, kw_only=True):
    """The body of `parallax.agents.deregister`: an agent leaves in order."""

    agent_id: Token
    reason: str = ""


class TaskOffer(Model, frozen=True, kw_only=True):
    """A turn offered to an agent. The same `task_id` and `attempt` may be offered more than once.

    `life` is that of the agent, where a runtime has started it: who fills an earlier life of it is not meant.
    """

    task_id: Token
    attempt: int
    execution_id: Token
    agent_id: Token
    role: str
    session: str
    task: str
    input: Json = None
    context: Json = None
    workspace: str = ""
    timeout_ms: int = 0
    reply_to: str = ""
    life: int = 0


class TaskControl(Model, frozen=True, kw_only=True):
    """The body of `parallax.agents.<agent_id>.control`: what is to happen with a running task, or with the agent."""

    action: Literal["cancel", "pause", "resume", "answer", "stop"]
    task_id: str = ""
    question_id: str = ""
    value: Json = None
    reason: str = ""


class TaskMessage(Model, frozen=True, kw_only=True, tag_field="type"):
    """Base of what an agent says during a turn, sent to the offer's `reply_to`."""

    task_id: Token
    attempt: int
    agent_id: str = ""


class TaskAccepted(TaskMessage, frozen=True, kw_only=True, tag="accepted"):
    """The turn is running. Repeated every few seconds as a sign of life.

    An agent that can pause says whether it does: one that has missed a `pause` or a `resume` is told again.
    """

    paused: bool | UnsetType = UNSET


class TaskRefused(TaskMessage, frozen=True, kw_only=True, tag="refused"):
    """The agent cannot take the turn now (busy, stopping, unknown session): offer it elsewhere or later."""

    reason: str = ""


class TaskProgress(TaskMessage, frozen=True, kw_only=True, tag="progress"):
    """A line for people who watch; also a sign of life."""

    text: str


class TaskQuestion(TaskMessage, frozen=True, kw_only=True, tag="question"):
    """The agent waits for an answer, which comes as `TaskControl(action="answer")`."""

    question_id: str
    question: str
    options: list[str] = []


class TaskResult(TaskMessage, frozen=True, kw_only=True, tag="result"):
    """The turn ended well. Without `confidence` there is no self-report.

    `note` says what of the agent's words was left out, where something was: runtimes that read a program's lines.
    """

    result: Json = None
    confidence: Score | None = None
    usage: Usage | None = None
    note: str | UnsetType = UNSET


class TaskFault(TaskMessage, frozen=True, kw_only=True, tag="failed"):
    """The turn ended badly. `interrupted`: through no fault of the agent's, as when its runtime is restarted.

    `loss` is said by runtimes: how the turn was lost, where it was interrupted.
    """

    error: Failure
    interrupted: bool = False
    usage: Usage | None = None
    loss: LossKind | UnsetType = UNSET


AgentMessage = TaskAccepted | TaskRefused | TaskProgress | TaskQuestion | TaskResult | TaskFault


class Oracle(Model, frozen=True, kw_only=True, omit_defaults=True):
    """A source of evidence about a task's outcome (`verify` of a role or a step). A `timeout_ms` of 0 is no limit.

    A command that changes tracked files is no evidence, but for those that `may_change` matches (globs; `**` is any
    number of directories).
    """

    type: Literal["command", "agent", "history", "checklist", "human"] = "command"
    run: str | list[str] = ""
    cwd: str = ""
    timeout_ms: int = 120_000
    pass_confidence: Score = 1.0
    fail_confidence: Score = 0.0
    score_pattern: str = ""
    may_change: list[str] = []
    role: str = ""
    rubric: str = ""
    weight: float = 1.0
    options: dict[str, Json] = {}


class OracleResult(Model, frozen=True, kw_only=True):
    """What one oracle found. `score` None is no evidence (it could not be run, or its output could not be read).

    `changed` are the tracked files that it changed and may not: then it is no evidence. An entry of the type `setup`
    stands for the set-up of the clean checkout, where that failed; one of the type `verification` says why there was
    nothing to check on, or nobody to do it.
    """

    type: str
    name: str = ""
    score: Score | None = None
    passed: bool = False
    exit_code: int | None = None
    duration_ms: int = 0
    tests_passed: int | None = None
    tests_failed: int | None = None
    tests_skipped: int | None = None
    output: str = ""
    note: str = ""
    changed: list[str] | msgspec.UnsetType = msgspec.UNSET


class EvidenceOrder(Model, frozen=True, kw_only=True):
    """On what oracles are to be run: a clean checkout of `commit`, with what the pattern's `workspace` adds to it."""

    commit: str
    setup: str | list[str] = ""
    setup_key: list[str] = []
    copy: list[str] = []
    keep: list[str] = []


class EvidenceUsed(Model, frozen=True, kw_only=True, omit_defaults=True):
    """On what oracles were run. `setup`: whether it was run for them, or what it had made was still valid.

    `copied` came from the origin's directory, `kept` from the agent's own worktree.
    """

    commit: str
    setup: Literal["", "run", "reused"] = ""
    copied: list[str] = []
    kept: list[str] = []


class VerifyOffer(Model, frozen=True, kw_only=True):
    """Command oracles offered to a runtime, to be run as the agent would run them.

    With an `evidence` they are run on a clean checkout, without one in the session's worktree, `workspace`.
    """

    verification_id: Token
    execution_id: Token
    session: str
    role: str
    workspace: str
    oracles: list[Oracle]
    env: dict[str, str] = {}
    evidence: EvidenceOrder | None = None


class VerifyReply(Model, frozen=True, kw_only=True):
    """One result per offered oracle, in order. With an `error`, whose kind `code` says, they are no evidence."""

    verification_id: str
    results: list[OracleResult] = []
    error: str = ""
    code: str = ""
    evidence: EvidenceUsed | None = None


class OutputLine(Model, frozen=True, kw_only=True):
    """The body of `parallax.agents.<agent_id>.output`: raw output, bounded, never part of the execution log."""

    agent_id: str
    execution_id: str
    task_id: str
    stream: Literal["stdout", "stderr", "progress", "message"]
    text: str


class AgentRegistered(Model, frozen=True, kw_only=True):
    """`parallax.fleet.<agent_id>.registered`: an agent is in the registry."""

    agent: AgentRegistration


class AgentDeregistered(Model, frozen=True, kw_only=True):
    """`parallax.fleet.<agent_id>.deregistered`: an agent left in order."""

    agent_id: str
    reason: str = ""


class AgentGone(Model, frozen=True, kw_only=True):
    """`parallax.fleet.<agent_id>.lost`: an agent's lease ended without a word from it."""

    agent_id: str
    reason: str = ""
    execution_id: str = ""


FleetEvent = AgentRegistered | AgentDeregistered | AgentGone
