"""The files that an agent made and that ignore rules keep out of the result: said, so that nobody looks for them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from schemas.events import WorkspaceIgnored
from services.workspace import files
from services.workspace.agent_repository.opening import Directory, Unreadable
from services.workspace.droppings import DROPPINGS
from services.workspace.git_backend import Snapshot, Worktree
from services.workspace.journal import Session
from services.workspace.names import show
from services.workspace.workspace import Workspace, bounded

MAX_NAMED = 20
_MAX_FILES = 100_000
_MAX_REMEMBERED = 20_000
_MAX_ENTRIES = 100_000

_PATTERNS = tuple(line.rstrip("/") for line in DROPPINGS.decode().split() if line)

Marks = dict[bytes, tuple[int, int]]
"""Files with what tells whether they changed."""


class _Memory(msgspec.Struct, array_like=True):
    """What was there before the attempt `task` and after it. Done again, the attempt is compared with the same."""

    task: tuple[str, int]
    before: Marks
    after: Marks


def made_ignored(
    workspace: Workspace, session: Session, worktree: Worktree, found: Snapshot, task: tuple[str, int]
) -> WorkspaceIgnored | None:
    """What the turn made that is ignored: without what tools leave behind, and without what was there before it."""
    memory = workspace.root / "memory" / f"{session.session}.ignored"
    before = _load(memory, task)
    if not worktree.exists():
        return None
    now: Marks = {}
    fresh: list[bytes] = []
    count = 0
    with files.opened(worktree.path) as descriptor:
        root = Directory(descriptor, "")
        for path, mark in _files(root, worktree.ignored(found)):
            if len(now) < _MAX_REMEMBERED:
                now[path] = mark
            if before.get(path) != mark:
                count += 1
                if len(fresh) < MAX_NAMED:
                    fresh.append(path)
        rules = _rules(root, fresh)
    if now or before:
        files.replace(memory, msgspec.msgpack.encode(_Memory(task, before, now)))
    if not count:
        return None
    return WorkspaceIgnored(count=count, files=bounded([show(path) for path in fresh]), rules=rules)


def _load(memory: Path, task: tuple[str, int]) -> Marks:
    try:
        known = msgspec.msgpack.decode(memory.read_bytes(), type=_Memory)
    except (OSError, msgspec.MsgspecError):
        return {}
    return known.before if known.task == task else known.after


def _is_dropping(name: bytes) -> bool:
    text = name.decode("utf-8", "replace")
    return any(fnmatch(text, pattern) for pattern in _PATTERNS)


def _files(root: Directory, paths: list[bytes]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The files at and below some paths, without following a link. What is too much is not looked through."""
    waiting = sorted((path for path in paths if not any(map(_is_dropping, path.split(b"/")))), reverse=True)
    seen = 0
    while waiting and seen < _MAX_FILES:
        path = waiting.pop()
        *above, name = path.split(b"/")
        try:
            directory = root.directory(*above)
            if directory is None:
                continue
            with directory:
                status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    seen += 1
                    yield path, (status.st_ctime_ns, status.st_size)
                    continue
                below = directory.directory(name)
            if below is None:
                continue
            with below:
                inside = [found for found, _ in below.entries(_MAX_ENTRIES)]
        except (OSError, Unreadable):
            continue
        waiting += [path + b"/" + found for found in reversed(inside) if not _is_dropping(found) and found != b".git"]


def _rules(root: Directory, paths: list[bytes]) -> list[str]:
    """The ignore files above some paths."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split(b"/")
        for depth in range(len(parts)):
            try:
                directory = root.directory(*parts[:depth])
                if directory is None:
                    break
                with directory:
                    os.stat(b".gitignore", dir_fd=directory.descriptor, follow_symlinks=False)
            except Unreadable:
                break
            except OSError:
                continue
            found[show(b"/".join((*parts[:depth], b".gitignore")))] = None
    return list(found)[:5]
