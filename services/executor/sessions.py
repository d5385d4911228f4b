"""Sessions of roles: how many there may be, which agent fills one, and having a runtime start what is missing."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from schemas.agents import AgentSpec, TaskOffer
from schemas.base import LONGEST_SESSION, Failure
from schemas.events import AgentSpawnRequested, TaskRequested, WaitReason
from services.executor.machine import Faulted
from services.executor.runtimes import RUNTIME, RuntimeWatch
from services.executor.turns import Host
from services.executor.views import AgentView, ExecutionView, Views
from shared.bus import Bus
from shared.ids import agent_id as id_of_session
from shared.ids import is_session

_REMEMBERED = 20_000
_LOOK_EVERY_S = 1.0
_LOOKS_BETWEEN_READS = 15
"""After so many looks without news the log is read: nothing stalls because a message was missed."""

_STARTING_TIMES = 10
"""A runtime that answers may take so many times as long as one that does not."""


class AgentFailed(Exception):
    """A runtime could not start an agent, or what it started has ended."""

    def __init__(self, error: Failure) -> None:
        super().__init__(error.message)
        self.error = error


def spawned_kind(spec: AgentSpec) -> str:
    """The kind of agent that a runtime is to start for a role. Empty: registered agents fill it."""
    if not spec.command:
        return "command" if spec.kinds and set(spec.kinds) == {"command"} else ""
    return next((kind for kind in spec.kinds if kind in ("command", "custom")), "")


class _Patience:
    """How long a spawn has gone unanswered, by somebody and by nobody."""

    def __init__(self, within_s: float) -> None:
        self.within_s = within_s
        self.looks = 0
        self.without_runtime_s = 0.0
        self.with_runtime_s = 0.0

    def wait(self, seconds: float, *, absent: bool) -> None:
        """Counts a time in which nothing was heard. An executor that was itself frozen does not count that time."""
        self.looks += 1
        seconds = min(seconds, 2 * _LOOK_EVERY_S + 1.0)
        self.without_runtime_s = self.without_runtime_s + seconds if absent else 0.0
        self.with_runtime_s += 0.0 if absent else seconds

    @property
    def tired(self) -> bool:
        """Whether it was long enough."""
        too_long = self.within_s * _STARTING_TIMES
        return self.without_runtime_s >= self.within_s or self.with_runtime_s >= too_long


def _program(request: TaskRequested) -> str:
    return request.agent.command[0] if request.agent.command else f"the agent of {request.role}"


def _not_started(request: TaskRequested, patience: _Patience) -> Failure:
    program = _program(request)
    if patience.without_runtime_s >= patience.within_s:
        message = (
            f"No runtime was running that could start {program} for the role {request.role}: none answered for "
            f"{patience.within_s:g} s. Start one with `parallax up` or `python -m services.runtime_local`, and run it "
            f"again."
        )
    else:
        message = (
            f"The runtime has not started {program} for the role {request.role} within "
            f"{patience.with_runtime_s:.0f} s, though it answers. See the log of runtime_local, and run it again."
        )
    return Failure(code="no_agent", message=message, where=request.role)


class Sessions:
    """The sessions of all executions, as far as this executor is concerned with them."""

    def __init__(self, bus: Bus, views: Views, max_concurrency: int) -> None:
        self._bus = bus
        self._views = views
        self._max_concurrency = max_concurrency
        self.runtimes = RuntimeWatch(bus)
        self._labels: dict[tuple[str, str], set[str]] = {}
        self._agents: OrderedDict[tuple[str, str], str] = OrderedDict()

    # -- free agents --------------------------------------------------------------------------------------------------

    def refusal(self, request: TaskRequested) -> Failure | None:
        """Why the session that a program names cannot be one; None when it can, or the program names none."""
        if not request.session or is_session(request.session):
            return None
        message = (
            f"{request.session[:80]!r} cannot name a session of {request.role}: it takes a letter, then letters, "
            f"digits, - and _, at most {LONGEST_SESSION} of them."
        )
        return Failure(code="bad_session", message=message, where=request.role)

    def spawns(self, request: TaskRequested) -> bool:
        """Whether the agents of the task's role are started for it."""
        return bool(spawned_kind(request.agent))

    def host(self, request: TaskRequested) -> Host:
        """Who speaks for the agents of the task's role while they work."""
        match spawned_kind(request.agent):
            case "":
                return "nobody"
            case "command":
                return "runtime"
            case _:
                return "program"

    def exclusive(self, request: TaskRequested) -> bool:
        """Whether a session must have one task at a time: it has a worktree, or an agent of its own."""
        return request.workspace or self.spawns(request)

    def most(self, request: TaskRequested) -> int:
        """How many sessions the task's role may have."""
        return max(1, request.agent.max_instances or self._max_concurrency)

    def paused(self, execution_id: str) -> bool:
        """Whether the execution is paused."""
        return execution_id in self._views.paused

    def agent_of(self, request: TaskRequested) -> str:
        """The agent that had the task's session before, where the program names the session."""
        return self._agents.get((request.execution_id, request.session), "") if request.session else ""

    def label(self, request: TaskRequested, session: str, agent_id: str) -> str:
        """The session of a task that shares its agent: the one it has, or the first of the role that is not in use."""
        used = self._labels.setdefault((request.execution_id, request.role), set())
        number = 1
        while not session:
            candidate = f"{request.role}-{number}"
            session = "" if candidate in used else candidate
            number += 1
        used.add(session)
        self._agents[request.execution_id, session] = agent_id
        while len(self._agents) > _REMEMBERED:
            self._agents.popitem(last=False)
        return session

    def give_back(self, request: TaskRequested, session: str) -> None:
        """A task that shares its agent needs its session no more."""
        key = (request.execution_id, request.role)
        used = self._labels.get(key)
        if used is not None:
            used.discard(session)
            if not used:
                del self._labels[key]

    # -- agents of an execution's own ---------------------------------------------------------------------------------

    async def ready(self, request: TaskRequested, session: str, now: float, *, within_s: float) -> str:
        """The id of the session's agent, once it has been started.

        Raises AgentFailed: the runtime could not start it, what it started has ended, no runtime answered for
        `within_s` seconds, or one that answers did not start it in ten times that. While the execution is paused
        nothing of this counts.
        """
        view = await self._views.get(request.execution_id, now)
        agent_id = id_of_session(request.execution_id, session)
        asked, patience = 0, _Patience(within_s)
        while True:
            changed = view.changed
            agent = view.agents.get(agent_id)
            if agent is not None and agent.state == "spawned":
                return agent_id
            if agent is not None and agent.life == asked and agent.error is not None:
                raise AgentFailed(agent.error)
            if agent is None or agent.state != "requested":
                asked = 1 if agent is None else agent.life + 1
                await self._ask_for(view, request, session, asked)
            elif not asked:
                asked = agent.life
            began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await changed.wait()
                continue
            except TimeoutError:
                absent = await self.runtimes.look()
            if not self.paused(request.execution_id):
                patience.wait(asyncio.get_running_loop().time() - began, absent=absent)
            if patience.tired or patience.looks % _LOOKS_BETWEEN_READS == 0:
                await self._look_again(view)
                if patience.tired and view.changed is changed:
                    raise AgentFailed(_not_started(request, patience))

    def why_not_ready(self, request: TaskRequested) -> tuple[WaitReason, str]:
        """What a task waits for whose agent is being started."""
        program = _program(request)
        if self.runtimes.absent:
            return "no_runtime", f"no runtime is running that could start {program}; `parallax up` starts one"
        return "agent_starting", f"{program} is being started"

    def life(self, execution_id: str, agent_id: str) -> int:
        """Which life of its own agent an execution has; 0 for an agent that is not its own, or not known."""
        view = self._views.known(execution_id)
        agent = view.agents.get(agent_id) if view is not None else None
        return agent.life if agent is not None else 0

    def distrust(self, offer: TaskOffer) -> None:
        """An agent that was said to be ready is perhaps not there: it is asked for anew before the next offer."""
        view = self._views.known(offer.execution_id)
        agent = view.agents.get(offer.agent_id) if view is not None else None
        if view is not None and agent is not None and agent.state == "spawned" and agent.life == offer.life:
            view.agents[offer.agent_id] = AgentView("lost", agent.life)

    async def replace(self, request: TaskRequested, session: str, now: float) -> None:
        """Takes a session's agent for lost: another life of it is asked for, and its runtime ends the former one."""
        view = await self._views.get(request.execution_id, now)
        agent_id = id_of_session(request.execution_id, session)
        agent = view.agents.get(agent_id)
        if agent is not None and agent.state == "spawned":
            view.agents[agent_id] = AgentView("lost", agent.life)

    def gone(self, execution_id: str, agent_id: str) -> Faulted | None:
        """How the turn of an agent ended that was started and is there no more; None when it is, as far as is known."""
        view = self._views.known(execution_id)
        agent = view.agents.get(agent_id) if view is not None else None
        if agent is None or agent.state not in ("stopped", "lost"):
            return None
        if agent.error is not None:  # its program ended by itself
            return Faulted(error=agent.error)
        error = Failure(code="agent_lost", message=f"The agent {agent_id} was {agent.state}.")
        return Faulted(error=error, loss="runtime_lost")

    async def _ask_for(self, view: ExecutionView, request: TaskRequested, session: str, life: int) -> None:
        wanted = [(session, life)]
        if request.role not in view.roles:
            view.roles.add(request.role)
            others = range(1, min(request.agent.min_instances, self.most(request)) + 1)
            wanted += [(name, 1) for number in others if (name := f"{request.role}-{number}") != session]
        kind = spawned_kind(request.agent)
        for name, number in wanted:
            agent_id = id_of_session(request.execution_id, name)
            known = view.agents.get(agent_id)
            if known is not None and known.life >= number:
                continue
            view.agents[agent_id] = AgentView("requested", number)
            await self._bus.append(
                AgentSpawnRequested(
                    execution_id=request.execution_id,
                    agent_id=agent_id,
                    role=request.role,
                    session=name,
                    kind=kind,
                    runtime=RUNTIME,
                    agent=request.agent,
                    life=number,
                )
            )

    async def _look_again(self, view: ExecutionView) -> None:
        async for record in self._bus.read(view.id, after=view.seq):
            view.apply(record)
