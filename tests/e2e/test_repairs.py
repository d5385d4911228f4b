"""What an operator meets: messages that cannot be handled, and streams that somebody has taken away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import nats.errors
import nats.js.errors
import pytest

from parallax.stack import Stack
from shared.testing import eventually
from tests.e2e.plain import Plain, plain

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

REQUEST = "parallax.executions.request"


async def letters(stack: Stack) -> list[dict[str, Any]]:
    """What `parallax dead-letters list` shows."""
    found = await stack.command("dead-letters", "list", "--json")
    return found if isinstance(found, list) else [found] if isinstance(found, dict) else []


async def completes(client: Plain, execution_id: str) -> None:
    """An execution is requested, through whatever is amiss for a moment, and completes."""
    body = json.dumps({"execution_id": execution_id, "pattern": "duo", "input": {"topic": "x"}}).encode()

    async def acked() -> bool:
        try:
            await client.client.jetstream().publish(REQUEST, body, timeout=2)
        except (nats.errors.Error, nats.js.errors.Error):
            return False
        return True

    await eventually(acked, timeout_s=40)
    assert (await client.ended(execution_id))[0] == "completed"


async def test_what_cannot_be_read_is_parked_listed_requeued_and_dropped(stack: Stack) -> None:
    """An event that nobody can read goes to the dead letters with the reason; handled again it is parked again."""
    async with plain(stack.nats_url) as client:
        await client.client.jetstream().publish("parallax.append.stranger.task.requested", b"\xff not json")

        async def of(service: str) -> list[dict[str, Any]]:
            return [letter for letter in await letters(stack) if letter["service"] == service]

        async def parked() -> bool:
            return bool(await of("executor"))

        await eventually(parked, timeout_s=30)
        (letter,) = await of("executor")
        assert letter["subject"] == "parallax.events.stranger.task.requested"
        assert "task.requested" in letter["reason"]
        await stack.command("dead-letters", "requeue", str(letter["id"]))

        async def parked_again() -> bool:
            found = await of("executor")
            return len(found) == 1 and found[0]["id"] != letter["id"]

        await eventually(parked_again, timeout_s=30)
        (again,) = await of("executor")
        assert again["reason"] == letter["reason"]
        for left in await letters(stack):
            await stack.command("dead-letters", "drop", str(left["id"]))
        assert await letters(stack) == []
        await completes(client, "after-a-dead-letter")


async def test_a_stream_that_was_taken_away_is_made_again(stack: Stack) -> None:
    """Deleted under the running services, the request stream comes back and is served."""
    async with plain(stack.nats_url) as client:
        await completes(client, "before-the-deletion")
        await client.client.jetstream().delete_stream("PARALLAX_REQUESTS")
        await asyncio.wait_for(completes(client, "after-the-deletion"), 60)
        assert await stack.healthy()
