"""Everything that can happen to an execution: one frozen struct for each kind of event of the log.

The log is the public event stream. An event's kind is its last two subject tokens (`task.completed` in
`parallax.events.<execution_id>.task.completed`), its `ce-type` header, and `TYPE` of the struct here. Its id is
deterministic: `KEY` names the fields that tell one such event of an execution from another, so that a fact that is
appended twice is stored once and every reader may drop a second copy.

`WRITER` names the only service that may append the kind. Kinds of the entity `execution` are written by engines alone.
"""

from __future__ import annotations

from typing import Any

from schemas.events.agents import AgentLost, AgentSpawned, AgentSpawnFailed, AgentSpawnRequested, AgentStopped
from schemas.events.base import ConfidenceSource, Event
from schemas.events.effects import EffectRecorded, QuestionAnswered, QuestionAsked, SignalReceived, TimerFired, TimerSet
from schemas.events.execution import (
    SEMANTICS,
    Check,
    ExecutionAccepted,
    ExecutionCancelled,
    ExecutionClaimed,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionRejected,
    ExecutionResumed,
    ExecutionStarted,
    Refusal,
)
from schemas.events.http import HttpCompleted, HttpRequested
from schemas.events.tasks import (
    ATTEMPT_ENDS,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskFailed,
    TaskFinished,
    TaskRequested,
    TaskRetrying,
    TaskStarted,
    TaskWaiting,
    VerificationCompleted,
    VerificationRequested,
    WaitReason,
)
from schemas.events.workspaces import (
    WorkspaceCleaned,
    WorkspaceCommitted,
    WorkspaceConflicted,
    WorkspaceContribution,
    WorkspaceFailed,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIgnored,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
    WorkspaceKept,
    WorkspaceLeftOut,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceReady,
    WorkspaceRequested,
    WorkspaceSubmodule,
)

__all__ = [
    "ATTEMPT_ENDS",
    "ENDINGS",
    "EVENT_TYPES",
    "SEMANTICS",
    "AgentLost",
    "AgentSpawnFailed",
    "AgentSpawnRequested",
    "AgentSpawned",
    "AgentStopped",
    "AnyEvent",
    "Check",
    "ConfidenceSource",
    "EffectRecorded",
    "Event",
    "ExecutionAccepted",
    "ExecutionCancelled",
    "ExecutionClaimed",
    "ExecutionCompleted",
    "ExecutionFailed",
    "ExecutionPaused",
    "ExecutionRejected",
    "ExecutionResumed",
    "ExecutionStarted",
    "HttpCompleted",
    "HttpRequested",
    "QuestionAnswered",
    "QuestionAsked",
    "Refusal",
    "SignalReceived",
    "TaskCancelRequested",
    "TaskCancelled",
    "TaskCompleted",
    "TaskFailed",
    "TaskFinished",
    "TaskRequested",
    "TaskRetrying",
    "TaskStarted",
    "TaskWaiting",
    "TimerFired",
    "TimerSet",
    "VerificationCompleted",
    "VerificationRequested",
    "WaitReason",
    "WorkspaceCleaned",
    "WorkspaceCommitted",
    "WorkspaceConflicted",
    "WorkspaceContribution",
    "WorkspaceFailed",
    "WorkspaceFinalizeRequested",
    "WorkspaceFinalized",
    "WorkspaceIgnored",
    "WorkspaceIntegrated",
    "WorkspaceIntegrationRequested",
    "WorkspaceKept",
    "WorkspaceLeftOut",
    "WorkspacePrepareRequested",
    "WorkspacePrepared",
    "WorkspaceReady",
    "WorkspaceRequested",
    "WorkspaceSubmodule",
]


def _kinds(base: type[Event]) -> dict[str, type[Event]]:
    return {kind.TYPE: kind for kind in base.__subclasses__()}


EVENT_TYPES: dict[str, type[Event]] = _kinds(Event)
"""Every kind of event by its type, for decoding a message of the log."""

ENDINGS: frozenset[str] = frozenset(
    {"execution.completed", "execution.failed", "execution.cancelled", "execution.rejected"}
)
"""Exactly one of these ends every execution."""

AnyEvent = Any
