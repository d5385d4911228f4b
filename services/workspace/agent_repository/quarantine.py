"""Copies of an agent's objects, checked before the platform's store takes them.

An object is taken when its content has the hash it is called by, its format is sound, and everything it names is there
in its turn. So the store never holds a commit of which a part is missing, and finding an object there is reason enough
not to look below it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha1
from pathlib import Path

from services.workspace import files
from services.workspace.agent_repository.objects import Objects
from services.workspace.agent_repository.opening import Finding, Unreadable, shown
from services.workspace.names import safe_name

MAX_TAKEN = 500_000
_MODES = {
    b"40000": b"tree",
    b"100644": b"blob",
    b"100755": b"blob",
    b"100664": b"blob",
    b"120000": b"blob",
    b"160000": b"",
}
_TYPES = frozenset({b"commit", b"tree", b"blob", b"tag"})
_HEX = frozenset(b"0123456789abcdef")

Reference = tuple[bytes, bytes]
"""The name of an object and the kind that it has to be."""


class Quarantine:
    """A directory `path` of copies of the objects `fresh`, which are the agent's alone.

    `lacking` gives those of some names that the platform has not; what it has, it has with all below it.
    """

    def __init__(
        self,
        path: Path,
        objects: Objects,
        fresh: AbstractSet[bytes],
        lacking: Callable[[AbstractSet[bytes]], AbstractSet[bytes]],
    ) -> None:
        self._path = path
        self._objects = objects
        self._fresh = fresh
        self._lacking = lacking
        self._copied: dict[bytes, tuple[bytes, list[Reference]]] = {}
        self._held: set[bytes] = set()
        self._whole: dict[bytes, None] = {}
        self._broken: dict[bytes, Finding] = {}
        path.mkdir(parents=True)

    def take(self, wanted: Sequence[Reference]) -> dict[bytes, Finding]:
        """Copies objects and all that they name. Gives what is wrong with those that are not whole."""
        self._copy_all(wanted)
        for reference in wanted:
            self._settle(reference)
        return {sha: self._broken[sha] for sha, _ in wanted if sha in self._broken}

    def _copy_all(self, wanted: Sequence[Reference]) -> None:
        """Copies what is the agent's, and finds out what of the rest the platform has."""
        edge: set[bytes] = set()
        waiting = list(wanted)
        while waiting:
            sha, kind = waiting.pop()
            if sha not in self._fresh:
                edge.add(sha)
            elif sha not in self._copied and sha not in self._broken:
                try:
                    waiting += self._copy(sha, kind)
                except Unreadable as error:
                    self._broken[sha] = error.finding
        edge -= self._held
        missing = self._lacking(edge) if edge else set[bytes]()
        self._held |= edge - missing
        for sha in missing:
            self._broken[sha] = Finding(
                "missing_object", f"objects/{sha.decode()}", "it is not in the repository itself"
            )

    def _copy(self, sha: bytes, expected: bytes) -> list[Reference]:
        where = f"objects/{sha.decode()}"
        found = self._objects.read(sha)
        if found is None:
            raise Unreadable("missing_object", where, f"the {expected.decode()} is not in the repository itself")
        kind, data = found
        if kind != expected:
            raise Unreadable("damaged_object", where, f"it is a {kind.decode()} where a {expected.decode()} is named")
        references = check(kind, data, where)
        if len(self._copied) >= MAX_TAKEN:
            raise Unreadable("too_many", where, f"over {MAX_TAKEN} objects are to be taken over")
        self._write(sha, kind, data)
        self._copied[sha] = (kind, references)
        return references

    def _settle(self, wanted: Reference) -> None:
        """Finds out whether an object is whole: a part that is broken breaks all that name it."""
        waiting: list[tuple[Reference, bool]] = [(wanted, False)]
        while waiting:
            (sha, kind), below_done = waiting.pop()
            if sha in self._held or sha in self._whole or sha in self._broken:
                continue
            own, references = self._copied[sha]
            if not below_done:
                waiting.append(((sha, kind), True))
                waiting += [(reference, False) for reference in references]
                continue
            broken = next((self._broken[part] for part, _ in references if part in self._broken), None)
            if (broken is None and any(self._kind(part, named) != named for part, named in references)) or own != kind:
                broken = Finding("damaged_object", f"objects/{sha.decode()}", "it names something of another kind")
            if broken is None:
                self._whole[sha] = None
            else:
                self._broken[sha] = broken

    def _kind(self, sha: bytes, named: bytes) -> bytes:
        return self._copied[sha][0] if sha in self._copied else named

    def _write(self, sha: bytes, kind: bytes, data: bytes) -> None:
        place = self._path / sha[:2].decode()
        place.mkdir(exist_ok=True)
        (place / sha[2:].decode()).write_bytes(zlib.compress(b"%s %d\0" % (kind, len(data)) + data, 1))

    @property
    def taken(self) -> frozenset[bytes]:
        """What was copied and is whole."""
        return frozenset(self._whole)

    def put(self, kind: bytes, data: bytes) -> bytes:
        """Adds an object of the platform's own making, of parts that are here or held. Gives its name.

        Raises:
            Unreadable: it would be none.
        """
        sha = sha1(b"%s %d\0" % (kind, len(data)) + data, usedforsecurity=False).hexdigest().encode()
        references = check(kind, data, f"objects/{sha.decode()}")
        if sha not in self._whole:
            self._write(sha, kind, data)
            self._copied[sha] = (kind, references)
            self._whole[sha] = None
        return sha

    def admit(self, store: Path) -> int:
        """Moves what is whole into an objects directory of the platform, parts before the whole. Gives their number."""
        if self._whole:
            os.sync()
        for sha in self._whole:
            directory = store / sha[:2].decode()
            directory.mkdir(exist_ok=True)
            source = self._path / sha[:2].decode() / sha[2:].decode()
            source.chmod(0o444)
            source.rename(directory / source.name)
        admitted = len(self._whole)
        self._held |= self._whole.keys()
        self._whole.clear()
        return admitted

    def discard(self) -> None:
        """Removes what was not taken."""
        files.remove_tree(self._path)


def check(kind: bytes, data: bytes, where: str) -> list[Reference]:
    """What an object names.

    Raises:
        Unreadable: it is not what an object of its kind looks like.
    """
    if kind == b"blob":
        return []
    try:
        if kind == b"tree":
            return list(_tree(data))
        return list(_commit(data) if kind == b"commit" else _tag(data))
    except (ValueError, IndexError) as error:
        raise Unreadable("damaged_object", where, f"it is no sound {kind.decode()}: {error}") from error


def commit_parts(data: bytes) -> tuple[bytes, list[bytes]]:
    """The tree and the parents of a commit. Raises `ValueError` where it is none."""
    (tree, _), *parents = _commit(data)
    return tree, [sha for sha, _ in parents]


def _sha(text: bytes) -> bytes:
    if len(text) != 40 or not _HEX.issuperset(text):
        raise ValueError(f"{shown(text[:60])!r} names no object")
    return text


def _commit(data: bytes) -> Iterator[Reference]:
    head = data.partition(b"\n\n")[0]
    lines = head.split(b"\n")
    if b"\0" in head or not lines[0].startswith(b"tree "):
        raise ValueError("it names no tree")
    yield _sha(lines[0].removeprefix(b"tree ")), b"tree"
    at = 1
    while at < len(lines) and lines[at].startswith(b"parent "):
        yield _sha(lines[at].removeprefix(b"parent ")), b"commit"
        at += 1
    if len(lines) < at + 2 or not lines[at].startswith(b"author ") or not lines[at + 1].startswith(b"committer "):
        raise ValueError("nobody made it")


def _tag(data: bytes) -> Iterator[Reference]:
    lines = data.split(b"\n", 3)
    if len(lines) < 3 or not lines[0].startswith(b"object ") or not lines[1].startswith(b"type "):
        raise ValueError("it names no object")
    kind = lines[1].removeprefix(b"type ")
    if kind not in _TYPES or not lines[2].startswith(b"tag "):
        raise ValueError("it is of no known type")
    yield _sha(lines[0].removeprefix(b"object ")), kind


def _tree(data: bytes) -> Iterator[Reference]:
    at = 0
    before = b""
    names: set[bytes] = set()
    while at < len(data):
        space = data.index(b" ", at, at + 8)
        end = data.index(b"\0", space)
        mode, name = data[at:space], data[space + 1 : end]
        kind = _MODES.get(mode)
        if kind is None:
            raise ValueError(f"an entry has the mode {shown(mode)}")
        if not safe_name(name) or name in names:
            raise ValueError(f"an entry has the name {shown(name)!r}")
        names.add(name)
        order = name + b"/" if mode == b"40000" else name
        if order <= before:
            raise ValueError("its entries are not in order")
        before = order
        sha = data[end + 1 : end + 21]
        if len(sha) != 20:
            raise ValueError("it ends too early")
        at = end + 21
        if kind:
            yield sha.hex().encode(), kind
