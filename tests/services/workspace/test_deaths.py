"""The service as a process that is killed, or asked to leave."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from dulwich.refs import Ref
from dulwich.repo import Repo

from schemas.events import (
    WorkspaceCommitted,
    WorkspaceFinalized,
    WorkspaceIntegrated,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceReady,
)
from shared import subjects
from shared.bus import Bus, BusError
from shared.service import Pong
from shared.testing import eventually
from tests.services.workspace.bench import repository, write
from tests.services.workspace.caller import Caller, bus_at


def start(url: str, root: Path) -> subprocess.Popen[bytes]:
    """The service as a process."""
    environment = {**os.environ, "PARALLAX_NATS_URL": url, "PARALLAX_WORKSPACES_DIR": str(root)}
    command = [sys.executable, "-m", "services.workspace"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


async def at_work(bus: Bus, process: subprocess.Popen[bytes]) -> None:
    """Returns when this very process answers."""

    async def answers() -> bool:
        with suppress(BusError, TimeoutError):
            return (await bus.request(subjects.service_ping("workspace"), {}, Pong, 0.5)).pid == process.pid
        return False

    await eventually(answers, timeout_s=60)


async def a_life(bus: Bus, origin: Path) -> Caller:
    """One execution of two steps with two sessions each, from request to push."""
    caller = Caller(bus)
    ready = await caller.open(str(origin))
    assert isinstance(ready, WorkspaceReady)
    for step in range(2):
        done: list[WorkspaceCommitted] = []
        for session in ("dev-1", "dev-2"):
            task = f"{session}-{step}"
            prepared = await caller.prepare(session, task)
            assert prepared.error is None
            write(Path(prepared.path), {f"{task}.txt": f"{task}\n"})
            done.append(await caller.finish(session, task))
        assert all(commit.error is None and len(commit.files) == 1 for commit in done)
        assert isinstance(await caller.integrate(*done, effect=str(step)), WorkspaceIntegrated)
    finalized = await caller.finalize(push=True)
    assert finalized.pushed
    return caller


async def test_nothing_is_lost_or_doubled_when_the_service_is_killed(nats_url: str, tmp_path: Path) -> None:
    """Eight executions while the service dies of -9 again and again: each task is one commit, each result whole."""
    dice = random.Random(3)
    running = [start(nats_url, tmp_path / "ws")]
    finished = asyncio.Event()

    async def killer(bus: Bus) -> None:
        while not finished.is_set():
            await at_work(bus, running[0])
            await asyncio.sleep(dice.uniform(0.3, 1.1))  # what it gets done in a life is the point of the test
            running[0].send_signal(signal.SIGKILL)
            running[0].wait()
            running[0] = start(nats_url, tmp_path / "ws")

    with repository(tmp_path / "origin", {"a.txt": "a\n"}) as origin:
        async with bus_at(nats_url) as bus:
            killing = asyncio.create_task(killer(bus))
            try:
                async with asyncio.TaskGroup() as group:
                    lives = [group.create_task(a_life(bus, tmp_path / "origin")) for _ in range(8)]
            finally:
                finished.set()
                await killing
                running[0].kill()
                running[0].wait()
            for life in lives:
                await assert_done_once(life.result(), origin)


async def assert_done_once(caller: Caller, origin: Repo) -> None:
    """The published history holds each task once, and the log no answer twice."""
    head = origin.refs[Ref(f"refs/heads/parallax/{caller.id}/result".encode())]
    commits = [entry.commit.message.splitlines() for entry in origin.get_walker(include=[head])]
    tasks = [line for lines in commits for line in lines if line.startswith(b"Parallax-Task:")]
    assert sorted(tasks) == [b"Parallax-Task: dev-%d-%d" % (n, step) for n in (1, 2) for step in range(2)]
    for kind in (WorkspaceReady, WorkspacePrepared, WorkspaceCommitted, WorkspaceIntegrated, WorkspaceFinalized):
        ids = [event.event_id for event in await caller.answers(kind)]
        assert len(ids) == len(set(ids))


async def test_sigterm_finishes_what_is_in_hand(nats_url: str, tmp_path: Path) -> None:
    """Asked to leave, the service exits with 0 in short time, and another one goes on."""
    async with bus_at(nats_url) as bus:
        process = start(nats_url, tmp_path / "ws")
        caller = Caller(bus)
        await caller.open()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
        await bus.append(
            WorkspacePrepareRequested(execution_id=caller.id, task_id="t", attempt=1, role="dev", session="dev-1")
        )
        other = start(nats_url, tmp_path / "ws")
        try:
            prepared = await caller.answer(WorkspacePrepared)
            assert isinstance(prepared, WorkspacePrepared)
            assert prepared.error is None
        finally:
            other.kill()
            other.wait()
