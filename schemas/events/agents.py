"""Agents as one execution sees them: asked for, started, lost, ended.

`life` counts how often a session's agent was asked for: one that was lost or stopped may be started again under its id.
"""

from __future__ import annotations

from typing import ClassVar

from schemas.agents import AgentSpec
from schemas.base import Failure
from schemas.events.base import Event


class AgentSpawnRequested(Event, frozen=True, kw_only=True):
    """A role has no agent for a task: a runtime is asked for one."""

    TYPE: ClassVar[str] = "agent.spawn_requested"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id", "life")
    WRITER: ClassVar[str] = "executor"

    agent_id: str
    role: str
    session: str
    kind: str
    runtime: str
    agent: AgentSpec
    life: int = 1


class AgentSpawned(Event, frozen=True, kw_only=True):
    """A session of a role is ready for tasks."""

    TYPE: ClassVar[str] = "agent.spawned"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id", "life")
    WRITER: ClassVar[str] = "runtime_local"

    agent_id: str
    role: str
    session: str
    kind: str
    runtime: str
    pid: int = 0
    life: int = 1


class AgentSpawnFailed(Event, frozen=True, kw_only=True):
    """A runtime could not start an agent."""

    TYPE: ClassVar[str] = "agent.spawn_failed"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id", "life")
    WRITER: ClassVar[str] = "runtime_local"

    agent_id: str
    role: str
    session: str
    error: Failure
    life: int = 1


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
    """An agent that was spawned for this execution was ended, with everything it had started.

    `exit_code` is set when its program ended by itself.
    """

    TYPE: ClassVar[str] = "agent.stopped"
    KEY: ClassVar[tuple[str, ...]] = ("agent_id", "life")
    WRITER: ClassVar[str] = "runtime_local"

    agent_id: str
    reason: str = ""
    life: int = 1
    exit_code: int | None = None
