"""Agents as processes of their own: how they begin, survive a server that is killed, and leave."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from parallax.agent import Task
from parallax.stack.binaries import server_account
from parallax.stack.servers import Nats, free_ports, spawn
from schemas.agents import TaskAccepted, TaskResult
from shared import subjects
from shared.ids import new_id
from shared.paths import StackRecord, data_dir, record_file
from shared.processes import process_identity
from shared.testing import eventually
from tests.parallax.agent_room import room, running


async def test_an_agent_reconnects_after_a_server_was_killed(server_dir: Path) -> None:
    """kill -9 of nats-server in the middle of a task: the task's end is heard on the next one, and further tasks."""
    place = server_dir / f"nats-{new_id()[-8:]}"
    place.mkdir(mode=0o711)
    port, monitor = free_ports(2)
    server = Nats(place / "data", server_account(), port=port, monitor_port=monitor)
    server.prepare()

    def start() -> Any:
        return spawn(server, server_account(), log=place / "log", environ={"TZ": "UTC"})

    process = start()
    go = asyncio.Event()

    async def work(_task: Task) -> str:
        await go.wait()
        return "alive"

    try:
        await eventually(lambda: asyncio.to_thread(server.is_ready), timeout_s=10)
        async with room(server.url) as here, running(server.url, work) as agent:
            offer = await here.offer(agent.id)
            await eventually(lambda: here.about(offer, TaskAccepted))
            process.kill()
            await asyncio.to_thread(process.wait)
            go.set()
            process = start()

            async def heard() -> list[TaskResult]:
                await here.bus.publish(subjects.agent_task(agent.id), offer)  # is made again until something is heard
                return here.about(offer, TaskResult)

            assert (await eventually(heard, timeout_s=10, every_s=0.3))[0].result == "alive"
            assert (await here.result(agent.id)).result == "alive"
    finally:
        process.kill()
        process.wait()


SNIPPET = """
import parallax

agent = parallax.Agent("reviewer-1", capabilities=["code_review"])

@agent.task
async def review(task: parallax.Task) -> parallax.Result:
    return parallax.Result({"verdict": "approve"}, confidence=0.8)

agent.run()
"""


def program(source: str, **env: str) -> subprocess.Popen[str]:
    """A program of a user's, as a process."""
    here = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", source],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": here, "HOME": "/nonexistent", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_the_documented_program_works_as_written(nats_url: str) -> None:
    """It registers with its capabilities, does a task, and ends with 0 on SIGTERM, once what it has is done."""
    async with room(nats_url) as here:
        process = program(SNIPPET, PARALLAX_NATS_URL=nats_url)
        try:
            found = await eventually(lambda: here.registrations, timeout_s=15)
            assert (found[0].agent_id, found[0].capabilities, found[0].pid) == (
                "reviewer-1", ["code_review"], process.pid
            )  # fmt: skip
            ended = await here.result("reviewer-1")
            assert (ended.result, ended.confidence) == ({"verdict": "approve"}, 0.8)
            process.send_signal(signal.SIGTERM)
            _, words = await asyncio.to_thread(process.communicate, timeout=10)
            assert (process.returncode, words) == (0, "")
            assert [word.agent_id for word in here.departures] == ["reviewer-1"]
        finally:
            process.kill()
            process.wait()


STUBBORN = """
import time, parallax
agent = parallax.Agent("stubborn", url={url!r})
@agent.task
def work(task): time.sleep(300)
agent.run()
"""


async def test_a_second_signal_ends_the_process_at_once(nats_url: str) -> None:
    """Nobody is locked out by a handler that does not end."""
    async with room(nats_url) as here:
        process = program(STUBBORN.format(url=nats_url))
        try:
            await eventually(lambda: here.registrations, timeout_s=15)
            offer = await here.offer("stubborn")
            await eventually(lambda: here.about(offer, TaskAccepted))
            process.send_signal(signal.SIGTERM)
            await eventually(lambda: here.departures, timeout_s=10)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 10) == -signal.SIGTERM
        finally:
            process.kill()
            await asyncio.to_thread(process.communicate)


async def test_an_agent_waits_for_a_server_and_can_be_stopped_meanwhile() -> None:
    """SIGTERM ends one that has no server yet, with 0; what it waits for is said."""
    (port,) = free_ports(1)
    process = program(SNIPPET, PARALLAX_NATS_URL=f"nats://127.0.0.1:{port}", PYTHONUNBUFFERED="1")
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert f"nats://127.0.0.1:{port}" in line
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def test_an_agent_that_knows_no_server_waits_for_a_stack(nats_url: str, tmp_path: Path) -> None:
    """Without a setting and before `parallax up`: one line says what to do; with the stack it registers and says so."""
    process = program(SNIPPET, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path), PYTHONUNBUFFERED="1")
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert "reviewer-1 waits" in line
        assert "PARALLAX_NATS_URL is not set" in line
        assert "`parallax up` starts an embedded stack" in line
        await asyncio.sleep(2.0)  # it is looked for again and again meanwhile, without a word
        async with room(nats_url) as here:
            place = data_dir(None, {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)})
            stack = StackRecord(
                data=str(place),
                pid=os.getpid(),
                identity=process_identity(os.getpid()),
                ready=True,
                environ={"PARALLAX_NATS_URL": nats_url},
                parts=[],
            )
            record_file(place).parent.mkdir(parents=True)
            record_file(place).write_bytes(msgspec.json.encode(stack))
            await eventually(lambda: here.registrations, timeout_s=15)
            line = await asyncio.to_thread(process.stdout.readline)
            assert f"reviewer-1 is registered at {nats_url}: code_review, one task at a time." in line
            assert (await here.result("reviewer-1")).confidence == 0.8
            process.send_signal(signal.SIGTERM)
            _, words = await asyncio.to_thread(process.communicate, timeout=10)
            assert (process.returncode, words) == (0, "")
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
