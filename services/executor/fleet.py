"""The agents that there are, who fits a role, and who waits for one: the registry as this executor sees it, in memory.

Placing a task asks nobody: the picture is kept current by a watch, and loads are counted here. What another executor
has given an agent is not seen; the agent then refuses, and another is tried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from schemas.agents import AgentRegistration, AgentSpec, TaskOffer

Gone = Callable[[str, str], None]
Came = Callable[[str], None]

_Key = tuple[tuple[str, ...], tuple[str, ...], str]


def fits(agent: AgentRegistration, kinds: Iterable[str], capabilities: Iterable[str]) -> bool:
    """Whether a free agent can fill a role: its kind is one of the role's, and it has every capability of the role."""
    return not agent.execution_id and agent.kind in kinds and set(capabilities) <= set(agent.capabilities)


def _fits(agent: AgentRegistration, key: _Key) -> bool:
    kinds, capabilities, only = key
    return agent.agent_id == only if only else fits(agent, kinds, capabilities)


class Fleet:
    """All registered agents.

    `gone` is called with an id and a reason when one is there no more, `came` with an id when there is a new one, and
    `replaced` when another process has taken the place of one. Of agents that were started for an execution the log
    says which of their lives is the last: while one runtime takes over from another, both may register the same.
    """

    def __init__(self, gone: Gone, came: Came, replaced: Came) -> None:
        self.agents: dict[str, AgentRegistration] = {}
        self.known = False
        self.away = ""
        """Why the registry cannot be seen now: the picture is as it was last. Empty while it can."""
        self._gone = gone
        self._came = came
        self._replaced = replaced
        self._load: dict[str, int] = {}
        self._shunned: dict[str, float] = {}
        self._candidates: dict[_Key, list[AgentRegistration]] = {}
        self._waiting: dict[_Key, deque[asyncio.Future[AgentRegistration]]] = {}

    # -- the picture ------------------------------------------------------------------------------------------------

    def put(self, agent: AgentRegistration) -> None:
        """An agent is registered, or says something new about itself."""
        before = self.agents.get(agent.agent_id)
        self.agents[agent.agent_id] = agent
        self._candidates.clear()
        if before is None:
            self._came(agent.agent_id)
        elif not agent.execution_id and (before.host, before.pid) != (agent.host, agent.pid):
            self._replaced(agent.agent_id)
        self._serve()

    def inbox(self, offer: TaskOffer) -> str:
        """Where the agent of an offer takes offers, as it registered; empty where that is not known.

        Whoever calls itself like a session of an execution is not that session.
        """
        agent = self.agents.get(offer.agent_id)
        meant = offer.execution_id if offer.life else ""
        return agent.inbox if agent is not None and agent.execution_id == meant else ""

    def remove(self, agent_id: str) -> None:
        """An agent is no longer registered."""
        if self.agents.pop(agent_id, None) is not None:
            self._candidates.clear()
            self._gone(agent_id, "it is no longer registered")

    def replace(self, agents: Iterable[AgentRegistration]) -> None:
        """The whole picture, after a time in which changes may have been missed."""
        current = {agent.agent_id: agent for agent in agents}
        for agent_id in [agent_id for agent_id in self.agents if agent_id not in current]:
            self.remove(agent_id)
        for agent in current.values():
            if self.agents.get(agent.agent_id) != agent:
                self.put(agent)
        self.known, self.away = True, ""

    # -- placing ----------------------------------------------------------------------------------------------------

    def take(self, spec: AgentSpec, now: float, only: str = "") -> AgentRegistration | None:
        """The least loaded agent that fits and has room, counted as busier by one. None when there is none now.

        `only` names the one agent that will do.
        """
        return self._take(_key(spec, only), now)

    def _take(self, key: _Key, now: float) -> AgentRegistration | None:
        best: AgentRegistration | None = None
        least = 2.0
        for agent in self._fitting(key):
            load = self._load.get(agent.agent_id, 0)
            if load >= agent.max_concurrency or self._shunned.get(agent.agent_id, 0.0) > now:
                continue
            share = load / agent.max_concurrency
            if share < least:
                best, least = agent, share
        if best is not None:
            self._load[best.agent_id] = self._load.get(best.agent_id, 0) + 1
        return best

    def wait(self, spec: AgentSpec, only: str = "") -> asyncio.Future[AgentRegistration]:
        """Like `take`, as soon as there is one; first come, first served."""
        future: asyncio.Future[AgentRegistration] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(_key(spec, only), deque()).append(future)
        return future

    def hold(self, agent_id: str) -> None:
        """Counts an agent as busier by one that was taken before this executor was started."""
        self._load[agent_id] = self._load.get(agent_id, 0) + 1

    def give_back(self, agent_id: str) -> None:
        """An agent that was taken has room again."""
        load = self._load.get(agent_id, 0) - 1
        if load > 0:
            self._load[agent_id] = load
        else:
            self._load.pop(agent_id, None)
        if self._waiting:
            self._serve()

    def shun(self, agent_id: str, until: float) -> None:
        """Does not take this agent before a moment: it refused."""
        self._shunned[agent_id] = until

    def look_again(self, now: float) -> None:
        """Serves those who wait, now that some agent may be asked again."""
        if self._shunned:
            self._shunned = {agent_id: until for agent_id, until in self._shunned.items() if until > now}
        if self._waiting:
            self._serve()

    def fitting(self, spec: AgentSpec, only: str = "") -> int:
        """How many agents fit a role, busy or not; with `only`, whether that one is there."""
        return len(self._fitting(_key(spec, only)))

    def offering(self, capabilities: Iterable[str]) -> bool:
        """Whether a free agent of any kind has all of these capabilities."""
        return any(fits(agent, (agent.kind,), capabilities) for agent in self.agents.values())

    def _fitting(self, key: _Key) -> list[AgentRegistration]:
        found = self._candidates.get(key)
        if found is None:
            found = [agent for agent in self.agents.values() if _fits(agent, key)]
            self._candidates[key] = found
        return found

    def _serve(self) -> None:
        now = asyncio.get_running_loop().time()
        for key, queue in list(self._waiting.items()):
            while queue:
                if queue[0].done():
                    queue.popleft()
                    continue
                agent = self._take(key, now)
                if agent is None:
                    break
                queue.popleft().set_result(agent)
            if not queue:
                del self._waiting[key]


def _key(spec: AgentSpec, only: str) -> _Key:
    return tuple(spec.kinds), tuple(spec.capabilities), only
