"""What a turn leaves behind: one commit, or nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from dulwich.objects import ObjectID, Tree

from services.workspace.dulwich_git.scan import MAX_FILE_BYTES
from tests.services.workspace.bench import AT, GIT, Bench, commit_at, git, repository, with_tree, write


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    repository(tmp_path / "origin", {"a.txt": "1\n2\n3\n", "pkg/b.txt": "b\n", ".gitignore": "*.log\nbuild/\n"})
    made = Bench(tmp_path / "ws")
    made.ready(tmp_path / "origin")
    return made


def test_a_turn_becomes_one_commit_with_everything_that_changed(bench: Bench) -> None:
    """New, changed and removed files of a turn are one commit on the session's branch, with its trailers."""
    done = bench.work("dev-1", {"a.txt": "one\n2\n3\n", "new/deep/c.txt": "c\n", "pkg/b.txt": None})
    assert done.branch == "parallax/x1/dev/1"
    assert done.files == ["a.txt", "new/deep/c.txt", "pkg/b.txt"]
    assert bench.files(done.branch) == {
        ".gitignore": b"*.log\nbuild/\n",
        "a.txt": b"one\n2\n3\n",
        "new/deep/c.txt": b"c\n",
    }
    with bench.repository as repo:
        commit = commit_at(repo, done.commit)
        assert commit.parents == [done.parent.encode()]
        assert (commit.author_time, commit.commit_time, commit.author_timezone) == (AT + 2, AT + 2, 0)
        assert commit.author == b"dev-1 <x1-dev-1@agents.parallax.invalid>"
        assert commit.message == (
            b"dev-1: t1\n\nParallax-Execution: x1\nParallax-Task: t1\nParallax-Attempt: 1\n"
            b"Parallax-Agent: x1-dev-1\nParallax-Role: dev\n"
        )


def test_a_turn_that_changes_nothing_makes_no_commit(bench: Bench) -> None:
    """Without a change the commit is the one before."""
    done = bench.work("dev-1", {})
    assert done.commit == done.parent == bench.ready().base_commit
    assert done.files == []


def test_the_same_end_of_a_turn_is_the_same_commit_for_ever(bench: Bench) -> None:
    """Redelivered at once, after a restart, or after the worktree has changed, the answer is the first one."""
    first = bench.work("dev-1", {"a.txt": "x\n"})
    write(Path(bench.prepare("dev-1", "t2").path), {"a.txt": "the next task is at work\n"})
    assert bench.finish("dev-1") == first
    assert bench.again().finish("dev-1") == first
    assert bench.again().prepare("dev-1") == bench.prepare("dev-1")


def test_the_same_work_in_two_workspaces_is_the_same_commit(bench: Bench, tmp_path: Path) -> None:
    """A commit is a function of the work and the event, so a step that is done twice is done once."""
    other = Bench(tmp_path / "elsewhere")
    other.ready(tmp_path / "origin")
    assert bench.work("dev-1", {"a.txt": "x\n"}).commit == other.work("dev-1", {"a.txt": "x\n"}).commit


def test_ignored_files_stay_out_and_tracked_ones_stay_in(bench: Bench) -> None:
    """What .gitignore names and what tools leave behind is not committed; the worktree keeps it for the next turn."""
    made = {"x.log": "x", "build/out": "x", "__pycache__/a.pyc": "x", "node_modules/m/i.js": "x", "kept.txt": "k"}
    done = bench.work("dev-1", made)
    assert done.files == ["kept.txt"]
    worktree = Path(bench.prepare("dev-1", "t2").path)
    assert (worktree / "x.log").read_text() == "x"
    assert (worktree / "node_modules/m/i.js").exists()


def test_executable_bits_and_links_are_kept(bench: Bench) -> None:
    """Modes and links survive a commit and a checkout into another worktree."""
    worktree = Path(bench.prepare("dev-1").path)
    (worktree / "run.sh").write_text("#!/bin/sh\n")
    (worktree / "run.sh").chmod(0o755)
    (worktree / "link").symlink_to("a.txt")
    (worktree / "outside").symlink_to("/etc/passwd")
    done = bench.finish("dev-1")
    bench.integrate(done)
    other = Path(bench.prepare("dev-2", "t2").path)
    assert os.access(other / "run.sh", os.X_OK)
    assert not os.access(other / "a.txt", os.X_OK)
    assert str((other / "link").readlink()) == "a.txt"
    assert str((other / "outside").readlink()) == "/etc/passwd"
    assert bench.files()["outside"] == b"/etc/passwd"


def test_a_failed_attempt_is_undone_and_kept_aside(bench: Bench) -> None:
    """After a failed attempt the worktree is as before it, ignored files included; what it did has a ref."""
    worktree = Path(bench.prepare("dev-1").path)
    write(worktree, {"a.txt": "broken\n", "half.txt": "half\n", "left.log": "x", "pkg/b.txt": None})
    done = bench.finish("dev-1", outcome="failed")
    assert done.error is None
    assert done.commit == done.parent
    assert sorted(path.name for path in worktree.rglob("*") if ".git" not in path.parts) == [
        ".gitignore",
        "a.txt",
        "b.txt",
        "pkg",
    ]
    assert (worktree / "a.txt").read_text() == "1\n2\n3\n"
    (ref,) = bench.workspace.state.kept
    assert ref.startswith("refs/parallax/kept/x1/dev-1/t1-1/attempt-")
    with bench.repository as repo:
        kept = commit_at(repo, bench.workspace.state.kept[ref])
        assert b"Parallax-Task" not in kept.message
        assert commit_at(repo, ref) == kept
    again = bench.prepare("dev-1", "t1", attempt=2)
    assert again.commit == done.commit


def test_what_a_dead_agent_left_is_not_taken_for_the_next_attempt(bench: Bench) -> None:
    """An attempt that never ended leaves nothing to the next one; its late end commits nothing."""
    write(Path(bench.prepare("dev-1").path), {"a.txt": "half\n", "x.log": "x"})
    worktree = Path(bench.prepare("dev-1", "t1", attempt=2).path)
    assert (worktree / "a.txt").read_text() == "1\n2\n3\n"
    assert not (worktree / "x.log").exists()
    late = bench.finish("dev-1", "t1", attempt=1)
    assert late.error is not None
    assert late.error.code == "stale_attempt"
    write(worktree, {"a.txt": "whole\n"})
    assert bench.finish("dev-1", "t1", attempt=2).files == ["a.txt"]


def test_a_redelivered_preparation_does_not_touch_a_worktree_at_work(bench: Bench) -> None:
    """The question whether the worktree is ready is answered again from memory while the agent works in it."""
    prepared = bench.prepare("dev-1")
    write(Path(prepared.path), {"a.txt": "in the middle\n"})
    assert bench.again().prepare("dev-1") == prepared
    assert (Path(prepared.path) / "a.txt").read_text() == "in the middle\n"


def test_the_next_task_sees_what_the_last_step_did(bench: Bench) -> None:
    """Before a task the worktree is brought up to the result, over work of its own that nobody took over."""
    own = bench.work("dev-1", {"own.txt": "mine\n"})
    bench.integrate(bench.work("dev-2", {"a.txt": "1\n2\nthree\n"}, "t2"))
    prepared = bench.prepare("dev-1", "t3")
    worktree = Path(prepared.path)
    assert (worktree / "own.txt").read_text() == "mine\n"
    assert (worktree / "a.txt").read_text() == "1\n2\nthree\n"
    with bench.repository as repo:
        assert commit_at(repo, prepared.commit).parents[0] == own.commit.encode()


def test_own_work_in_conflict_with_the_result_gives_way(bench: Bench) -> None:
    """A session whose own work no longer fits starts from the result; what it did has a ref and is named."""
    own = bench.work("dev-1", {"a.txt": "mine\n2\n3\n"})
    bench.integrate(bench.work("dev-2", {"a.txt": "yours\n2\n3\n"}, "t2"))
    prepared = bench.prepare("dev-1", "t3")
    assert prepared.error is None
    assert (Path(prepared.path) / "a.txt").read_text() == "yours\n2\n3\n"
    assert not isinstance(prepared.kept, msgspec.UnsetType)
    assert [(kept.kind, kept.commit) for kept in prepared.kept] == [("lost", own.commit)]
    assert bench.workspace.state.kept[prepared.kept[0].ref] == own.commit


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: shutil.rmtree(tree / ".git"),
        lambda tree: (shutil.rmtree(tree / ".git"), (tree / ".git").write_text("gitdir: /etc\n")),
        lambda tree: (shutil.rmtree(tree / ".git"), (tree / ".git").symlink_to("/etc")),
        lambda tree: (tree / ".git" / "HEAD").write_text("nonsense"),
        lambda tree: (tree / ".git" / "index").write_bytes(b"DIRC nonsense"),
        lambda tree: (tree / ".git" / "index.lock").write_bytes(b""),
        lambda tree: (shutil.rmtree(tree / ".git" / "objects"), (tree / ".git/objects").symlink_to("/tmp")),
        lambda tree: (tree / ".git").chmod(0),
    ],
    ids=["removed", "a file", "a link", "head", "index", "lock", "objects", "locked away"],
)
def test_an_agent_may_break_its_git_directory(bench: Bench, damage: object) -> None:
    """Whatever becomes of `.git` in a worktree, the work is committed and the next turn has a sound one."""
    worktree = Path(bench.prepare("dev-1").path)
    write(worktree, {"a.txt": "x\n"})
    assert callable(damage)
    damage(worktree)
    done = bench.finish("dev-1")
    assert done.files == ["a.txt"]
    bench.prepare("dev-1", "t2")
    if GIT is not None:
        assert git(worktree, "status", "--porcelain") == ""
        assert git(worktree, "rev-parse", "HEAD").strip() == done.commit


def test_a_worktree_that_is_gone_fails_the_attempt_and_comes_back(bench: Bench) -> None:
    """An agent that removes its worktree fails with a reason; the next attempt has it again."""
    shutil.rmtree(bench.prepare("dev-1").path)
    done = bench.finish("dev-1")
    assert done.error is not None
    assert done.error.code == "worktree_missing"
    assert (Path(bench.prepare("dev-1", "t1", attempt=2).path) / "a.txt").exists()


@pytest.mark.skipif(GIT is None, reason="asks the real git")
def test_git_works_in_a_worktree(bench: Bench) -> None:
    """status, diff, log, add, commit and stash do what an agent expects, and commits of its own are not lost."""
    worktree = Path(bench.prepare("dev-1").path)
    assert git(worktree, "status", "--porcelain") == ""
    assert git(worktree, "branch", "--show-current").strip() == "parallax/x1/dev/1"
    write(worktree, {"a.txt": "agent\n", "b.txt": "new\n"})
    assert "a.txt" in git(worktree, "diff", "--stat")
    git(worktree, "add", "-A")
    git(worktree, "commit", "-qm", "A commit of the agent's own")
    git(worktree, "gc", "-q")
    write(worktree, {"c.txt": "more\n"})
    done = bench.finish("dev-1")
    assert done.files == ["a.txt", "b.txt", "c.txt"]
    assert git(worktree, "status", "--porcelain") == ""
    assert git(worktree, "rev-parse", "HEAD", "origin/main").split() == [done.commit, done.parent]
    assert "Parallax-Task" in git(bench.workspace.repository, "log", "-1", "--format=%B", done.commit)
    assert git(bench.workspace.repository, "fsck", "--full", "--strict") == ""


def test_hooks_and_settings_of_the_agent_are_never_run(bench: Bench, tmp_path: Path) -> None:
    """A hook, a filter or a file system monitor that an agent plants is not executed by the platform."""
    worktree = Path(bench.prepare("dev-1").path)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    (worktree / ".git/hooks").mkdir()
    for hook in ("pre-commit", "post-commit", "post-checkout", "reference-transaction", "post-index-change"):
        shutil.copy(trap, worktree / ".git/hooks" / hook)
    (worktree / ".git/config").write_text(
        f'[core]\n\tfsmonitor = {trap}\n\thooksPath = {trap}\n[filter "x"]\n\tclean = {trap}\n\tsmudge = {trap}\n'
    )
    write(worktree, {"a.txt": "x\n", ".gitattributes": "* filter=x\n"})
    bench.finish("dev-1")
    bench.prepare("dev-1", "t2")
    assert not (tmp_path / "sprung").exists()
    assert not (worktree / ".git/hooks").exists()


def test_links_do_not_lead_the_platform_out_of_the_worktree(bench: Bench, tmp_path: Path) -> None:
    """A directory that an agent replaces by a link is committed as a link, and put back without touching its target."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.txt").write_text("not yours\n")
    worktree = Path(bench.prepare("dev-1").path)
    shutil.rmtree(worktree / "pkg")
    (worktree / "pkg").symlink_to(outside)
    done = bench.finish("dev-1", outcome="failed")
    assert done.error is None
    assert (worktree / "pkg/b.txt").read_text() == "b\n"
    assert not (worktree / "pkg").is_symlink()
    assert (outside / "b.txt").read_text() == "not yours\n"


def test_odd_things_in_a_worktree_are_left_out(bench: Bench) -> None:
    """Pipes, nested repositories' own files and empty directories are not committed and stop nothing."""
    worktree = Path(bench.prepare("dev-1").path)
    os.mkfifo(worktree / "pipe")
    (worktree / "empty/below").mkdir(parents=True)
    (worktree / "nested/.git").mkdir(parents=True)
    write(worktree, {"nested/.git/config": "x", "nested/real.txt": "r\n", ".GIT/config": "x"})
    assert bench.finish("dev-1").files == ["nested/real.txt"]


def test_a_name_that_is_no_text_is_committed_and_shown_escaped(bench: Bench) -> None:
    """Any bytes that the file system takes are a name."""
    worktree = Path(bench.prepare("dev-1").path)
    Path(os.fsdecode(os.fsencode(worktree) + b"/caf\xe9 \n.txt")).write_text("x")
    assert bench.finish("dev-1").files == ["caf\\xe9 \n.txt"]


def test_directories_without_end_fail_the_attempt_and_are_removed(bench: Bench) -> None:
    """A worktree nested a thousand deep is answered with a reason and cleared for the next attempt."""
    worktree = Path(bench.prepare("dev-1").path)
    here = os.open(worktree, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    done = bench.finish("dev-1")
    assert done.error is not None
    assert done.error.code == "too_deep"
    assert not (worktree / "deep").exists()


def test_large_files_are_streamed_and_huge_ones_refused(bench: Bench) -> None:
    """A file of some megabytes is committed; one over the limit fails the attempt with its name."""
    worktree = Path(bench.prepare("dev-1").path)
    (worktree / "large.bin").write_bytes(bytes(range(256)) * 40_000)
    assert bench.finish("dev-1").files == ["large.bin"]
    assert len(bench.files("parallax/x1/dev/1")["large.bin"]) == 10_240_000
    bench.prepare("dev-1", "t2")
    with (worktree / "huge.bin").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    done = bench.finish("dev-1", "t2")
    assert done.error is not None
    assert done.error.code == "file_too_large"
    assert "huge.bin" in done.error.message
    assert not (worktree / "huge.bin").exists()


@pytest.mark.parametrize("role", ["result", "../x", "a/b", "a b", "", ".git", "a.lock", "ü", "a" * 300])
def test_a_role_that_cannot_be_part_of_a_branch_is_refused(bench: Bench, role: str) -> None:
    """Path tricks in roles and sessions are answered, and nothing is written."""
    prepared = bench.prepare(f"{role}-1") if role != "result" else bench.prepare("result")
    assert prepared.error is not None
    assert prepared.error.code == "bad_session"
    assert not (bench.workspace.root / "worktrees").exists()


def test_a_file_that_changes_without_a_trace_of_time_is_noticed(bench: Bench) -> None:
    """Same size and the modification time set back: the content is committed all the same."""
    worktree = Path(bench.prepare("dev-1").path)
    before = (worktree / "a.txt").stat()
    (worktree / "a.txt").write_text("9\n2\n3\n")
    os.utime(worktree / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert bench.finish("dev-1").files == ["a.txt"]


@pytest.mark.backend("git")
def test_submodules_are_kept_as_they_are(tmp_path: Path) -> None:
    """A submodule is an empty directory in the worktree, never fetched, and stays in every commit."""
    repo = repository(tmp_path / "origin", {".gitmodules": '[submodule "s"]\n\tpath = s\n\turl = ext::sh -c id\n'})
    tree = repo[commit_at(repo, "refs/heads/main").tree]
    assert isinstance(tree, Tree)
    tree.add(b"s", 0o160000, ObjectID(b"1" * 40))
    with_tree(repo, tree)
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    worktree = Path(bench.prepare("dev-1").path)
    assert list((worktree / "s").iterdir()) == []
    write(worktree, {"s/inside.txt": "x", "a.txt": "a\n"})
    done = bench.finish("dev-1")
    assert done.files == ["a.txt"]
    with bench.repository as made:
        kept = made[commit_at(made, done.commit).tree]
        assert isinstance(kept, Tree)
        assert kept[b"s"] == (0o160000, b"1" * 40)


def test_a_file_takes_the_place_of_a_directory(tmp_path: Path) -> None:
    """And the other way round; neither is lost."""
    bench = Bench(tmp_path)
    bench.ready()
    bench.work("worker-1", {"dir/b": "2\n"}, task="t1")
    done = bench.work("worker-1", {"dir/b": None, "dir": "a file\n"}, task="t2")
    assert bench.files(done.branch) == {"dir": b"a file\n"}
    done = bench.work("worker-1", {"dir": None, "dir/c": "3\n"}, task="t3")
    assert bench.files(done.branch) == {"dir/c": b"3\n"}


def test_what_a_killed_step_has_left_is_removed(tmp_path: Path) -> None:
    """When the workspace is opened again, and not before: who has it open may be at work there."""
    bench = Bench(tmp_path)
    bench.ready()
    bench.work("worker-1", {"a": "1\n"}, task="t1")
    for place in ("scratch", "evidence/scratch"):
        write(bench.workspace.root, {f"{place}/stage-x/d/file": "x", f"{place}/index": "x"})
    (bench.workspace.root / "scratch/link").symlink_to(tmp_path / "executions")
    bench.work("worker-1", {"b": "1\n"}, task="t2")
    assert (bench.workspace.root / "scratch/stage-x/d/file").exists()
    bench.again().work("worker-1", {"c": "1\n"}, task="t3")
    assert list((bench.workspace.root / "scratch").iterdir()) == []
    assert list((bench.workspace.root / "evidence/scratch").iterdir()) == []
    assert (tmp_path / "executions").is_dir()
