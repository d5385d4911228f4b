"""What a stranger has: nats-py, the names of subjects, and JSON. Nothing of ours is used here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

ENDINGS = {"completed", "failed", "cancelled", "rejected"}


class Plain:
    """A plain client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def ask(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Publishes to the request stream and waits for the answer at an inbox of its own."""
        inbox = self.client.new_inbox()
        answers = await self.client.subscribe(inbox)
        ack = await self.client.jetstream().publish(
            subject, payload, headers={"Parallax-Reply-To": inbox, **(headers or {})}, timeout=10
        )
        assert ack.stream == "PARALLAX_REQUESTS"
        message = await answers.next_msg(timeout=20)
        await answers.unsubscribe()
        return json.loads(message.data)

    async def history(self, execution_id: str) -> list[Msg]:
        """What the log holds of an execution, read with a consumer on the stream."""
        stream = self.client.jetstream()
        filters = f"parallax.events.{execution_id}.>"
        info = await stream.stream_info("PARALLAX_EVENTS", subjects_filter=filters)
        held = sum((info.state.subjects or {}).values())
        subscription = await stream.subscribe(filters, stream="PARALLAX_EVENTS", ordered_consumer=True)
        found = [await subscription.next_msg(timeout=10) for _ in range(held)]
        await subscription.unsubscribe()
        return found

    async def ended(self, execution_id: str) -> tuple[str, dict[str, Any]]:
        """How an execution ended, waited for: the verb and the body."""
        subject = f"parallax.events.{execution_id}.execution.*"
        live = await self.client.subscribe(subject)
        await self.client.flush()
        try:
            for message in await self.history(execution_id):
                *_, entity, verb = message.subject.split(".")
                if entity == "execution" and verb in ENDINGS:
                    return verb, json.loads(message.data)
            async with asyncio.timeout(30):
                async for message in live.messages:
                    if message.subject.split(".")[-1] in ENDINGS:
                        return message.subject.split(".")[-1], json.loads(message.data)
            raise AssertionError("the subscription ended")
        finally:
            await live.unsubscribe()

    async def count(self, stream: str) -> int:
        """How many messages a stream holds."""
        return (await self.client.jetstream().stream_info(stream)).state.messages


@asynccontextmanager
async def plain(url: str) -> AsyncGenerator[Plain]:
    """A plain client for the length of a block."""
    client = await nats.connect(url)
    try:
        yield Plain(client)
    finally:
        await client.close()
