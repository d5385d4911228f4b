"""Executors, runtimes, registries and agents on real servers, in one process or as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from parallax.agent import Agent
from schemas.agents import AgentSpec
from schemas.events import Event, TaskRequested, TaskWaiting
from services.executor.service import Executor
from services.registry.service import Registry
from services.runtime_local.service import LocalRuntime
from shared.bus import Bus, Recorded
from shared.config import Settings
from shared.ids import new_id
from shared.service import Service
from shared.testing import eventually

KINDS: dict[str, type[Service]] = {"executor": Executor, "registry": Registry, "runtime_local": LocalRuntime}


class House:
    """What a test works with: a bus of its own and the rooms it has opened."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self.bus = bus
        self.settings = settings
        self.rooms: list[tuple[Service, Bus]] = []
        self.agents: list[tuple[Agent, asyncio.Task[None]]] = []
        self.processes: list[asyncio.subprocess.Process] = []

    async def open(self, *names: str) -> None:
        """Opens rooms in this process."""
        for name in names:
            bus = await Bus.connect(self.settings.nats_url, name=name)
            room = KINDS[name](self.settings, bus)
            await room.begin()
            self.rooms.append((room, bus))

    async def process(self, name: str, data: Path | None = None) -> asyncio.subprocess.Process:
        """Opens a room as a process, and returns when it says that it is ready. `data`: in a place of its own."""
        reading, writing = os.pipe()
        env = {
            **os.environ,
            "PARALLAX_NATS_URL": self.settings.nats_url,
            "PARALLAX_ETCD_ENDPOINTS": ",".join(self.settings.etcd_endpoints),
            "PARALLAX_DATA": str(data or self.settings.data),
            "PARALLAX_NOTIFY_FD": str(writing),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"services.{name}", env=env, pass_fds=(writing,), stderr=asyncio.subprocess.DEVNULL
        )
        self.processes.append(process)
        os.close(writing)
        with os.fdopen(reading) as lines:
            async with asyncio.timeout(20):
                while (word := await asyncio.to_thread(lines.readline)) and json.loads(word)["state"] == "starting":
                    pass
        assert json.loads(word)["state"] == "ready"
        return process

    async def agent(self, agent: Agent) -> Agent:
        """Runs an agent in this process, and returns when it is registered."""
        task = asyncio.create_task(agent.serve())
        self.agents.append((agent, task))
        await asyncio.wait_for(agent.registered(), 10)
        return agent

    async def request(self, execution_id: str = "", **fields: Any) -> TaskRequested:
        """Asks for a task, as an engine would."""
        execution_id = execution_id or f"e{new_id()[:12]}"
        effect = str(fields.pop("effect", "1"))
        request = TaskRequested(
            execution_id=execution_id,
            task_id=f"{execution_id}-{effect}",
            effect=effect,
            digest="d",
            role=fields.pop("role", "worker"),
            text=fields.pop("text", "do it"),
            agent=fields.pop("agent", AgentSpec(kinds=["custom"], capabilities=[execution_id])),
            **fields,
        )
        await self.bus.append(request)
        return request

    async def events(self, execution_id: str) -> list[Recorded]:
        """The log of an execution."""
        return [record async for record in self.bus.read(execution_id)]

    async def types(self, execution_id: str) -> list[str]:
        """The kinds of the events of an execution, in order; without `task.waiting`, which a slow machine says too."""
        return [record.type for record in await self.events(execution_id) if record.type != TaskWaiting.TYPE]

    async def wait_for(self, request: TaskRequested, kind: type[Event], within_s: float = 15.0) -> Any:
        """The first event of a kind about a task."""

        async def found() -> list[Any]:
            return [
                record.data
                for record in await self.events(request.execution_id)
                if isinstance(record.data, kind) and getattr(record.data, "task_id", request.task_id) == request.task_id
            ]

        return (await eventually(found, timeout_s=within_s))[0]

    async def close(self) -> None:
        """Closes everything that was opened."""
        for agent, task in self.agents:
            agent.stop()
            await asyncio.wait({task}, timeout=5)
        for room, bus in reversed(self.rooms):
            await room.halt(5.0)
            await bus.close()
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()
        await self.bus.close()


@asynccontextmanager
async def house(nats_url: str, etcd_url: str, place: Path, **settings: Any) -> AsyncGenerator[House]:
    """A house on real servers, closed at the end whatever happens."""
    bus = await Bus.connect(nats_url, name="test")
    await bus.ensure_streams()
    endpoint = etcd_url if "://" in etcd_url else f"http://{etcd_url}"
    one = House(bus, Settings(nats_url=nats_url, etcd_endpoints=(endpoint,), data=place, **settings))
    try:
        yield one
    finally:
        await one.close()


def command(*lines: str) -> AgentSpec:
    """A role filled by a Python program of these lines."""
    return AgentSpec(kinds=["command"], command=[sys.executable, "-c", "\n".join(lines)])
