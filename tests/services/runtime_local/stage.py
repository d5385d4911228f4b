"""A runtime on a real nats-server, with a test in the place of the executor."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from schemas.agents import (
    AgentMessage,
    AgentSpec,
    OutputLine,
    TaskAccepted,
    TaskControl,
    TaskFault,
    TaskOffer,
    TaskQuestion,
    TaskResult,
)
from schemas.events import AgentSpawned, AgentSpawnFailed, AgentSpawnRequested
from services.runtime_local.service import LocalRuntime
from shared import subjects
from shared.bus import Bus
from shared.config import Settings
from shared.ids import agent_id, new_id
from shared.testing import eventually

PROTOCOL = (
    "import json, os, sys, time",
    "def say(**words): print(json.dumps(words), flush=True)",
)
"""What the little programs of the tests begin with."""


class Stage:
    """A runtime in this process, and what was heard of it."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self.bus = bus
        self.settings = settings
        self.heard: list[Any] = []
        self.output: list[OutputLine] = []
        self.inbox = bus.new_inbox()
        self.runtime: LocalRuntime | None = None
        self._runtime_bus: Bus | None = None

    async def open(self) -> None:
        """Opens the runtime."""
        await self.bus.serve(self.inbox, AgentMessage, self._hear)
        bus = self._runtime_bus = await Bus.connect(self.settings.nats_url, name="runtime_local")
        self.runtime = LocalRuntime(self.settings, bus)
        await self.runtime.begin()

    async def close(self) -> None:
        """Closes the runtime."""
        if self.runtime is not None and self._runtime_bus is not None:
            await self.runtime.halt(5.0)
            await self._runtime_bus.close()
        await self.bus.close()

    async def spawn(self, command: list[str], **fields: Any) -> AgentSpawned | AgentSpawnFailed:
        """Asks for a session, and returns what becomes of that."""
        execution_id = str(fields.pop("execution_id", f"e{new_id()[:12]}"))
        fields.setdefault("interactive", False)
        agent = agent_id(execution_id, "worker-1")
        await self.bus.serve(subjects.agent_output(agent), OutputLine, self._print)
        await self.bus.append(
            AgentSpawnRequested(
                execution_id=execution_id,
                agent_id=agent,
                role="worker",
                session="worker-1",
                kind=str(fields.pop("kind", "command")),
                runtime="local",
                agent=AgentSpec(kinds=["command"], command=command, **fields),
            )
        )

        async def done() -> list[Any]:
            types = (AgentSpawned.TYPE, AgentSpawnFailed.TYPE)
            return [record.data async for record in self.bus.read(execution_id, types=types)]

        return (await eventually(done, timeout_s=15))[0]

    async def program(self, *lines: str, **fields: Any) -> str:
        """A session whose agent is a Python program of these lines. Its agent's id."""
        spawned = await self.spawn([sys.executable, "-c", "\n".join((*PROTOCOL, *lines))], **fields)
        assert isinstance(spawned, AgentSpawned), spawned
        return spawned.agent_id

    async def offer(self, agent: str, **fields: Any) -> TaskOffer:
        """Offers a turn."""
        execution_id = agent.removesuffix("-worker-1")
        offer = TaskOffer(
            task_id=str(fields.pop("task_id", f"{execution_id}-1")),
            attempt=int(fields.pop("attempt", 1)),
            execution_id=execution_id,
            agent_id=agent,
            role="worker",
            session="worker-1",
            task=str(fields.pop("task", "do it")),
            reply_to=self.inbox,
            **fields,
        )
        await self.bus.publish(subjects.agent_task(agent), offer)
        return offer

    async def ended(self, offer: TaskOffer, timeout_s: float = 15.0) -> TaskResult | TaskFault:
        """How a turn ended."""
        return (await eventually(lambda: self.about(offer, TaskResult, TaskFault), timeout_s=timeout_s))[0]

    async def turn(self, *lines: str, **fields: Any) -> TaskResult | TaskFault:
        """One turn of a program of these lines."""
        return await self.ended(await self.offer(await self.program(*lines), **fields))

    async def result(self, *lines: str, **fields: Any) -> TaskResult:
        """One turn that ends well."""
        ended = await self.turn(*lines, **fields)
        assert isinstance(ended, TaskResult), ended
        return ended

    async def fault(self, *lines: str, **fields: Any) -> TaskFault:
        """One turn that ends badly."""
        ended = await self.turn(*lines, **fields)
        assert isinstance(ended, TaskFault), ended
        return ended

    async def question(self, offer: TaskOffer, number: int = 1) -> TaskQuestion:
        """The question of a turn that was asked as the so many."""
        return (await eventually(lambda: self.about(offer, TaskQuestion)[number - 1 :], timeout_s=10))[0]

    async def answer(self, offer: TaskOffer, question: TaskQuestion, value: Any) -> None:
        """Answers a question."""
        await self.control(offer, action="answer", question_id=question.question_id, value=value)

    async def control(self, offer: TaskOffer, **fields: Any) -> None:
        """Says something about a turn."""
        word = TaskControl(task_id=offer.task_id, **fields)
        await self.bus.publish(subjects.agent_control(offer.agent_id), word)

    def about(self, offer: TaskOffer, *kinds: type[Any]) -> list[Any]:
        """What was heard about one attempt."""
        return [
            word
            for word in self.heard
            if isinstance(word, kinds) and (word.task_id, word.attempt) == (offer.task_id, offer.attempt)
        ]

    def printed(self, stream: str) -> list[str]:
        """What was published of the agents' output."""
        return [line.text for line in self.output if line.stream == stream]

    async def _hear(self, word: AgentMessage) -> None:
        if not isinstance(word, TaskAccepted) or word not in self.heard:
            self.heard.append(word)

    async def _print(self, line: OutputLine) -> None:
        self.output.append(line)


@asynccontextmanager
async def stage(nats_url: str, place: Path, **settings: Any) -> AsyncGenerator[Stage]:
    """A stage with an open runtime, closed at the end whatever happens."""
    bus = await Bus.connect(nats_url, name="test")
    await bus.ensure_streams()
    one = Stage(bus, Settings(nats_url=nats_url, data=place, **settings))
    try:
        await one.open()
        yield one
    finally:
        async with asyncio.timeout(20):
            await one.close()
