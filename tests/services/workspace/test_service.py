"""The service on a real server: every request is answered once, whatever happens to the service."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from dulwich.refs import Ref
from dulwich.repo import Repo

from schemas.commands import Repository
from schemas.events import (
    Event,
    ExecutionCancelled,
    TaskFinished,
    WorkspaceCleaned,
    WorkspaceCommitted,
    WorkspaceConflicted,
    WorkspaceContribution,
    WorkspaceFailed,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceReady,
    WorkspaceRequested,
)
from schemas.workspaces import WorkspaceAnswer, WorkspaceQuery
from services.workspace.service import WorkspaceService
from shared import subjects
from shared.bus import Bus, BusError
from shared.config import Settings
from shared.ids import new_id
from shared.service import Pong
from shared.testing import eventually
from tests.services.workspace.bench import repository, write


class Caller:
    """Asks as the engine and the executor do, and waits for the answers in the log."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.id = new_id()

    async def answers(self, kind: type[Event]) -> list[Event]:
        """All events of a kind of this execution."""
        return [record.data async for record in self.bus.read(self.id, types=[kind.TYPE])]

    async def answer(self, kind: type[Event], fits: Callable[[Event], bool] = lambda _: True) -> Event:
        """The first event of a kind that fits."""

        async def found() -> Event | None:
            return next((event for event in await self.answers(kind) if fits(event)), None)

        event = await eventually(found, timeout_s=30)
        assert event is not None
        return event

    async def open(self, url: str = "", base: str = "") -> Event:
        repo = Repository(url=url, base=base) if url else None
        await self.bus.append(WorkspaceRequested(execution_id=self.id, repo=repo))
        return await self.answer(WorkspaceReady)

    async def prepare(self, session: str, task: str, attempt: int = 1) -> WorkspacePrepared:
        role = session.rpartition("-")[0]
        request = WorkspacePrepareRequested(
            execution_id=self.id, task_id=task, attempt=attempt, role=role, session=session
        )
        await self.bus.append(request)
        event = await self.answer(
            WorkspacePrepared, lambda e: (getattr(e, "task_id", ""), getattr(e, "attempt", 0)) == (task, attempt)
        )
        assert isinstance(event, WorkspacePrepared)
        return event

    async def finish(self, session: str, task: str, attempt: int = 1) -> WorkspaceCommitted:
        finished = TaskFinished(
            execution_id=self.id,
            task_id=task,
            attempt=attempt,
            role=session.rpartition("-")[0],
            session=session,
            agent_id=f"{self.id}-{session}",
            outcome="ok",
        )
        await self.bus.append(finished)
        event = await self.answer(
            WorkspaceCommitted, lambda e: (getattr(e, "task_id", ""), getattr(e, "attempt", 0)) == (task, attempt)
        )
        assert isinstance(event, WorkspaceCommitted)
        return event

    async def integrate(self, *commits: WorkspaceCommitted, effect: str = "1") -> Event:
        contributions = [
            WorkspaceContribution(role=done.role, session=done.session, task_id=done.task_id, commit=done.commit)
            for done in commits
        ]
        request = WorkspaceIntegrationRequested(execution_id=self.id, effect=effect, digest="d", commits=contributions)
        await self.bus.append(request)

        async def found() -> Event | None:
            events = [*await self.answers(WorkspaceIntegrated), *await self.answers(WorkspaceConflicted)]
            return next((event for event in events if getattr(event, "effect", "") == effect), None)

        event = await eventually(found, timeout_s=30)
        assert event is not None
        return event

    async def finalize(self, *, push: bool = False) -> WorkspaceFinalized:
        await self.bus.append(WorkspaceFinalizeRequested(execution_id=self.id, push=push))
        event = await self.answer(WorkspaceFinalized)
        assert isinstance(event, WorkspaceFinalized)
        return event

    async def ask(self, query: WorkspaceQuery) -> WorkspaceAnswer:
        """Asks a question."""
        return await self.bus.request(subjects.QUERY_WORKSPACE, query, WorkspaceAnswer, timeout_s=10)


@asynccontextmanager
async def bus_at(url: str) -> AsyncGenerator[Bus]:
    bus = await Bus.connect(url, name="test")
    await bus.ensure_streams()
    yield bus
    await bus.close()


@asynccontextmanager
async def service_at(url: str, root: Path) -> AsyncGenerator[WorkspaceService]:
    bus = await Bus.connect(url, name="workspace")
    await bus.ensure_streams()
    service = WorkspaceService(Settings(nats_url=url, workspaces_dir=root), bus)
    await service.begin()
    yield service
    await service.halt()
    await bus.close()


@pytest.fixture
async def caller(nats_url: str, tmp_path: Path) -> AsyncGenerator[Caller]:
    async with bus_at(nats_url) as bus, service_at(nats_url, tmp_path / "ws"):
        yield Caller(bus)


async def test_from_request_to_published_result(caller: Caller, tmp_path: Path) -> None:
    """A whole life over the log: clone, two sessions, integration, push, questions, clean-up."""
    repository(tmp_path / "origin", {"a.txt": "1\n2\n3\n4\n5\n6\n", "b.txt": "b\n"}).close()
    ready = await caller.open(str(tmp_path / "origin"))
    assert isinstance(ready, WorkspaceReady)
    assert (ready.base_branch, ready.branch) == ("main", f"parallax/{caller.id}/result")
    done: list[WorkspaceCommitted] = []
    for session, task, files in (("dev-1", "t1", {"a.txt": "one\n2\n3\n4\n5\n6\n"}), ("dev-2", "t2", {"b.txt": None})):
        prepared = await caller.prepare(session, task)
        assert prepared.commit == ready.base_commit
        write(Path(prepared.path), files)
        done.append(await caller.finish(session, task))
    integrated = await caller.integrate(*done)
    assert isinstance(integrated, WorkspaceIntegrated)
    finalized = await caller.finalize(push=True)
    assert (finalized.pushed, finalized.commit, finalized.error) == (True, integrated.commit, None)
    assert (finalized.files, finalized.insertions, finalized.deletions) == (["a.txt", "b.txt"], 1, 2)
    with Repo(str(tmp_path / "origin")) as origin:
        assert origin.refs[Ref(f"refs/heads/{ready.branch}".encode())] == integrated.commit.encode()

    shown = (await caller.ask(WorkspaceQuery(query="show", execution_id=caller.id))).workspace
    assert shown is not None
    assert (shown.status, shown.pushed, shown.tasks) == ("finalized", True, 2)
    assert {session.session: session.unintegrated for session in shown.sessions} == {"dev-1": 0, "dev-2": 0}
    answer = await caller.ask(WorkspaceQuery(query="diff", execution_id=caller.id))
    assert answer.diff is not None
    assert "-1\n+one\n" in answer.diff.text
    assert caller.id in [view.execution_id for view in (await caller.ask(WorkspaceQuery(query="list"))).workspaces]

    refused = await caller.ask(WorkspaceQuery(query="cleanup", execution_id=caller.id))
    assert "has not ended" in refused.errors[0].what
    await caller.bus.append(ExecutionCancelled(execution_id=caller.id))
    cleanup = (await caller.ask(WorkspaceQuery(query="cleanup", execution_id=caller.id))).cleanup
    assert cleanup is not None
    assert len(cleanup.removed) == 2
    assert not any((Path(ready.path) / "worktrees").iterdir())
    await caller.answer(WorkspaceCleaned)


async def test_an_execution_without_a_repository_gets_an_empty_one(caller: Caller) -> None:
    """Work begins on an empty commit; there is nowhere to push to, which is no error."""
    await caller.open()
    prepared = await caller.prepare("dev-1", "t1")
    write(Path(prepared.path), {"hello.txt": "hello\n"})
    await caller.integrate(await caller.finish("dev-1", "t1"))
    finalized = await caller.finalize(push=True)
    assert (finalized.files, finalized.pushed, finalized.error) == (["hello.txt"], False, None)


@pytest.mark.parametrize(
    ("url", "base", "code", "word"),
    [
        ("ext::sh -c touch% /tmp/pwned", "", "repository_refused", "https"),
        ("ssh://git@host/x", "", "repository_refused", "ssh"),
        ("git@host:x.git", "", "repository_refused", "absolute path"),
        ("relative/path", "", "repository_refused", "absolute path"),
        ("http://example.org/x.git", "", "repository_refused", "this machine"),
        ("https://user:secret@example.org/x.git", "", "repository_refused", "login"),
        ("file://elsewhere/x", "", "repository_refused", "another machine"),
        ("/nowhere/at/all", "", "repository_not_found", "no directory"),
        ("/etc", "", "repository_not_found", "not a git repository"),
        ("ORIGIN", "nobranch", "base_not_found", "main"),
        ("ORIGIN", "../../../etc/passwd", "base_not_found", "main"),
        ("ORIGIN", "--upload-pack=touch", "base_not_found", "main"),
        ("ORIGIN/inside", "", "repository_not_found", "ORIGIN"),
    ],
)
async def test_a_repository_that_cannot_be_used_is_answered(
    caller: Caller, tmp_path: Path, url: str, base: str, code: str, word: str
) -> None:
    """Bad addresses and branches end in `workspace.failed` with a stable code and a sentence that helps."""
    repository(tmp_path / "origin", {"a.txt": "a\n"})
    (tmp_path / "origin" / "inside").mkdir()
    place = str(tmp_path / "origin")
    repo = Repository(url=url.replace("ORIGIN", place), base=base)
    await caller.bus.append(WorkspaceRequested(execution_id=caller.id, repo=repo))
    failed = await caller.answer(WorkspaceFailed)
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == code
    assert word.replace("ORIGIN", place) in failed.error.message
    assert "secret" not in failed.error.message


async def test_an_origin_that_never_answers_fails_in_the_end(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    """An address where nobody listens is tried again a few times, then reported."""
    monkeypatch.setattr("services.workspace.service._ORIGIN_ATTEMPTS", 2)
    repo = Repository(url=f"http://127.0.0.1:{unused_port}/x.git")
    await caller.bus.append(WorkspaceRequested(execution_id=caller.id, repo=repo))
    failed = await caller.answer(WorkspaceFailed)
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "origin_unavailable"


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_requests_without_a_workspace_are_answered(caller: Caller) -> None:
    """Whoever asks for what was never made is told; a task of an execution without a workspace is nobody's business."""
    prepared = await caller.prepare("dev-1", "t1")
    assert prepared.error is not None
    assert prepared.error.code == "workspace_missing"
    assert isinstance(await caller.integrate(), WorkspaceConflicted)
    finalized = await caller.finalize()
    assert finalized.error is not None
    await caller.bus.append(
        TaskFinished(
            execution_id=caller.id, task_id="t", attempt=1, role="r", session="r-1", agent_id="a", outcome="ok"
        )
    )
    other = Caller(caller.bus)
    await other.open()
    assert await caller.answers(WorkspaceCommitted) == []


@pytest.mark.parametrize(
    "query",
    [
        WorkspaceQuery(query="show"),
        WorkspaceQuery(query="show", execution_id="unknown"),
        WorkspaceQuery(query="diff", execution_id="unknown"),
        WorkspaceQuery(query="cleanup", execution_id="unknown"),
    ],
)
async def test_questions_about_nothing_are_answered_with_a_sentence(caller: Caller, query: WorkspaceQuery) -> None:
    """A question that cannot be answered is, with where and what."""
    answer = await caller.ask(query)
    assert answer.errors[0].what


async def test_a_long_diff_comes_in_pages(caller: Caller) -> None:
    """A diff larger than a message is read page by page and is whole in the end, with letters of every length."""
    await caller.open()
    prepared = await caller.prepare("dev-1", "t1")
    text = "".join(f"Zeile {number} – größer 🎈\n" for number in range(30_000))
    write(Path(prepared.path), {"long.txt": text})
    await caller.integrate(await caller.finish("dev-1", "t1"))
    pages: list[str] = []
    offset: int | None = 0
    while offset is not None:
        diff = (await caller.ask(WorkspaceQuery(query="diff", execution_id=caller.id, offset=offset))).diff
        assert diff is not None
        pages.append(diff.text)
        offset = diff.next_offset
    assert len(pages) > 1
    body = "".join(pages).split("@@\n", 1)[1]
    assert body == "".join(f"+{line}\n" for line in text.splitlines())


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
