"""The life of a task, and the evidence gathered about its outcome."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from schemas.agents import AgentSpec, EvidenceUsed, Oracle, OracleResult
from schemas.base import Failure, Json, LossKind, Millis, Score, Usage
from schemas.events.base import ConfidenceSource, Event


class TaskRequested(Event, frozen=True, kw_only=True):
    """A program wants a task done. Everything an executor has to know is here, so that any executor can do it.

    `builds_on`: see `workspace.prepare_requested`.
    """

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
    builds_on: list[str] | UnsetType = UNSET


WaitReason = Literal[
    "no_agent",
    "agents_busy",
    "role_busy",
    "machine_busy",
    "no_runtime",
    "agent_starting",
    "registry_away",
    "workspace_away",
]
"""What a task waits for: an agent that fits, one that is free, a session of its role, room on this machine, a runtime
that starts its agent, that agent's start, the registry of agents, its worktree."""


def saying_whether_interactive(event: TaskRequested) -> TaskRequested:
    """The request of a task that says whether its agent may ask: not, unless the role says so."""
    agent = event.agent
    if "command" not in agent.kinds or agent.interactive is not None:
        return event
    return msgspec.structs.replace(event, agent=msgspec.structs.replace(agent, interactive=False))


class TaskWaiting(Event, frozen=True, kw_only=True):
    """An attempt has waited for some time to be begun or committed. `message` says for what, as a sentence for people.

    Said once for each reason of an attempt. Nothing is decided by it: it is there so that nobody waits in the dark.
    """

    TYPE: ClassVar[str] = "task.waiting"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt", "reason")
    WRITER: ClassVar[str] = "executor"

    task_id: str
    attempt: int
    role: str
    reason: WaitReason
    message: str
    step: str = ""


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
    """A turn in a workspace is over and what the agent changed is about to be committed.

    `loss` says how the attempt was lost, where the outcome is `interrupted`.
    """

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
    loss: LossKind | UnsetType = UNSET
    note: str | UnsetType = UNSET


class TaskRetrying(Event, frozen=True, kw_only=True):
    """An attempt failed and the task will be tried again after `delay_ms`. `usage` is what the attempt consumed.

    `interrupted`: the attempt was lost through no fault of its agent and is none of the agent's attempts; `loss` then
    says how. `failures` of `attempts` are the agent's by now, and `losses` are all that were lost, this one included.
    """

    TYPE: ClassVar[str] = "task.retrying"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "executor"

    task_id: str
    attempt: int
    error: Failure
    delay_ms: int
    interrupted: bool = False
    usage: Usage | None = None
    loss: LossKind | UnsetType = UNSET
    losses: int | UnsetType = UNSET
    failures: int | UnsetType = UNSET
    attempts: int | UnsetType = UNSET


class TaskCompleted(Event, frozen=True, kw_only=True):
    """A task is done, once. `commit` is what the agent changed, committed by the platform.

    `usage` is what it consumed, earlier attempts included. `note` says what of the agent's words was left out, where
    something was, such as a confidence that is none.
    """

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
    note: str | UnsetType = UNSET


class TaskFailed(Event, frozen=True, kw_only=True):
    """A task could not be done in `attempts` attempts. `usage` is what they consumed.

    `losses` counts by kind the attempts that were lost through no fault of the agent, where there were any.
    """

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
    usage: Usage | None = None
    losses: dict[str, int] | UnsetType = UNSET


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


ATTEMPT_ENDS = {
    TaskRetrying.TYPE: "the attempt that asked was cut off, and the task is tried again",
    TaskCompleted.TYPE: "the task that asked has completed",
    TaskFailed.TYPE: "the task that asked has failed",
    TaskCancelRequested.TYPE: "the task that asked is being cancelled",
    TaskCancelled.TYPE: "the task that asked was cancelled",
}
"""What ends an attempt, in the words of somebody who would answer what it asked: nobody waits for that any more."""


class VerificationRequested(Event, frozen=True, kw_only=True):
    """A program wants evidence about a task's outcome from command oracles in the session's worktree.

    `merged`: about the execution's result. The worktree is brought up to the result branch before.
    """

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
    merged: bool = False


class VerificationCompleted(Event, frozen=True, kw_only=True):
    """What the oracles found, and on what. `score` None: there is no evidence, which is never a pass."""

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
    evidence: EvidenceUsed | UnsetType = UNSET
