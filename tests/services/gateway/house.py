"""A gateway and a projector at work, with an engine's part played by the test."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx

from schemas.agents import OutputLine
from schemas.commands import CommandReply
from schemas.events import ExecutionAccepted, ExecutionCompleted, ExecutionStarted
from schemas.projections import ProjectorAnswer, ProjectorQuery
from services.gateway.service import Gateway
from shared import subjects
from shared.bus import Bus, Delivery, NoResponder

PATTERN = """
export const pattern = {name: "noop", version: "1.0.0", workspace: {enabled: false}}
1
"""


class House:
    """A gateway, a projector, a bus, and answers for requests."""

    def __init__(self, gateway: Gateway, bus: Bus) -> None:
        self.url = gateway.address
        self.gateway = gateway
        self.bus = bus
        self.heard: list[Delivery] = []
        self.reply = CommandReply(execution_id="x", status="accepted")

    async def handle(self, delivery: Delivery) -> None:
        """Answers a request or a command as an engine would."""
        self.heard.append(delivery)
        if delivery.reply_to:
            await self.bus.publish(delivery.reply_to, self.reply)

    async def print_line(self, agent_id: str, text: str) -> None:
        """A line of an agent's output."""
        line = OutputLine(agent_id=agent_id, execution_id="x", task_id="", stream="stdout", text=text)
        await self.bus.submit(subjects.agent_output(agent_id), line)

    async def tell(self, name: str, ending: bool = True) -> None:
        """The log of a short execution."""
        await self.bus.append(ExecutionAccepted(execution_id=name, pattern="noop", request_digest="d", engine="e"))
        await self.bus.append(
            ExecutionStarted(
                execution_id=name,
                engine="e",
                epoch=1,
                pattern_name="noop",
                pattern_version="1.0.0",
                pattern_format="prism",
                pattern_digest="d",
                program="1",
                program_digest="d",
            )
        )
        if ending:
            await self.bus.append(ExecutionCompleted(execution_id=name, result={"n": 1}, confidence=0.5))


async def projections(bus: Bus) -> bool:
    """Whether the projector leads, and so has made its tables."""
    try:
        await bus.request(subjects.QUERY_PROJECTOR, ProjectorQuery(), ProjectorAnswer)
    except NoResponder:
        return False
    return True


def fresh() -> str:
    """An execution id of this test's own."""
    return f"g{uuid.uuid4().hex[:12]}"


async def read_sse(client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The events of a stream until its end."""
    found: list[dict[str, Any]] = []
    async with client.stream("GET", path, headers=headers or {}, timeout=20) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line == "event: end":
                return found
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
    raise AssertionError("the stream broke off")
