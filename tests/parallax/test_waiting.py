"""A request that is not taken at once says what it waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from parallax.cli import waiting
from shared.paths import StackPart, StackRecord


def record(state: str, note: str) -> StackRecord:
    """A stack of one server."""
    part = StackPart(name="nats", kind="server", pid=1, state=state, note=note)
    return StackRecord(data="/d", pid=1, identity="x", ready=True, environ={}, parts=[part])


async def test_what_a_request_waits_for_is_said_once_for_each_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parts that are not ready, with their reason; else that no engine has answered."""
    monkeypatch.setattr(waiting, "_PATIENCE_S", 0.05)
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stacks = [record("degraded", "no space left on device"), record("degraded", "no space left on device")]
    stacks.append(record("ready", ""))

    def running(_data: Path | None) -> StackRecord:
        if len(stacks) == 1 and not answer.done():
            answer.get_loop().call_soon_threadsafe(lambda: answer.done() or answer.set_result(7))
        return stacks.pop(0) if len(stacks) > 1 else stacks[0]

    monkeypatch.setattr(waiting, "running_stack", running)

    async def asking() -> int:
        return await answer

    assert await waiting.telling_why(asking(), None) == 7
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Waiting for the request to be taken: nats is degraded (no space left on device)."
    assert said[1:] == ["Waiting for the request to be taken: no pattern engine has answered yet."]


async def test_an_answer_in_time_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """And a failure goes on to the caller."""

    async def at_once() -> int:
        return 1

    async def in_vain() -> int:
        raise ValueError("no")

    assert await waiting.telling_why(at_once(), None) == 1
    with pytest.raises(ValueError, match="no"):
        await waiting.telling_why(in_vain(), None)
    assert capsys.readouterr().err == ""
