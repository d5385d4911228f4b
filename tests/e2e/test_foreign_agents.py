"""An agent that is nothing but NATS and JSON, on the whole product: its questions, and what it says wrong."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.msg import Msg

from parallax.stack import Stack
from shared.testing import eventually
from tests.e2e.plain import Plain, plain

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

NAME = "asker-1"


class Asker:
    """A plain agent: every offer and control that it hears, and a way to answer."""

    def __init__(self, here: Plain) -> None:
        self.here = here
        self.offers: list[dict[str, Any]] = []
        self.controls: list[dict[str, Any]] = []

    async def open(self) -> None:
        """Registers, and stays registered."""

        async def offered(message: Msg) -> None:
            offer = json.loads(message.data)
            turn = (offer["task_id"], offer["attempt"])
            if turn in [(one["task_id"], one["attempt"]) for one in self.offers]:
                await self.say(offer, type="accepted")  # asked whether it is still at it, as on a slow machine
            else:
                self.offers.append(offer)

        async def told(message: Msg) -> None:
            self.controls.append(json.loads(message.data))

        await self.here.client.subscribe(f"parallax.agents.{NAME}.task", cb=offered)
        await self.here.client.subscribe(f"parallax.agents.{NAME}.control", cb=told)
        body = {"agent_id": NAME, "capabilities": ["asking"], "max_concurrency": 4}
        answer = await self.here.client.request("parallax.agents.register", json.dumps(body).encode(), timeout=5)
        assert json.loads(answer.data)["accepted"]

    async def beat(self) -> None:
        """Heartbeats, until cancelled."""
        while True:
            await self.here.client.publish("parallax.agents.heartbeat", json.dumps({"agent_id": NAME}).encode())
            await asyncio.sleep(1)

    async def offer(self, execution_id: str, attempt: int = 1) -> dict[str, Any]:
        """The offer of an execution's task, as soon as it is there."""

        def made() -> list[dict[str, Any]]:
            return [one for one in self.offers if (one["execution_id"], one["attempt"]) == (execution_id, attempt)]

        return (await eventually(made, timeout_s=20))[0]

    async def say(self, offer: dict[str, Any], **fields: Any) -> None:
        """A message about a turn."""
        body = {"task_id": offer["task_id"], "attempt": offer["attempt"], "agent_id": NAME, **fields}
        await self.here.client.publish(offer["reply_to"], json.dumps(body).encode())


@asynccontextmanager
async def asker(stack: Stack) -> AsyncGenerator[Asker]:
    """A plain agent on the stack."""
    async with plain(stack.nats_url) as here:
        one = Asker(here)
        await one.open()
        beating = asyncio.create_task(one.beat())
        try:
            yield one
        finally:
            beating.cancel()
            await here.client.request("parallax.agents.deregister", json.dumps({"agent_id": NAME}).encode(), timeout=5)


async def http(stack: Stack, path: str, body: Any = None) -> Any:
    """A call of the gateway."""

    def call() -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{stack.api_url}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())

    return await asyncio.to_thread(call)


async def test_two_executions_ask_under_one_name(stack: Stack) -> None:
    """Both questions are in the log, in the inbox and over HTTP, each under an id of its own; each answer arrives."""
    async with asker(stack) as agent:
        names = ["ask-one", "ask-two"]
        for name in names:
            body = json.dumps({"pattern": "asking", "execution_id": name}).encode()
            assert (await agent.here.ask("parallax.executions.request", body))["status"] == "accepted"
            await agent.say(await agent.offer(name), type="question", question_id="q1", question=f"Which for {name}?")

        async def in_inbox() -> dict[str, str]:
            found = (await stack.command("inbox", "--json"))["questions"]
            ids = {one["execution_id"]: one["question_id"] for one in found if one["execution_id"] in names}
            return ids if len(ids) == 2 else {}

        ids = await eventually(in_inbox, timeout_s=20, every_s=0.5)
        assert len(set(ids.values())) == 2

        async def over_http() -> dict[str, str]:
            rows = await http(stack, "/api/questions")
            found = {row["execution_id"]: row["id"] for row in rows if row["execution_id"] in names}
            return found if len(found) == 2 else {}

        assert await eventually(over_http, timeout_s=20, every_s=0.5) == ids
        await stack.command("answer", ids["ask-two"], "second")
        await http(stack, f"/api/questions/{ids['ask-one']}/answer", {"value": "first"})
        for name, value in (("ask-one", "first"), ("ask-two", "second")):
            offer = await agent.offer(name)

            def answered(task_id: str = offer["task_id"]) -> list[dict[str, Any]]:
                return [one for one in agent.controls if one["task_id"] == task_id]

            word = (await eventually(answered, timeout_s=10))[0]
            assert (word["action"], word["question_id"], word["value"]) == ("answer", "q1", value)
            await agent.say(offer, type="result", result=word["value"])
            verb, ending = await agent.here.ended(name)
            assert (verb, ending["result"]["result"]) == ("completed", value)


async def test_an_answer_that_cannot_be_taken_is_said(stack: Stack) -> None:
    """The confidence 7, three times: the execution fails with the path, and the agent is not asked for ever."""
    async with asker(stack) as agent:
        body = json.dumps({"pattern": "asking", "execution_id": "ask-seven"}).encode()
        assert (await agent.here.ask("parallax.executions.request", body))["status"] == "accepted"
        for attempt in (1, 2, 3):
            await agent.say(await agent.offer("ask-seven", attempt), type="result", result=1, confidence=7)
        verb, ending = await agent.here.ended("ask-seven")
        assert verb == "failed"
        assert "$.confidence" in ending["error"]["message"]
        assert NAME in ending["error"]["message"]
        assert len(agent.offers) == 3
