"""What becomes of the processes of agents: how they are ended, what they see, and what a killed runtime leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from schemas.agents import AgentSpec, Oracle, TaskFault, TaskOffer, TaskResult, VerifyOffer, VerifyReply
from schemas.events import (
    AgentSpawned,
    AgentSpawnRequested,
    AgentStopped,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionPaused,
    ExecutionResumed,
)
from services.runtime_local.environment import MARK
from services.runtime_local.program import start_program
from services.runtime_local.records import ProgramRecord, Records, SessionRecord
from services.runtime_local.service import LocalRuntime
from shared import subjects
from shared.bus import Bus
from shared.config import Settings
from shared.ids import new_id
from shared.processes import process_identity
from shared.testing import eventually
from tests.processes import has_ended
from tests.services.runtime_local.stage import Stage, stage

STUBBORN = (
    "import signal, subprocess",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "code = 'import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setsid();'",
    'code += \'open(sys.argv[1], "a").write(str(os.getpid()) + "\\\\n"); time.sleep(300)\'',
)
"""A program that ignores SIGTERM, and the source of a child that does too and leaves the process group."""


def with_child(place: Path, *lines: str) -> tuple[str, ...]:
    """A program whose child, without the mark in its environment, has left its session; both ignore SIGTERM."""
    child = f"subprocess.Popen([sys.executable, '-c', code, {str(place)!r}], env={{}})"
    return (*STUBBORN, child, f"while not os.path.exists({str(place)!r}): time.sleep(0.01)", *lines)


async def child_of(place: Path) -> psutil.Process:
    """The child, once it has written down its pid."""
    await eventually(lambda: place.exists() and place.read_text().endswith("\n"), timeout_s=10)
    return psutil.Process(int(place.read_text()))


async def test_cancel_ends_a_program_and_its_detached_child(nats_url: str, tmp_path: Path) -> None:
    """Both ignore SIGTERM, and the child has left session, group and environment: nothing is left of them."""
    async with stage(nats_url, tmp_path) as scene:
        pid = tmp_path / "pid"
        offer = await scene.offer(await scene.program(*with_child(pid, "time.sleep(300)")))
        child = await child_of(pid)
        await scene.control(offer, action="cancel", reason="enough")
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskFault)
        assert (ended.error.code, ended.error.message) == ("cancelled", "enough")
        assert has_ended(child)


async def test_what_a_program_leaves_behind_is_ended_with_it(nats_url: str, tmp_path: Path) -> None:
    """A program that ends well cannot leave a child that works on, and the turn does not wait for the child's pipe."""
    async with stage(nats_url, tmp_path) as scene:
        pid = tmp_path / "pid"
        ended = await scene.result(*with_child(pid, "say(type='result', result='done')"))
        assert ended.result == "done"
        assert not psutil.pid_exists(int(pid.read_text()))


async def test_a_killed_keeper_takes_the_program_along(nats_url: str, tmp_path: Path) -> None:
    """kill -9 of the process in between ends the turn as interrupted, and the marked child that held the pipes too."""
    async with stage(nats_url, tmp_path) as scene:
        pid = tmp_path / "pid"
        lines = with_child(pid, f"open({str(tmp_path / 'main')!r}, 'w').write(str(os.getpid()))", "time.sleep(300)")
        offer = await scene.offer(await scene.program(*(line.replace(", env={}", "") for line in lines)))
        child = await child_of(pid)
        main = await eventually(lambda: (tmp_path / "main").exists() and (tmp_path / "main").read_text())
        program = psutil.Process(int(main))
        os.kill(program.ppid(), signal.SIGKILL)
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskFault)
        assert (ended.error.code, ended.interrupted) == ("agent_killed", True)
        await eventually(lambda: has_ended(child) and has_ended(program))


async def test_the_end_of_an_execution_ends_its_agents(nats_url: str, tmp_path: Path) -> None:
    """With everything they started, their home, and a word in the log."""
    async with stage(nats_url, tmp_path) as scene:
        pid = tmp_path / "pid"
        offer = await scene.offer(await scene.program(*with_child(pid, "time.sleep(300)")))
        child = await child_of(pid)
        await scene.bus.append(ExecutionCompleted(execution_id=offer.execution_id))
        await eventually(lambda: has_ended(child), timeout_s=10)
        stopped = await has_stopped(scene, offer)
        assert (stopped.reason, stopped.exit_code) == ("the execution is over", None)
        await eventually(lambda: not list((tmp_path / "agents" / "work").iterdir()))


async def stops(scene: Stage, offer: TaskOffer) -> AgentStopped | None:
    """How the log says that a turn's agent was stopped."""
    async for record in scene.bus.read(offer.execution_id, types=[AgentStopped.TYPE]):
        if isinstance(record.data, AgentStopped):
            return record.data
    return None


async def has_stopped(scene: Stage, offer: TaskOffer) -> AgentStopped:
    """The same, as soon as it says so."""
    stopped = await eventually(lambda: stops(scene, offer), timeout_s=10)
    assert stopped is not None
    return stopped


async def test_pause_freezes_everything_and_resume_thaws_it(nats_url: str, tmp_path: Path) -> None:
    """The detached child stands still too; a frozen program is not silent."""
    async with stage(nats_url, tmp_path, agent_timeout_ms=1000) as scene:
        pid = tmp_path / "pid"
        lines = with_child(pid, "for n in range(6): print(n, flush=True); time.sleep(0.2)", "say(type='result')")
        offer = await scene.offer(await scene.program(*lines))
        child = await child_of(pid)
        await scene.bus.append(ExecutionPaused(execution_id=offer.execution_id, number=1))
        await eventually(lambda: child.status() == psutil.STATUS_STOPPED)
        await asyncio.sleep(1.5)  # longer than it may be silent
        assert scene.about(offer, TaskResult, TaskFault) == []
        await scene.bus.append(ExecutionResumed(execution_id=offer.execution_id, number=2))
        assert isinstance(await scene.ended(offer), TaskResult)


async def test_a_frozen_program_can_be_cancelled(nats_url: str, tmp_path: Path) -> None:
    """Cancelling a paused execution ends what is frozen."""
    async with stage(nats_url, tmp_path) as scene:
        pid = tmp_path / "pid"
        offer = await scene.offer(await scene.program(*with_child(pid, "time.sleep(300)")))
        child = await child_of(pid)
        await scene.bus.append(ExecutionPaused(execution_id=offer.execution_id, number=1))
        await eventually(lambda: child.status() == psutil.STATUS_STOPPED)
        await scene.bus.append(ExecutionCancelled(execution_id=offer.execution_id, reason="enough"))
        await eventually(lambda: has_ended(child), timeout_s=10)


CANARIES = {
    "PARALLAX_API_KEY": "canary-1",
    "PARALLAX_GITHUB_PRIVATE_KEY": "canary-2",
    "PARALLAX_DATABASE_URL": "postgresql://u:canary-3@h/d",
    "ANTHROPIC_API_KEY": "canary-4",
    "AWS_SECRET_ACCESS_KEY": "canary-5",
    "PYTHONPATH": "/canary-6",
    "LD_PRELOAD_OF_OURS": "canary-7",
}


async def test_a_program_sees_nothing_of_the_platforms_environment(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key, password or address; HOME and TMPDIR are its own and empty; the pattern's env is there."""
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program(
            "stats = {name: [os.stat(os.environ[name]).st_mode & 0o777, os.listdir(os.environ[name])]"
            " for name in ('HOME', 'TMPDIR')}",
            "fds = [os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and"
            " os.path.exists(f'/proc/self/fd/{fd}')]",
            "say(type='result', result=[dict(os.environ), stats, fds])",
            env={"TEAM": "blue", "PARALLAX_ROLE": "forged", "PARALLAX_NATS_URL": "forged"},
        )
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskResult)
        assert isinstance(ended.result, list)
        seen, places, descriptors = ended.result
        assert isinstance(seen, dict)
        assert "canary" not in str(seen)
        assert nats_url not in str(seen)
        assert (seen["TEAM"], seen["PARALLAX_ROLE"]) == ("blue", "worker")
        assert "PARALLAX_NATS_URL" not in seen
        assert Path(seen["HOME"]).parent == Path(seen["TMPDIR"]).parent
        assert Path(seen["HOME"]).parent.parent.name.startswith("px-")
        assert places == {"HOME": [0o700, []], "TMPDIR": [0o700, []]}
        assert not [name for name in descriptors if "socket" in name or "pipe" in name]


async def test_a_verification_sees_nothing_of_it_either(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform's own environment, secrets included, is not what verification commands run with."""
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    async with stage(nats_url, tmp_path) as scene:
        offer = VerifyOffer(
            verification_id=new_id(),
            execution_id="e1",
            session="worker-1",
            role="worker",
            workspace=str(tmp_path),
            oracles=[Oracle(run=["env"])],
        )
        reply = await scene.bus.request(subjects.runtime_verify("local"), offer, VerifyReply, timeout_s=10)
        (result,) = reply.results
        assert "HOME=" in result.output
        assert "canary" not in result.output


async def test_what_a_killed_runtime_left_is_ended_and_a_stranger_is_not(nats_url: str, tmp_path: Path) -> None:
    """Found by pid and start time, or by the mark in its environment; whoever has the pid by now is left alone."""
    records = Records(tmp_path / "agents" / "records")
    records.prepare()
    sleep = ["sleep", "300"]
    ours, theirs = process(sleep), process(sleep)
    marked, torn = new_id(), new_id()
    detached = [process(sleep, {"PATH": os.environ["PATH"], MARK: mark}) for mark in (marked, torn)]
    execution_id = f"e{new_id()[:12]}"
    async with stage_closed(nats_url, tmp_path) as scene:
        offer = TaskOffer(
            task_id=f"{execution_id}-1", attempt=1, execution_id=execution_id, agent_id="a", role="worker",
            session="worker-1", task="", reply_to=scene.inbox,
        )  # fmt: skip
        records.keep_program(
            ProgramRecord(mark=new_id(), pid=ours.pid, identity=process_identity(ours.pid), offer=offer)
        )
        records.keep_program(ProgramRecord(mark=new_id(), pid=theirs.pid, identity="another-boot-1"))
        records.keep_program(ProgramRecord(mark=marked, pid=theirs.pid, identity="another-boot-2"))
        (tmp_path / "agents" / "records" / "programs" / torn).write_bytes(b'{"mark": "')
        (tmp_path / "agents" / "records" / "sessions" / "torn").write_bytes(b"\0\0")
        records.keep_session(SessionRecord(agent_id=f"{execution_id}-worker-1", execution_id=execution_id, life=3))
        try:
            await scene.open()
            assert all(left.wait(5) == -signal.SIGKILL for left in (ours, *detached))
            assert theirs.poll() is None
            ended = await scene.ended(offer)
            assert isinstance(ended, TaskFault)
            assert ended.interrupted
            stopped = await stops(scene, offer)
            assert stopped is not None
            assert (stopped.life, stopped.reason) == (3, "the runtime was restarted")
            assert list(records.programs()) == []
            assert list(records.sessions()) == []
        finally:
            for left in (ours, theirs, *detached):
                left.kill()
                left.wait()


def process(command: list[str], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A process that nobody but its record knows."""
    return subprocess.Popen(command, env=env)


def stage_closed(nats_url: str, place: Path) -> _Closed:
    """A stage whose runtime is not open yet."""
    return _Closed(nats_url, place)


class _Closed:
    def __init__(self, nats_url: str, place: Path) -> None:
        self._settings = Settings(nats_url=nats_url, data=place)
        self._stage: Stage | None = None

    async def __aenter__(self) -> Stage:
        bus = await Bus.connect(self._settings.nats_url, name="test")
        await bus.ensure_streams()
        self._stage = Stage(bus, self._settings)
        return self._stage

    async def __aexit__(self, *_: object) -> None:
        assert self._stage is not None
        await self._stage.close()


async def test_a_stopping_runtime_ends_its_programs(nats_url: str, tmp_path: Path) -> None:
    """In order: the turn is said to be interrupted, and nothing is left for the next runtime to find."""
    async with stage(nats_url, tmp_path) as scene:
        pid = tmp_path / "pid"
        offer = await scene.offer(await scene.program(*with_child(pid, "time.sleep(300)")))
        child = await child_of(pid)
        assert isinstance(scene.runtime, LocalRuntime)
        await scene.runtime.stop()
        ended = await eventually(lambda: [f for f in scene.about(offer, TaskFault) if f.interrupted])
        assert "the runtime was stopped" in ended[0].error.message
        assert has_ended(child)
        records = Records(tmp_path / "agents" / "records")
        assert [*records.programs(), *records.sessions()] == []


async def test_a_request_that_comes_twice_opens_one_session(nats_url: str, tmp_path: Path) -> None:
    """And one for an execution that is over opens none."""
    async with stage(nats_url, tmp_path) as scene:
        agent = await scene.program("say(type='result')")
        execution_id = agent.removesuffix("-worker-1")
        assert isinstance(scene.runtime, LocalRuntime)
        session = scene.runtime.sessions[agent]
        again = AgentSpawnRequested(
            execution_id=execution_id, agent_id=agent, role="worker", session="worker-1", kind="command",
            runtime="local", agent=AgentSpec(kinds=["command"], command=[sys.executable]), life=2,
        )  # fmt: skip
        await scene.bus.append(again)
        await eventually(lambda: session.request.life == 2)
        assert scene.runtime.sessions[agent] is session
        over = f"e{new_id()[:12]}"
        await scene.bus.append(ExecutionCancelled(execution_id=over))
        await scene.bus.append(
            AgentSpawnRequested(
                execution_id=over, agent_id=f"{over}-worker-1", role="worker", session="worker-1", kind="command",
                runtime="local", agent=AgentSpec(kinds=["command"], command=["true"]),
            )
        )  # fmt: skip
        assert isinstance(await scene.spawn(["true"]), AgentSpawned)
        assert f"{over}-worker-1" not in scene.runtime.sessions


CUSTOM = """
import parallax
agent = parallax.Agent("ignored", capabilities=["x"])
@agent.task
def work(task: parallax.Task):
    return parallax.Result({"id": agent.id, "role": agent.registration.role}, confidence=0.5)
agent.run()
"""


async def test_a_custom_program_is_started_for_a_session(nats_url: str, tmp_path: Path) -> None:
    """It takes the session's id, does the turn over the bus, and is ended with the execution."""
    async with stage(nats_url, tmp_path) as scene:
        script = tmp_path / "agent.py"
        script.write_text(CUSTOM)
        here = str(Path(__file__).resolve().parents[3])
        spawned = await scene.spawn([sys.executable, str(script)], kind="custom", env={"PYTHONPATH": here})
        assert isinstance(spawned, AgentSpawned)
        offer = await scene.offer(spawned.agent_id)
        while not scene.about(offer, TaskResult):  # the program needs a moment to begin; offers may be repeated
            await asyncio.sleep(0.2)
            await scene.offer(spawned.agent_id)
        ended = await scene.ended(offer)
        assert isinstance(ended, TaskResult)
        assert ended.result == {"id": spawned.agent_id, "role": "worker"}
        await scene.bus.append(ExecutionCompleted(execution_id=offer.execution_id))
        await eventually(lambda: not psutil.pid_exists(spawned.pid), timeout_s=10)


async def test_a_custom_program_that_ends_by_itself_is_told_about(nats_url: str, tmp_path: Path) -> None:
    """With its exit code and the end of what it wrote to stderr."""
    async with stage(nats_url, tmp_path) as scene:
        spawned = await scene.spawn(
            [sys.executable, "-c", "import sys; sys.stderr.write('no config'); sys.exit(4)"], kind="custom"
        )
        offer = await scene.offer(spawned.agent_id)
        stopped = await has_stopped(scene, offer)
        assert (stopped.exit_code, stopped.reason) == (4, "its program ended with exit code 4: no config")


async def test_a_program_that_cannot_be_started_leaks_nothing(tmp_path: Path) -> None:
    """A working directory that is gone is an OSError, and the pipe to the keeper is closed again."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(OSError, match="gone"):
            await start_program(["true"], cwd=tmp_path / "gone", env={})
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
