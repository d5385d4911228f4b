"""A disk that takes nothing more: what cannot be written down is not started, and the runtime lives on."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from schemas.events import AgentSpawned, AgentSpawnFailed, TaskCompleted, TaskFailed, TaskRetrying
from tests.services.executor.rooms import command, house

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are set by prlimit")


def fill(pid: int) -> None:
    """From now on every file that the process writes is too large: as on a full disk, for this process alone."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def empty(pid: int) -> None:
    """There is room again."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_a_turn_on_a_full_disk_fails_with_a_sentence(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """And once there is room the same session goes on; nothing half written stays."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        runtime = await rooms.process("runtime_local")
        first = await rooms.request(agent=command("pass"))
        await rooms.wait_for(first, TaskCompleted)
        fill(runtime.pid)
        second = await rooms.request(first.execution_id, effect=2, agent=command("pass"), attempts=1)
        failed = await rooms.wait_for(second, TaskFailed)
        records = tmp_path / "agents" / "records" / "programs"
        assert failed.error.message == (
            f"The runtime cannot write to {records} (File too large), and starts nothing that it could not find again. "
            "Make room there."
        )
        assert list(records.iterdir()) == []
        third = await rooms.request(first.execution_id, effect=3, agent=command("pass"), attempts=50)
        await rooms.wait_for(third, TaskRetrying)
        empty(runtime.pid)
        await rooms.wait_for(third, TaskCompleted, within_s=30)
        assert runtime.returncode is None
        os.kill(runtime.pid, 0)


async def test_an_agent_is_not_started_on_a_full_disk(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """It is tried for some seconds, in which there may be room again; then the task fails with the reason."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        runtime = await rooms.process("runtime_local")
        fill(runtime.pid)
        lasting = await rooms.request(agent=command("pass"), attempts=1)
        failed = await rooms.wait_for(lasting, TaskFailed)
        assert (await rooms.wait_for(lasting, AgentSpawnFailed)).error == failed.error
        assert failed.error.code == "spawn_failed"
        assert "(File too large)" in failed.error.message
        short = await rooms.request(agent=command("pass"), attempts=1)
        empty(runtime.pid)
        await rooms.wait_for(short, TaskCompleted)
        await rooms.wait_for(short, AgentSpawned)
