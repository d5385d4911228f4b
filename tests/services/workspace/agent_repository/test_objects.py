"""Loose objects, packs and deltas are read as git reads them; what is planted to do harm is named."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.workspace.agent_repository.objects import MAX_OBJECT_BYTES, Budget
from services.workspace.agent_repository.opening import Unreadable
from services.workspace.agent_repository.quarantine import Quarantine, check
from tests.services.workspace.agent_repository.planted import (
    all_of,
    bare_git,
    codes,
    commit_text,
    findings_of,
    loose,
    made,
    name_of,
    needs_git,
    number,
    opened,
    pack,
    save,
    varint,
)
from tests.services.workspace.bench import git

pytestmark = pytest.mark.backend("git")  # the reader knows nothing of backends


def read(worktree: Path, sha: str, *, budget: Budget | None = None) -> tuple[bytes, bytes] | None:
    with opened(worktree, budget=budget) as found:
        return found.objects.read(sha.encode())


def refused(worktree: Path, sha: str, *, budget: Budget | None = None) -> str:
    """The code with which an object is refused."""
    with pytest.raises(Unreadable) as error:
        read(worktree, sha, budget=budget)
    return error.value.finding.code


@needs_git
@pytest.mark.parametrize("how", ["loose", "packed", "packed without offsets", "both"])
def test_every_object_is_read_as_git_reads_it(tmp_path: Path, how: str) -> None:
    """Kinds and contents of all objects, with their deltas, and nothing is unnamed."""
    tree = made(tmp_path / "r")
    lines = [f"line {number} of a text that makes a delta worth it\n" for number in range(400)]
    for turn in range(6):
        lines[turn * 50] = f"changed in turn {turn}\n"
        (tree / "big").write_text("".join(lines))
        save(tree)
    if how != "loose":
        offsets = "false" if how == "packed without offsets" else "true"
        git(tree, "-c", f"repack.useDeltaBaseOffset={offsets}", "repack", "-adfq", "--depth=50", "--window=50")
    if how == "both":
        (tree / "later").write_text("x")
        save(tree)
    listed = git(tree, "cat-file", "--batch-all-objects", "--batch-check").splitlines()
    with opened(tree) as found:
        assert sorted(name.decode() for name in found.objects.names()) == [line.split()[0] for line in listed]
        for line in listed:
            sha, kind, size = line.split()
            raw = found.objects.read(sha.encode())
            assert raw is not None
            assert (raw[0].decode(), len(raw[1])) == (kind, int(size))
            assert found.objects.kind(sha.encode()).decode() == kind
        assert found.findings == []


@needs_git
def test_what_is_taken_is_whole_and_sound_to_git(tmp_path: Path) -> None:
    """The objects below a commit come over; git finds nothing wrong with them."""
    tree = made(tmp_path / "r")
    (tree / "d").mkdir()
    (tree / "d/n").write_text("n")
    (tree / "d/link").symlink_to("n")
    tip = save(tree)
    git(tree, "repack", "-adq")
    platform = tmp_path / "platform"
    git(tmp_path, "init", "-q", "--bare", str(platform))
    with opened(tree) as found:
        quarantine = Quarantine(tmp_path / "quarantine", found.objects, found.own(), all_of)
        assert quarantine.take([(tip.encode(), b"commit")]) == {}
        assert git(platform, "cat-file", "--batch-all-objects", "--batch-check") == ""
        assert quarantine.admit(platform / "objects") == len(found.objects.names())
        quarantine.discard()
    git(platform, "update-ref", "refs/heads/kept", tip)
    git(platform, "fsck", "--strict", "--full")
    assert git(platform, "ls-tree", "-r", "--name-only", "kept").split() == ["a", "d/link", "d/n"]
    assert not (tmp_path / "quarantine").exists()


def test_a_commit_with_a_part_missing_is_not_taken(tmp_path: Path) -> None:
    """Nothing of it that is not whole comes over; what was whole before may stay."""
    git_directory = bare_git(tmp_path / "r")
    tree = loose(git_directory, "tree", b"100644 a\0" + b"\1" * 20)
    tip = loose(git_directory, "commit", commit_text(tree))
    with opened(tmp_path / "r") as found:
        quarantine = Quarantine(tmp_path / "quarantine", found.objects, found.own(), all_of)
        broken = quarantine.take([(tip.encode(), b"commit")])
        assert {sha.decode(): finding.code for sha, finding in broken.items()} == {tip: "missing_object"}
        (tmp_path / "store").mkdir()
        assert quarantine.admit(tmp_path / "store") == 0


def test_an_alternate_is_not_followed(tmp_path: Path) -> None:
    """Objects of somebody else's repository, named by an alternates file, are not there."""
    other = bare_git(tmp_path / "other")
    secret = loose(other, "blob", b"secret")
    git_directory = bare_git(tmp_path / "r")
    (git_directory / "objects/info").mkdir()
    (git_directory / "objects/info/alternates").write_text(f"{other}/objects\n")
    (git_directory / "commondir").write_text(f"{other}\n")
    assert read(tmp_path / "r", secret) is None


@pytest.mark.parametrize(
    "what", ["objects", "objects/pack", "refs", "HEAD", "index", "packed-refs", "logs", "worktrees"]
)
@pytest.mark.parametrize("how", ["link to /etc", "link to another", "fifo", "socket"])
def test_whatever_stands_in_the_place_of_a_file_is_named_and_not_followed(tmp_path: Path, what: str, how: str) -> None:
    """Links, pipes and sockets in the place of every file and directory are findings, in no time."""
    other = bare_git(tmp_path / "other")
    secret = loose(other, "commit", commit_text(name_of("tree", b"")))
    (other / "refs/heads/main").write_text(secret)
    git_directory = bare_git(tmp_path / "r")
    place = git_directory / what
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    if how == "link to /etc":
        place.symlink_to("/etc")
    elif how == "link to another":
        place.symlink_to(other / what)
    elif how == "fifo":
        os.mkfifo(place)
    else:
        os.mknod(place, 0o600 | stat.S_IFSOCK)
    begun = time.monotonic()
    assert "not_a_file" in codes(findings_of(tmp_path / "r"))
    assert time.monotonic() - begun < 5
    with opened(tmp_path / "r") as found:
        assert secret.encode() not in {one.sha for one in found.commits(found.own())}


def test_a_git_file_is_not_followed(tmp_path: Path) -> None:
    """A `.git` that points to another repository is a finding, whatever is there."""
    other = bare_git(tmp_path / "other")
    (tmp_path / "r").mkdir()
    (tmp_path / "r/.git").write_text(f"gitdir: {other}\n")
    assert codes(findings_of(tmp_path / "r")) == {"not_a_file"}


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file with a terabyte of holes in the place of each one that is read whole costs nothing."""
    git_directory = bare_git(tmp_path)
    for name in ("HEAD", "index", "packed-refs"):
        with (git_directory / name).open("wb") as file:
            file.truncate(1 << 40)
    begun = time.monotonic()
    assert codes(findings_of(tmp_path)) == {"too_large"}
    assert time.monotonic() - begun < 5


def test_another_content_than_the_name_says_is_damage(tmp_path: Path) -> None:
    """An object under the name of another one is never taken for it."""
    git_directory = bare_git(tmp_path)
    name = loose(git_directory, "blob", b"evil", name=name_of("blob", b"good"))
    assert refused(tmp_path, name) == "damaged_object"


@pytest.mark.parametrize(
    "packed",
    [b"", b"blob", b"blob 5\0abc", b"blob 3\0abcdef", b"blob -1\0", b"blob 007\0x", b"weird 1\0x", b"blob 1 \0x"],
)
def test_a_loose_object_that_is_none_is_damage(tmp_path: Path, packed: bytes) -> None:
    """A wrong header or a wrong size."""
    git_directory = bare_git(tmp_path)
    name = loose(git_directory, "blob", b"", name="a" * 40, packed=packed)
    assert refused(tmp_path, name) == "damaged_object"


def test_a_loose_object_that_unpacks_to_more_is_not_unpacked(tmp_path: Path) -> None:
    """A bomb is refused by the size it says, and one that lies about it ends at that size."""
    git_directory = bare_git(tmp_path)
    big = loose(git_directory, "blob", b"", name="a" * 40, packed=f"blob {MAX_OBJECT_BYTES + 1}\0".encode())
    assert refused(tmp_path, big) == "too_large"
    lying = loose(git_directory, "blob", b"", name="b" * 40, packed=b"blob 3\0" + bytes(100 << 20))
    begun = time.monotonic()
    assert refused(tmp_path, lying) == "damaged_object"
    assert time.monotonic() - begun < 1
    assert refused(tmp_path, loose(git_directory, "blob", b"x" * 100), budget=Budget(total_bytes=99)) == "too_much"
    assert refused(tmp_path, loose(git_directory, "blob", b"x" * 100), budget=Budget(seconds=-1)) == "too_slow"


ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40


def test_deltas_in_a_circle_end(tmp_path: Path) -> None:
    """Two deltas that start from each other, and one that starts from itself."""
    delta = varint(1) + varint(1) + b"\x01x"
    entries = [
        (ONE, number(len(delta), 7) + bytes.fromhex(TWO) + zlib.compress(delta)),
        (TWO, number(len(delta), 7) + bytes.fromhex(ONE) + zlib.compress(delta)),
        (THREE, number(len(delta), 6) + b"\x00" + zlib.compress(delta)),
    ]
    pack(bare_git(tmp_path), entries)
    begun = time.monotonic()
    assert refused(tmp_path, ONE) == "damaged_object"
    assert refused(tmp_path, THREE) == "damaged_object"
    assert time.monotonic() - begun < 10


def test_a_delta_bomb_ends_at_the_budget(tmp_path: Path) -> None:
    """Deltas that each make the most of a little are counted by what they make."""
    content = b"x" * 0x10000
    entries = [(name_of("blob", content), number(len(content), 3) + zlib.compress(content))]
    size, before = len(content), entries[0][0]
    for step in range(12):
        copies = 2
        delta = varint(size) + varint(size * copies)
        for _ in range(copies):
            for start in range(0, size, 0xFFFFFF):
                length = min(0xFFFFFF, size - start)
                delta += bytes([0xFF]) + struct.pack("<L", start) + struct.pack("<L", length)[:3]
        name = f"{step:x}" * 40
        entries.append((name, number(len(delta), 7) + bytes.fromhex(before) + zlib.compress(delta)))
        size, before = size * copies, name
    pack(bare_git(tmp_path), entries)
    begun = time.monotonic()
    assert refused(tmp_path, before, budget=Budget(total_bytes=64 << 20)) == "too_much"
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "delta",
    [
        b"",
        varint(9) + varint(1) + b"\x01x",
        varint(4) + varint(1) + b"\x00",
        varint(4) + varint(5) + b"\x91\x00\x05",
        varint(4) + varint(1) + b"\x05ab",
        varint(4) + varint(9) + b"\x01x",
        varint(4) + varint(1) + b"\x02xy",
        varint(4) + varint(1 << 40) + b"\x01x",
        varint(4) + b"\xff" * 12,
    ],
)
def test_a_delta_that_is_none_is_damage(tmp_path: Path, delta: bytes) -> None:
    """Of another base, past its end, cut off, of another size, without an end."""
    base = name_of("blob", b"base")
    entries = [
        (base, number(4, 3) + zlib.compress(b"base")),
        (ONE, number(len(delta), 7) + bytes.fromhex(base) + zlib.compress(delta)),
    ]
    pack(bare_git(tmp_path), entries)
    assert refused(tmp_path, ONE) == "damaged_object"


@pytest.mark.parametrize("damage", ["index", "numbers", "offset", "no pack", "cut", "not a pack"])
def test_a_damaged_pack_is_named(tmp_path: Path, damage: str) -> None:
    """Its index, its numbers, its length: each is looked at before it is used."""
    git_directory = bare_git(tmp_path)
    name = name_of("blob", b"x" * 500)
    pack(git_directory, [(name, number(500, 3) + zlib.compress(b"x" * 500))])
    file, index = (git_directory / f"objects/pack/pack-{'0' * 40}.{kind}" for kind in ("pack", "idx"))
    content = bytearray(index.read_bytes())
    if damage == "index":
        index.write_bytes(b"junk")
    elif damage == "numbers":
        content[8:12] = b"\xff" * 4
        index.write_bytes(content)
    elif damage == "offset":
        content[-44:-40] = b"\x7f\xff\xff\xff"
        index.write_bytes(content)
    elif damage == "no pack":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:20])
    else:
        file.write_bytes(b"JUNK" + file.read_bytes()[4:])
    if damage in {"offset", "cut"}:
        assert refused(tmp_path, name) in {"damaged_pack", "damaged_object"}
    else:
        assert codes(findings_of(tmp_path)) == {"damaged_pack"}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"tree", b"100644 .git\0" + b"\1" * 20),
        (b"tree", b"100644 ..\0" + b"\1" * 20),
        (b"tree", b"100644 a/b\0" + b"\1" * 20),
        (b"tree", b"100644 \0" + b"\1" * 20),
        (b"tree", b"100666 a\0" + b"\1" * 20),
        (b"tree", b"100644 a\0" + b"\1" * 19),
        (b"tree", b"100644 a\0" + b"\1" * 20 + b"100644 a\0" + b"\1" * 20),
        (b"tree", b"100644 b\0" + b"\1" * 20 + b"100644 a\0" + b"\1" * 20),
        (b"tree", b"nonsense"),
        (b"commit", b""),
        (b"commit", b"tree zz\nauthor a\ncommitter b\n\n"),
        (b"commit", b"tree " + b"1" * 40 + b"\n\nno author"),
        (b"commit", b"tree " + b"1" * 40 + b"\nparent 12\nauthor a\ncommitter b\n\n"),
        (b"commit", b"tree " + b"1" * 40 + b"\nauthor a\0\ncommitter b\n\n"),
        (b"tag", b"object " + b"1" * 40 + b"\ntype weird\ntag x\n"),
        (b"tag", b""),
    ],
)
def test_an_object_that_no_git_would_make_is_refused(kind: bytes, data: bytes) -> None:
    """Dangerous names, unknown modes, two entries of one name, a wrong order, missing headers."""
    with pytest.raises(Unreadable) as error:
        check(kind, data, "here")
    assert error.value.finding.code == "damaged_object"


@settings(deadline=None)
@given(kind=st.sampled_from([b"tree", b"commit", b"tag", b"blob"]), data=st.binary(max_size=300))
def test_any_bytes_are_sound_or_refused(kind: bytes, data: bytes) -> None:
    """Checking an object ends in what it names or in a finding."""
    with suppress(Unreadable):
        check(kind, data, "here")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(file=st.integers(0, 7), position=st.floats(0, 1, exclude_max=True), data=st.binary(min_size=1, max_size=8))
@needs_git
def test_any_change_of_a_repository_ends_in_findings(
    tmp_path_factory: pytest.TempPathFactory, file: int, position: float, data: bytes
) -> None:
    """Bytes changed anywhere in a repository with a pack, loose objects and reflogs: no other failure, no hang."""
    place = tmp_path_factory.mktemp("changed") / "r"
    shutil.copytree(_sound(tmp_path_factory), place)
    known = sorted(path for path in place.rglob("*") if path.is_file() and "hooks" not in path.parts)
    changed = known[(file * 7919) % len(known)]
    changed.chmod(0o644)
    content = bytearray(changed.read_bytes())
    at = int(position * len(content))
    content[at : at + len(data)] = data
    changed.write_bytes(content)
    with opened(place) as found:
        quarantine = Quarantine(place / "quarantine", found.objects, found.own(), all_of)
        quarantine.take([(one.sha, b"commit") for one in found.commits(found.own())])
        quarantine.discard()


_MADE: list[Path] = []


def _sound(factory: pytest.TempPathFactory) -> Path:
    if not _MADE:
        tree = made(factory.mktemp("sound") / "r")
        for turn in range(4):
            (tree / "b").write_text("".join(f"{line} {turn if line == turn else 0}\n" for line in range(200)))
            save(tree)
        git(tree, "repack", "-adq")
        (tree / "n").write_text("n")
        save(tree)
        git(tree, "reset", "-q", "--hard", "HEAD~1")
        git(tree, "pack-refs", "--all")
        _MADE.append(tree)
    return _MADE[0]
