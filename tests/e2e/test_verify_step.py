"""A verify step behind a parallel step checks what was merged, through the whole product."""

from __future__ import annotations

import pytest

import parallax
from parallax.stack import Stack
from shared.ids import new_id

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]


async def test_what_two_agents_did_is_verified_as_one(stack: Stack) -> None:
    """Each left one file; the command finds both in one worktree, and is run once."""
    async with parallax.connect(stack.nats_url) as client:
        execution = await client.request("merge", {}, id=f"e-{new_id()[:10]}")
        outcome = await execution.result(60)
        history = await execution.history()
        replayed = await execution.replay()
    asked = [event.data for event in history if event.type == "verification.requested"]
    found = [event.data for event in history if event.type == "verification.completed"]
    assert [one.merged for one in asked] == [True]
    assert [one.passed for one in found] == [True], found
    assert outcome.commit, outcome
    assert replayed.identical
