"""The place of evidence: a clean checkout of a commit, and what is beside its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest

from schemas.agents import EvidenceOrder
from schemas.commands import Repository
from schemas.events import WorkspaceFailed, WorkspaceReady, WorkspaceRequested
from schemas.workspaces import EvidenceAnswer, EvidenceCheckout, EvidenceQuery
from services.workspace.evidence import Evidence, remove_tree
from services.workspace.problems import WorkspaceProblem
from tests.services.workspace.bench import Bench, git, repository, write

Step = Literal["check_out", "settle", "look"]


class Place:
    """The place of evidence of a bench, asked as a runtime asks."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.number = 0

    def ask(self, step: Step, commit: str, session: str = "", **order: Any) -> EvidenceAnswer:
        """One step."""
        self.number += 1
        query = EvidenceQuery(
            execution_id=self.bench.id,
            step=step,
            number=self.number,
            order=EvidenceOrder(commit=commit, **order),
            session=session,
        )
        with self.bench.workspace.locked():
            return Evidence(self.bench.workspace).step(query)

    def do(self, step: Step, commit: str, session: str = "", **order: Any) -> EvidenceCheckout:
        """One step, which must be done."""
        answer = self.ask(step, commit, session, **order)
        assert answer.place is not None, answer
        return answer.place


def bench_with(tmp_path: Path, **files: str) -> tuple[Bench, Place]:
    """A workspace of a repository with these files; `_` in a name is a dot, `__` a slash."""
    named = {name.replace("__", "/").replace("_", "."): content for name, content in files.items()}
    repository(tmp_path / "origin", {"a": "1\n", **named})
    bench = Bench(tmp_path / "w")
    bench.ready(tmp_path / "origin")
    return bench, Place(bench)


def files_in(root: str) -> dict[str, str]:
    """The files below a directory, without git's own."""
    found = sorted(path for path in Path(root).rglob("*") if ".git" not in path.relative_to(root).parts)
    return {str(path.relative_to(root)): path.read_text() for path in found if path.is_file()}


def test_only_what_the_commit_holds_is_there(tmp_path: Path) -> None:
    """What git ignores in the agent's worktree is not, nor what an earlier check has left."""
    bench, place = bench_with(tmp_path, _gitignore="lib/\n")
    done = bench.work("worker-1", {"lib/u.py": "ignored\n", "b": "2\n"})
    found = place.do("check_out", done.commit)
    assert files_in(found.path) == {".gitignore": "lib/\n", "a": "1\n", "b": "2\n"}
    write(Path(found.path), {"leftover": "x", "lib/cache": "x", "a": "changed\n"})
    (Path(found.home) / "leftover").write_text("x")
    again = place.do("check_out", done.commit)
    assert (again.path, again.home) == (found.path, found.home)
    assert files_in(found.path) == {".gitignore": "lib/\n", "a": "1\n", "b": "2\n"}
    assert files_in(found.home) == {}


def test_it_follows_from_commit_to_commit(tmp_path: Path) -> None:
    """Forwards and backwards, whatever was removed in between."""
    bench, place = bench_with(tmp_path)
    first = bench.work("worker-1", {"dir/b": "2\n"}, task="t1")
    second = bench.work("worker-1", {"dir/b": None, "dir": "a file now\n"}, task="t2")
    for commit, expected in ((first, {"a": "1\n", "dir/b": "2\n"}), (second, {"a": "1\n", "dir": "a file now\n"})) * 2:
        assert files_in(place.do("check_out", commit.commit).path) == expected
    bench.again()
    place.bench = bench
    assert files_in(place.do("check_out", first.commit).path) == {"a": "1\n", "dir/b": "2\n"}


def test_git_works_there_and_knows_the_commit(tmp_path: Path) -> None:
    """A check may ask git; the place has a repository of its own, clean, at the commit."""
    bench, place = bench_with(tmp_path)
    done = bench.work("worker-1", {"b": "2\n"})
    found = Path(place.do("check_out", done.commit).path)
    assert git(found, "rev-parse", "HEAD").strip() == done.commit
    assert git(found, "status", "--porcelain") == ""


def test_tracked_files_that_a_check_changes_are_found(tmp_path: Path) -> None:
    """Changed, removed, or made executable; new files are none, and a clean place has none."""
    bench, place = bench_with(tmp_path, b="2\n", c="3\n")
    commit = bench.workspace.base
    found = Path(place.do("check_out", commit).path)
    assert place.do("look", commit).changed == []
    write(found, {"a": "other\n", "b": None, "new": "x"})
    (found / "c").chmod(0o755)
    assert sorted(place.do("look", commit).changed) == ["a", "b", "c"]
    place.do("check_out", commit)
    assert place.do("look", commit).changed == []


SETUP: dict[str, Any] = {"setup": ["npm", "ci"], "setup_key": ["lock"]}


def set_up(place: Place, commit: str, **order: Any) -> EvidenceCheckout:
    """Checks out, and does what a set-up would do where it is needed."""
    found = place.do("check_out", commit, **order)
    if found.set_up:
        return found
    write(Path(found.path), {"node_modules/x/index.js": "made", "node_modules/bin": "b", "src/gen.txt": "made"})
    (Path(found.home) / "cache").write_text("made")
    settled = place.do("settle", commit, **order)
    assert settled.changed == []
    return found


def test_what_a_set_up_made_stays_until_its_key_changes(tmp_path: Path) -> None:
    """It is kept from commit to commit; a change of a `setupKey` file means from scratch, a change back too."""
    bench, place = bench_with(tmp_path, lock="1\n", src__a="a\n")
    base = bench.workspace.base
    assert not set_up(place, base, **SETUP).set_up
    other = bench.work("worker-1", {"b": "2\n"}, task="t1")
    kept = set_up(place, other.commit, **SETUP)
    assert kept.set_up
    made = {"node_modules/x/index.js": "made", "node_modules/bin": "b", "src/gen.txt": "made"}
    assert made.items() <= files_in(kept.path).items()
    assert files_in(kept.home) == {"cache": "made"}
    changed = bench.work("worker-1", {"lock": "2\n"}, task="t2")
    fresh = place.do("check_out", changed.commit, **SETUP)
    assert not fresh.set_up
    assert files_in(fresh.path) == {"a": "1\n", "b": "2\n", "lock": "2\n", "src/a": "a\n"}
    assert files_in(fresh.home) == {}
    assert not place.do("check_out", base, **SETUP).set_up
    assert not place.do("check_out", base, setup="other", setup_key=["lock"]).set_up


def test_without_a_key_a_set_up_is_of_one_tree(tmp_path: Path) -> None:
    """Anything may be what it depends on."""
    bench, place = bench_with(tmp_path)
    base = bench.workspace.base
    assert not set_up(place, base, setup="x").set_up
    assert set_up(place, base, setup="x").set_up
    other = bench.work("worker-1", {"b": "2\n"})
    assert not place.do("check_out", other.commit, setup="x").set_up


def test_what_a_check_leaves_among_what_was_set_up_is_removed(tmp_path: Path) -> None:
    """New files go; where a file of the set-up is changed, replaced or gone, the set-up has to be made again."""
    bench, place = bench_with(tmp_path, lock="1\n")
    base = bench.workspace.base
    found = set_up(place, base, **SETUP)
    tree, home = Path(found.path), Path(found.home)
    write(tree, {"node_modules/.cache/x": "left", "node_modules/x/new.js": "left"})
    (home / "left").write_text("left")
    again = set_up(place, base, **SETUP)
    assert again.set_up
    assert "left" not in {*files_in(found.path).values(), *files_in(found.home).values()}
    bin_ = tree / "node_modules" / "bin"
    times = bin_.stat()
    bin_.write_text("B")
    os.utime(bin_, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not place.do("check_out", base, **SETUP).set_up
    assert not (tree / "node_modules").exists()
    set_up(place, base, **SETUP)
    (home / "cache").unlink()
    assert not place.do("check_out", base, **SETUP).set_up


def test_a_set_up_that_changes_tracked_files_is_named_and_not_kept(tmp_path: Path) -> None:
    """The next check-out begins from scratch."""
    bench, place = bench_with(tmp_path, lock="1\n")
    base = bench.workspace.base
    found = place.do("check_out", base, **SETUP)
    write(Path(found.path), {"lock": "2\n", "node_modules/x": "made"})
    assert place.do("settle", base, **SETUP).changed == ["lock"]
    after = place.do("check_out", base, **SETUP)
    assert not after.set_up
    assert files_in(after.path) == {"a": "1\n", "lock": "1\n"}


def test_paths_of_a_local_origin_are_copied(tmp_path: Path) -> None:
    """Anew for each check; they are not the origin's own files, which stay as they are."""
    bench, place = bench_with(tmp_path)
    origin, base = tmp_path / "origin", bench.workspace.base
    write(origin, {".env": "secret", "fixtures/big": "b"})
    (origin / "fixtures" / "link").symlink_to("big")
    for _ in range(2):
        found = place.do("check_out", base, copy=[".env", "fixtures"])
        assert found.copied == [".env", "fixtures"]
        assert {".env": "secret", "fixtures/big": "b", "fixtures/link": "b"}.items() <= files_in(found.path).items()
        (Path(found.path) / ".env").write_text("changed")
        assert place.do("look", base).changed == []
    assert (origin / ".env").read_text() == "secret"
    assert files_in(place.do("check_out", base).path) == {"a": "1\n"}


@pytest.mark.parametrize(
    ("path", "code"),
    [("absent", "copy_missing"), ("out", "copy_refused"), ("deep", "copy_refused"), ("through/x", "copy_refused"),
     ("a", "copy_tracked"), ("a/b", "copy_tracked")],
)  # fmt: skip
def test_what_cannot_be_copied_is_named(tmp_path: Path, path: str, code: str) -> None:
    """A path that is not there, a link that leads out, at any depth, and what the repository holds itself."""
    bench, place = bench_with(tmp_path)
    origin = tmp_path / "origin"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("secret")
    (origin / "out").symlink_to(tmp_path / "outside" / "x")
    (origin / "through").symlink_to("../outside")
    (origin / "deep" / "er").mkdir(parents=True)
    (origin / "deep" / "er" / "link").symlink_to("../../../outside/x")
    with pytest.raises(WorkspaceProblem, match=path.split("/", maxsplit=1)[0]) as raised:
        place.ask("check_out", bench.workspace.base, copy=[path])
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ({"copy": ["nope"]}, "copy_missing", "names 'nope', which is not in the directory of the origin."),
        ({"copy": [".env", "d/nope"]}, "copy_missing", "names 'd/nope', which is not in"),
        ({"copy": [".env/x"]}, "copy_missing", "names '.env/x', which is not in"),
        ({"copy": ["a"]}, "copy_tracked", "`workspace.copy` names 'a', which is in the repository: leave it out."),
        ({"copy": ["out"]}, "copy_refused", "leads out of the origin"),
        ({"keep": ["d"]}, "keep_tracked", "`workspace.keep` names 'd', which is in the repository: leave it out."),
        ({"copy": [".env"], "keep": ["node_modules"]}, "", ""),
    ],
)  # fmt: skip
def test_what_no_check_could_be_given_is_said_before_anybody_works(
    tmp_path: Path, spec: dict[str, Any], code: str, said: str
) -> None:
    """The workspace is not opened; a path of the agent's worktree may come to be there."""
    origin = tmp_path / "origin"
    repository(origin, {"a": "1\n", "d/b": "2\n"})
    write(origin, {".env": "secret"})
    (origin / "out").symlink_to("/etc")
    bench = Bench(tmp_path / "w")
    request = WorkspaceRequested(execution_id=bench.id, repo=Repository(url=str(origin)), spec=spec)
    with bench.workspace.locked(make=True):
        event = bench.workspace.open(request, 1)
        assert bench.workspace.open(request, 1) == event
    if code:
        assert isinstance(event, WorkspaceFailed)
        assert event.error.code == code
        assert said in event.error.message
    else:
        assert isinstance(event, WorkspaceReady)


def test_ignored_paths_of_the_agents_worktree_are_kept_where_the_pattern_says_so(tmp_path: Path) -> None:
    """Of the session that did the work, and no others; a link that leads out is refused."""
    bench, place = bench_with(tmp_path, _gitignore="lib/\nnode_modules/\n")
    done = bench.work("worker-1", {"lib/u": "u", "node_modules/x": "x"})
    found = place.do("check_out", done.commit, "worker-1", keep=["node_modules", "absent"])
    assert found.kept == ["node_modules"]
    assert files_in(found.path) == {".gitignore": "lib/\nnode_modules/\n", "a": "1\n", "node_modules/x": "x"}
    assert place.do("check_out", done.commit, "worker-1").kept == []
    with pytest.raises(WorkspaceProblem, match="no agent did this work"):
        place.ask("check_out", done.commit, "nobody-1", keep=["node_modules"])
    worktree = Path(bench.prepare("worker-1", "t2").path)
    (worktree / "node_modules").mkdir(exist_ok=True)
    (worktree / "node_modules" / "link").symlink_to("/etc/passwd")
    with pytest.raises(WorkspaceProblem, match="leads out"):
        place.ask("check_out", done.commit, "worker-1", keep=["node_modules"])


def test_a_late_step_changes_nothing(tmp_path: Path) -> None:
    """It is told the number of the youngest one."""
    bench, place = bench_with(tmp_path)
    base = bench.workspace.base
    place.number = 10
    found = place.do("check_out", base)
    write(Path(found.path), {"at work": "x"})
    place.number = 5
    late = place.ask("check_out", base)
    assert late.place is None
    assert late.number == 11
    assert "at work" in files_in(found.path)


def test_only_commits_of_the_execution_are_checked_out(tmp_path: Path) -> None:
    """Whatever a query names."""
    _, place = bench_with(tmp_path)
    for commit in ("", "HEAD", "0" * 40, "--help"):
        with pytest.raises(WorkspaceProblem, match="none of this execution"):
            place.ask("check_out", commit)


def test_a_place_that_was_lost_or_half_removed_is_made_anew(tmp_path: Path) -> None:
    """Nothing depends on it."""
    bench, place = bench_with(tmp_path, lock="1\n")
    base = bench.workspace.base
    found = set_up(place, base, **SETUP)
    for lost in (Path(found.path), Path(found.path).parent):
        remove_tree(lost)
        bench.again()
        place.bench = bench
        assert not place.do("check_out", base, **SETUP).set_up
        assert files_in(found.path) == {"a": "1\n", "lock": "1\n"}
        set_up(place, base, **SETUP)


def test_read_only_directories_are_removed_too(tmp_path: Path) -> None:
    """Go's module cache is made of them. A link is removed, not followed."""
    (tmp_path / "cache" / "mod").mkdir(parents=True)
    (tmp_path / "cache" / "mod" / "f").write_text("x")
    (tmp_path / "stays").mkdir()
    (tmp_path / "cache" / "link").symlink_to(tmp_path / "stays")
    for directory in ("cache/mod", "cache"):
        (tmp_path / directory).chmod(0o555)
    remove_tree(tmp_path / "cache")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stays"]


def test_whatever_a_check_leaves_behind_is_removed(tmp_path: Path) -> None:
    """A repository of its own, directories that cannot be written, links, pipes, and changed tracked ones."""
    bench, place = bench_with(tmp_path, dir__b="2\n")
    base = bench.workspace.base
    found = Path(place.do("check_out", base).path)
    nested = found / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    write(nested, {"x": "left"})
    (found / "locked" / "in").mkdir(parents=True)
    (found / "locked" / "in" / "x").write_text("left")
    for directory in ("locked/in", "locked"):
        (found / directory).chmod(0o555)
    (tmp_path / "outside").write_text("stays")
    (found / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(found / "pipe")
    (found / "dir" / "b").unlink()
    (found / "dir").rmdir()
    (found / "dir").symlink_to(tmp_path)
    place.do("check_out", base)
    assert files_in(str(found)) == {"a": "1\n", "dir/b": "2\n"}
    assert sorted(path.name for path in found.iterdir()) == [".git", "a", "dir"]
    assert (tmp_path / "outside").read_text() == "stays"


def test_what_is_brought_beside_what_a_set_up_made_stays_apart(tmp_path: Path) -> None:
    """The one is brought anew each time, the other is kept."""
    bench, place = bench_with(tmp_path, lock="1\n")
    base = bench.workspace.base
    write(tmp_path / "origin", {"vendor/own/x": "from the origin"})
    order: dict[str, Any] = {**SETUP, "copy": ["vendor/own"]}
    first = place.do("check_out", base, **order)
    write(Path(first.path), {"vendor/made/y": "made", "vendor/own/x": "changed by the set-up"})
    place.do("settle", base, **order)
    second = place.do("check_out", base, **order)
    assert second.set_up
    expected = {"a": "1\n", "lock": "1\n", "vendor/own/x": "from the origin", "vendor/made/y": "made"}
    assert files_in(second.path) == expected


def test_a_set_up_may_change_what_git_does_not_see(tmp_path: Path) -> None:
    """Such as who may write a file that its key is made of."""
    bench, place = bench_with(tmp_path, lock="1\n")
    base = bench.workspace.base
    found = place.do("check_out", base, **SETUP)
    (Path(found.path) / "lock").chmod(0o600)
    assert place.do("settle", base, **SETUP).changed == []
    assert place.do("check_out", base, **SETUP).set_up


@pytest.mark.backend("git")
def test_a_check_sees_the_tags_of_the_origin(tmp_path: Path) -> None:
    """For what asks git for a version. Without the git program the checkout has no tags."""
    repository(tmp_path / "origin", {"a": "1\n"})
    git(tmp_path / "origin", "tag", "v1.2")
    bench = Bench(tmp_path / "w")
    base = bench.ready(tmp_path / "origin").base_commit
    found = Path(Place(bench).do("check_out", base).path)
    assert git(found, "describe", "--tags").strip() == "v1.2"


def test_package_managers_may_note_that_they_were_used(tmp_path: Path) -> None:
    """Cargo, Go and Gradle do so in HOME with every command; in the checkout such names are files like any other."""
    bench, place = bench_with(tmp_path, lock="1\n")
    base = bench.workspace.base
    found = place.do("check_out", base, **SETUP)
    notes = (".cargo/.global-cache", ".cache/go-build/trim.txt", ".config/go/telemetry/local/go.count")
    write(Path(found.home), dict.fromkeys(notes, "1"))
    write(Path(found.path), {"made/trim.txt": "1"})
    place.do("settle", base, **SETUP)
    write(Path(found.home), dict.fromkeys(notes, "22"))
    assert place.do("check_out", base, **SETUP).set_up
    write(Path(found.path), {"made/trim.txt": "22"})
    assert not place.do("check_out", base, **SETUP).set_up


def two_commits(tmp_path: Path) -> tuple[Place, str, str]:
    """A place, a commit with its second version of `a`, and the commit before that."""
    repository(tmp_path / "origin", {"a": "1\n"})
    bench = Bench(tmp_path / "w")
    bench.ready(tmp_path / "origin")
    return Place(bench), bench.work("worker-1", {"a": "2\n"}).commit, bench.workspace.base


@pytest.mark.parametrize(
    "commands",
    [
        ["checkout -q HEAD~1"],
        ["checkout -q HEAD~1", "checkout -q -"],
        ["reset -q --hard HEAD~1", "reset -q --hard ORIG_HEAD"],
        ["-c core.logAllRefUpdates=false checkout -q HEAD~1", "-c core.logAllRefUpdates=false checkout -q -"],
        ["checkout -q -b other HEAD~1", "branch -q -f other2 HEAD", "checkout -q -"],
        ["symbolic-ref HEAD refs/heads/none"],
    ],
)
def test_a_check_that_went_to_another_commit_is_found_out(tmp_path: Path, commands: list[str]) -> None:
    """Also when it came back, and when all files are as they were."""
    place, commit, before = two_commits(tmp_path)
    found = place.do("check_out", commit)
    assert place.do("look", commit).moved == ""
    for command in commands:
        git(Path(found.path), *command.split())
    to = "no commit" if commands[0].startswith("symbolic-ref") else before
    assert place.do("look", commit).moved == f"The check moved HEAD to {to}: it judged another commit."
    place.do("check_out", commit)
    assert place.do("look", commit).moved == "", "the next check is not blamed"


def test_a_check_that_hides_where_it_was_is_found_out(tmp_path: Path) -> None:
    """By taking back what the log of HEAD says, or HEAD, or everything; nothing there is followed."""
    place, commit, _ = two_commits(tmp_path)
    tree = Path(place.do("check_out", commit).path)
    git(tree, "checkout", "-q", "HEAD~1")
    git(tree, "checkout", "-q", "-")
    git(tree, "reflog", "expire", "--expire=now", "--all")
    assert "rewrote the log of HEAD" in place.do("look", commit).moved
    for ruin in (_lose_head, _lose_git, _make_head_a_pipe, _lead_git_away):
        place.do("check_out", commit)
        ruin(tree / ".git")
        moved = place.do("look", commit).moved
        assert "nobody knows which commit it judged" in moved, ruin


def _lose_head(dot_git: Path) -> None:
    (dot_git / "HEAD").unlink()


def _lose_git(dot_git: Path) -> None:
    remove_tree(dot_git)


def _make_head_a_pipe(dot_git: Path) -> None:
    _lose_head(dot_git)
    os.mkfifo(dot_git / "HEAD")


def _lead_git_away(dot_git: Path) -> None:
    dot_git.rename(dot_git.parent.parent / "elsewhere")
    dot_git.symlink_to("../elsewhere")


def test_git_at_the_same_commit_is_no_move(tmp_path: Path) -> None:
    """A branch, a stash and a clean-up there judge the commit that they should; a set-up may go where it likes."""
    place, commit, _ = two_commits(tmp_path)
    tree = Path(place.do("check_out", commit).path)
    git(tree, "checkout", "-q", "-b", "mine")
    write(tree, {"a": "3\n"})
    git(tree, "stash")
    git(tree, "gc", "-q")
    git(tree, "status")
    assert place.do("look", commit).moved == ""
    place.do("check_out", commit, **SETUP)
    git(tree, "checkout", "-q", "HEAD~1")
    git(tree, "checkout", "-q", "-")
    assert place.do("settle", commit, **SETUP).changed == []
    assert place.do("look", commit, **SETUP).moved == ""
