"""Nothing stalls silently: what a task waits for is in the log, once, and what never comes ends it with a sentence."""

from __future__ import annotations

import asyncio
from pathlib import Path

from parallax.agent import Agent, Task
from schemas.agents import AgentSpec, Oracle
from schemas.events import (
    ExecutionPaused,
    ExecutionResumed,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskStarted,
    TaskWaiting,
    VerificationCompleted,
    VerificationRequested,
    WaitReason,
    WorkspaceReady,
)
from services.executor import machine
from services.executor.delays import SAY_AFTER_S, Delays, Waits
from shared.ids import new_id
from tests.services.executor.rooms import House, command, house
from tests.services.registry.hall import own_etcd


async def said(rooms: House, execution_id: str) -> list[tuple[int, str, str]]:
    """What was said about waiting: attempt, reason, sentence."""
    found = [record.data for record in await rooms.events(execution_id)]
    return [(event.attempt, event.reason, event.message) for event in found if isinstance(event, TaskWaiting)]


def patient(place: Path) -> AgentSpec:
    """A program that ends when a file is there."""
    return command("import pathlib, time", f"while not pathlib.Path({str(place)!r}).exists(): time.sleep(0.02)")


async def idle(name: str, skill: str, url: str, hold: asyncio.Event | None = None) -> Agent:
    """An agent that does nothing, or waits with it."""
    agent = Agent(f"{name}-{new_id()}", [skill], url=url)

    @agent.task
    async def work(_task: Task) -> str:
        if hold is not None:
            await hold.wait()
        return "done"

    return agent


async def test_a_task_without_an_agent_says_what_is_missing_once(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Also when the executor is killed and another one waits on; and it is done as soon as an agent comes."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry")
        first = await rooms.process("executor")
        skill = new_id()
        request = await rooms.request(agent=AgentSpec(capabilities=[skill, "tests"]), step="look")
        waiting = await rooms.wait_for(request, TaskWaiting)
        assert (waiting.reason, waiting.role, waiting.step) == ("no_agent", "worker", "look")
        first.kill()
        await first.wait()
        await rooms.process("executor")
        await asyncio.sleep(SAY_AFTER_S + 3.0)  # the task is delivered again after 2.5 s, and then waits long enough
        agent = Agent(f"late-{new_id()}", [skill, "tests"], url=nats_url)
        agent.task(lambda _task: "done")
        await rooms.agent(agent)
        assert (await rooms.wait_for(request, TaskCompleted)).agent_id == agent.id
        assert await said(rooms, request.execution_id) == [(1, "no_agent", f"no agent offers {skill} and tests")]


async def test_a_task_whose_agents_are_busy_says_so(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """And an agent of another kind is named as such."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        skill, go = new_id(), asyncio.Event()
        await rooms.agent(await idle("one", skill, nats_url, go))
        first = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        await rooms.wait_for(first, TaskStarted)
        second = await rooms.request(agent=AgentSpec(capabilities=[skill]))
        other = await rooms.request(agent=AgentSpec(kinds=["claude"], capabilities=[skill]))
        busy, missing = await rooms.wait_for(second, TaskWaiting), await rooms.wait_for(other, TaskWaiting)
        assert (busy.reason, busy.message) == ("agents_busy", "the one agent that fits is busy")
        assert (missing.reason, missing.message) == ("no_agent", f"no agent of kind claude offers {skill}")
        go.set()
        await rooms.wait_for(second, TaskCompleted)


async def test_a_role_at_its_maximum_says_so(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """The second task of a role of one session waits for the first one's end, visibly."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "runtime_local", "executor")
        program = patient(tmp_path / "go")
        spec = AgentSpec(kinds=program.kinds, command=program.command, max_instances=1)
        first = await rooms.request(agent=spec)
        await rooms.wait_for(first, TaskStarted)
        second = await rooms.request(first.execution_id, effect=2, agent=spec)
        await rooms.wait_for(second, TaskWaiting)
        assert await said(rooms, first.execution_id) == [(1, "role_busy", "its session worker-1 is at another task")]
        (tmp_path / "go").touch()
        await rooms.wait_for(second, TaskCompleted)


async def test_without_a_runtime_a_task_ends_with_a_sentence(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """It says first what it waits for, and after PARALLAX_AGENT_TIMEOUT what to do; a pause does not count."""
    async with house(nats_url, etcd_url, tmp_path, agent_timeout_ms=5000) as rooms:
        await rooms.open("registry", "executor")
        request = await rooms.request(agent=command("pass"))
        paused = await rooms.request(agent=command("pass"))
        waiting = await rooms.wait_for(request, TaskWaiting)
        await rooms.bus.append(ExecutionPaused(execution_id=paused.execution_id, number=1))
        assert waiting.reason == "no_runtime"
        assert waiting.message.startswith("no runtime is running that could start ")
        failed = await rooms.wait_for(request, TaskFailed)
        assert (failed.error.code, failed.error.where, failed.attempts) == ("no_agent", "worker", 1)
        assert failed.error.message.startswith("No runtime was running that could start ")
        assert failed.error.message.endswith(
            " for the role worker: none answered for 5 s. Start one with `parallax up` or "
            "`python -m services.runtime_local`, and run it again."
        )
        await asyncio.sleep(3.0)  # together with what it waited before, more than the bound
        assert "task.failed" not in await rooms.types(paused.execution_id)
        await rooms.open("runtime_local")
        await rooms.bus.append(ExecutionResumed(execution_id=paused.execution_id, number=2))
        await rooms.wait_for(paused, TaskCompleted)


async def test_without_a_runtime_a_verification_ends_without_evidence(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """It is no pass, and says what to do."""
    async with house(nats_url, etcd_url, tmp_path, agent_timeout_ms=1500) as rooms:
        await rooms.open("executor")
        execution_id = f"e{new_id()[:12]}"
        await rooms.bus.append(
            WorkspaceReady(
                execution_id=execution_id, workspace_id="w", path=str(tmp_path), base_branch="main", base_commit="b",
                branch="r",
            )
        )  # fmt: skip
        asked = VerificationRequested(
            execution_id=execution_id, verification_id=f"{execution_id}-2", effect="2", digest="d", task_id="t",
            oracles=[Oracle(type="command", run="true")],
        )  # fmt: skip
        await rooms.bus.append(asked)
        fake = TaskRequested(
            execution_id=execution_id, task_id="t", effect="1", digest="d", role="r", text="", agent=AgentSpec()
        )
        done = await rooms.wait_for(fake, VerificationCompleted)
        assert (done.passed, done.score) == (False, None)
        assert done.error.message == (
            "No runtime was running that could verify it: none answered for 1.5 s. "
            "Start one with `parallax up` or `python -m services.runtime_local`."
        )


async def test_while_etcd_is_away_running_tasks_go_on_and_new_ones_wait(nats_url: str, tmp_path: Path) -> None:
    """For longer than an agent is waited for otherwise, visibly, and until etcd is back."""
    async with own_etcd() as etcd, house(nats_url, etcd.url, tmp_path, agent_timeout_ms=2500) as rooms:
        await rooms.open("registry", "executor")
        known, new, go = new_id(), new_id(), asyncio.Event()
        await rooms.agent(await idle("known", known, nats_url, go))
        running = await rooms.request(agent=AgentSpec(capabilities=[known]))
        await rooms.wait_for(running, TaskStarted)
        await etcd.kill()
        placed = await rooms.request(agent=AgentSpec(capabilities=[new]))
        waiting = await rooms.wait_for(placed, TaskWaiting)
        assert (waiting.reason, waiting.message) == (
            "registry_away", "the registry of agents (etcd) cannot be reached; it goes on when it is back"
        )  # fmt: skip
        go.set()
        assert (await rooms.wait_for(running, TaskCompleted)).result == "done"
        await asyncio.sleep(2.0)  # more than the bound by now
        assert "task.failed" not in await rooms.types(placed.execution_id)
        await etcd.start()
        await rooms.agent(await idle("new", new, nats_url))
        await rooms.wait_for(placed, TaskCompleted, within_s=25)


async def test_a_name_that_cannot_be_a_session_fails_the_task(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """A program may name a session as it likes; what would be no part of a path ends its task, with the rule."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("executor")
        for name in ("../../x", "s" * 129, "1st"):
            request = await rooms.request(agent=command("pass"), session=name)
            failed = await rooms.wait_for(request, TaskFailed)
            assert (failed.error.code, failed.error.where) == ("bad_session", "worker")
            assert "letters, digits, - and _, at most 128" in failed.error.message


def test_each_reason_is_said_once_for_an_attempt_and_only_when_it_lasts() -> None:
    """A pause does not count, a new reason begins anew, and another attempt may say the same again."""
    request = TaskRequested(
        execution_id="e", task_id="e-1", effect="1", digest="d", role="worker", text="do", agent=AgentSpec()
    )
    state, heard, paused = machine.opened(request, 2), list[TaskWaiting](), set[str]()
    reasons: list[WaitReason] = ["no_agent"]
    delays, waits = Delays(paused.__contains__), Waits(lambda: state, heard.append)
    now = 0.0

    def pass_by(seconds: float) -> list[tuple[int, str]]:
        nonlocal now
        for _ in range(round(seconds * 10)):
            now += 0.1
            delays.look(now)
        return [(event.attempt, event.reason) for event in heard]

    delays.look(now)
    with delays.of(waits, lambda: (reasons[0], "why")):
        assert pass_by(1.8) == []
        paused.add("e")
        assert pass_by(5) == []
        paused.clear()
        reasons[0] = "agents_busy"
        assert pass_by(1.8) == []
        assert pass_by(9) == [(1, "agents_busy")]
        reasons[0] = "no_agent"
        assert pass_by(9) == [(1, "agents_busy"), (1, "no_agent")]
        reasons[0] = "agents_busy"
        assert len(pass_by(9)) == 2
    assert len(pass_by(9)) == 2
    state = machine.TaskState(request=request, attempt=2)
    with delays.of(waits, lambda: ("no_agent", "why")):
        assert pass_by(3)[2:] == [(2, "no_agent")]
    assert [event.event_id for event in heard] == list(dict.fromkeys(event.event_id for event in heard))
