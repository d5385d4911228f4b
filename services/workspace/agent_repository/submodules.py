"""What is in the directory of an agent's submodule: the files of the commit that is checked out there, or more."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from hashlib import sha1

from services.workspace.agent_repository.objects import Budget, Objects
from services.workspace.agent_repository.opening import Directory, Unreadable
from services.workspace.agent_repository.quarantine import commit_parts
from services.workspace.agent_repository.refs import read_head
from services.workspace.agent_repository.repository import gitlink_directory

_MAX_ENTRIES = 50_000
_MAX_FILE_BYTES = 200 << 20
_DEEPEST = 100


def is_filled(worktree: int, path: bytes) -> bool:
    """Whether the directory of a submodule is there and anything is in it."""
    try:
        inside = Directory(worktree, "").directory(*path.split(b"/"))
        if inside is None:
            return False
        with inside:
            return bool(os.listdir(inside.descriptor))  # noqa: PTH208 - of a descriptor
    except (Unreadable, OSError):
        return False


def has_own_repository(worktree: int, path: bytes) -> bool:
    """Whether the directory of a submodule holds a repository itself, and not where one is."""
    try:
        inside = Directory(worktree, "").directory(*path.split(b"/"), b".git")
    except Unreadable:
        return False
    if inside is not None:
        inside.close()
    return inside is not None


def is_pristine(worktree: int, path: bytes) -> bool:
    """Whether the directory of a submodule holds nothing but the files of the commit that is checked out in it, so that
    they can be had again.

    One with a git directory in it is not, as that may hold anything, nor one of which it is in doubt, as where
    attributes change contents.
    """
    try:
        inside = Directory(worktree, "").directory(*path.split(b"/"))
        if inside is None:
            return True
        with inside:
            entries = dict(inside.entries(_MAX_ENTRIES))
            if b".git" in entries and stat.S_ISDIR(entries[b".git"].st_mode):
                return False
            return _is_checked_out(inside, worktree, path)
    except (Unreadable, ValueError, OSError):
        return False


def _is_checked_out(inside: Directory, worktree: int, path: bytes) -> bool:
    git = gitlink_directory(worktree, path)
    if git is None:
        return {name for name, _ in inside.entries(_MAX_ENTRIES)} <= {b".git"}
    with git:
        head = read_head(git)
        objects = Objects(git.directory(b"objects"), Budget(), lambda _: None)
        try:
            found = objects.read(head) if head else None
            return found is not None and found[0] == b"commit" and _holds(objects, commit_parts(found[1])[0], inside, 0)
        finally:
            objects.close()


def _holds(objects: Objects, tree: bytes, directory: Directory, depth: int) -> bool:
    """Whether a directory holds what a tree does, and nothing else but a `.git`."""
    found = objects.read(tree)
    if found is None or found[0] != b"tree" or depth > _DEEPEST:
        return False
    there = {name for name, _ in directory.entries(_MAX_ENTRIES)} - {b".git"}
    wanted = list(_entries(found[1]))
    return there == {name for name, _, _ in wanted} and all(
        _is_as_stored(objects, directory, name, mode, sha, depth) for name, mode, sha in wanted
    )


def _entries(tree: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    while tree:
        head, _, rest = tree.partition(b"\0")
        mode, _, name = head.partition(b" ")
        yield name, int(mode, 8), rest[:20].hex().encode()
        tree = rest[20:]


def _is_as_stored(objects: Objects, directory: Directory, name: bytes, mode: int, sha: bytes, depth: int) -> bool:
    status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
    if stat.S_ISDIR(mode):
        below = directory.directory(name)
        if below is None:
            return False
        with below:
            return _holds(objects, sha, below, depth + 1)
    if stat.S_ISLNK(mode):
        return stat.S_ISLNK(status.st_mode) and _blob(os.readlink(name, dir_fd=directory.descriptor)) == sha
    if not stat.S_ISREG(mode):  # a submodule of the submodule: nothing is known of what is in it
        return stat.S_ISDIR(status.st_mode) and not is_filled(directory.descriptor, name)
    if not stat.S_ISREG(status.st_mode) or bool(status.st_mode & 0o100) != bool(mode & 0o100):
        return False
    content = directory.read(name, limit=_MAX_FILE_BYTES)
    return content is not None and _blob(content) == sha


def _blob(content: bytes) -> bytes:
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest().encode()
