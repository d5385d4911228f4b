"""Finding a registered agent for a task: taking one, waiting for one, and giving up where nobody comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from schemas.agents import AgentRegistration
from schemas.base import Failure
from schemas.events import TaskRequested, WaitReason
from services.executor.delays import Delays, Waits
from services.executor.fleet import Fleet
from services.executor.sessions import AgentFailed, Sessions
from services.executor.waiting import Interruptible, Withdrawn

_LOOK_EVERY_S = 1.0


class Office(Protocol):
    """What placing needs of the executor."""

    fleet: Fleet
    sessions: Sessions
    delays: Delays
    placing_s: float

    async def unpaused(self, execution_id: str) -> None:
        """Returns when the execution is not paused."""
        ...


async def free_agent(
    office: Office, task: Interruptible, waits: Waits, request: TaskRequested, only: str = ""
) -> AgentRegistration:
    """An agent that fits and has room, as soon as there is one. It counts as busier by one.

    Without any that fits for `placing_s` seconds in which the registry can be seen and the execution is not paused, it
    raises AgentFailed. `only` names the agent that is wanted; when it stays away so long, another one will do. Raises
    Withdrawn.
    """
    now = asyncio.get_running_loop().time
    taken = office.fleet.take(request.agent, now(), only)
    if taken is not None:
        return taken
    if only:
        try:
            return await _waited_for(office, task, waits, request, only)
        except AgentFailed:
            only = ""
    return await _waited_for(office, task, waits, request, only)


async def _waited_for(
    office: Office, task: Interruptible, waits: Waits, request: TaskRequested, only: str
) -> AgentRegistration:
    fleet, left, now = office.fleet, office.placing_s, asyncio.get_running_loop().time
    waiting: asyncio.Future[AgentRegistration] | None = fleet.wait(request.agent, only)
    try:
        with office.delays.of(waits, lambda: _why(fleet, request, only)):
            while left > 0:
                before = now()
                await task.told_or(waiting, min(_LOOK_EVERY_S, left))
                if task.withdrawn:
                    raise Withdrawn
                if office.sessions.paused(request.execution_id):
                    _let_go(fleet, waiting)
                    await task.unless_withdrawn(office.unpaused(request.execution_id))
                    waiting = fleet.wait(request.agent, only)
                elif waiting.done():
                    agent, waiting = waiting.result(), None
                    return agent
                elif fleet.known and not fleet.away and not fleet.fitting(request.agent, only):
                    left -= min(now() - before, 2 * _LOOK_EVERY_S)
                else:
                    left = office.placing_s
    finally:
        _let_go(fleet, waiting)
    raise AgentFailed(_nobody(request, office.placing_s))


def _let_go(fleet: Fleet, waiting: asyncio.Future[AgentRegistration] | None) -> None:
    """Stands in the queue no longer; an agent that was given meanwhile has room again."""
    if waiting is not None and not waiting.cancel() and not waiting.cancelled():
        fleet.give_back(waiting.result().agent_id)


def _why(fleet: Fleet, request: TaskRequested, only: str) -> tuple[WaitReason, str]:
    number = fleet.fitting(request.agent, only)
    if number:
        busy = "the one agent that fits is busy" if number == 1 else f"all {number} agents that fit are busy"
        return "agents_busy", busy
    if fleet.away or not fleet.known:
        return "registry_away", "the registry of agents (etcd) cannot be reached; it goes on when it is back"
    if only:
        return "no_agent", f"its agent {only} is not registered"
    skills = request.agent.capabilities
    kinds = " or ".join(request.agent.kinds)
    if not skills:
        return "no_agent", f"no agent of kind {kinds} is registered"
    of_kind = f" of kind {kinds}" if fleet.offering(skills) else ""
    return "no_agent", f"no agent{of_kind} offers {listed(skills)}"


def _nobody(request: TaskRequested, within_s: float) -> Failure:
    wish = ", ".join(request.agent.capabilities) or "no special capability"
    message = (
        f"No agent of kind {' or '.join(request.agent.kinds)} with {wish} was registered for the role "
        f"{request.role} within {within_s:g} s. Start one and run it again (`parallax agents` shows who is "
        f"registered), or give the role a program of its own under agentConfig.command."
    )
    return Failure(code="no_agent", message=message, where=request.role)


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
