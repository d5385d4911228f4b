"""The staging area is read in every format that git writes, and damage is named."""

from __future__ import annotations

import hashlib
import os
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.workspace.agent_repository.index import Index, read_index
from services.workspace.agent_repository.opening import Directory, Unreadable
from tests.services.workspace.agent_repository.planted import made, needs_git, save
from tests.services.workspace.bench import git

pytestmark = pytest.mark.backend("git")  # the reader knows nothing of backends


def read(git_directory: Path) -> Index | None:
    descriptor = os.open(git_directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_index(Directory(descriptor, ".git"))
    finally:
        os.close(descriptor)


def staged(tree: Path) -> list[tuple[str, str, str]]:
    """What git says is staged: mode, object and path."""
    found: list[tuple[str, str, str]] = []
    for line in git(tree, "ls-files", "-sz", "--sparse").split("\0")[:-1]:
        head, path = line.split("\t")
        mode, sha, _ = head.split(" ")
        found.append((mode, sha, path))
    return found


def same(tree: Path) -> Index:
    """The index, after it was compared with what git says."""
    index = read(tree / ".git")
    assert index is not None
    assert [(f"{one.mode:06o}", one.sha.decode(), one.path.decode()) for one in index.entries] == staged(tree)
    return index


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = made(tmp_path / "r")
    for number in range(40):
        (tree / f"d{number % 4}").mkdir(exist_ok=True)
        (tree / f"d{number % 4}/file-{number}-{'x' * number}").write_text(str(number))
    save(tree)
    return tree


@needs_git
@pytest.mark.parametrize("version", [2, 3, 4])
def test_formats_two_to_four(tree: Path, version: int) -> None:
    """Paths, modes, objects and flags are those that git lists."""
    git(tree, "update-index", "--index-version", str(version), "--force-write-index")
    git(tree, "update-index", "--skip-worktree", "a")
    git(tree, "update-index", "--assume-unchanged", "d1/file-1-x")
    (tree / "later").write_text("x")
    git(tree, "add", "-N", "later")
    index = same(tree)
    flags = {
        one.path: (one.skip_worktree, one.assume_valid, one.intent_to_add)
        for one in index.entries
        if one.hidden or one.intent_to_add
    }
    assert flags == {
        b"a": (True, False, False),
        b"d1/file-1-x": (False, True, False),
        b"later": (False, False, True),
    }


@needs_git
def test_a_split_index(tree: Path) -> None:
    """Entries of the shared part, deleted, replaced and added ones together."""
    git(tree, "update-index", "--split-index")
    assert same(tree).split
    git(tree, "config", "splitIndex.maxPercentChange", "100")
    git(tree, "rm", "-q", "--cached", "d0/file-0-", "d1/file-1-x")
    (tree / "a").write_text("changed\n")
    (tree / "new").write_text("new\n")
    git(tree, "add", "a", "new")
    git(tree, "update-index", "--skip-worktree", "d2/file-2-xx")
    index = same(tree)
    assert index.split
    assert [one.path for one in index.entries if one.skip_worktree] == [b"d2/file-2-xx"]


@needs_git
def test_a_sparse_index(tree: Path) -> None:
    """Directories that are not there stand in the index as one entry each."""
    git(tree, "sparse-checkout", "set", "--cone", "--sparse-index", "d1")
    index = same(tree)
    assert index.sparse
    folded = [one for one in index.entries if one.path.endswith(b"/")]
    assert [one.path for one in folded] == [b"d0/", b"d2/", b"d3/"]
    assert all(one.skip_worktree for one in folded)


@needs_git
def test_both_sides_of_a_conflict(tree: Path) -> None:
    """A path in conflict stands there once for each side."""
    git(tree, "checkout", "-qb", "other")
    (tree / "a").write_text("other\n")
    save(tree)
    git(tree, "checkout", "-q", "main")
    (tree / "a").write_text("main\n")
    save(tree)
    with pytest.raises(AssertionError):
        git(tree, "-c", "user.name=u", "-c", "user.email=u@x", "merge", "-q", "other")
    assert [one.stage for one in same(tree).entries if one.path == b"a"] == [1, 2, 3]


def test_no_index_is_none(tmp_path: Path) -> None:
    """An agent that removed it has staged nothing."""
    assert read(tmp_path) is None


def sealed(body: bytes) -> bytes:
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def entry(path: bytes, *, mode: int = 0o100644, flags: int = 0) -> bytes:
    head = struct.pack(">LLLLLLLLLL20sH", 0, 0, 0, 0, 0, 0, mode, 0, 0, 0, b"\1" * 20, flags | min(len(path), 0xFFF))
    return head + path + b"\0" * (8 - (len(head) + len(path)) % 8)


def head(count: int, version: int = 2) -> bytes:
    return struct.pack(">4sLL", b"DIRC", version, count)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "damaged_index"),
        (b"DIRC nonsense", "unknown_index"),
        (sealed(head(0, 9)), "unknown_index"),
        (sealed(head(3)), "damaged_index"),
        (sealed(head(0xFFFFFFFF)), "too_many"),
        (head(0) + b"\1" * 20, "damaged_index"),
        (sealed(head(1) + entry(b"../out")), "damaged_index"),
        (sealed(head(1) + entry(b"/etc/passwd")), "damaged_index"),
        (sealed(head(1) + entry(b"a", mode=0o777)), "damaged_index"),
        (sealed(head(1) + entry(b"d/")), "damaged_index"),
        (sealed(head(1) + entry(b"a", flags=0x4000)), "damaged_index"),
        (sealed(head(0) + b"TREE" + struct.pack(">L", 1 << 30)), "damaged_index"),
        (sealed(head(0) + b"evil" + struct.pack(">L", 0)), "unknown_index"),
        (sealed(head(0) + b"link" + struct.pack(">L", 20) + b"\1" * 20), "damaged_index"),
        (
            # a bitmap of four billion words of ones
            sealed(
                head(0)
                + b"link"
                + struct.pack(">L", 20 + 20)
                + b"\1" * 20
                + struct.pack(">LLQL", 64, 1, 1 | 0xFFFFFFFF << 1, 0)
            ),
            "damaged_index",
        ),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, code: str) -> None:
    """Whatever the numbers say, the reader ends with a finding."""
    (tmp_path / "index").write_bytes(data)
    with pytest.raises(Unreadable) as refused:
        read(tmp_path)
    assert refused.value.finding.code == code


@settings(deadline=None)
@given(
    version=st.sampled_from([2, 3, 4]),
    count=st.integers(0, 5),
    body=st.binary(max_size=400),
    seal=st.booleans(),
)
def test_any_bytes_end_in_an_index_or_a_finding(
    tmp_path_factory: pytest.TempPathFactory, version: int, count: int, body: bytes, seal: bool
) -> None:
    """No input makes the reader fail in another way."""
    place = tmp_path_factory.mktemp("index")
    data = head(count, version) + body
    (place / "index").write_bytes(sealed(data) if seal else data + bytes(20))
    with suppress(Unreadable):
        read(place)


@settings(deadline=None)
@given(position=st.integers(0, 2000), value=st.integers(0, 255), shared=st.booleans())
@needs_git
def test_a_changed_byte_ends_in_an_index_or_a_finding(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, shared: bool
) -> None:
    """A real split index with any byte changed and its checksum set right."""
    place = tmp_path_factory.mktemp("index")
    for name, content in _split(tmp_path_factory).items():
        (place / name).write_bytes(content)
    changed = next(place.glob("sharedindex.*")) if shared else place / "index"
    body = bytearray(changed.read_bytes()[:-20])
    body[position % len(body)] = value
    changed.write_bytes(sealed(bytes(body)))
    with suppress(Unreadable):
        read(place)


_SPLIT: dict[str, bytes] = {}


def _split(factory: pytest.TempPathFactory) -> dict[str, bytes]:
    if not _SPLIT:
        tree = made(factory.mktemp("split") / "r")
        for number in range(10):
            (tree / f"f{number}").write_text(str(number))
        save(tree)
        git(tree, "config", "splitIndex.maxPercentChange", "100")
        git(tree, "update-index", "--index-version", "4", "--force-write-index")
        git(tree, "config", "core.splitIndex", "true")
        git(tree, "update-index", "--split-index")
        (tree / "a").write_text("changed\n")
        git(tree, "rm", "-q", "--cached", "f3")
        git(tree, "add", "a")
        for path in (tree / ".git/index", *(tree / ".git").glob("sharedindex.*")):
            _SPLIT[path.name] = path.read_bytes()
    return _SPLIT
