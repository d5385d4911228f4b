"""Clearing away without losing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.workspaces import WorkspaceCleanup
from services.workspace.cleaning import clean_up
from services.workspace.problems import WorkspaceProblem
from services.workspace.views import view
from tests.services.workspace.bench import AT, Bench, commit_at, repository, write


def clean(bench: Bench, *, ended: bool = True, force: bool = False) -> WorkspaceCleanup:
    with bench.workspace.locked():
        return clean_up(bench.workspace, AT + 9, ended=ended, force=force)[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    repository(tmp_path / "origin", {"a.txt": "a\n"}).close()
    made = Bench(tmp_path / "ws")
    made.ready(tmp_path / "origin")
    return made


def test_what_is_nowhere_else_has_a_ref(bench: Bench) -> None:
    """Work that nobody took over, changes that nobody committed and a result that nobody has are all kept."""
    bench.integrate(bench.work("dev-1", {"b.txt": "taken over\n"}))
    own = bench.work("dev-2", {"c.txt": "not taken over\n"}, "t2")
    write(Path(bench.prepare("dev-3", "t3").path), {"d.txt": "not committed\n"})
    cleanup = clean(bench)
    assert len(cleanup.removed) == 3
    assert not any(Path(path).exists() for path in cleanup.removed)
    result, own_work, loose = sorted(cleanup.kept_refs, key=lambda ref: ("dev-3" in ref, "dev-2" in ref))
    assert result == "refs/parallax/kept/x1/result"
    assert own_work.startswith("refs/parallax/kept/x1/dev-2/cleanup/lost/")
    assert loose.startswith("refs/parallax/kept/x1/dev-3/cleanup/attempt-")
    with bench.repository as repo:
        assert commit_at(repo, own_work).id.decode() == own.commit
        found = repo.object_store.iter_tree_contents(commit_at(repo, loose).tree)
        assert {entry.path: repo[entry.sha].as_raw_string() for entry in found}[b"d.txt"] == b"not committed\n"


def test_what_is_safe_needs_no_ref(bench: Bench) -> None:
    """Taken over and pushed: the worktrees go and no ref is made."""
    bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
    bench.finalize(push=True)
    assert clean(bench).kept_refs == []
    assert clean(bench).removed == []


def test_worktrees_in_use_stay(bench: Bench) -> None:
    """While the execution lives its worktrees are only removed by force, and then nothing is lost either."""
    write(Path(bench.prepare("dev-1").path), {"b.txt": "at work\n"})
    with pytest.raises(WorkspaceProblem, match="has not ended"):
        clean(bench, ended=False)
    cleanup = clean(bench, ended=False, force=True)
    assert len(cleanup.kept_refs) == 1


def test_after_the_end_nobody_is_at_work(bench: Bench) -> None:
    """Also where a worktree was last made for a check of everybody's work: that is no task, and nobody's."""
    done = bench.work("dev-1", {"b.txt": "b\n"})
    bench.integrate(done)
    bench.prepare("dev-1", f"{bench.workspace.execution_id}-v4")
    with bench.workspace.locked():
        assert [one.state for one in view(bench.workspace, sessions=True).sessions] == ["busy"]
    bench.finalize()
    with bench.workspace.locked():
        session = view(bench.workspace, sessions=True).sessions[0]
    assert (session.state, session.task_id) == ("idle", "")


def test_a_cleaned_workspace_works_on(bench: Bench) -> None:
    """Branches outlive the worktrees: a later task has its worktree made anew at the session's head."""
    done = bench.work("dev-1", {"b.txt": "b\n"})
    clean(bench)
    with bench.workspace.locked():
        seen = view(bench.workspace, sessions=True)
    assert (seen.status, seen.sessions[0].state) == ("cleaned", "cleaned")
    prepared = bench.again().prepare("dev-1", "t2")
    assert prepared.commit == done.commit
    assert (Path(prepared.path) / "b.txt").read_text() == "b\n"
