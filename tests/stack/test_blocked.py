"""A service that does not answer is seen within seconds, and started again when it does not come round."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from parallax.stack import Stack, embedded
from parallax.stack.child import Child
from parallax.stack.lock import held
from shared.testing import eventually
from tests.stack.test_stack import parallax

PROGRAM = textwrap.dedent("""
    import asyncio, pathlib, re, sys
    from shared.config import load
    from shared.service import Heartbeat

    class Service:
        state, address = "ready", "here"
        class bus:
            connected = True

    async def main():
        Heartbeat(load()).service = Service
        while not pathlib.Path(sys.argv[1]).exists():
            await asyncio.sleep(0.05)
        pathlib.Path(sys.argv[1]).unlink()
        re.match(r"^(\\w+\\s?)+$", "a" * 64 + "!")  # never comes back

    asyncio.run(main())
""")


@pytest.mark.parametrize("how", ["stopped", "spinning"])
async def test_a_service_that_falls_silent_is_shown_and_then_started_again(tmp_path: Path, how: str) -> None:
    """SIGSTOP, or an event loop that does not come back: degraded within seconds, then ended and started again."""
    said: list[str] = []
    child = Child(
        "mute",
        "service",
        command=lambda: [sys.executable, "-c", PROGRAM, str(tmp_path / "spin")],
        environ=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        log=tmp_path / "log",
        changed=lambda _child, what: said.append(what),
        directory=tmp_path,
        blocked_s=5.0,
    )
    keeping = asyncio.create_task(child.supervise())
    try:
        await asyncio.wait_for(child.ready.wait(), 20)
        first = child.part
        began = time.monotonic()
        assert first.pid is not None
        if how == "stopped":
            os.kill(first.pid, signal.SIGSTOP)
        else:
            (tmp_path / "spin").touch()
        await eventually(lambda: child.state == "degraded", timeout_s=8)
        assert child.note == "does not answer"
        assert time.monotonic() - began < 7
        await eventually(lambda: child.state == "ready" and child.part.pid != first.pid, timeout_s=20)
        assert child.restarts == 1
        assert any("did not answer for 5 s and was ended" in line for line in said)
    finally:
        await child.stop(grace_s=0.1)
        await keeping


async def test_a_pause_that_ends_costs_nothing(tmp_path: Path) -> None:
    """A service that answers again before that is ready again, as the same process."""
    child = Child(
        "paused",
        "service",
        command=lambda: [sys.executable, "-c", PROGRAM, str(tmp_path / "spin")],
        environ=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        log=tmp_path / "log",
        changed=lambda _child, _what: None,
        directory=tmp_path,
    )
    keeping = asyncio.create_task(child.supervise())
    try:
        await asyncio.wait_for(child.ready.wait(), 20)
        assert child.part.pid is not None
        os.kill(child.part.pid, signal.SIGSTOP)
        await eventually(lambda: child.state == "degraded", timeout_s=8)
        os.kill(child.part.pid, signal.SIGCONT)
        await eventually(lambda: child.state == "ready", timeout_s=8)
        assert (child.restarts, child.note) == (0, "")
    finally:
        await child.stop(grace_s=0.1)
        await keeping


async def test_status_and_doctor_say_which_service_does_not_answer(server_dir: Path) -> None:
    """Within seconds, for any service; and the supervisor itself is not taken for alive when it is stopped."""
    async with embedded(data=server_dir / "stopped", only=["registry"]) as stack:
        await stack.kill("registry", signal.SIGSTOP)

        async def is_degraded() -> bool:
            return (await stack.part("registry")).state == "degraded"

        await eventually(is_degraded, timeout_s=8)
        status = await asyncio.to_thread(parallax, "status", "--json", data=stack.data)
        assert (status.returncode, json.loads(status.stdout)["services"][0]["state"]) == (0, "degraded")
        checked = await asyncio.to_thread(parallax, "doctor", data=stack.data)
        assert checked.returncode == 1
        assert "registry is degraded (does not answer)" in checked.stdout
        await stack.kill("registry", signal.SIGCONT)
        await _stopped_supervisor(stack)


async def _stopped_supervisor(stack: Stack) -> None:
    supervisor = stack.supervisor
    os.kill(supervisor, signal.SIGSTOP)
    await asyncio.sleep(4)  # three of its signs of life are missed
    status = await asyncio.to_thread(parallax, "status", data=stack.data)
    assert (status.returncode, f"process {supervisor}) does not answer" in status.stderr) == (3, True)
    assert (await asyncio.to_thread(parallax, "down", data=stack.data)).returncode == 0
    with held(stack.data):
        pass
