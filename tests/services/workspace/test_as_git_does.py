"""What real repositories are made of means here what it means to git."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from schemas.events import WorkspaceConflicted, WorkspaceFailed, WorkspaceFinalized, WorkspaceIntegrated
from schemas.workspaces import WorkspaceQuery
from services.workspace.views import diff
from tests.services.workspace.bench import GIT, Bench, git, write

pytestmark = [pytest.mark.backend("git"), pytest.mark.skipif(GIT is None, reason="there is no git program")]

_WHO = ("-c", "user.name=u", "-c", "user.email=u@x", "-c", "protocol.file.allow=always")


def made(path: Path, files: dict[str, str | bytes], *options: str) -> Path:
    """A repository that git made, with one commit."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main", *options)
    save(path, files)
    return path


def save(path: Path, files: dict[str, str | bytes], message: str = "x") -> str:
    """One more commit of git."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    git(path, "add", "-A")
    git(path, *_WHO, "commit", "-q", "--allow-empty", "-m", message)
    return git(path, "rev-parse", "HEAD").strip()


def opened(tmp_path: Path, files: dict[str, str | bytes]) -> Bench:
    made(tmp_path / "r", files)
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "r")
    return bench


# -- what is ignored -----------------------------------------------------------------------------------------------


@pytest.mark.backend("git", "dulwich")
def test_rules_behind_a_byte_order_mark_count(tmp_path: Path) -> None:
    """An editor's mark at the beginning of `.gitignore` does not hide its first rule."""
    bench = opened(tmp_path, {".gitignore": b"\xef\xbb\xbfsecret.env\n"})
    assert bench.work("dev-1", {"secret.env": "k"}).files == []


@pytest.mark.backend("git", "dulwich")
def test_what_the_user_has_git_ignore_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin's `info/exclude` and the user's `core.excludesFile` count, the former over the latter."""
    (tmp_path / "mine").write_bytes(b"\xef\xbb\xbf*.key\n*.tmp")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.gitconfig").write_text(f"[core]\n\texcludesFile = {tmp_path}/mine\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    origin = made(tmp_path / "r", {"a": "a"})
    with (origin / ".git/info/exclude").open("a") as file:
        file.write("local/\n!good.tmp\n")
    bench = Bench(tmp_path / "ws")
    bench.ready(origin)
    work = {"local/x": "x", "a.key": "k", "b.tmp": "t", "good.tmp": "g", "n": "n"}
    assert bench.work("dev-1", dict(work)).files == ["good.tmp", "n"]


# -- attributes and filters ----------------------------------------------------------------------------------------


@pytest.mark.backend("git", "dulwich")
def test_line_ends_are_those_that_attributes_ask_for(tmp_path: Path) -> None:
    """A worktree has CRLF where `eol=crlf` says so, a commit never, and what did not change is not in a commit."""
    bench = opened(tmp_path, {".gitattributes": "*.bat text eol=crlf\n*.txt text\n", "a.bat": "1\n2\n", "b.txt": "b\n"})
    worktree = Path(bench.prepare("dev-1").path)
    assert (worktree / "a.bat").read_bytes() == b"1\r\n2\r\n"
    (worktree / "a.bat").write_bytes(b"1\r\n3\r\n")
    (worktree / "b.txt").write_bytes(b"b\r\n")
    (worktree / "n.txt").write_bytes(b"n\r\n")
    done = bench.finish("dev-1")
    assert done.files == ["a.bat", "n.txt"]
    files = bench.files(done.branch)
    assert (files["a.bat"], files["b.txt"], files["n.txt"]) == (b"1\n3\n", b"b\n", b"n\n")


@pytest.mark.parametrize(
    "rules",
    [
        {".gitattributes": b"\xef\xbb\xbf* text=auto\n"},
        {"d/.gitattributes": b"\xef\xbb\xbf*.t text\n"},
    ],
)
def test_attribute_files_are_read_as_they_are_in_the_worktree(tmp_path: Path, rules: dict[str, str | bytes]) -> None:
    """Git passes over a byte order mark in a file; in the index it would hide the first line."""
    bench = opened(tmp_path, {"d/a": "a\n", **rules})
    done = bench.work("dev-1", {"d/new.t": "1\r\n2\r\n"})
    assert git(bench.workspace.repository, "cat-file", "-p", f"{done.commit}:d/new.t") == "1\n2\n"


def test_an_ignored_attribute_file_of_the_agent_counts(tmp_path: Path) -> None:
    """`git add` reads it in the worktree, whatever becomes of the file itself."""
    bench = opened(tmp_path, {".gitignore": ".gitattributes\n"})
    done = bench.work("dev-1", {".gitattributes": "*.t text\n", "new.t": "1\r\n"})
    assert done.files == ["new.t"]
    assert git(bench.workspace.repository, "cat-file", "-p", f"{done.commit}:new.t") == "1\n"


def test_a_conflict_that_leaves_nothing_in_the_index_is_named(tmp_path: Path) -> None:
    """One side renames a directory; a file stands where the other side's new file would then go."""
    bench = opened(tmp_path, {"d/x": "a long line of text\n", "f": "f\n"})
    one = bench.work("dev-1", {"d/x": None, "x": "a long line of text\n"})
    two = bench.work("dev-2", {"d/f": "new\n"}, "t2")
    done = bench.integrate(one, two)
    assert isinstance(done, WorkspaceConflicted)
    assert sorted(done.paths) == ["d/f", "f"]


@pytest.mark.parametrize("name", ["lfs", "git-crypt"])
def test_a_filter_that_nobody_runs_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Raw content under a filter is never committed; the file and the filter are named. Others go on."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{0:064d}\nsize 9\n"
    bench = opened(tmp_path, {".gitattributes": f"*.bin filter={name} -text\n", "a.bin": pointer})
    prepared = bench.prepare("dev-1")
    write(Path(prepared.path), {"a.bin": "\0" * 9, "n": "n"})
    done = bench.finish("dev-1")
    assert done.error is not None
    assert done.error.code == "filter_missing"
    assert "a.bin" in done.error.message
    assert name in done.error.message
    assert done.commit == done.parent
    assert bench.work("dev-1", {"n": "n"}, "t2").files == ["n"]


def test_a_pointer_of_lfs_may_move(tmp_path: Path) -> None:
    """A file that already is what the filter would store is stored."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{0:064d}\nsize 9\n"
    bench = opened(tmp_path, {".gitattributes": "*.bin filter=lfs -text\n", "a.bin": pointer})
    assert bench.work("dev-1", {"a.bin": None, "b.bin": pointer}).files == ["a.bin", "b.bin"]


# -- merges --------------------------------------------------------------------------------------------------------


@pytest.mark.backend("git", "dulwich")
def test_built_in_merge_drivers_count(tmp_path: Path) -> None:
    """`merge=union` takes both sides; `-merge` is a conflict where texts would merge."""
    text = "".join(f"{number}\n" for number in range(30))
    bench = opened(tmp_path, {".gitattributes": "C merge=union\nL -merge\n", "C": "0\n", "L": text})
    one = bench.work("dev-1", {"C": "0\na\n"})
    two = bench.work("dev-2", {"C": "0\nb\n"}, "t2")
    assert isinstance(bench.integrate(one, two), WorkspaceIntegrated)
    assert bench.files()["C"] == b"0\na\nb\n"
    three = bench.work("dev-3", {"L": "x" + text}, "t3")
    four = bench.work("dev-4", {"L": text + "y\n"}, "t4")
    conflicted = bench.integrate(three, four, effect="2")
    assert isinstance(conflicted, WorkspaceConflicted)
    assert conflicted.paths == ["L"]


@pytest.mark.backend("git", "dulwich")
def test_a_renamed_file_takes_the_other_sides_change(tmp_path: Path) -> None:
    """One moves a file, another changes it: the change is in the moved file."""
    text = "".join(f"line {number}\n" for number in range(50))
    bench = opened(tmp_path, {"a.txt": text})
    one = bench.work("dev-1", {"a.txt": None, "b/moved.txt": text})
    two = bench.work("dev-2", {"a.txt": text.replace("line 7\n", "seven\n")}, "t2")
    assert isinstance(bench.integrate(one, two), WorkspaceIntegrated)
    assert bench.files() == {"b/moved.txt": text.replace("line 7\n", "seven\n").encode()}


def test_a_file_of_many_lines_is_merged_as_fast_as_git_does(tmp_path: Path) -> None:
    """Forty thousand lines of which a hundred repeat: sorted on one side, changed on the other."""
    lines = [f"line {number * 7 % 100}\n" for number in range(40_000)]
    bench = opened(tmp_path, {"a": "".join(lines)})
    one = bench.work("dev-1", {"a": "".join(sorted(lines))})
    two = bench.work("dev-2", {"a": "".join([*lines[:20_000], "new\n", *lines[20_000:]])}, "t2")
    before = os.times()
    bench.integrate(one, two)
    after = os.times()
    assert (after.user + after.children_user) - (before.user + before.children_user) < 5


# -- diffs ---------------------------------------------------------------------------------------------------------


@pytest.mark.backend("git", "dulwich")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\fb\nc\n", b"a\fb\nd\n"),
        (b"caf\xe9\nx\n", b"caf\xe9\ny\n"),
        (b"a\r\nb\r\n", b"a\r\nc\r\n"),
        (b"\0a", b"\0b"),
    ],
    ids=["form feed", "latin-1", "crlf", "binary"],
)
def test_git_applies_a_diff_byte_for_byte(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Whatever the encoding, pages put together are a patch that makes the result."""
    bench = opened(tmp_path, {"f": before})
    prepared = bench.prepare("dev-1")
    (Path(prepared.path) / "f").write_bytes(after)
    (Path(prepared.path) / "caf\udce9").write_bytes(b"caf\xe9\n\x1b[31m\n")
    bench.integrate(bench.finish("dev-1"))
    pages: list[bytes] = []
    offset: int | None = 0
    while offset is not None:
        with bench.workspace.locked():
            page = diff(bench.workspace, WorkspaceQuery(query="diff", offset=offset, limit=37))
        pages.append(page.data or page.text.encode())
        offset = page.next_offset
    (tmp_path / "patch").write_bytes(b"".join(pages))
    git(tmp_path / "r", "apply", "--index", str(tmp_path / "patch"))
    assert (tmp_path / "r/f").read_bytes() == after
    assert git(tmp_path / "r", "write-tree") == git(
        bench.workspace.repository, "rev-parse", f"{bench.workspace.branch}^{{tree}}"
    )


# -- bases ---------------------------------------------------------------------------------------------------------


@pytest.mark.backend("git", "dulwich")
def test_a_base_is_whatever_git_calls_a_commit(tmp_path: Path, backend: str) -> None:
    """A full and a short id, an expression, a full name, a remote's branch, a tag of a tag."""
    origin = made(tmp_path / "r", {"a": "1"})
    first = git(origin, "rev-parse", "HEAD").strip()
    second = save(origin, {"a": "2"})
    git(origin, *_WHO, "tag", "-a", "-m", "v", "v1", first)
    git(origin, *_WHO, "tag", "-a", "-m", "w", "w1", "v1")
    git(origin, "update-ref", "refs/remotes/origin/theirs", first)
    cases = {
        first: (first, ""),
        first[:9]: (first, ""),
        "HEAD~1": (first, ""),
        "refs/heads/main": (second, "main"),
        "main^": (first, ""),
        "w1": (first, ""),
        "origin/theirs": (first, ""),
        "main^{commit}": (second, ""),
        "@~1": (first, ""),
        **({":/x": (second, "")} if backend == "git" else {}),
    }
    for number, (base, wanted) in enumerate(cases.items()):
        ready = Bench(tmp_path / "ws", f"x{number}").ready(origin, base)
        assert (ready.base_commit, ready.base_branch) == wanted, base


@pytest.mark.backend("git", "dulwich")
def test_an_agent_sees_tags_and_branches(tmp_path: Path) -> None:
    """`git describe` and `git diff origin/other` work in a worktree."""
    origin = made(tmp_path / "r", {"a": "1"})
    git(origin, *_WHO, "tag", "-a", "-m", "v", "v1")
    git(origin, "branch", "feature/other")
    bench = Bench(tmp_path / "ws")
    bench.ready(origin)
    worktree = Path(bench.prepare("dev-1").path)
    assert git(worktree, "describe").strip() == "v1"
    assert (
        git(worktree, "rev-parse", "origin/feature/other", "origin/main").split()
        == [git(origin, "rev-parse", "HEAD").strip()] * 2
    )
    assert git(worktree, "status", "--porcelain") == ""


# -- odd repositories ----------------------------------------------------------------------------------------------


def listing(place: Path) -> dict[str, str]:
    """The files below a directory, each with what is in it."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.rglob("*")
        if path.is_file()
    }


@pytest.mark.backend("git", "dulwich")
def test_objects_that_a_repository_borrows_are_found(tmp_path: Path) -> None:
    """A clone with `--shared` is whole only together with where its objects are."""
    made(tmp_path / "whole", {"a": "1"})
    git(tmp_path, "clone", "-q", "--shared", str(tmp_path / "whole"), "shared")
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "shared")
    bench.integrate(bench.work("dev-1", {"n": "n"}))
    shutil.rmtree(tmp_path / "whole")
    assert bench.files() == {"a": b"1", "n": b"n"}


@pytest.mark.backend("git", "dulwich")
def test_malformed_old_commits_are_tolerated(tmp_path: Path) -> None:
    """A time zone without a sign somewhere in the history is history's business."""
    origin = made(tmp_path / "r", {"a": "1"})
    tree = git(origin, "rev-parse", "HEAD^{tree}").strip()
    body = f"tree {tree}\nauthor a <a@x> 1 0200\ncommitter a <a@x> 1 0200\n\nold\n"
    words = [str(GIT), "-C", str(origin), "hash-object", "-t", "commit", "-w", "--literally", "--stdin"]
    old = subprocess.run(words, input=body.encode(), capture_output=True, check=True).stdout.decode().strip()
    body = f"tree {tree}\nparent {old}\nauthor a <a@x> 2 +0000\ncommitter a <a@x> 2 +0000\n\nnew\n"
    new = subprocess.run(words, input=body.encode(), capture_output=True, check=True).stdout.decode().strip()
    git(origin, "update-ref", "refs/heads/main", new)
    tag = f"object {old}\ntype commit\ntag t\ntagger a <a@x> 1 0200\n\nt\n"
    words[words.index("commit")] = "tag"
    tagged = subprocess.run(words, input=tag.encode(), capture_output=True, check=True).stdout.decode().strip()
    git(origin, "update-ref", "refs/tags/t", tagged)
    bench = Bench(tmp_path / "ws")
    assert bench.ready(origin).base_commit == new
    bench.integrate(bench.work("dev-1", {"n": "n"}))
    done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    assert done.pushed


def test_a_sha256_repository_works(tmp_path: Path) -> None:
    """Ids are longer; everything else is as ever."""
    origin = made(tmp_path / "r", {"a": "1"}, "--object-format=sha256")
    bench = Bench(tmp_path / "ws")
    assert len(bench.ready(origin).base_commit) == 64
    one = bench.work("dev-1", {"n": "n"})
    two = bench.work("dev-2", {"m": "m"}, "t2")
    assert git(Path(bench.prepare("dev-1", "t3").path), "status", "--porcelain") == ""
    assert isinstance(bench.integrate(one, two), WorkspaceIntegrated)
    done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    assert done.pushed
    assert git(origin, "ls-tree", "-r", "--name-only", done.branch).split() == ["a", "m", "n"]


@pytest.mark.parametrize("formats", [("sha1", "sha256"), ("sha256", "sha1")])
def test_a_repository_made_anew_in_another_format_is_another_one(tmp_path: Path, formats: tuple[str, str]) -> None:
    """The cached clone of what stood at the same place before serves its executions, and no others."""
    benches: list[Bench] = []
    for number, object_format in enumerate(formats):
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        made(tmp_path / "r", {"a": "1"}, f"--object-format={object_format}")
        benches.append(Bench(tmp_path / "ws", f"e{number}"))
        assert len(benches[-1].ready(tmp_path / "r").base_commit) == (64 if object_format == "sha256" else 40)
    for bench in benches:
        assert isinstance(bench.integrate(bench.work("dev-1", {"n": "n"})), WorkspaceIntegrated)


@pytest.mark.parametrize("extension", ["refStorage = reftable", "somethingNew = true"])
def test_an_unknown_format_is_named(tmp_path: Path, extension: str) -> None:
    """Not corrupt, not unreachable: of a format that this git does not know."""
    origin = made(tmp_path / "r", {"a": "1"})
    with (origin / ".git/config").open("a") as config:
        config.write(f"[core]\n\trepositoryformatversion = 1\n[extensions]\n\t{extension}\n")
    failed = Bench(tmp_path / "ws").open(origin)
    if isinstance(failed, WorkspaceFailed):
        assert failed.error.code == "repository_unsupported"
        assert extension.split(maxsplit=1)[0].lower() in failed.error.message.lower()
    else:
        assert extension.startswith("refStorage")  # a git that knows it


def test_a_moved_data_directory_goes_on(tmp_path: Path) -> None:
    """Objects that are borrowed from a cached clone are found where it is now."""
    bench = opened(tmp_path, {"a": "1"})
    bench.work("dev-1", {"n": "n"})
    bench.workspace.close()
    (tmp_path / "ws").rename(tmp_path / "elsewhere")
    moved = Bench(tmp_path / "elsewhere")
    done = moved.work("dev-1", {"m": "m"}, "t2")
    moved.integrate(done)
    assert sorted(moved.files()) == ["a", "m", "n"]
    assert git(tmp_path / "elsewhere/executions/x1/worktrees/dev-1", "status", "--porcelain") == ""


# -- pushes --------------------------------------------------------------------------------------------------------


def hook(repository: Path, name: str, text: str) -> None:
    path = repository / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def finished(bench: Bench) -> WorkspaceFinalized:
    bench.integrate(bench.work("dev-1", {"n": "n"}))
    done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    return done


def test_the_receivers_hooks_decide_in_their_own_words(tmp_path: Path) -> None:
    """A hook that says no is obeyed, and what it says is passed on; nothing arrives."""
    bench = opened(tmp_path, {"a": "1"})
    hook(tmp_path / "r", "pre-receive", "echo policy: no branches of robots >&2; exit 1")
    before = git(tmp_path / "r", "for-each-ref")
    done = finished(bench)
    assert not done.pushed
    assert done.error is not None
    assert done.error.code == "push_rejected"
    assert "policy: no branches of robots" in done.error.message
    assert git(tmp_path / "r", "for-each-ref") == before


def test_hooks_after_a_push_run_and_only_one_branch_is_made(tmp_path: Path) -> None:
    """`post-receive` sees the one branch; no tag, no other ref, no index is written."""
    bench = opened(tmp_path, {"a": "1"})
    git(tmp_path / "r", "tag", "v1")
    hook(tmp_path / "r", "post-receive", f"cat >{tmp_path}/seen; env | grep core.fsync >>{tmp_path}/seen")
    index = (tmp_path / "r/.git/index").read_bytes()
    done = finished(bench)
    assert done.pushed
    seen = (tmp_path / "seen").read_text().splitlines()
    assert [line.split()[2] for line in seen] == [f"refs/heads/{done.branch}"]
    refs = git(tmp_path / "r", "for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/main", f"refs/heads/{done.branch}", "refs/tags/v1"]
    assert (tmp_path / "r/.git/index").read_bytes() == index


def test_a_shared_repository_keeps_its_permissions(tmp_path: Path) -> None:
    """In a group-shared repository the group may write what a push made."""
    origin = made(tmp_path / "r", {"a": "1"}, "--shared=group")
    bench = Bench(tmp_path / "ws")
    bench.ready(origin)
    before = set((origin / ".git").rglob("*"))
    done = finished(bench)
    assert done.pushed
    new = [path for path in set((origin / ".git").rglob("*")) - before if path.is_dir()]
    assert new
    assert all(path.stat().st_mode & 0o020 for path in new)


@pytest.mark.backend("git", "dulwich")
def test_a_branch_in_the_way_is_said_at_once(tmp_path: Path) -> None:
    """Git allows no branch `parallax/…` beside a branch `parallax`."""
    bench = opened(tmp_path, {"a": "1"})
    git(tmp_path / "r", "branch", "parallax")
    done = finished(bench)
    assert done.error is not None
    assert done.error.code == "push_rejected"
    assert "'parallax'" in done.error.message
    assert "git branch -m" in done.error.message


@pytest.mark.backend("git", "dulwich")
def test_the_users_repository_is_not_touched_before_a_push(tmp_path: Path) -> None:
    """Opening, working and merging write nothing into it: no index, object or ref."""
    origin = made(tmp_path / "r", {"a": "1"})
    os.utime(origin / "a", (1, 1))
    before = listing(origin / ".git")
    bench = Bench(tmp_path / "ws")
    bench.ready(origin)
    bench.integrate(bench.work("dev-1", {"n": "n"}))
    bench.finalize(push=False)
    assert listing(origin / ".git") == before
