"""Twenty agents with half a megabyte each: the execution completes, and everybody shows the same value."""

from __future__ import annotations

import hashlib
import json

import pytest

import parallax
from parallax.stack import Stack
from shared.ids import new_id

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]


async def test_nine_megabytes_of_results_complete_and_replay(stack: Stack) -> None:
    """The client, the history and a replay have every character and every digit of what the agents said."""
    async with parallax.connect(stack.nats_url) as client:
        execution = await client.request("many-words", {"n": 1152921504606846977}, id=f"e-{new_id()[:10]}")
        outcome = await execution.result(180)
        history = await execution.history()
        replayed = await execution.replay()
    results = [one["result"] for one in outcome.value]
    assert [len(one["text"]) for one in results] == [450_000] * 20
    assert {one["n"] for one in results} == {1152921504606846977}
    assert {one["half"] for one in results} == {"done \ufffd"}
    ended = next(event for event in history if event.type == "execution.completed")
    told = hashlib.sha256(json.dumps(outcome.value).encode()).digest()
    assert hashlib.sha256(json.dumps(ended.data["result"]).encode()).digest() == told
    assert replayed.identical
