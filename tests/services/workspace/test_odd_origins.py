"""Origins in an unusual state: at work, detached, shallow, rewritten under an execution, with odd branch names."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from dulwich.refs import Ref

from schemas.events import WorkspaceFailed, WorkspaceFinalized
from tests.services.workspace.bench import GIT, Bench, add_commit, commit_at, git, repository

needs_git = pytest.mark.skipif(GIT is None, reason="compares with the git program")


def snapshot(place: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a directory with its mode and content."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[str(path.relative_to(place))] = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    return found


def test_a_working_copy_in_use_is_not_touched(tmp_path: Path) -> None:
    """Uncommitted changes and a lock of an editor's git stay as they are, and are no part of the work."""
    origin = tmp_path / "a place with spaces"
    with repository(origin, {"a.txt": "committed\n"}):
        (origin / "a.txt").write_text("not committed\n")
        (origin / "new.txt").write_text("untracked\n")
        (origin / ".git/index.lock").write_text("")
        before = snapshot(origin)
        bench = Bench(tmp_path / "ws")
        bench.ready(origin)
        work = bench.work("dev-1", {"b.txt": "b\n"})
        assert (Path(bench.workspace.root) / "worktrees/dev-1/a.txt").read_text() == "committed\n"
        assert not (Path(bench.workspace.root) / "worktrees/dev-1/new.txt").exists()
        bench.integrate(work)
        done = bench.finalize(push=False)
        assert snapshot(origin) == before
        assert isinstance(done, WorkspaceFinalized)


@needs_git
def test_a_pushed_result_is_a_branch_that_git_lists(tmp_path: Path) -> None:
    """The user finds it with `git branch` and can merge it; nothing else in the working copy has changed."""
    origin = tmp_path / "origin"
    with repository(origin, {"a.txt": "a\n"}):
        git(origin, "reset", "--hard")
        bench = Bench(tmp_path / "ws")
        bench.ready(origin)
        bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
        done = bench.finalize(push=True)
        assert isinstance(done, WorkspaceFinalized)
        assert done.branch in git(origin, "branch", "--list").split()
        assert git(origin, "status", "--porcelain") == ""
        git(origin, "fsck", "--full", "--strict")
        git(origin, "merge", "--ff-only", done.branch)
        assert (origin / "b.txt").read_text() == "b\n"


@needs_git
def test_a_result_that_was_not_pushed_can_be_fetched(tmp_path: Path) -> None:
    """`git fetch` from the workspace's repository brings the branch, as the guide says."""
    origin = tmp_path / "origin"
    with repository(origin, {"a.txt": "a\n"}):
        bench = Bench(tmp_path / "ws")
        bench.ready(origin)
        bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
        done = bench.finalize(push=False)
        assert isinstance(done, WorkspaceFinalized)
        git(origin, "fetch", str(bench.workspace.repository), f"{done.branch}:{done.branch}")
        assert git(origin, "rev-parse", done.branch).strip() == done.commit


def test_a_detached_head_is_where_work_starts(tmp_path: Path) -> None:
    """A repository that is at no branch is worked on from the commit that it is at."""
    with repository(tmp_path / "origin", {"a.txt": "1\n"}) as repo:
        first = repo.refs[Ref(b"refs/heads/main")]
        add_commit(repo, {"a.txt": "2\n"})
        (tmp_path / "origin/.git/HEAD").write_bytes(first + b"\n")
        ready = Bench(tmp_path / "ws").ready(tmp_path / "origin")
        assert (ready.base_commit, ready.base_branch) == (first.decode(), "")


def test_a_base_that_is_rewritten_during_the_work_changes_nothing(tmp_path: Path) -> None:
    """The branch is force-pushed, then deleted: the work goes on from its commit, and is pushed in the end."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}) as repo:
        bench = Bench(tmp_path / "ws")
        ready = bench.ready(tmp_path / "origin")
        first = bench.work("dev-1", {"b.txt": "b\n"})
        del repo.refs[Ref(b"refs/heads/main")]
        add_commit(repo, {"other.txt": "force-pushed\n"}, branch="main")
        bench.integrate(first)
        del repo.refs[Ref(b"refs/heads/main")]
        bench.integrate(bench.work("dev-2", {"c.txt": "c\n"}, task="t2"), effect="2")
        done = bench.finalize(push=True)
        assert isinstance(done, WorkspaceFinalized)
        assert (done.pushed, done.error) == (True, None)
        assert done.base_commit == ready.base_commit
        assert commit_at(repo, f"refs/heads/{done.branch}").id == done.commit.encode()
        assert sorted(bench.files()) == ["a.txt", "b.txt", "c.txt"]


@needs_git
def test_a_shallow_repository_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """A clone without its history cannot be the start of one, and git's way out is named."""
    with repository(tmp_path / "whole", {"a.txt": "1\n"}) as repo:
        add_commit(repo, {"a.txt": "2\n"})
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{tmp_path}/whole", str(tmp_path / "shallow"))
    failed = Bench(tmp_path / "ws").open(tmp_path / "shallow")
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "shallow_repository"
    assert "git fetch --unshallow" in failed.error.message


@pytest.mark.parametrize(
    "branch", ["feature/a-b", "-option", "--upload-pack=touch", "ümlaut", "a$(touch$IFS/x)", "a'b\"c", "a;touch|x"]
)
def test_branch_names_are_names_and_nothing_else(tmp_path: Path, branch: str) -> None:
    """A branch with an odd name is a base like any other; nothing of it is taken for an option or a command."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}, branch=branch):
        bench = Bench(tmp_path / "ws")
        ready = bench.ready(tmp_path / "origin", base=branch)
        assert ready.base_branch == branch
        assert not bench.work("dev-1", {"b.txt": "b\n"}).error


@pytest.mark.parametrize("base", ["../main", "--upload-pack=touch x", "main^", "main ", "x" * 5000])
def test_a_base_that_is_no_branch_is_refused(tmp_path: Path, base: str) -> None:
    """Expressions of git, paths and options are no names of branches: the answer says which there are."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}):
        failed = Bench(tmp_path / "ws").open(tmp_path / "origin", base=base)
        assert isinstance(failed, WorkspaceFailed)
        assert failed.error.code == "base_not_found"
        assert "main" in failed.error.message
        assert len(failed.error.message) < 1000


def test_bytes_of_files_are_not_converted(tmp_path: Path) -> None:
    """Line ends stay as they are, and names that differ in case are two files."""
    files = {
        ".gitattributes": "*.bin -text -diff\n",
        "unix.txt": "a\nb\n",
        "dos.txt": "a\r\nb\r\n",
        "x.bin": b"\x00\xff\r\n",
        "README": "1\n",
        "readme": "2\n",
    }
    with repository(tmp_path / "origin", files):
        bench = Bench(tmp_path / "ws")
        bench.ready(tmp_path / "origin")
        work = bench.work("dev-1", {"new.txt": "n\r\n"})
        place = Path(bench.workspace.root) / "worktrees/dev-1"
        for name, content in files.items():
            assert (place / name).read_bytes() == (content.encode() if isinstance(content, str) else content), name
        assert work.files == ["new.txt"]


def test_directories_that_cannot_be_written_are_given_back_their_rights(tmp_path: Path) -> None:
    """An agent that makes directories read-only does not stop its own commit, the next task or the clean-up."""
    with repository(tmp_path / "origin", {"d/a.txt": "1\n", "d/e/b.txt": "1\n"}):
        pass
    account = 65534 if os.geteuid() == 0 else os.geteuid()
    place = tmp_path / "ws"
    place.mkdir()
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    shutil.chown(place, account)
    before = os.geteuid()
    os.seteuid(account)  # root may write anywhere, so nothing would be shown
    try:
        bench = Bench(place)
        bench.ready(tmp_path / "origin")
        first = bench.work("dev-1", {"d/a.txt": "2\n"})
        tree = Path(bench.workspace.root) / "worktrees/dev-1"
        for directory in (tree / "d/e", tree / "d", tree):
            directory.chmod(0o555)
        bench.integrate(first)
        bench.integrate(bench.work("dev-2", {"d/e/b.txt": "2\n", "d/new.txt": "n\n"}, task="t2"), effect="2")
        again = bench.work("dev-1", {}, task="t3")
        assert again.error is None
        assert (tree / "d/e/b.txt").read_text() == "2\n"
        assert (tree / "d/new.txt").read_text() == "n\n"
        (tree / "d/e").chmod(0)
        tree.chmod(0)
        failed = bench.finish("dev-1", "t3")
        assert failed.commit == again.commit
        fourth = bench.work("dev-1", {"d/a.txt": "4\n"}, task="t4")
        assert (fourth.error, fourth.files) == (None, ["d/a.txt"])
    finally:
        os.seteuid(before)
