"""A data directory of the previous version goes on under today's stack, with the meaning that it began with."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

import parallax
from parallax.client_events import Event
from parallax.stack import embedded
from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from tests.conftest import missing
from tests.histories import previous

pytestmark = pytest.mark.stack

_WITHIN_S = 90.0


async def test_what_was_running_or_waiting_goes_on_and_what_was_over_stays_as_it_was() -> None:
    """Running, waiting for a person, a signal or a time, and paused executions come to the end that they would have
    come to; those that were over have the same log and replay identically, as do all of them afterwards."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    with previous.unpacked() as data:
        async with (
            embedded(data=data, env={"PARALLAX_PATTERNS_DIR": str(previous.PATTERNS)}) as stack,
            parallax.connect(stack.nats_url) as client,
        ):
            ended = {name: client.execution(name) for name in previous.ENDED}
            logs = {name: await one.history() for name, one in ended.items()}
            ends = {name: [event.type for event in log if event.ends] for name, log in logs.items()}
            assert ends == {name: [kind] for name, kind in previous.ENDED.items()}
            opened = {name: client.execution(name) for name in previous.OPEN}
            endings = dict(zip(opened, await asyncio.gather(*map(_to_the_end, opened.values())), strict=True))
            assert {name: await one.history() for name, one in ended.items()} == logs
            for name, one in {**ended, **opened}.items():
                assert (await one.replay()).identical, name
            listed: Any = await stack.command("ps", "--json")
    completed = {name: event.data for name, event in endings.items() if event.type == "execution.completed"}
    assert {name: event.type for name, event in endings.items() if name not in completed} == {
        "denied-later": "execution.failed"
    }
    assert endings["denied-later"].data["error"]["code"] == "not_approved"
    assert completed["asking"]["result"]["result"] == {"chose": "red"}
    # under the first meaning a reviewer's no is a value like any other, and a gate may fail
    assert completed["rejected-later"]["result"]["approved"] is False
    assert completed["checked-later"]["result"]["result"] == {"wrote": "bad"}
    assert {row["id"] for row in listed["executions"]} == {*previous.ENDED, *previous.OPEN}


_ANSWERS = {"asking": "red", "gated": "approve", "denied-later": "deny"}


async def _to_the_end(execution: parallax.Execution) -> Event:
    """Does what an execution waits for, and gives the event that ends it."""
    previous.GO.touch()
    if execution.id == "paused":
        await execution.resume()
    if execution.id in {"paused", "rejected-later", "checked-later"}:
        await execution.signal("go")
    async with asyncio.timeout(_WITHIN_S):
        async for event in execution.events():
            if event.type == "question.asked":  # again, where an attempt that asked was cut off: then nobody hears this
                with suppress(parallax.CommandRejected):
                    await execution.answer(event.data["question_id"], _ANSWERS[execution.id])
            if event.ends:
                return event
    raise AssertionError(execution.id)
