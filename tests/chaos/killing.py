"""The promise that matters most, on the real stack: kill anything at any time, and nothing is lost or done twice.

One run starts a stack, asks for executions, some of them twice, kills -9 a random server or service each second until
all have ended, and then checks the log, the repositories, the replays and the tables. The test of this room runs two
small ones; `python -m tests.chaos.seeds` runs large ones, and writes down how they went.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import nats.errors
from dulwich import porcelain
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from parallax.stack import Stack, embedded
from shared.testing import eventually

TWICE = 5
"""One request in so many is sent twice."""

KILL_EVERY_S = 1.0
FIRST_KILLS = 5
"""So many kills at least, however quick the executions are."""

ENDINGS = {"execution.completed", "execution.failed", "execution.cancelled", "execution.rejected"}

PATTERN = """
name: chaos
version: 1.0.0
structure:
  name: two writers
  roles:
    left: {{id: left, name: Left, agentType: command, capabilities: [write], agentConfig: {{command: {command}}}}}
    right: {{id: right, name: Right, agentType: command, capabilities: [write], agentConfig: {{command: {command}}}}}
workflow:
  name: write
  input:
    topic: {{type: string, description: what to write about}}
  steps:
    - type: parallel
      id: write
      steps:
        - {{type: assign, id: left_note, role: left, task: "Write about ${{input.topic}}"}}
        - {{type: assign, id: right_note, role: right, task: "Write about ${{input.topic}}"}}
    - {{type: aggregate, id: notes, method: all}}
    - {{type: assign, id: last, role: left, task: "Once more"}}
"""


def make_repository(path: Path) -> None:
    """A repository with one commit."""
    repo = porcelain.init(path)
    (path / "README").write_text("chaos\n", encoding="utf-8")
    porcelain.add(repo, [path / "README"])
    porcelain.commit(repo, message=b"Begin", author=b"Test <test@example.org>", committer=b"Test <test@example.org>")


class Killer:
    """Sends kill -9 to a random service or server every second, and keeps count."""

    def __init__(self, stack: Stack, seed: int, kills: Counter[str]) -> None:
        self.kills = kills
        self._stack = stack
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Kills until cancelled."""
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            status = await self._stack.status()
            alive = [part for part in (*status.servers, *status.services) if part.pid]
            if not alive:
                continue
            victim = self._random.choice(alive)
            if await self._stack.kill(victim.name):
                self.kills[victim.name] += 1


async def publish(url: str, bodies: list[dict[str, Any]]) -> None:
    """A plain client that repeats a publish until it is acknowledged, through whatever happens to the server."""
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, connect_timeout=5)
    try:
        for body in bodies:
            while True:
                try:
                    await client.jetstream().publish(
                        "parallax.executions.request", json.dumps(body).encode(), timeout=2
                    )
                    break
                except (nats.errors.Error, TimeoutError, OSError):
                    await asyncio.sleep(0.2)
            await asyncio.sleep(0.05)
    finally:
        await client.close()


async def log_of(url: str) -> AsyncIterator[tuple[int, str, str, dict[str, Any]]]:
    """Every event of the log, read by a plain client: sequence, execution, kind, data."""
    client = await nats.connect(url)
    try:
        stream = client.jetstream()
        info = await stream.stream_info("PARALLAX_EVENTS")
        subscription = await stream.subscribe("", stream="PARALLAX_EVENTS", ordered_consumer=True)
        seen = 0
        while seen < info.state.last_seq:
            message = await subscription.next_msg(timeout=10)
            seen = message.metadata.sequence.stream
            _, _, execution_id, entity, verb = message.subject.split(".")
            yield seen, execution_id, f"{entity}.{verb}", json.loads(message.data)
    finally:
        await client.close()


def lines_of(repo: Repo, tree: ObjectID, name: str) -> list[str]:
    """The lines of a file of a tree; none where there is no such file."""
    found = repo[tree]
    assert isinstance(found, Tree)
    if name.encode() not in found:
        return []
    blob = repo[found[name.encode()][1]]
    assert isinstance(blob, Blob)
    return blob.data.decode().splitlines()


def lines_added(repo: Repo, head: ObjectID) -> Counter[str]:
    """How often each line was added by a commit of a history that is no merge."""
    added: Counter[str] = Counter()
    for entry in repo.get_walker(include=[head]):
        if len(entry.commit.parents) > 1:
            continue
        for role in ("left", "right"):
            before: list[str] = []
            for parent in entry.commit.parents:
                commit = repo[parent]
                assert isinstance(commit, Commit)
                before = lines_of(repo, commit.tree, f"{role}.txt")
            added += Counter(lines_of(repo, entry.commit.tree, f"{role}.txt")) - Counter(before)
    return added


@dataclass
class Run:
    """What one seed came to. `losses` and `failures` are the attempts that ended badly, by kind and by code."""

    seed: int
    executions: int
    kills: Counter[str] = field(default_factory=Counter[str])
    losses: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])


async def kill_anything(place: Path, run: Run, *, within_s: float = 420.0) -> None:
    """Runs one seed in an empty directory and fills in what it came to. Raises AssertionError where a promise broke."""
    make_repository(place / "origin")
    patterns = place / "patterns"
    patterns.mkdir()
    command = json.dumps([sys.executable, str(Path(__file__).with_name("worker.py"))])
    (patterns / "chaos.yaml").write_text(PATTERN.format(command=command), encoding="utf-8")
    bodies: list[dict[str, Any]] = [
        {
            "execution_id": f"chaos-{number}",
            "pattern": "chaos",
            "input": {"topic": f"number {number}"},
            "repo": str(place / "origin"),
        }
        for number in range(run.executions)
    ]
    names = [body["execution_id"] for body in bodies]
    async with embedded(data=place / "data", env={"PARALLAX_PATTERNS_DIR": str(patterns)}) as stack:
        killer = Killer(stack, run.seed, run.kills)
        killing = asyncio.create_task(killer.run())
        try:
            await publish(stack.nats_url, bodies + bodies[: run.executions // TWICE])
            await wait_for_endings(stack, set(names), timeout_s=within_s)
            await eventually(lambda: run.kills.total() > FIRST_KILLS, timeout_s=30)
        finally:
            killing.cancel()
            await asyncio.wait({killing})
        await eventually(stack.healthy, timeout_s=60)
        await check_log(stack, run)
        await check_replays(stack, names)
        await check_projections(stack)


async def wait_for_endings(stack: Stack, expected: set[str], timeout_s: float) -> None:
    """Waits until every execution has ended, reading the log through whatever happens to the server."""
    deadline = time.monotonic() + timeout_s
    ended: set[str] = set()
    while time.monotonic() < deadline:
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            ended = {execution async for _, execution, kind, _ in log_of(stack.nats_url) if kind in ENDINGS}
            if expected <= ended:
                return
        await asyncio.sleep(1.0)
    raise AssertionError(f"still open: {sorted(expected - ended)[:10]} of {len(expected - ended)}")


async def check_log(stack: Stack, run: Run) -> None:
    """Each execution ends once, completed; each task completes once; each line is in result and history once."""
    endings: dict[str, list[str]] = {}
    results: dict[str, dict[str, Any]] = {}
    tasks: Counter[str] = Counter()
    requested: dict[str, list[tuple[str, str]]] = {}
    paths: dict[str, str] = {}
    async for _, execution, kind, data in log_of(stack.nats_url):
        if kind in ENDINGS:
            endings.setdefault(execution, []).append(kind)
            results[execution] = data
        elif kind == "task.retrying":
            (run.losses if data["interrupted"] else run.failures)[data.get("loss") or data["error"]["code"]] += 1
        elif kind == "task.completed":
            tasks[data["task_id"]] += 1
        elif kind == "task.requested":
            requested.setdefault(execution, []).append((data["role"], data["task_id"]))
        elif kind == "workspace.ready":
            paths[execution] = data["path"]
    assert len(endings) == run.executions
    assert {tuple(kinds) for kinds in endings.values()} == {("execution.completed",)}, [
        (execution, results[execution]) for execution, kinds in endings.items() if kinds != ["execution.completed"]
    ][:3]
    assert not run.failures, f"an agent was charged with what the platform broke: {dict(run.failures)}"
    assert set(tasks.values()) == {1}
    for execution, wanted in requested.items():
        with Repo(str(Path(paths[execution]) / "repository.git")) as repo:
            head = repo.refs[Ref(f"refs/heads/{results[execution]['branch']}".encode())]
            assert head.decode() == results[execution]["commit"], execution
            commit = repo[head]
            assert isinstance(commit, Commit)
            for role in ("left", "right"):
                lines = lines_of(repo, commit.tree, f"{role}.txt")
                assert lines == [task for asked, task in wanted if asked == role], execution
            assert lines_added(repo, head) == Counter(task for _, task in wanted), execution


async def check_replays(stack: Stack, executions: list[str]) -> None:
    """Every replay decides what the log says was decided."""
    client = await nats.connect(stack.nats_url)
    try:
        for execution in executions:
            answer = await client.request(
                "parallax.queries.replay", json.dumps({"execution_id": execution}).encode(), timeout=10
            )
            report = json.loads(answer.data)
            assert report["identical"], report
    finally:
        await client.close()


async def check_projections(stack: Stack) -> None:
    """The tables rebuilt from nothing equal the live ones, and nothing was given up on.

    Agents are still being ended after their executions: what is compared are tables that hold the same part of the log.
    """
    deadline = time.monotonic() + 60
    while True:
        live = await stack.command("projections", "digest", "--json")
        made = await stack.command("projections", "rebuild", "--compare", "--json")
        assert made["identical"] is True
        rebuilt = await stack.command("projections", "digest", "--json")
        if live["position"] == rebuilt["position"]:
            break
        assert time.monotonic() < deadline, "the log does not come to rest"
    assert live["digest"] == rebuilt["digest"]
    client = await nats.connect(stack.nats_url)
    try:
        info = await client.jetstream().stream_info("PARALLAX_DEAD_LETTERS")
        assert info.state.messages == 0
    finally:
        await client.close()
