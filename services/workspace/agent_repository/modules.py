"""The repositories of an agent's submodules: where its git keeps them, and in the directories of submodules."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator

from services.workspace.agent_repository.opening import Directory, Unreadable
from services.workspace.agent_repository.repository import gitlink_directory

_MAX_ENTRIES = 10_000
_MAX_REPOSITORIES = 1_000
_DEEPEST = 60


def module_repositories(worktree: int, submodules: Collection[bytes]) -> Iterator[tuple[bytes, Directory]]:
    """The git directories of submodules, each with a name for it. Whoever takes one closes it.

    Raises:
        Unreadable: there are too many, or something is in their place.
    """
    root = Directory(worktree, "")
    tops = _tops(root)
    waiting = list(tops)
    seen = 0
    while waiting:
        parts = waiting.pop()
        directory = root.directory(*parts)
        if directory is None:
            continue
        with directory:
            entries = {name: stat.S_ISDIR(status.st_mode) for name, status in directory.entries(_MAX_ENTRIES)}
            seen += 1
            if seen > _MAX_REPOSITORIES or len(parts) > _DEEPEST:
                raise Unreadable("too_many", directory.where, "it holds more repositories than are looked at")
            if parts in tops or not (b"HEAD" in entries and entries.get(b"objects")):
                waiting += [(*parts, name) for name, is_directory in entries.items() if is_directory]
                continue
        waiting.append((*parts, b"modules"))
        found = root.directory(*parts)
        if found is not None:
            yield b"/".join(part for part in parts[parts.index(b"modules") + 1 :] if part != b"modules"), found
    for path in sorted(submodules):
        own = root.directory(*path.split(b"/"), b".git") if _is_own(worktree, path) else None
        if own is not None:
            yield path, own


def _tops(root: Directory) -> list[tuple[bytes, ...]]:
    """Where git keeps the repositories of submodules: those of the worktree, and of others that were added to it."""
    found: list[tuple[bytes, ...]] = [(b".git", b"modules")]
    worktrees = root.directory(b".git", b"worktrees")
    if worktrees is not None:
        with worktrees:
            entries = worktrees.entries(_MAX_REPOSITORIES)
        names = [name for name, status in entries if stat.S_ISDIR(status.st_mode)]
        found += [(b".git", b"worktrees", name, b"modules") for name in names]
    return found


def _is_own(worktree: int, path: bytes) -> bool:
    """Whether the repository of a submodule is in its directory."""
    try:
        found = gitlink_directory(worktree, path)
        if found is None:
            return False
        with found:
            return not found.where.startswith(".git/")
    except Unreadable:
        return False
