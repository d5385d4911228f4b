"""Executions as the executor has to see them: their agents, whether they are paused, what is no longer wanted.

A view is loaded from the log when it is first needed and kept current by following. What is heard about executions that
have no view is remembered only as far as a task that is delivered late must know it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from schemas.base import Failure
from schemas.events import (
    AgentLost,
    AgentSpawned,
    AgentSpawnFailed,
    AgentSpawnRequested,
    AgentStopped,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    TaskCancelRequested,
)
from shared.bus import Bus, Recorded

FOLLOWED: tuple[str, ...] = (
    "agent.spawned",
    "agent.spawn_failed",
    "agent.stopped",
    "agent.lost",
    "execution.paused",
    "execution.resumed",
    "execution.cancelled",
    "execution.failed",
    "task.cancel_requested",
    "task.finished",
    "workspace.prepared",
    "workspace.committed",
    "question.answered",
)
"""What the executor follows. Completed executions are not among it: nothing of theirs can still be at work."""

_LOADED = (*FOLLOWED[:9], "agent.spawn_requested", "execution.completed")
_KEPT = 2_000
_REMEMBERED = 20_000


class AgentView:
    """One agent of an execution: in which life, and whether it can be offered a turn."""

    __slots__ = ("error", "life", "state")

    def __init__(self, state: str, life: int, error: Failure | None = None) -> None:
        self.state = state
        self.life = life
        self.error = error


class ExecutionView:
    """One execution. `changed` is set whenever an agent of it is."""

    def __init__(self, execution_id: str) -> None:
        self.id = execution_id
        self.seq = 0
        self.agents: dict[str, AgentView] = {}
        self.over = ""
        self.paused = False
        self.unwanted: dict[str, str] = {}
        self.roles: set[str] = set()
        self.changed = asyncio.Event()

    def apply(self, record: Recorded) -> None:
        """Takes in an event of the execution; one that is known already changes nothing."""
        if record.seq <= self.seq:
            return
        self.seq = record.seq
        if record.type.startswith("agent."):
            self._apply_to_agent(record.data)
        elif record.type == "execution.completed":
            self.over = "the execution is completed"
        else:
            self._apply_to_self(record.data)

    def _apply_to_self(self, event: object) -> None:
        match event:
            case ExecutionPaused() | ExecutionResumed():
                self.paused = isinstance(event, ExecutionPaused)
            case ExecutionCancelled():
                self.over = event.reason or "the execution was cancelled"
            case ExecutionFailed():
                self.over = "the execution has failed"
            case TaskCancelRequested():
                self.unwanted[event.task_id] = event.reason or "no longer needed"
            case _:
                pass

    def _apply_to_agent(self, event: object) -> None:
        match event:
            case AgentSpawnRequested():
                self.roles.add(event.role)
                known = self.agents.get(event.agent_id)
                if known is None or known.life < event.life:
                    self.agents[event.agent_id] = AgentView("requested", event.life)
            case AgentSpawned():
                self._agent(event.agent_id, "spawned", event.life)
            case AgentSpawnFailed():
                self._agent(event.agent_id, "failed", event.life, event.error)
            case AgentStopped():
                failed = Failure(code="agent_failed", message=f"The agent {event.agent_id} is gone: {event.reason}.")
                self._agent(event.agent_id, "stopped", event.life, None if event.exit_code is None else failed)
            case AgentLost():
                known = self.agents.get(event.agent_id)
                if known is not None and known.state == "spawned":
                    self._agent(event.agent_id, "lost", known.life)
            case _:
                pass

    def _agent(self, agent_id: str, state: str, life: int, error: Failure | None = None) -> None:
        known = self.agents.get(agent_id)
        if known is None or known.life <= life:
            self.agents[agent_id] = AgentView(state, life, error)
            self.changed.set()
            self.changed = asyncio.Event()


class Views:
    """The views of the executions that this executor is at."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._views: OrderedDict[str, ExecutionView] = OrderedDict()
        self._loading: dict[str, list[Recorded]] = {}
        self._loaded: dict[str, asyncio.Future[ExecutionView]] = {}
        self._ended: OrderedDict[tuple[str, str], str] = OrderedDict()
        """Why executions (`(id, "")`) and tasks (`(execution, id)`) are wanted no more. Clients choose the ids of
        executions, and may call one `e-1`, which is also the first task of the execution `e`."""
        self.paused: dict[str, float] = {}

    def unwanted(self, execution_id: str, task_id: str) -> str:
        """Why nobody wants a task any more, as far as it was heard; empty when somebody does."""
        return self._ended.get((execution_id, "")) or self._ended.get((execution_id, task_id)) or ""

    def known(self, execution_id: str) -> ExecutionView | None:
        """The view of an execution, if it is there."""
        return self._views.get(execution_id)

    def hear(self, record: Recorded, now: float) -> None:
        """Takes in what was followed."""
        match record.data:
            case ExecutionCancelled() | ExecutionFailed():
                reason = getattr(record.data, "reason", "") or f"the execution is {record.type.partition('.')[2]}"
                self._remember(record.execution_id, "", reason)
                self.paused.pop(record.execution_id, None)
            case TaskCancelRequested() as event:
                self._remember(record.execution_id, event.task_id, event.reason or "no longer needed")
            case ExecutionPaused():
                self.paused.setdefault(record.execution_id, now)
            case ExecutionResumed():
                self.paused.pop(record.execution_id, None)
            case _:
                pass
        if record.execution_id in self._loading:
            self._loading[record.execution_id].append(record)
        view = self._views.get(record.execution_id)
        if view is not None:
            view.apply(record)

    async def get(self, execution_id: str, now: float) -> ExecutionView:
        """The view of an execution, loaded if it is not there. What is followed meanwhile is not missed."""
        view = self._views.get(execution_id)
        if view is not None:
            self._views.move_to_end(execution_id)
            return view
        loaded = self._loaded.get(execution_id)
        if loaded is not None:
            return await asyncio.shield(loaded)
        loaded = self._loaded[execution_id] = asyncio.get_running_loop().create_future()
        self._loading[execution_id] = []
        try:
            view = ExecutionView(execution_id)
            async for record in self._bus.read(execution_id, types=_LOADED):
                view.apply(record)
            for record in self._loading[execution_id]:
                view.apply(record)
            self._keep(view, now)
            loaded.set_result(view)
            return view
        except BaseException as error:
            loaded.set_exception(error if isinstance(error, Exception) else RuntimeError("not loaded"))
            loaded.exception()
            raise
        finally:
            del self._loading[execution_id], self._loaded[execution_id]

    def _keep(self, view: ExecutionView, now: float) -> None:
        self._views[view.id] = view
        if view.over:
            self._remember(view.id, "", view.over)
        elif view.paused:
            self.paused.setdefault(view.id, now)
        for task_id, reason in view.unwanted.items():
            self._remember(view.id, task_id, reason)
        while len(self._views) > _KEPT:
            self._views.popitem(last=False)

    def _remember(self, execution_id: str, task_id: str, reason: str) -> None:
        self._ended[execution_id, task_id] = reason
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
