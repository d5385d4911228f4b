"""The registry's and the executor's end of the bus, played by a test, and an agent at the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from parallax.agent import Agent, Task
from schemas.agents import (
    AgentHeartbeat,
    AgentMessage,
    AgentRegistration,
    Deregistration,
    OutputLine,
    RegistrationReply,
    TaskControl,
    TaskFault,
    TaskOffer,
    TaskResult,
)
from shared import subjects
from shared.bus import Bus
from shared.ids import new_id
from shared.testing import eventually


class Room:
    """The registry's and the executor's end of the bus, played by the test."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.inbox = bus.new_inbox()
        self.heard: list[Any] = []
        self.output: list[OutputLine] = []
        self.registrations: list[AgentRegistration] = []
        self.departures: list[Deregistration] = []
        self.beats: list[AgentHeartbeat] = []
        self.ids: set[str] = set()

    async def open(self) -> None:
        """Begins to listen."""
        await self.bus.serve(self.inbox, AgentMessage, self._hear)
        await self.bus.serve(subjects.AGENT_REGISTER, AgentRegistration, self._register)
        await self.bus.serve(subjects.AGENT_HEARTBEAT, AgentHeartbeat, self._beat)
        await self.bus.serve(subjects.AGENT_DEREGISTER, Deregistration, self._leave)
        await self.bus.serve(subjects.agent_output("*"), OutputLine, self._print)

    async def offer(self, agent_id: str, **fields: Any) -> TaskOffer:
        """Offers a task."""
        offer = TaskOffer(
            task_id=str(fields.pop("task_id", new_id())),
            attempt=int(fields.pop("attempt", 1)),
            execution_id="e1",
            agent_id=agent_id,
            role="worker",
            session="worker-1",
            task=str(fields.pop("task", "do it")),
            reply_to=self.inbox,
            **fields,
        )
        await self.bus.publish(subjects.agent_task(agent_id), offer)
        return offer

    async def control(self, offer: TaskOffer, **fields: Any) -> None:
        """Says something about a task."""
        word = TaskControl(task_id=offer.task_id, **fields)
        await self.bus.publish(subjects.agent_control(offer.agent_id), word)

    def about(self, offer: TaskOffer, *kinds: type[Any]) -> list[Any]:
        """What was heard about one attempt."""
        mine = (offer.task_id, offer.attempt)
        return [word for word in self.heard if isinstance(word, kinds) and (word.task_id, word.attempt) == mine]

    async def ended(self, offer: TaskOffer) -> Any:
        """How a task ended."""
        return (await eventually(lambda: self.about(offer, TaskResult, TaskFault), timeout_s=10))[0]

    async def result(self, agent_id: str, **fields: Any) -> TaskResult:
        """A task that is done well."""
        ended = await self.ended(await self.offer(agent_id, **fields))
        assert isinstance(ended, TaskResult), ended
        return ended

    async def fault(self, agent_id: str, **fields: Any) -> TaskFault:
        """A task that fails."""
        ended = await self.ended(await self.offer(agent_id, **fields))
        assert isinstance(ended, TaskFault), ended
        return ended

    async def _hear(self, word: AgentMessage) -> None:
        self.heard.append(word)

    async def _register(self, agent: AgentRegistration) -> RegistrationReply:
        self.registrations.append(agent)
        self.ids.add(agent.agent_id)
        return RegistrationReply(accepted=True, heartbeat_ms=100)

    async def _beat(self, beat: AgentHeartbeat) -> RegistrationReply:
        self.beats.append(beat)
        return RegistrationReply(accepted=beat.agent_id in self.ids)

    async def _leave(self, word: Deregistration) -> RegistrationReply:
        self.departures.append(word)
        return RegistrationReply(accepted=True)

    async def _print(self, line: OutputLine) -> None:
        self.output.append(line)


@asynccontextmanager
async def room(nats_url: str) -> AsyncGenerator[Room]:
    """A room on a real server."""
    bus = await Bus.connect(nats_url, name="test")
    one = Room(bus)
    try:
        await one.open()
        yield one
    finally:
        await bus.close()


@asynccontextmanager
async def running(nats_url: str, handler: Callable[[Task], Any], **fields: Any) -> AsyncGenerator[Agent]:
    """An agent with this handler, stopped at the end."""
    agent = Agent(f"a-{new_id()}", ["x"], url=nats_url, **fields)
    agent.task(handler)
    serving = asyncio.create_task(agent.serve())
    try:
        await asyncio.wait_for(agent.registered(), 10)
        yield agent
    finally:
        agent.stop()
        await asyncio.wait_for(serving, 10)
