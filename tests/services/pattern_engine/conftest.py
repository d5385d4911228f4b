"""An engine on a real server, with a puppet in place of the executor that a test holds by the strings."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import Failure
from schemas.commands import CommandReply, ReplayQuery, ReplayReport
from schemas.events import ENDINGS, Event, TaskCompleted, TaskFailed, TaskRequested
from services.pattern_engine.service import PatternEngine
from shared import subjects
from shared.bus import Bus, Delivery, Recorded
from shared.config import load

PATTERNS = {
    "team.yaml": """
name: team
version: 1.0.0
workspace: {enabled: false}
structure:
  name: two
  roles:
    one: {id: one, name: One, agentType: custom, capabilities: [work]}
    two: {id: two, name: Two, agentType: custom, capabilities: [work]}
workflow:
  name: work
  input:
    task: {type: string, description: what to do}
  steps:
    - type: parallel
      id: both
      steps:
        - {type: assign, id: first, role: one, task: "${input.task} one"}
        - {type: assign, id: second, role: two, task: "${input.task} two"}
    - {type: aggregate, id: all, method: all}
    - {type: assign, id: last, role: one, task: "${input.task} last"}
""",
    "naps.prism": """
export const pattern = {name: "naps", version: "1.0.0", workspace: {enabled: false}}
let before = now()
sleep(150)
let heard = wait("go", {timeoutMs: 60000})
let after = now()
{slept: after - before >= 150, heard: heard, dice: random()}
""",
    "endless.prism": """
export const pattern = {name: "endless", version: "1.0.0", workspace: {enabled: false}}
let n = 0
while (true) { n = n + 1 }
""",
}


class Puppet:
    """Does the tasks of executions whose id begins with its prefix, when it is told to."""

    def __init__(self, bus: Bus, prefix: str) -> None:
        self.bus = bus
        self.prefix = prefix
        self.held: list[TaskRequested] = []
        self.hold = False
        self.commits = False
        self.fail: Callable[[TaskRequested], bool] = lambda _: False
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to hear tasks."""
        after = await self.bus.last_seq()
        self._following = asyncio.create_task(self._follow(after))

    async def stop(self) -> None:
        """Hears no more."""
        if self._following is not None:
            self._following.cancel()

    async def _follow(self, after: int) -> None:
        async for record in self.bus.follow([subjects.event("*", "task", "requested")], after=after):
            if isinstance(record.data, TaskRequested) and record.execution_id.startswith(self.prefix):
                if self.hold:
                    self.held.append(record.data)
                else:
                    await self.finish(record.data)

    async def finish(self, task: TaskRequested) -> None:
        """Ends a task."""
        if self.fail(task):
            error = Failure(code="task_failed", message="it broke")
            await self.bus.append(
                TaskFailed(
                    execution_id=task.execution_id,
                    task_id=task.task_id,
                    effect=task.effect,
                    role=task.role,
                    error=error,
                    attempts=1,
                )
            )
            return
        await self.bus.append(
            TaskCompleted(
                execution_id=task.execution_id,
                task_id=task.task_id,
                effect=task.effect,
                role=task.role,
                session=f"{task.role}-1",
                agent_id=f"{task.role}-agent",
                attempt=1,
                result={"did": task.text},
                confidence=0.8,
                confidence_source="self_report",
                commit=f"commit-of-{task.task_id}" if self.commits else "",
            )
        )

    async def let_go(self) -> None:
        """Ends everything that was held."""
        self.hold = False
        held, self.held = self.held, []
        for task in held:
            await self.finish(task)


class House:
    """A bus, a puppet, and as many engines as a test starts."""

    def __init__(self, nats_url: str, patterns: Path, bus: Bus, puppet: Puppet, prefix: str) -> None:
        self.nats_url = nats_url
        self.patterns = patterns
        self.bus = bus
        self.puppet = puppet
        self.prefix = prefix
        self.engines: list[PatternEngine] = []

    async def engine(self) -> PatternEngine:
        """Starts one more engine."""
        settings = load({"PARALLAX_NATS_URL": self.nats_url, "PARALLAX_PATTERNS_DIR": str(self.patterns)})
        bus = await Bus.connect(settings, name="pattern_engine")
        engine = PatternEngine(settings, bus)
        await engine.start()
        self.engines.append(engine)
        return engine

    async def crash(self, engine: PatternEngine) -> None:
        """Ends an engine without a word, as kill -9 does."""
        self.engines.remove(engine)
        await engine.bus.close()

    def id(self, name: str) -> str:
        """An execution id of this test's own."""
        return f"{self.prefix}-{name}"

    async def request(self, execution_id: str, pattern: str = "team", **fields: Any) -> CommandReply:
        """Publishes a request and waits for the answer in the inbox."""
        body = {"execution_id": execution_id, "pattern": pattern, "input": {"task": "t"}, **fields}
        if pattern != "team":
            body["input"] = fields.get("input", {})
        return await self.ask(subjects.REQUEST, body)

    async def command(self, execution_id: str, verb: str, body: dict[str, Any] | None = None) -> CommandReply:
        """Publishes a command and waits for the answer in the inbox."""
        return await self.ask(subjects.command(execution_id, verb), body or {})

    async def ask(self, subject: str, body: Any) -> CommandReply:
        """Publishes to the request stream and waits for the answer in the inbox."""
        inbox = self.bus.new_inbox()
        answered: asyncio.Queue[CommandReply] = asyncio.Queue()

        async def heard(reply: CommandReply) -> None:
            await answered.put(reply)

        await self.bus.serve(inbox, CommandReply, heard)
        await self.bus.submit(subject, body, reply_to=inbox)
        return await asyncio.wait_for(answered.get(), 15)

    async def events(self, execution_id: str) -> list[Recorded]:
        """The log of an execution."""
        return [record async for record in self.bus.read(execution_id)]

    async def ended(self, execution_id: str, within_s: float = 10.0) -> Event:
        """The ending of an execution, waited for."""
        async with asyncio.timeout(within_s):
            while True:
                for record in await self.events(execution_id):
                    if record.type in ENDINGS and isinstance(record.data, Event):
                        return record.data
                await asyncio.sleep(0.02)

    async def replay(self, execution_id: str) -> ReplayReport:
        """The verdict of a replay."""
        query = ReplayQuery(execution_id=execution_id)
        return await self.bus.request(subjects.QUERY_REPLAY, query, ReplayReport, timeout_s=10)


@asynccontextmanager
async def _house(nats_url: str, patterns: Path) -> AsyncGenerator[House]:
    async with AsyncExitStack() as stack:
        prefix = f"t{uuid.uuid4().hex[:10]}"
        bus = await Bus.connect(load({"PARALLAX_NATS_URL": nats_url}), name="test")
        stack.push_async_callback(bus.close)
        await bus.ensure_streams()
        puppet = Puppet(bus, prefix)
        await puppet.start()
        stack.push_async_callback(puppet.stop)
        house = House(nats_url, patterns, bus, puppet, prefix)
        try:
            yield house
        finally:
            for engine in house.engines:
                await engine.stop()
                await engine.bus.close()


@pytest.fixture
async def house(nats_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """A place for engines."""
    for name, text in PATTERNS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    async with _house(nats_url, tmp_path) as place:
        yield place


def payload(event: Event) -> dict[str, Any]:
    """An event as a dict."""
    return msgspec.to_builtins(event)


__all__ = ["Delivery", "House", "Puppet", "payload"]
