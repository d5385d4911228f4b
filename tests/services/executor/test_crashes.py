"""What the executor, the runtime and agents survive, as processes that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest
from msgspec import UNSET

from parallax.agent import Agent, Result, Task
from schemas.agents import AgentSpec
from schemas.events import (
    AgentLost,
    AgentStopped,
    ExecutionCancelled,
    ExecutionPaused,
    ExecutionResumed,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskFinished,
    TaskRetrying,
    TaskStarted,
    WorkspaceCommitted,
    WorkspacePrepared,
    WorkspacePrepareRequested,
)
from services.runtime_local.environment import MARK
from shared.testing import eventually
from tests.services.executor.rooms import command, house


def running_for(execution_id: str) -> list[psutil.Process]:
    """The processes that carry an execution's mark and are not dead."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK, "").startswith(execution_id) and process.status() != "zombie":
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def asleep(place: Path) -> AgentSpec:
    """A program that writes down its pid, starts a child in a session of its own, and sleeps."""
    return command(
        "import os, subprocess, time",
        "subprocess.Popen(['setsid', 'sleep', '300'])",
        f"open({str(place)!r}, 'a').write(f'{{os.getpid()}}\\n')",
        "time.sleep(300)",
    )


async def test_a_killed_executor_loses_nothing(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """After kill -9 in the middle of a turn the next executor hears its end; the turn is done once."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        agent, done, go = Agent("steady", ["steady"], url=nats_url), [], asyncio.Event()

        @agent.task
        async def work(task: Task) -> Result:
            done.append(task.id)
            await go.wait()
            return Result("once")

        await rooms.open("registry")
        await rooms.agent(agent)
        first = await rooms.process("executor")
        request = await rooms.request(agent=AgentSpec(capabilities=["steady"]))
        await rooms.wait_for(request, TaskStarted)
        await eventually(lambda: done)
        first.kill()
        await first.wait()
        go.set()
        await rooms.process("executor")
        completed = await rooms.wait_for(request, TaskCompleted)
        assert (completed.result, completed.attempt, len(done)) == ("once", 1, 1)


async def test_a_killed_runtime_leaves_nothing_behind(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Its programs are gone at once, the attempt counts as interrupted, and the task is done by the next runtime."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        runtime = await rooms.process("runtime_local")
        marks = tmp_path / "marks"
        spec = command(
            "import os, subprocess, time, json",
            f"first = not os.path.exists({str(marks)!r})",
            f"open({str(marks)!r}, 'a').write('x')",
            "first and (subprocess.Popen(['setsid', 'sleep', '300']), time.sleep(300))",
            "print(json.dumps({'type': 'result', 'result': 'second'}))",
        )
        request = await rooms.request(agent=spec, attempts=1)
        await eventually(marks.exists, timeout_s=10)
        await eventually(lambda: len(running_for(request.execution_id)) >= 3)
        runtime.kill()
        await runtime.wait()
        await eventually(lambda: not running_for(request.execution_id), timeout_s=3)
        await rooms.process("runtime_local")
        completed = await rooms.wait_for(request, TaskCompleted, within_s=20)
        assert (completed.result, completed.attempt) == ("second", 2)
        assert (await rooms.wait_for(request, TaskRetrying)).interrupted


async def test_cancel_stops_every_process(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """A cancelled execution leaves no process of its agents, and its task is cancelled in the log."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor", "runtime_local")
        request = await rooms.request(agent=asleep(tmp_path / "pid"))
        await eventually((tmp_path / "pid").exists, timeout_s=10)
        await rooms.bus.append(ExecutionCancelled(execution_id=request.execution_id, reason="enough"))
        cancelled = await rooms.wait_for(request, TaskCancelled)
        assert cancelled.reason == "enough"
        await eventually(lambda: not running_for(request.execution_id))
        stopped = await rooms.wait_for(request, AgentStopped)
        assert stopped.reason == "the execution is over"


async def test_pause_freezes_and_resume_thaws(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Every process stands still while the execution is paused, the clocks too, and goes on afterwards."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor", "runtime_local")
        beats = tmp_path / "beats"
        spec = command(
            "import time, json",
            f"file = open({str(beats)!r}, 'a')",
            "for _ in range(20): file.write('x'); file.flush(); time.sleep(0.05)",
            "print(json.dumps({'type': 'result', 'result': 'done'}))",
        )
        request = await rooms.request(agent=spec, timeout_ms=2500)
        await eventually(lambda: beats.exists() and len(beats.read_text()) > 2, timeout_s=10)
        await rooms.bus.append(ExecutionPaused(execution_id=request.execution_id, number=1))
        await eventually(lambda: [p for p in running_for(request.execution_id) if p.status() == "stopped"])
        before = len(beats.read_text())
        await asyncio.sleep(2.0)  # longer than is left of the time limit, which stands still
        assert len(beats.read_text()) <= before + 1
        await rooms.bus.append(ExecutionResumed(execution_id=request.execution_id, number=2))
        assert (await rooms.wait_for(request, TaskCompleted)).attempt == 1


async def test_a_task_that_takes_too_long_is_stopped(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """The time limit ends the program, and fails the task without another attempt."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor", "runtime_local")
        request = await rooms.request(agent=asleep(tmp_path / "pid"), timeout_ms=800)
        failed = await rooms.wait_for(request, TaskFailed)
        assert (failed.error.code, failed.attempts) == ("task_timeout", 1)
        await eventually(lambda: not running_for(request.execution_id))


async def test_a_killed_program_is_begun_again(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """kill -9 from outside is the agent's: one of its attempts, which says the signal and what most likely sent it."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor", "runtime_local")
        pids = tmp_path / "pids"
        spec = command(
            "import os, time, json",
            f"first = not os.path.exists({str(pids)!r})",
            f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')",
            "first and time.sleep(300)",
            "print(json.dumps({'type': 'result', 'result': 'alive'}))",
        )
        request = await rooms.request(agent=spec, attempts=2)
        await eventually(lambda: pids.exists() and pids.read_text().strip(), timeout_s=10)
        os.kill(int(pids.read_text().split()[0]), signal.SIGKILL)
        completed = await rooms.wait_for(request, TaskCompleted)
        assert (completed.result, completed.attempt) == ("alive", 2)
        retrying = await rooms.wait_for(request, TaskRetrying)
        assert (retrying.error.code, retrying.interrupted, retrying.failures) == ("agent_killed", False, 1)


@pytest.mark.parametrize(
    ("signal_name", "code", "cause"),
    [("SIGKILL", 137, "memory"), ("SIGTERM", 143, "asked it to end"), ("SIGSEGV", 139, "crashed")],
)
async def test_a_program_that_always_dies_is_tried_as_often_as_any_other(
    nats_url: str, etcd_url: str, tmp_path: Path, signal_name: str, code: int, cause: str
) -> None:
    """First try and PARALLAX_AGENT_RETRIES; the message has the exit code, the signal, the likely cause, its words."""
    async with house(nats_url, etcd_url, tmp_path, agent_retries=1) as rooms:
        await rooms.open("registry", "executor", "runtime_local")
        spec = command(
            "import os, signal, sys",
            "print('loading the model', file=sys.stderr, flush=True)",
            f"os.kill(os.getpid(), signal.{signal_name})",
        )
        failed = await rooms.wait_for(await rooms.request(agent=spec), TaskFailed)
        assert (failed.error.code, failed.attempts, failed.losses) == ("agent_killed", 2, UNSET)
        for words in (signal_name, f"exit code {code}", cause, "loading the model"):
            assert words in failed.error.message


async def test_what_the_platform_breaks_costs_no_attempt(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """A runtime that is killed more often than a task may be tried: the one attempt that it has is enough."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        go, begun = tmp_path / "go", tmp_path / "begun"
        spec = command(
            "import json, pathlib, time",
            f"go, begun = pathlib.Path({str(go)!r}), pathlib.Path({str(begun)!r})",
            "begun.open('a').write('x')",
            "while not go.exists(): time.sleep(0.02)",
            "print(json.dumps({'type': 'result', 'result': 'done'}))",
        )
        request = await rooms.request(agent=spec, attempts=1)
        for number in range(1, 5):
            runtime = await rooms.process("runtime_local")
            await eventually(lambda wanted=number: begun.exists() and len(begun.read_text()) >= wanted, timeout_s=20)
            runtime.kill()
            await runtime.wait()
        go.touch()
        await rooms.process("runtime_local")
        completed = await rooms.wait_for(request, TaskCompleted, within_s=30)
        assert completed.result == "done"
        lost = [record.data for record in await rooms.events(request.execution_id) if record.type == TaskRetrying.TYPE]
        assert {(event.interrupted, event.loss, event.failures) for event in lost} == {(True, "runtime_lost", 0)}
        assert [event.losses for event in lost] == list(range(1, len(lost) + 1))


async def test_a_session_that_was_asked_for_anew_is_known_to_the_next_runtime(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """Its lease ended while the runtime stood still; what the next one says is of its last life, so nobody waits."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        runtime = await rooms.process("runtime_local")
        spec = command("import json; print(json.dumps({'type': 'result', 'result': 1}))")
        request = await rooms.request(agent=spec)
        await rooms.wait_for(request, TaskCompleted)
        runtime.send_signal(signal.SIGSTOP)
        await rooms.wait_for(request, AgentLost, within_s=30)
        runtime.send_signal(signal.SIGCONT)
        second = await rooms.request(request.execution_id, effect=2, agent=spec)
        await rooms.wait_for(second, TaskCompleted)
        runtime.kill()
        await runtime.wait()
        await rooms.process("runtime_local")
        third = await rooms.request(request.execution_id, effect=3, agent=spec, attempts=1)
        await rooms.wait_for(third, TaskCompleted, within_s=10)
        stopped = [record.data for record in await rooms.events(request.execution_id) if record.type == "agent.stopped"]
        assert [event.life for event in stopped] == [2]


async def test_an_agent_that_is_lost_alive_has_ended_before_its_worktree_is_prepared_again(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """Its runtime stands still, and it works on: what it writes would be in the next attempt's worktree and result."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        runtime = await rooms.process("runtime_local")
        pids, place = tmp_path / "pids", tmp_path / "worktree"
        place.mkdir()
        spec = command(
            "import os, pathlib, time",
            f"pathlib.Path({str(pids)!r}).open('a').write(f'{{os.getpid()}} ')",
            "time.sleep(60)",
        )
        request = await rooms.request(agent=spec, workspace=True)
        asked = await rooms.wait_for(request, WorkspacePrepareRequested)
        turn = {"task_id": asked.task_id, "role": asked.role, "session": asked.session}
        await rooms.bus.append(WorkspacePrepared(execution_id=request.execution_id, attempt=1, path=str(place), **turn))
        await eventually(lambda: pids.exists() and pids.read_text(), timeout_s=20)
        first = int(pids.read_text())
        runtime.send_signal(signal.SIGSTOP)
        finished = await rooms.wait_for(request, TaskFinished, within_s=30)
        await rooms.bus.append(WorkspaceCommitted(execution_id=request.execution_id, attempt=finished.attempt, **turn))

        async def asked_again() -> bool:
            events = [record.data for record in await rooms.events(request.execution_id)]
            return any(isinstance(event, WorkspacePrepareRequested) and event.attempt == 2 for event in events)

        await rooms.wait_for(request, TaskRetrying)
        await asyncio.sleep(1.0)
        assert alive(first)
        assert not await asked_again()
        runtime.send_signal(signal.SIGCONT)
        await eventually(asked_again, timeout_s=20)
        assert not alive(first)


def alive(pid: int) -> bool:
    """Whether a process runs that nobody has to be waited for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_missing_program_is_said_plainly(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """A program that is not there fails the task at once, with its name."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor", "runtime_local")
        spec = AgentSpec(kinds=["command"], command=["no-such-program"])
        failed = await rooms.wait_for(await rooms.request(agent=spec), TaskFailed)
        assert failed.error.code == "program_not_found"
        assert "'no-such-program' was not found in PATH" in failed.error.message


async def test_an_executor_that_wakes_up_too_late_changes_nothing(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """SIGSTOP in the middle of a turn: another one ends it; what the first does when it wakes is too late."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        agent, done, go = Agent("steady", ["steadily"], url=nats_url), [], asyncio.Event()

        @agent.task
        async def work(task: Task) -> Result:
            done.append(task.id)
            await go.wait()
            return Result("once")

        await rooms.open("registry")
        await rooms.agent(agent)
        first = await rooms.process("executor")
        spec = AgentSpec(capabilities=["steadily"])
        request = await rooms.request(agent=spec)
        await eventually(lambda: done)
        first.send_signal(signal.SIGSTOP)
        second = await rooms.process("executor")
        go.set()
        await rooms.wait_for(request, TaskCompleted)
        first.send_signal(signal.SIGCONT)
        second.kill()
        await second.wait()
        another = await rooms.request(request.execution_id, effect=2, agent=spec)
        await rooms.wait_for(another, TaskCompleted)
        types = await rooms.types(request.execution_id)
        assert (types.count("task.completed"), types.count("task.started"), len(done)) == (2, 2, 2)
        assert "task.retrying" not in types


async def test_a_runtime_that_wakes_up_after_its_lease_doubles_nothing(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """SIGSTOP past the lease: the attempt is interrupted; after SIGCONT its program is ended before the next begins."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        runtime = await rooms.process("runtime_local")
        pids = tmp_path / "pids"
        spec = command(
            "import json, os, pathlib, time",
            f"pids, go = pathlib.Path({str(pids)!r}), pathlib.Path({str(tmp_path / 'go')!r})",
            "before = pids.read_text().split() if pids.exists() else []",
            "alive = [pid for pid in before if os.path.exists('/proc/' + pid)]",
            "pids.open('a').write(f'{os.getpid()} ')",
            "while not go.exists(): time.sleep(0.02)",
            "print(json.dumps({'type': 'result', 'result': alive}))",
        )
        request = await rooms.request(agent=spec, attempts=1)
        await eventually(lambda: pids.exists() and pids.read_text(), timeout_s=10)
        runtime.send_signal(signal.SIGSTOP)
        retrying = await rooms.wait_for(request, TaskRetrying, within_s=30)
        assert (retrying.interrupted, retrying.error.code) == (True, "agent_lost")
        runtime.send_signal(signal.SIGCONT)
        await eventually(lambda: len(pids.read_text().split()) == 2, timeout_s=20)
        (tmp_path / "go").touch()
        completed = await rooms.wait_for(request, TaskCompleted)
        assert (completed.attempt, completed.result) == (2, [])
        types = await rooms.types(request.execution_id)
        assert types.count("task.completed") == 1
        await eventually(lambda: not running_for(request.execution_id))
        assert len(pids.read_text().split()) == 2


async def test_two_runtimes_never_have_the_same_session(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """The session of a runtime that stood still is taken over by another; when it wakes it takes no offer of it."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        first = await rooms.process("runtime_local")
        pids = tmp_path / "pids"
        spec = command(
            "import json, os, pathlib, time",
            f"pids, go = pathlib.Path({str(pids)!r}), pathlib.Path({str(tmp_path / 'go')!r})",
            "pids.open('a').write(f'{os.getpid()} ')",
            "while not go.exists(): time.sleep(0.02)",
            "print(json.dumps({'type': 'result', 'result': os.getpid()}))",
        )
        request = await rooms.request(agent=spec, attempts=1)
        await eventually(lambda: pids.exists() and pids.read_text(), timeout_s=10)
        first.send_signal(signal.SIGSTOP)
        await rooms.process("runtime_local", tmp_path / "second")
        await eventually(lambda: len(pids.read_text().split()) == 2, timeout_s=40)
        first.send_signal(signal.SIGCONT)
        lost, taken = (int(pid) for pid in pids.read_text().split())
        await eventually(lambda: not psutil.pid_exists(lost), timeout_s=20)
        (tmp_path / "go").touch()
        completed = await rooms.wait_for(request, TaskCompleted)
        assert (completed.attempt, completed.result) == (2, taken)
        await eventually(lambda: not running_for(request.execution_id))
        assert [int(pid) for pid in pids.read_text().split()] == [lost, taken]
