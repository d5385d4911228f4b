"""The service on a real server: every request is answered once, whatever happens to the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from dulwich.refs import Ref
from dulwich.repo import Repo

from schemas.agents import EvidenceOrder
from schemas.base import Failure
from schemas.commands import Repository
from schemas.events import (
    ExecutionCancelled,
    ExecutionFailed,
    TaskFinished,
    WorkspaceCleaned,
    WorkspaceCommitted,
    WorkspaceConflicted,
    WorkspaceFailed,
    WorkspaceIntegrated,
    WorkspaceReady,
    WorkspaceRequested,
)
from schemas.workspaces import EvidenceAnswer, EvidenceQuery, WorkspaceQuery
from shared import subjects
from shared.testing import eventually
from tests.services.workspace.bench import repository, write
from tests.services.workspace.caller import Caller, bus_at, service_at


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


@pytest.mark.parametrize(
    ("event", "ended"),
    [
        (ExecutionCancelled(execution_id=""), "cancelled"),
        (ExecutionFailed(execution_id="", error=Failure(code="x", message="x")), "failed"),
    ],
)
async def test_the_workspace_of_an_execution_that_failed_says_so(
    caller: Caller, tmp_path: Path, event: ExecutionCancelled | ExecutionFailed, ended: str
) -> None:
    """It is open for nothing: nobody is at work in it, its place of evidence is removed, its worktrees stay."""
    repository(tmp_path / "origin", {"a.txt": "1\n"}).close()
    ready = await caller.open(str(tmp_path / "origin"))
    assert isinstance(ready, WorkspaceReady)
    prepared = await caller.prepare("dev-1", "t1")
    place = Path(ready.path)
    for left in ("evidence/tree", "evidence/scratch/index", "scratch/stage-x"):
        write(place, {f"{left}/a": "a"})
    shown = (await caller.ask(WorkspaceQuery(query="show", execution_id=caller.id))).workspace
    assert shown is not None
    assert (shown.status, shown.ended, shown.sessions[0].state) == ("open", "", "busy")
    await caller.bus.append(msgspec.structs.replace(event, execution_id=caller.id))
    await eventually(lambda: not (place / "evidence").exists() and not any((place / "scratch").iterdir()))
    shown = (await caller.ask(WorkspaceQuery(query="show", execution_id=caller.id))).workspace
    assert shown is not None
    assert (shown.status, shown.ended, shown.sessions[0].state) == ("open", ended, "idle")
    assert (Path(prepared.path) / "a.txt").exists()
    cleanup = (await caller.ask(WorkspaceQuery(query="cleanup", execution_id=caller.id))).cleanup
    assert cleanup is not None
    shown = (await caller.ask(WorkspaceQuery(query="show", execution_id=caller.id))).workspace
    assert shown is not None
    assert shown.status == "cleaned"


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


async def test_a_clean_checkout_is_made_on_request_and_gone_after_the_end(caller: Caller, tmp_path: Path) -> None:
    """What cannot be checked out is answered with the reason, also where there is no workspace."""
    repository(tmp_path / "origin", {"a.txt": "1\n"}).close()
    ready = await caller.open(str(tmp_path / "origin"))
    assert isinstance(ready, WorkspaceReady)

    async def check_out(commit: str, execution_id: str = caller.id) -> EvidenceAnswer:
        query = EvidenceQuery(execution_id=execution_id, step="check_out", number=1, order=EvidenceOrder(commit=commit))
        return await caller.bus.request(subjects.QUERY_EVIDENCE, query, EvidenceAnswer, timeout_s=20)

    place = (await check_out(ready.base_commit)).place
    assert place is not None
    assert (Path(place.path) / "a.txt").read_text() == "1\n"
    unknown, homeless = (await check_out("0" * 40)).error, (await check_out(ready.base_commit, "nobody")).error
    assert unknown is not None
    assert unknown.code == "unknown_commit"
    assert homeless is not None
    assert "has no workspace here" in homeless.message
    await caller.finalize()
    await eventually(lambda: not Path(place.path).exists(), timeout_s=20)
