"""The objects of one execution's repository.

Reading goes through dulwich, so packed and borrowed objects (of the cached clone) are found as well. Writing is done
here: every object is on the disk before anything that names it, which is what makes a commit id in the log mean
something after a power cut.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Commit, ObjectID, ShaFile, Tree

from services.workspace.dulwich_git.damage import DAMAGED
from services.workspace.modes import EXECUTABLE, FILE
from services.workspace.problems import WorkspaceProblem

Entry = tuple[int, ObjectID]
"""One entry of a tree: its mode and what it names."""

EMPTY_TREE = ObjectID(b"4b825dc642cb6eb9a060e54bf8d69288fbee4904")

_FSYNC_EACH_UP_TO = 48
"""So many new objects are flushed one by one; more are cheaper to flush with everything else on the disk."""

_CHUNK = 1 << 20
_KEEP_TREES = 4096
_CHANGED = "A large file changed while it was read; is the agent still at work?"


class Store:
    """The object directory of a repository, `path`. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._disk = DiskObjectStore(str(path))
        self._trees: dict[ObjectID, dict[bytes, Entry]] = {}
        self._parents: dict[ObjectID, tuple[ObjectID, ...]] = {}
        self._unsynced: list[tuple[Path, Path]] = []
        self._fresh: set[ObjectID] = set()

    def close(self) -> None:
        """Lets go of open pack files, the borrowed ones too."""
        for borrowed in self._disk.alternates:
            borrowed.close()
        self._disk.close()

    # -- reading ----------------------------------------------------------------------------------------------------

    def __contains__(self, sha: ObjectID) -> bool:
        return sha in self._fresh or sha in self._disk

    def blob(self, sha: ObjectID) -> bytes:
        """The content of a file or the target of a link."""
        self.flush_if(sha)
        kind, data = self._read(sha)
        if kind != 3:
            raise WorkspaceProblem("corrupt_repository", f"The object {sha.decode()} is not a file.")
        return data

    def tree(self, sha: ObjectID) -> dict[bytes, Entry]:
        """The entries of a directory by name."""
        if sha == EMPTY_TREE:
            return {}
        found = self._trees.get(sha)
        if found is None:
            self.flush_if(sha)
            obj = self._object(sha)
            if not isinstance(obj, Tree):
                raise WorkspaceProblem("corrupt_repository", f"The object {sha.decode()} is not a directory.")
            found = {item.path: (normal_mode(item.mode), item.sha) for item in obj.items()}
            if len(self._trees) >= _KEEP_TREES:
                self._trees.clear()
            self._trees[sha] = found
        return found

    def commit(self, sha: ObjectID) -> Commit:
        """A commit."""
        self.flush_if(sha)
        obj = self._object(sha)
        if not isinstance(obj, Commit):
            raise WorkspaceProblem("corrupt_repository", f"The object {sha.decode()} is not a commit.")
        return obj

    def parents(self, sha: ObjectID) -> tuple[ObjectID, ...]:
        """The parents of a commit; remembered, because a commit never changes."""
        found = self._parents.get(sha)
        if found is None:
            found = self._parents[sha] = tuple(self.commit(sha).parents)
        return found

    def tree_of(self, commit: ObjectID) -> ObjectID:
        """The directory that a commit holds."""
        return self.commit(commit).tree

    def tree_in(self, sha: ObjectID) -> ObjectID:
        """The directory that a commit holds, or the directory itself."""
        if sha == EMPTY_TREE or sha in self._trees:
            return sha
        self.flush_if(sha)
        obj = self._object(sha)
        return obj.tree if isinstance(obj, Commit) else sha

    def _object(self, sha: ObjectID) -> ShaFile:
        try:
            return self._disk[sha]
        except DAMAGED as error:
            raise WorkspaceProblem(
                "corrupt_repository", f"The object {sha.decode()} cannot be read: {error}"
            ) from error

    def _read(self, sha: ObjectID) -> tuple[int, bytes]:
        try:
            return self._disk.get_raw(sha)
        except DAMAGED as error:
            raise WorkspaceProblem(
                "corrupt_repository", f"The object {sha.decode()} cannot be read: {error}"
            ) from error

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, kind: bytes, data: bytes) -> ObjectID:
        """Stores an object, to be durable at the next `flush`."""
        header = b"%s %d\0" % (kind, len(data))
        sha = ObjectID(hashlib.sha1(header + data, usedforsecurity=False).hexdigest().encode())
        if sha not in self:
            packed = zlib.compress(header + data, 1)
            self._place(sha, iter((packed,)))
        return sha

    def put_tree(self, entries: dict[bytes, Entry]) -> ObjectID:
        """Stores a directory."""
        tree = Tree()
        for name, (mode, sha) in entries.items():
            tree.add(name, mode, sha)
        return self.put(b"tree", tree.as_raw_string())

    def put_stream(self, descriptor: int, size: int) -> ObjectID:
        """Stores the `size` bytes of an open file without holding them in memory."""
        header = b"blob %d\0" % size
        digest = hashlib.sha1(header, usedforsecurity=False)
        for chunk in _chunks(descriptor, size):
            digest.update(chunk)
        sha = ObjectID(digest.hexdigest().encode())
        if sha not in self:
            os.lseek(descriptor, 0, os.SEEK_SET)
            self._place(sha, _deflated(header, _chunks(descriptor, size), sha))
        return sha

    def _place(self, sha: ObjectID, chunks: Iterator[bytes]) -> None:
        name = sha.decode()
        directory = self.path / name[:2]
        directory.mkdir(exist_ok=True)
        temporary = directory / f"tmp_obj_{secrets.token_hex(6)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                if len(self._unsynced) < _FSYNC_EACH_UP_TO:
                    os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._unsynced.append((temporary, directory / name[2:]))
        self._fresh.add(sha)

    def flush_if(self, sha: ObjectID) -> None:
        """Makes an object readable that was stored a moment ago."""
        if sha in self._fresh:
            self.flush()

    def flush(self) -> None:
        """Makes everything stored so far durable and visible."""
        if len(self._unsynced) > _FSYNC_EACH_UP_TO:
            os.sync()
        for temporary, final in self._unsynced:
            temporary.rename(final)
        self._unsynced.clear()
        self._fresh.clear()

    def forget(self) -> None:
        """Drops what was stored and not flushed."""
        for temporary, _ in self._unsynced:
            temporary.unlink(missing_ok=True)
        self._unsynced.clear()
        self._fresh.clear()
        self._trees.clear()


def normal_mode(mode: int) -> int:
    """The mode that git would write today (old repositories hold 100664 and the like)."""
    if mode & 0o170000 == 0o100000:
        return EXECUTABLE if mode & 0o100 else FILE
    return mode


def _chunks(descriptor: int, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = os.read(descriptor, min(_CHUNK, left))
        if not chunk:
            raise WorkspaceProblem("file_changed", _CHANGED)
        left -= len(chunk)
        yield chunk


def _deflated(header: bytes, chunks: Iterator[bytes], sha: ObjectID) -> Iterator[bytes]:
    """A file that is read twice may have changed in between: the second reading is checked against the first."""
    packer = zlib.compressobj(1)
    digest = hashlib.sha1(header, usedforsecurity=False)
    yield packer.compress(header)
    for chunk in chunks:
        digest.update(chunk)
        yield packer.compress(chunk)
    yield packer.flush()
    if digest.hexdigest().encode() != sha:
        raise WorkspaceProblem("file_changed", _CHANGED)
