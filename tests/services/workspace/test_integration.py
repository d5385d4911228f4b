"""Taking work over: in order, whole or not at all, once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from dulwich.objects import ObjectID

from schemas.events import WorkspaceConflicted, WorkspaceIntegrated
from services.workspace.dulwich_git.merging import merge
from services.workspace.dulwich_git.store import EMPTY_TREE, Entry, Store
from services.workspace.dulwich_git.text_merging import merge_text
from services.workspace.dulwich_git.trees import changed, changes_between, listing
from services.workspace.modes import EXECUTABLE, FILE, SYMLINK
from tests.services.workspace.bench import GIT, Bench, git, repository, write

TEXT = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    repository(tmp_path / "origin", {"a.txt": TEXT, "b.txt": "b\n", "pkg/c.txt": "c\n"})
    made = Bench(tmp_path / "ws")
    made.ready(tmp_path / "origin")
    return made


def test_parallel_work_is_taken_over_in_the_declared_order(bench: Bench) -> None:
    """Two sessions' changes to one file end up in one result, whose history holds each task once."""
    one = bench.work("dev-1", {"a.txt": TEXT.replace("line 1\n", "first\n"), "one.txt": "1\n"})
    two = bench.work("dev-2", {"a.txt": TEXT.replace("line 18\n", "second\n"), "b.txt": None}, "t2")
    done = bench.integrate(two, one)
    assert isinstance(done, WorkspaceIntegrated)
    assert done.files == ["a.txt", "b.txt", "one.txt"]
    files = bench.files()
    assert files["a.txt"] == TEXT.replace("line 1\n", "first\n").replace("line 18\n", "second\n").encode()
    assert "b.txt" not in files
    with bench.repository as repo:
        history = [entry.commit for entry in repo.get_walker(include=[ObjectID(done.commit.encode())])]
        tasks = [
            line for commit in history for line in commit.message.splitlines() if line.startswith(b"Parallax-Task")
        ]
        assert sorted(tasks) == [b"Parallax-Task: t1", b"Parallax-Task: t2"]
        assert history[0].parents == [two.commit.encode(), one.commit.encode()]


def test_the_same_integration_is_the_same_commit(bench: Bench) -> None:
    """Asked again, also after a restart, nothing is merged again."""
    one, two = bench.work("dev-1", {"b.txt": "1\n"}), bench.work("dev-2", {"pkg/c.txt": "2\n"}, "t2")
    first = bench.integrate(one, two)
    assert bench.integrate(one, two) == first
    assert bench.again().integrate(one, two) == first


def test_work_that_is_part_of_the_result_is_not_merged_again(bench: Bench) -> None:
    """A contribution that a former step took over changes nothing."""
    one = bench.work("dev-1", {"b.txt": "1\n"})
    first = bench.integrate(one)
    second = bench.integrate(one, effect="2")
    assert isinstance(first, WorkspaceIntegrated)
    assert isinstance(second, WorkspaceIntegrated)
    assert (second.commit, second.files) == (first.commit, [])


def test_a_conflict_is_an_event_and_leaves_the_result_alone(bench: Bench) -> None:
    """Neither version wins: the files are named, with whose work it was, and the result stays at the commit before."""
    one = bench.work("dev-1", {"a.txt": TEXT.replace("line 3", "mine"), "one.txt": "1\n"})
    two = bench.work("dev-2", {"a.txt": TEXT.replace("line 3", "yours"), "b.txt": "2\n"}, "t2")
    done = bench.integrate(one, two)
    assert isinstance(done, WorkspaceConflicted)
    assert (done.paths, done.session, done.task_id, done.commit) == (["a.txt"], "dev-2", "t2", two.commit)
    assert "a.txt" in done.message
    assert bench.files() == {"a.txt": TEXT.encode(), "b.txt": b"b\n", "pkg/c.txt": b"c\n"}
    assert bench.again().integrate(one, two) == done
    assert isinstance(bench.integrate(one, effect="2"), WorkspaceIntegrated)


@pytest.mark.parametrize("commit", ["", "0" * 40, "HEAD", "../../x", "z" * 40])
def test_a_commit_that_is_not_of_this_workspace_is_not_taken_over(bench: Bench, commit: str) -> None:
    """Without a commit there is nothing to do; a foreign one is refused."""
    from msgspec.structs import replace

    done = bench.integrate(replace(bench.work("dev-1", {}), commit=commit))
    if commit:
        assert isinstance(done, WorkspaceConflicted)
        assert "no commit of this workspace" in done.message
    else:
        assert isinstance(done, WorkspaceIntegrated)


def test_work_taken_over_late_meets_itself_once(bench: Bench) -> None:
    """A session merged the result before its earlier work was taken over: the crossing merges do not conflict."""
    first = bench.work("dev-1", {"one.txt": "1\n"})
    bench.integrate(bench.work("dev-2", {"b.txt": "2\n"}, "t2"), effect="1")
    second = bench.work("dev-1", {"one.txt": "1\nmore\n", "b.txt": "2\nmore\n"}, "t3")
    bench.integrate(first, effect="2")
    done = bench.integrate(second, effect="3")
    assert isinstance(done, WorkspaceIntegrated)
    assert bench.files()["one.txt"] == b"1\nmore\n"
    assert bench.files()["b.txt"] == b"2\nmore\n"
    if GIT is not None:
        assert git(bench.workspace.repository, "fsck", "--full", "--strict") == ""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for name in ("info", "pack"):
        (tmp_path / "objects" / name).mkdir(parents=True)
    return Store(tmp_path / "objects")


def tree(store: Store, files: dict[str, str | tuple[int, str]]) -> ObjectID:
    """A directory in the store."""
    made: dict[bytes, Entry | None] = {}
    for name, content in files.items():
        mode, text = content if isinstance(content, tuple) else (FILE, content)
        made[name.encode()] = (mode, store.put(b"blob", text.encode()))
    return changed(store, EMPTY_TREE, made)


CASES: list[tuple[str, dict[str, object], dict[str, object], dict[str, object], dict[str, object] | list[str]]] = [
    ("one side changes", {"a": "1\n"}, {"a": "1\n"}, {"a": "2\n"}, {"a": "2\n"}),
    ("both change alike", {"a": "1\n"}, {"a": "2\n"}, {"a": "2\n"}, {"a": "2\n"}),
    ("both change differently", {"a": "1\n"}, {"a": "2\n"}, {"a": "3\n"}, ["a"]),
    ("both add alike", {}, {"a": "1\n"}, {"a": "1\n"}, {"a": "1\n"}),
    ("both add differently", {}, {"a": "1\n"}, {"a": "2\n"}, ["a"]),
    ("removed and unchanged", {"a": "1\n", "b": ""}, {"b": ""}, {"a": "1\n", "b": ""}, {"b": ""}),
    ("removed and changed", {"a": "1\n", "b": ""}, {"b": ""}, {"a": "2\n", "b": ""}, ["a"]),
    ("both remove", {"a": "1\n"}, {}, {}, {}),
    ("mode and content", {"a": "1\n"}, {"a": (EXECUTABLE, "1\n")}, {"a": "2\n"}, {"a": (EXECUTABLE, "2\n")}),
    ("link and content", {"a": "1\n"}, {"a": (SYMLINK, "b")}, {"a": "2\n"}, ["a"]),
    ("links differ", {"a": (SYMLINK, "1")}, {"a": (SYMLINK, "2")}, {"a": (SYMLINK, "3")}, ["a"]),
    ("file becomes directory", {"a": "1\n"}, {"a/b": "1\n"}, {"a": "1\n"}, {"a/b": "1\n"}),
    ("file becomes directory and changes", {"a": "1\n"}, {"a/b": "1\n"}, {"a": "2\n"}, {"a/b": "2\n"}),
    ("directory removed and untouched", {"d/x": "1\n", "k": ""}, {"k": ""}, {"d/x": "1\n", "k": ""}, {"k": ""}),
    ("directory removed and changed", {"d/x": "1\n", "d/y": "1\n"}, {}, {"d/x": "2\n", "d/y": "1\n"}, ["d/x"]),
    ("directory removed and added to", {"d/x": "1\n"}, {}, {"d/x": "1\n", "d/n": "n\n"}, {"d/n": "n\n"}),
    (
        "directories deep",
        {"d/e/x": "1\n"},
        {"d/e/x": "1\n", "d/e/y": ""},
        {"d/e/x": "2\n"},
        {"d/e/x": "2\n", "d/e/y": ""},
    ),
    ("binary", {"a": "\0001"}, {"a": "\0002"}, {"a": "\0003"}, ["a"]),
    ("no newline at the end", {"a": "1\n2\n3"}, {"a": "0\n2\n3"}, {"a": "1\n2\n4"}, ["a"]),
]


@pytest.mark.parametrize(("base", "ours", "theirs", "outcome"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_a_merge_takes_what_one_side_did_and_stops_where_both_did(
    store: Store,
    base: dict[str, str | tuple[int, str]],
    ours: dict[str, str | tuple[int, str]],
    theirs: dict[str, str | tuple[int, str]],
    outcome: dict[str, str | tuple[int, str]] | list[str],
) -> None:
    """The table of cases, from either side."""
    if base.get("a") == "1\n2\n3":
        outcome = {"a": "0\n2\n4"}
    for one, other in ((ours, theirs), (theirs, ours)):
        merged = merge(store, tree(store, base), tree(store, one), tree(store, other))
        if isinstance(outcome, list):
            assert merged.conflicts == outcome
        else:
            assert merged.conflicts == []
            assert merged.tree == tree(store, outcome)


def test_lines_merge_and_end_as_they_did() -> None:
    """Line ends of every kind are kept, and a conflict is never taken for a merge."""
    assert merge_text(b"a\r\nb\r\nc\r\nd\r\n", b"A\r\nb\r\nc\r\nd\r\n", b"a\r\nb\r\nc\r\nD") == (
        b"A\r\nb\r\nc\r\nD",
        True,
    )
    text, clean = merge_text(b"a\n", b"b", b"c\n")
    assert not clean
    assert text.count(b"<<<<<<<") == 1


def test_changes_make_one_tree_of_another(store: Store) -> None:
    """`changed(old, changes_between(old, new))` is `new`, for hundreds of random pairs of directories."""
    dice = random.Random(7)
    names = ["a", "b", "a/x", "a/y", "b/z/q", "b/z", "c/d/e/f", "c"]

    def some() -> ObjectID:
        chosen: dict[str, str | tuple[int, str]] = {}
        for name in dice.sample(names, dice.randint(0, 5)):
            if not any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in chosen):
                chosen[name] = (dice.choice([FILE, EXECUTABLE]), dice.choice("123"))
        return tree(store, chosen)

    for _ in range(300):
        old, new = some(), some()
        made = changed(store, old, changes_between(store, old, new))
        assert made == new
        assert listing(store, made) == listing(store, new)


def test_a_worktree_follows_the_result_through_every_kind_of_change(bench: Bench) -> None:
    """Files become directories, directories become files and links, and other sessions' worktrees follow."""
    bench.prepare("rev-1", "r0")
    bench.finish("rev-1", "r0")
    steps: list[dict[str, str | None]] = [
        {"b.txt": None, "pkg/c.txt": None},
        {"b.txt/now/a/directory": "1\n", "pkg": "a file\n"},
        {"b.txt/now/a/directory": None, "pkg": None, "x/y/z": "z\n"},
    ]
    for number, files in enumerate(steps):
        bench.integrate(bench.work("dev-1", files, f"t{number}"), effect=str(number))
        worktree = Path(bench.prepare("rev-1", f"r{number + 1}").path)
        found = {
            str(path.relative_to(worktree)): path.read_bytes()
            for path in worktree.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }
        assert found == bench.files()
        assert all(any(path.iterdir()) for path in worktree.rglob("*") if path.is_dir() and ".git" not in path.parts)
        bench.finish("rev-1", f"r{number + 1}")


def test_writing_over_an_ignored_file_of_the_session(bench: Bench) -> None:
    """A path that one session ignored and another committed is the committed one."""
    worktree = Path(bench.prepare("dev-1").path)
    write(worktree, {".gitignore": "out.txt\n", "out.txt": "mine\n"})
    bench.finish("dev-1")
    bench.integrate(bench.work("dev-2", {"out.txt": "everybody's\n"}, "t2"))
    assert (Path(bench.prepare("dev-1", "t3").path) / "out.txt").read_text() == "everybody's\n"
