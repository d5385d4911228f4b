"""An agent's repository as a whole: what it calls its commits, what is staged, and which commits it made."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress

from services.workspace.agent_repository.index import Index, read_index
from services.workspace.agent_repository.objects import Budget, Objects, Raw
from services.workspace.agent_repository.opening import Directory, Finding, Unreadable
from services.workspace.agent_repository.quarantine import commit_parts
from services.workspace.agent_repository.refs import Named, Refs, read_head, read_refs

_MAX_COMMITS = 50_000
_MAX_GITFILE_BYTES = 4096
_NAMELESS = frozenset({"reflog", "head"})


class AgentRepository:
    """The `.git` in a worktree. `outside` gives an object that the platform has. To be closed.

    Reading never raises: what cannot be read is in `findings`.
    """

    def __init__(self, git: Directory, outside: Callable[[bytes], Raw | None], *, budget: Budget | None = None) -> None:
        self._git = git
        self.findings: list[Finding] = []
        self.refs: Refs = read_refs(git)
        self.findings += self.refs.findings
        self.index: Index | None = None
        try:
            self.index = read_index(git)
        except Unreadable as error:
            self.findings.append(error.finding)
        if self._has(b"reftable"):
            self._find("unknown_format", "reftable", "its references are in the format reftable, which is not read")
        self.objects = self._objects(outside, budget or Budget())
        self.findings += self.objects.findings

    @classmethod
    def of(
        cls, worktree: int, outside: Callable[[bytes], Raw | None], *, budget: Budget | None = None
    ) -> tuple[AgentRepository | None, list[Finding]]:
        """The repository of a worktree (a descriptor), if it has one that can be opened, and what is wrong if not."""
        try:
            git = Directory(worktree, "").directory(b".git")
        except Unreadable as error:
            return None, [error.finding]
        if git is None:
            return None, [Finding("missing", ".git", "there is no .git any more")]
        made = cls(git, outside, budget=budget)
        return made, made.findings

    def close(self) -> None:
        """Closes everything that is open."""
        self.objects.close()
        self._git.close()

    def _find(self, code: str, name: str, message: str) -> None:
        self.findings.append(Finding(code, f"{self._git.where}/{name}", message))

    def _has(self, name: bytes) -> bool:
        try:
            os.stat(name, dir_fd=self._git.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _objects(self, outside: Callable[[bytes], Raw | None], budget: Budget) -> Objects:
        try:
            found = self._git.directory(b"objects")
        except Unreadable as error:
            self.findings.append(error.finding)
            found = None
        return Objects(found, budget, outside)

    def own(self) -> frozenset[bytes]:
        """The names of the objects in the repository itself. Too many of them are as good as none, and named."""
        try:
            return frozenset(self.objects.names())
        except Unreadable as error:
            self.findings.append(error.finding)
            return frozenset()

    def commits(self, fresh: AbstractSet[bytes]) -> list[Named]:
        """The commits to keep, each by its best name, of the objects `fresh`: those that are the agent's alone.

        A commit without a name is only there when no other one that is there goes on from it.
        """
        named = [one for one in self.refs.named() if one.sha in fresh]
        parents: dict[bytes, list[bytes]] = {}
        self._walk([one.sha for one in named], fresh, parents)
        for sha in fresh:
            if sha not in parents and self.objects.kind(sha) == b"commit":
                self._walk([sha], fresh, parents)
        later = {parent for below in parents.values() for parent in below}
        found = [one for one in named if one.sha in parents and (one.sha not in later or one.kind not in _NAMELESS)]
        names = {one.sha for one in named}
        found += [Named(sha, "unnamed", sha[:12]) for sha in sorted(parents) if sha not in later and sha not in names]
        return found

    def _walk(self, tips: list[bytes], fresh: AbstractSet[bytes], parents: dict[bytes, list[bytes]]) -> None:
        """Takes in the parents of commits and of all before them that are fresh."""
        waiting = list(tips)
        while waiting:
            sha = waiting.pop()
            if sha in parents or sha not in fresh:
                continue
            if len(parents) >= _MAX_COMMITS:
                self._find("too_many", "objects", f"there are over {_MAX_COMMITS} commits of its own")
                return
            try:
                found = self.objects.read(sha)
            except Unreadable as error:
                self.findings.append(error.finding)
                continue
            if found is None or found[0] != b"commit":
                continue
            try:
                parents[sha] = commit_parts(found[1])[1]
            except ValueError as error:
                self._find("damaged_object", f"objects/{sha.decode()}", f"it is no sound commit: {error}")
                continue
            waiting += parents[sha]

    def gitlink_head(self, worktree: int, path: bytes) -> bytes:
        """The commit that is checked out in the submodule at `path`; empty where nothing is.

        Its git directory is a `.git` of its own, or lies in `.git/modules` of this repository; anywhere else it is not
        looked for.

        Raises:
            Unreadable: something there is not what git writes.
        """
        return gitlink_head(worktree, path)

    def elsewhere(self, fresh: AbstractSet[bytes]) -> frozenset[bytes]:
        """The commits, `fresh` ones and those before them, that this repository has from another one: others can have
        them too.

        A tag is from there where nothing says that it was made here.
        """
        logged = {entry.sha for entry in self.refs.logs}
        names = self.refs.names.items()
        tips = [sha for name, sha in names if name.startswith(b"refs/remotes/")]
        if tips:
            tips += [sha for name, sha in names if name.startswith(b"refs/tags/") and sha not in logged]
        found: dict[bytes, list[bytes]] = {}
        self._walk(tips, fresh, found)
        return frozenset(found) | frozenset(parent for below in found.values() for parent in below) | frozenset(tips)


def gitlink_head(worktree: int, path: bytes) -> bytes:
    """The commit that is checked out in the submodule at `path`; empty where nothing is.

    Raises:
        Unreadable: something there is not what git writes.
    """
    git = gitlink_directory(worktree, path)
    if git is None:
        return b""
    with git:
        return read_head(git)


def gitlink_directory(worktree: int, path: bytes) -> Directory | None:
    """The git directory of the submodule at `path`: a `.git` of its own, or one in `.git/modules`. None: there is none.

    Raises:
        Unreadable: something there is not what git writes, or leads elsewhere.
    """
    root = Directory(worktree, "")
    parts = path.split(b"/")
    below = root.directory(*parts)
    if below is None:
        return None
    with below:
        try:
            status = os.stat(b".git", dir_fd=below.descriptor, follow_symlinks=False)
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            return below.directory(b".git")
        text = below.read(b".git", limit=_MAX_GITFILE_BYTES) or b""
        return root.directory(*_inside(text, parts, below.place(b".git")))


def foreign_objects(git: Directory | None) -> list[Finding]:
    """A finding where a repository of a format that is not read holds objects of its own."""
    try:
        objects = git.directory(b"objects") if git is not None else None
        if objects is None:
            return []
        with objects:
            own = any(name not in {b"info", b"pack"} for name, _ in objects.entries(_MAX_COMMITS))
            packs = objects.directory(b"pack")
            if packs is not None:
                with packs:
                    own = own or bool(packs.entries(_MAX_COMMITS))
    except Unreadable as error:
        return [error.finding]
    message = "it is of a format (SHA-256) in which what an agent did beside its work is not read"
    return [Finding("unknown_format", objects.where.removesuffix("/objects"), message)] if own else []


def _inside(text: bytes, parts: list[bytes], where: str) -> list[bytes]:
    """The names of the directories from the worktree to where a `.git` file of a submodule points."""
    target = text.removeprefix(b"gitdir: ").strip()
    resolved = list(parts)
    for name in target.split(b"/"):
        if name == b"..":
            with suppress(IndexError):
                resolved.pop()
        elif name not in {b"", b"."}:
            resolved.append(name)
    if not text.startswith(b"gitdir: ") or target.startswith(b"/") or resolved[:2] != [b".git", b"modules"]:
        raise Unreadable("foreign_gitdir", where, "it points out of the repository's own .git/modules")
    return resolved
