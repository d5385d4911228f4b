"""Nothing that an agent did beside its work is destroyed, and nothing of it slips in."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from parallax.cli.beside import kept_words
from schemas.events import WorkspaceCommitted, WorkspaceKept, WorkspacePrepared
from tests.services.workspace.bench import GIT, Bench, git, repository, write

pytestmark = pytest.mark.skipif(GIT is None, reason="the agents of these tests use the git program")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    repository(
        tmp_path / "origin",
        {"a": "a\n", "docs/b": "b\n", "src/c": "c\n", "secret.env": "k\n", ".gitignore": "*.log\n", "exclude.me": "x"},
    ).close()
    made = Bench(tmp_path / "ws")
    made.ready(tmp_path / "origin")
    return made


def kept(answer: WorkspaceCommitted | WorkspacePrepared) -> list[WorkspaceKept]:
    """What an answer says that was kept."""
    return [] if isinstance(answer.kept, msgspec.UnsetType) else answer.kept


def notes(answer: WorkspaceCommitted | WorkspacePrepared) -> list[str]:
    """What an answer says that could not be read."""
    return [] if isinstance(answer.notes, msgspec.UnsetType) else answer.notes


def files_of(bench: Bench, commit: str) -> list[str]:
    """The files in a commit of the platform's repository."""
    return git(bench.workspace.repository, "ls-tree", "-r", "--name-only", commit).split()


def worked(bench: Bench, work: Callable[[Path], None]) -> WorkspaceCommitted:
    """The end of a turn in which an agent does something."""
    prepared = bench.prepare("dev-1")
    assert prepared.error is None
    work(Path(prepared.path))
    done = bench.finish("dev-1")
    assert done.error is None
    git(bench.workspace.repository, "fsck", "--strict", "--connectivity-only")
    return done


def saved(tree: Path, name: str) -> str:
    """Commits a new file. Gives the commit."""
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(name)
    git(tree, "add", "-f", name)
    git(tree, "commit", "-qm", f"made {name}")
    return git(tree, "rev-parse", "HEAD").strip()


def test_a_commit_on_another_branch_is_kept(bench: Bench) -> None:
    """A branch that the agent left has a ref of its name, and is not part of the result."""
    made: list[str] = []

    def work(tree: Path) -> None:
        git(tree, "checkout", "-qb", "feat/x")
        made.append(saved(tree, "n"))
        git(tree, "checkout", "-q", "-")

    done = worked(bench, work)
    assert done.files == []
    (one,) = kept(done)
    assert (one.kind, one.name, one.commit, one.subject, one.in_result) == (
        "branch",
        "feat/x",
        made[0],
        "made n",
        False,
    )
    assert one.ref == "refs/parallax/kept/x1/dev-1/t1-1/heads/feat/x"
    assert git(bench.workspace.repository, "rev-parse", one.ref).strip() == made[0]
    assert "n" in files_of(bench, one.ref)


@pytest.mark.parametrize("untracked", [False, True])
def test_a_stash_is_kept(bench: Bench, untracked: bool) -> None:
    """What was stashed, new files with it, can be had back with `git stash apply`."""

    def work(tree: Path) -> None:
        (tree / "a").write_text("stashed\n")
        (tree / "new").write_text("new\n")
        git(tree, "stash", "-q", *(["-u"] if untracked else []))

    done = worked(bench, work)
    (one,) = kept(done)
    assert one.kind == "stash"
    assert git(bench.workspace.repository, "show", f"{one.ref}:a") == "stashed\n"
    if untracked:
        assert git(bench.workspace.repository, "show", f"{one.ref}^3:new") == "new\n"


@pytest.mark.parametrize("reflog", [True, False])
def test_a_commit_that_was_reset_away_is_kept(bench: Bench, reflog: bool) -> None:
    """Also when no reflog names it any more."""

    def work(tree: Path) -> None:
        saved(tree, "n")
        git(tree, "reset", "-q", "--hard", "HEAD~1")
        if not reflog:
            git(tree, "reflog", "expire", "--expire=now", "--all")

    done = worked(bench, work)
    (one,) = kept(done)
    assert one.kind == ("reset" if reflog else "unnamed")
    assert one.subject == "made n"
    assert "n" in files_of(bench, one.ref)


def test_another_worktree_is_kept_with_what_is_in_it(bench: Bench) -> None:
    """Its commits, and the files that were not committed there, whether it lies beside the agent's own or in it."""

    def work(tree: Path) -> None:
        git(tree, "worktree", "add", "-q", "-b", "side", "../x")
        saved(tree.parent / "x", "committed")
        (tree.parent / "x/loose").write_text("loose")
        (tree.parent / "x/left.log").write_text("ignored")
        git(tree, "worktree", "add", "-q", "--detach", ".trees/y")
        (tree / ".trees/y/deep").write_text("deep")

    done = worked(bench, work)
    assert done.files == []
    found = {(one.kind, one.name): one for one in kept(done)}
    assert set(found) == {("branch", "side"), ("worktree", "x"), ("worktree", "y")}
    assert "committed" in files_of(bench, found["branch", "side"].ref)
    assert {"committed", "loose"} < set(files_of(bench, found["worktree", "x"].ref))
    assert "left.log" not in files_of(bench, found["worktree", "x"].ref)
    assert "deep" in files_of(bench, found["worktree", "y"].ref)
    assert not any(one.in_result for one in kept(done))


def test_another_worktree_out_of_reach_is_named(bench: Bench, tmp_path: Path) -> None:
    """Its commits are kept; its files are somebody's whom the platform does not know, and are not read."""
    (tmp_path / "elsewhere").mkdir()

    def work(tree: Path) -> None:
        git(tree, "worktree", "add", "-q", "--detach", str(tmp_path / "elsewhere/x"))
        saved(tmp_path / "elsewhere/x", "committed")
        (tmp_path / "elsewhere/x/loose").write_text("loose")

    done = worked(bench, work)
    assert [(one.kind, one.name) for one in kept(done)] == [("worktree", "x")]
    assert "loose" not in files_of(bench, kept(done)[0].ref)
    assert not isinstance(done.left_out, msgspec.UnsetType)
    assert [(one.kind, str(tmp_path) in one.path) for one in done.left_out] == [("worktree", True)]


def test_a_worktree_that_points_to_another_session_is_not_read(bench: Bench) -> None:
    """An agent that names a colleague's worktree as its own gets nothing of it."""
    write(Path(bench.prepare("dev-2", "t2").path), {"theirs": "theirs"})

    def work(tree: Path) -> None:
        git(tree, "worktree", "add", "-q", "--detach", "../x")
        (tree / ".git/worktrees/x/gitdir").write_text(f"{tree.parent}/dev-2/.git\n")

    done = worked(bench, work)
    assert kept(done) == []
    assert not isinstance(done.left_out, msgspec.UnsetType)


def test_what_the_result_holds_is_said_to_be_in_it(bench: Bench) -> None:
    """Commits on the agent's own branch, and a popped stash, are kept and marked: nothing but they would be missed."""

    def work(tree: Path) -> None:
        saved(tree, "n")
        (tree / "a").write_text("changed\n")
        git(tree, "stash", "-q")
        git(tree, "stash", "pop", "-q")

    done = worked(bench, work)
    assert done.files == ["a", "n"]
    assert {one.kind: one.in_result for one in kept(done)} == {"head": True, "unnamed": True}


def test_nothing_is_kept_of_an_ordinary_turn(bench: Bench) -> None:
    """An agent that only edits files leaves nothing to name, also when it looks around with git."""

    def work(tree: Path) -> None:
        (tree / "a").write_text("changed\n")
        (tree / "n").write_text("n\n")
        git(tree, "status")
        git(tree, "add", "-A")
        git(tree, "diff", "--cached")

    done = worked(bench, work)
    assert done.files == ["a", "n"]
    for field in (done.kept, done.left_out, done.ignored, done.notes):
        assert field is msgspec.UNSET


def test_sparse_checkouts_and_skipped_files_delete_nothing(bench: Bench) -> None:
    """What the agent made git not look at stays in the result, and is there again for the next task."""

    def work(tree: Path) -> None:
        git(tree, "sparse-checkout", "set", "--cone", "src")
        assert not (tree / "docs").exists()
        (tree / "src/n").write_text("n")

    done = worked(bench, work)
    assert done.files == ["src/n"]
    assert "docs/b" in files_of(bench, done.commit)
    tree = Path(bench.prepare("dev-1", "t2").path)
    assert (tree / "docs/b").read_text() == "b\n"
    assert git(tree, "status", "--porcelain") == ""


@pytest.mark.parametrize("how", ["--skip-worktree", "--assume-unchanged"])
@pytest.mark.parametrize("content", [None, "mine alone\n"])
def test_a_file_at_which_git_does_not_look_stays_as_it_was(bench: Bench, how: str, content: str | None) -> None:
    """Removed it is not deleted; changed it does not slip in, and the change is kept."""

    def work(tree: Path) -> None:
        git(tree, "update-index", how, "docs/b")
        write(tree, {"docs/b": content, "n": "n"})

    done = worked(bench, work)
    assert done.files == ["n"]
    assert git(bench.workspace.repository, "show", f"{done.commit}:docs/b") == "b\n"
    assert [one.kind for one in kept(done)] == ([] if content is None else ["hidden"])
    if content is not None:
        assert git(bench.workspace.repository, "show", f"{kept(done)[0].ref}:docs/b") == content
    tree = Path(bench.prepare("dev-1", "t2").path)
    assert (tree / "docs/b").read_text() == "b\n"


@pytest.mark.parametrize("how", ["--sparse-index", "--no-sparse-index"])
def test_a_sparse_or_split_index_deletes_nothing(bench: Bench, how: str) -> None:
    """The index that holds directories as one entry, and the one in two files."""

    def work(tree: Path) -> None:
        git(tree, "sparse-checkout", "set", "--cone", how, "src")
        if how == "--no-sparse-index":
            git(tree, "update-index", "--split-index")
        (tree / "src/c").write_text("changed\n")

    done = worked(bench, work)
    assert done.files == ["src/c"]
    assert notes(done) == []


def test_a_file_that_was_untracked_and_ignored_leaves_the_result(bench: Bench) -> None:
    """`git rm --cached` and an ignore rule mean what they say, and the agent's copy stays where it is."""

    def work(tree: Path) -> None:
        git(tree, "rm", "-q", "--cached", "secret.env")
        with (tree / ".gitignore").open("a") as ignore:
            ignore.write("secret.env\n")

    done = worked(bench, work)
    assert done.files == [".gitignore", "secret.env"]
    assert "secret.env" not in files_of(bench, done.commit)
    assert (Path(bench.prepare("dev-1", "t2").path) / "secret.env").read_text() == "k\n"


def test_a_change_in_the_second_of_the_checkout_counts_whatever_else_was_untracked(bench: Bench) -> None:
    """Of the same size, in place and within the second in which the file was made: its times say nothing."""

    def seconds_to(fraction: float) -> float:
        return (fraction - time.time()) % 1

    def work(tree: Path) -> None:
        (tree / "src/c").write_text("d\n")
        git(tree, "rm", "-q", "--cached", "secret.env")
        time.sleep(seconds_to(0.05))

    time.sleep(seconds_to(0.05))
    assert worked(bench, work).files == ["src/c"]


def test_a_file_that_is_only_out_of_the_index_is_added_again(bench: Bench) -> None:
    """Without an ignore rule `git add -A` would add it, and so does the platform."""
    assert worked(bench, lambda tree: void(git(tree, "rm", "-q", "--cached", "secret.env"))).files == []


def void(value: object) -> None:
    """Drops a value."""
    del value


@pytest.mark.parametrize("committed", [True, False])
def test_an_ignored_file_that_was_added_by_force_counts(bench: Bench, committed: bool) -> None:
    """Staged or committed by the agent itself, and tracked from then on."""

    def work(tree: Path) -> None:
        write(tree, {"wanted.log": "wanted", "other.log": "other"})
        git(tree, "add", "-f", "wanted.log")
        if committed:
            git(tree, "commit", "-qm", "x")

    done = worked(bench, work)
    assert done.files == ["wanted.log"]
    write(Path(bench.prepare("dev-1", "t2").path), {"wanted.log": "changed"})
    assert bench.finish("dev-1", "t2").files == ["wanted.log"]


def test_what_was_staged_and_is_nowhere_else_is_kept(bench: Bench) -> None:
    """The worktree decides; the version that was staged has a ref."""

    def work(tree: Path) -> None:
        (tree / "a").write_text("staged\n")
        git(tree, "add", "a")
        (tree / "a").write_text("worktree\n")

    done = worked(bench, work)
    assert git(bench.workspace.repository, "show", f"{done.commit}:a") == "worktree\n"
    (one,) = kept(done)
    assert one.kind == "staged"
    assert git(bench.workspace.repository, "show", f"{one.ref}:a") == "staged\n"
    assert files_of(bench, one.ref) == files_of(bench, done.commit)


def test_a_repository_in_the_worktree_is_left_out_and_named(bench: Bench) -> None:
    """Its files are no part of the result, it stays where it is, and a failed attempt does not remove it."""

    def work(tree: Path) -> None:
        (tree / "sub").mkdir()
        git(tree / "sub", "init", "-q")
        git(tree / "sub", "config", "user.name", "u")
        git(tree / "sub", "config", "user.email", "u@x")
        saved(tree / "sub", "inner")
        (tree / "n").write_text("n")

    done = worked(bench, work)
    assert done.files == ["n"]
    assert not isinstance(done.left_out, msgspec.UnsetType)
    assert [(one.kind, one.path) for one in done.left_out] == [("repository", "sub")]
    assert (Path(bench.prepare("dev-1", "t2").path) / "sub/inner").exists()


@pytest.mark.backend("git")
def test_a_bumped_submodule_is_committed(tmp_path: Path) -> None:
    """The pointer goes to where the submodule of the worktree stands."""
    sub = tmp_path / "sub"
    repository(sub, {"lib.py": "1\n"}).close()
    first = git(sub, "rev-parse", "HEAD").strip()
    git(sub, "checkout", "-q", "main")
    (sub / "lib.py").write_text("2\n")
    git(sub, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "2")
    origin = tmp_path / "origin"
    repository(origin, {"a": "a\n"}).close()
    git(origin, "reset", "-q", "--hard")
    git(origin, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(sub), "s")
    git(origin, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "sub")
    bench = Bench(tmp_path / "ws")
    ready = bench.ready(origin)
    assert not isinstance(ready.submodules, msgspec.UnsetType)
    assert [(one.path, one.commit == first) for one in ready.submodules] == [("s", False)]

    def work(tree: Path) -> None:
        git(tree, "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
        git(tree / "s", "checkout", "-q", "HEAD~1")

    done = worked(bench, work)
    assert done.files == ["s"]
    assert notes(done) == []
    assert git(bench.workspace.repository, "ls-tree", done.commit, "s").split()[2] == first


@pytest.mark.backend("git")
def test_a_commit_of_a_submodule_that_nobody_else_has_is_named(tmp_path: Path) -> None:
    """The pointer is committed; the commit is kept, and said."""
    sub, origin = tmp_path / "sub", tmp_path / "origin"
    repository(sub, {"lib.py": "1\n"}).close()
    repository(origin, {"a": "a\n"}).close()
    git(origin, "reset", "-q", "--hard")
    git(origin, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(sub), "s")
    git(origin, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "sub")
    bench = Bench(tmp_path / "ws")
    bench.ready(origin)
    made: list[str] = []

    def work(tree: Path) -> None:
        git(tree, "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
        git(tree / "s", "config", "user.name", "u")
        git(tree / "s", "config", "user.email", "u@x")
        made.append(saved(tree / "s", "new.py"))

    done = worked(bench, work)
    assert done.files == ["s"]
    assert [made[0] in note for note in notes(done)] == [True]
    assert not isinstance(done.kept, msgspec.UnsetType)
    assert [(one.kind, one.name, one.commit) for one in done.kept] == [("submodule", "s", made[0])]
    assert git(bench.workspace.repository, "rev-parse", done.kept[0].ref).strip() == made[0]


def test_ignored_files_are_named_and_counted(bench: Bench) -> None:
    """What the turn made and git ignores; not what tools leave behind, and not what was named before."""

    def work(tree: Path) -> None:
        write(tree, {f"out/{number}.log": "x" for number in range(30)})
        write(tree, {"__pycache__/m.pyc": "x", "node_modules/m/i.log": "x", "n": "n"})

    done = worked(bench, work)
    assert not isinstance(done.ignored, msgspec.UnsetType)
    assert (done.ignored.count, len(done.ignored.files), done.ignored.rules) == (30, 20, [".gitignore"])
    assert done.ignored.files[0] == "out/0.log"
    write(Path(bench.prepare("dev-1", "t2").path), {"later.log": "x"})
    later = bench.finish("dev-1", "t2")
    assert not isinstance(later.ignored, msgspec.UnsetType)
    assert (later.ignored.count, later.ignored.files) == (1, ["later.log"])


def test_a_failed_attempt_loses_no_commit(bench: Bench) -> None:
    """What it committed and stashed is kept and named; nothing of it is in the result."""
    tree = Path(bench.prepare("dev-1").path)
    saved(tree, "n")
    (tree / "a").write_text("stashed\n")
    git(tree, "stash", "-q")
    (tree / "loose").write_text("loose")
    done = bench.finish("dev-1", outcome="failed")
    assert done.commit == done.parent
    assert {one.kind for one in kept(done)} == {"head", "stash", "attempt"}
    assert not any(one.in_result for one in kept(done))


def test_what_a_dead_agent_committed_is_kept_before_the_next_attempt(bench: Bench) -> None:
    """Its end was never heard; the preparation of the next attempt names what it left."""
    saved(Path(bench.prepare("dev-1").path), "n")
    prepared = bench.prepare("dev-1", "t1", attempt=2)
    assert {one.kind for one in kept(prepared)} == {"head", "attempt"}
    assert kept(bench.prepare("dev-1", "t2")) == []


def test_what_lay_there_before_a_task_is_no_attempt(bench: Bench) -> None:
    """Somebody wrote there while the session was at no task; where nobody did, nothing is kept."""
    tree = Path(bench.prepare("dev-1").path)
    (tree / "n").write_text("n")
    bench.finish("dev-1")
    assert kept(bench.prepare("dev-1", "t2")) == []
    bench.finish("dev-1", "t2")
    (tree / "late").write_text("late")
    (one,) = kept(bench.prepare("dev-1", "t3"))
    assert (one.kind, one.name, "/before-t3-1/" in one.ref, one.in_result) == ("attempt", "idle", True, False)
    assert kept_words(msgspec.to_builtins(one), "dev-1") == "what lay in the worktree of dev-1 before the task"
    assert git(bench.workspace.repository, "show", f"{one.commit}:late") == "late"
    assert not (tree / "late").exists()


def test_the_same_end_of_a_turn_names_the_same_after_a_crash(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the agent's `.git` was made anew and before the answer, the next try names what was kept."""
    tree = Path(bench.prepare("dev-1").path)
    git(tree, "checkout", "-qb", "feat")
    saved(tree, "n")
    git(tree, "checkout", "-q", "-")
    (tree / "left.log").write_text("x")
    real = bench.workspace.answer

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.workspace, "answer", dies)
    with pytest.raises(KeyboardInterrupt):
        bench.finish("dev-1")
    monkeypatch.setattr(bench.workspace, "answer", real)
    done = bench.again().finish("dev-1")
    assert [(one.kind, one.name) for one in kept(done)] == [("branch", "feat")]
    assert not isinstance(done.ignored, msgspec.UnsetType)


def test_the_next_task_starts_from_the_result_and_what_it_builds_on(bench: Bench) -> None:
    """A retry goes on from the first attempt; the worse of two is kept by a ref and in nobody's way."""
    first = bench.work("dev-1", {"one": "one\n"})
    retry = bench.prepare("dev-1", "t2", builds_on=[first.commit])
    assert (Path(retry.path) / "one").exists()
    write(Path(retry.path), {"loser": "loser\n"})
    worse = bench.finish("dev-1", "t2")
    bench.integrate(first)
    second = bench.prepare("dev-1", "t3", builds_on=[])
    assert not (Path(second.path) / "loser").exists()
    assert [(one.kind, one.commit) for one in kept(second)] == [("lost", worse.commit)]
    write(Path(second.path), {"c2": "c2\n"})
    bench.integrate(bench.finish("dev-1", "t3"), effect="2")
    assert {"one", "c2"} < bench.files().keys()
    assert "loser" not in bench.files()


def test_work_that_was_never_taken_over_does_not_slip_in(bench: Bench) -> None:
    """A reviewer's scribbles, a step that failed, a conflict: the session's next task is without them."""
    scribbled = bench.work("dev-1", {"scribble": "x", "a": "mine\n"})
    bench.integrate(bench.work("dev-2", {"a": "yours\n"}, "t2"))
    prepared = bench.prepare("dev-1", "t3", builds_on=[])
    assert prepared.error is None
    assert not (Path(prepared.path) / "scribble").exists()
    assert (Path(prepared.path) / "a").read_text() == "yours\n"
    assert [one.commit for one in kept(prepared)] == [scribbled.commit]


def test_a_commit_to_build_on_has_to_be_one_of_the_workspace(bench: Bench) -> None:
    """Nothing else can come in this way."""
    prepared = bench.prepare("dev-1", "t1", builds_on=["1" * 40])
    assert prepared.error is not None
    assert prepared.error.code == "unknown_commit"


def replaced(path: Path, target: Path) -> None:
    """Puts a link in the place of a directory."""
    shutil.rmtree(path)
    path.symlink_to(target)


@pytest.mark.parametrize(
    "plant",
    [
        lambda git_directory, other: (git_directory / "HEAD").write_text("nonsense"),
        lambda git_directory, other: (git_directory / "index").write_bytes(b"DIRC nonsense"),
        lambda git_directory, other: replaced(git_directory / "refs", other / "refs"),
        lambda git_directory, other: replaced(git_directory / "objects", other / "objects"),
        replaced,
        lambda git_directory, other: (shutil.rmtree(git_directory), git_directory.write_text(f"gitdir: {other}\n")),
        lambda git_directory, other: (shutil.rmtree(git_directory / "logs"), os.mkfifo(git_directory / "logs")),
    ],
    ids=["head", "index", "refs", "objects", "link", "file", "fifo"],
)
def test_what_cannot_be_read_is_moved_aside_and_named(
    bench: Bench, tmp_path: Path, plant: Callable[[Path, Path], object]
) -> None:
    """The work is committed, nothing of another repository comes in, and the `.git` is not destroyed."""
    other = tmp_path / "other"
    repository(other, {"secret": "secret"}).close()
    theirs = git(other, "rev-parse", "HEAD").strip()

    def work(tree: Path) -> None:
        (tree / "n").write_text("n")
        saved(tree, "m")
        plant(tree / ".git", other / ".git")

    begun = time.monotonic()
    done = worked(bench, work)
    assert time.monotonic() - begun < 30
    assert {"m", "n"} <= set(done.files)
    assert len(notes(done)) >= 2
    (aside,) = (bench.workspace.root / "aside").iterdir()
    assert str(aside) in notes(done)[-1]
    assert os.path.lexists(aside)
    assert theirs not in {one.commit for one in kept(done)}
    assert (other / ".git/HEAD").exists()
    assert not bench.workspace.git.has(theirs)


def test_hooks_settings_and_alternates_of_the_agent_are_never_used(bench: Bench, tmp_path: Path) -> None:
    """Programs that are planted in its repository do not run when the platform takes the work."""
    other = tmp_path / "other"
    repository(other, {"secret": "secret"}).close()
    theirs = git(other, "rev-parse", "HEAD").strip()
    spoilt = tmp_path / "spoilt"

    def work(tree: Path) -> None:
        script = tree / ".git/evil"
        script.write_text(f"#!/bin/sh\ntouch {spoilt}\n")
        script.chmod(0o755)
        (tree / ".git/hooks").mkdir()
        for hook in ("pre-commit", "post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman"):
            shutil.copy(script, tree / ".git/hooks" / hook)
        with (tree / ".git/config").open("a") as config:
            config.write(f"[core]\n\tfsmonitor = {script}\n\thooksPath = {tree}/.git/hooks\n\tsshCommand = {script}\n")
            config.write(f'[filter "x"]\n\tclean = {script}\n\tsmudge = {script}\n[diff]\n\texternal = {script}\n')
        (tree / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
        (tree / ".git/refs/heads/theirs").write_text(f"{theirs}\n")
        (tree / "n").write_text("n")

    done = worked(bench, work)
    assert done.files == ["n"]
    assert not spoilt.exists()
    assert kept(done) == []
    assert not bench.workspace.git.has(theirs)
    again = Path(bench.prepare("dev-1", "t2").path)
    assert "evil" not in (again / ".git/config").read_text()


@pytest.mark.backend("git")
def test_in_a_sha256_repository_the_git_of_the_agent_is_moved_aside(tmp_path: Path) -> None:
    """What it committed beside its work is not read there, and not destroyed; a turn without commits says nothing."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "--object-format=sha256", "-b", "main")
    git(origin, "config", "user.name", "u")
    git(origin, "config", "user.email", "u@x")
    saved(origin, "a")
    bench = Bench(tmp_path / "ws")
    bench.ready(origin)

    def work(tree: Path) -> None:
        (tree / "n").write_text("n")

    assert notes(worked(bench, work)) == []
    tree = Path(bench.prepare("dev-1", "t2").path)
    git(tree, "checkout", "-qb", "feat")
    saved(tree, "m")
    git(tree, "checkout", "-q", "-")
    done = bench.finish("dev-1", "t2")
    assert done.error is None
    (aside,) = (bench.workspace.root / "aside").iterdir()
    assert str(aside) in notes(done)[-1]
    assert (aside / "refs/heads/feat").exists()
