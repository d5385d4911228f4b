"""What an agent's repository calls its commits: HEAD, branches, tags, the stash, reflogs, linked worktrees."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from services.workspace.agent_repository.opening import Directory, Finding, Unreadable, shown

T = TypeVar("T")

MAX_REFS = 20_000
_MAX_REF_BYTES = 4096
_MAX_PACKED_BYTES = 64 << 20
_MAX_REFLOG_BYTES = 16 << 20
_MAX_REFLOG_LINES = 50_000
_MAX_ENTRIES = 50_000
_MAX_DEPTH = 32
_MAX_SYMBOLIC = 5
"""So many symbolic references lead to each other in git; more are a circle."""

_MAX_WORKTREES = 200

_SHA = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_REFLOG = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) [^\n]*")
_ZERO = b"0" * 40


@dataclass(frozen=True, slots=True)
class Named:
    """A commit under the name that an agent gave it.

    `name` is the branch, tag or worktree; `message` what a reflog says of it.
    """

    sha: bytes
    kind: Literal["head", "branch", "tag", "stash", "reflog", "worktree", "unnamed", "other"]
    name: bytes
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class LinkedWorktree:
    """A worktree that an agent added to its repository. `place` is where it says that its `.git` file lies."""

    name: bytes
    place: bytes
    head: bytes
    """The commit of its HEAD; empty where it has none."""

    branch: bytes


@dataclass(slots=True)
class Refs:
    """All that was found. `head` is the commit of HEAD, `branch` the reference that HEAD names."""

    head: bytes = b""
    branch: bytes = b""
    names: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    logs: list[Named] = field(default_factory=list[Named])
    worktrees: list[LinkedWorktree] = field(default_factory=list[LinkedWorktree])
    findings: list[Finding] = field(default_factory=list[Finding])

    def named(self) -> list[Named]:
        """Every commit with the best name it has, those with a name of their own first."""
        found: dict[bytes, Named] = {}
        for name, sha in sorted(self.names.items(), key=lambda item: (_KINDS.index(_kind(item[0])), item[0])):
            found.setdefault(sha, Named(sha, _kind(name), _short(name)))
        for worktree in self.worktrees:
            if worktree.head:
                found.setdefault(worktree.head, Named(worktree.head, "worktree", worktree.name))
        if self.head:
            found.setdefault(self.head, Named(self.head, "head", b"HEAD"))
        for entry in self.logs:
            found.setdefault(entry.sha, entry)
        return list(found.values())


_KINDS = ("branch", "stash", "tag", "other")


def _kind(ref: bytes) -> Literal["branch", "tag", "stash", "other"]:
    if ref.startswith(b"refs/heads/"):
        return "branch"
    if ref.startswith(b"refs/tags/"):
        return "tag"
    return "stash" if ref == b"refs/stash" else "other"


def _short(ref: bytes) -> bytes:
    for prefix in (b"refs/heads/", b"refs/tags/", b"refs/"):
        if ref.startswith(prefix):
            return ref.removeprefix(prefix)
    return ref


def read_refs(git: Directory) -> Refs:
    """Reads all references of a git directory."""
    return _Reader(git).run()


def read_head(git: Directory) -> bytes:
    """The commit that HEAD of a git directory stands for; empty where it has none.

    Raises:
        Unreadable: HEAD is not what git writes.
    """
    reader = _Reader(git)
    reader.packed()
    return reader.head(git)[0]


class _Reader:
    def __init__(self, git: Directory) -> None:
        self._git = git
        self._found = Refs()
        self._symbolic: dict[bytes, bytes] = {}

    def run(self) -> Refs:
        found = self._found
        self._try(self.packed)
        self._try(lambda: self._loose((b"refs",)))
        for name, target in self._symbolic.items():
            sha = self._try(lambda target=target, name=name: self._resolved(target, {name}))
            if sha:
                found.names[name] = sha
        head = self._try(lambda: self.head(self._git))
        found.head, found.branch = head or (b"", b"")
        self._try(self._worktrees)
        self._try(lambda: self._log((b"logs", b"HEAD"), b"HEAD"))
        self._try(lambda: self._logs((b"logs", b"refs")))
        return found

    def _try(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Unreadable as error:
            self._found.findings.append(error.finding)
            return None

    # -- references -------------------------------------------------------------------------------------------------

    def packed(self) -> None:
        """Takes in `packed-refs`; loose references, read later, win over it."""
        data = self._git.read(b"packed-refs", limit=_MAX_PACKED_BYTES)
        for line in (data or b"").split(b"\n"):
            sha, _, name = line.partition(b" ")
            if _SHA.fullmatch(sha) and _is_ref(name):
                self._add(name, sha)
            elif line and line[:1] not in {b"#", b"^"}:
                where = self._git.place(b"packed-refs")
                raise Unreadable("bad_ref", where, f"the line {shown(line[:80])!r} is no reference")

    def _add(self, name: bytes, sha: bytes) -> None:
        if len(self._found.names) >= MAX_REFS:
            raise Unreadable("too_many", self._git.place(b"refs"), f"there are over {MAX_REFS} references")
        self._found.names[name] = sha

    def _loose(self, parts: tuple[bytes, ...]) -> None:
        for path in self._files(parts):
            name = b"/".join(path)
            value = self._try(lambda path=path: self._git.read(*path, limit=_MAX_REF_BYTES))
            if value is None or not _is_ref(name):
                continue
            text = value.strip()
            if _SHA.fullmatch(text):
                self._add(name, text)
            elif text.startswith(b"ref: "):
                self._symbolic[name] = text.removeprefix(b"ref: ").strip()
                self._found.names.pop(name, None)
            elif not name.endswith(b".lock"):
                self._found.findings.append(
                    Finding("bad_ref", self._git.place(name), f"{shown(text[:80])!r} is no commit")
                )

    def _files(self, top: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
        """The regular files below a directory, by path."""
        found: list[tuple[bytes, ...]] = []
        waiting = [top]
        seen = 0
        while waiting:
            parts = waiting.pop()
            directory = self._try(lambda parts=parts: self._git.directory(*parts))
            if directory is None:
                continue
            with directory:
                entries = self._try(lambda directory=directory: directory.entries(_MAX_ENTRIES)) or []
            seen += len(entries)
            if seen > _MAX_ENTRIES or len(parts) > _MAX_DEPTH:
                raise Unreadable("too_many", self._git.place(b"/".join(top)), "it holds too much to be references")
            for name, status in entries:
                if stat.S_ISDIR(status.st_mode):
                    waiting.append((*parts, name))
                elif stat.S_ISREG(status.st_mode):
                    found.append((*parts, name))
                else:
                    where = self._git.place(b"/".join((*parts, name)))
                    self._found.findings.append(Finding("not_a_file", where, "it is not a regular file"))
        return found

    def _resolved(self, target: bytes, seen: set[bytes]) -> bytes:
        while target in self._symbolic:
            if target in seen or len(seen) > _MAX_SYMBOLIC:
                raise Unreadable("cyclic_ref", self._git.place(target), "references lead to each other in a circle")
            seen.add(target)
            target = self._symbolic[target]
        return self._found.names.get(target, b"")

    def head(self, directory: Directory) -> tuple[bytes, bytes]:
        """The commit and the branch of a HEAD, each empty where there is none."""
        text = (directory.read(b"HEAD", limit=_MAX_REF_BYTES) or b"").strip()
        if _SHA.fullmatch(text):
            return text, b""
        if not text.startswith(b"ref: "):
            raise Unreadable("bad_ref", directory.place(b"HEAD"), f"{shown(text[:80])!r} is no commit and no branch")
        target = text.removeprefix(b"ref: ").strip()
        if not _is_ref(target):
            raise Unreadable("bad_ref", directory.place(b"HEAD"), f"{shown(target[:80])!r} is no name of a branch")
        if target not in self._found.names and target not in self._symbolic:
            value = (self._git.read(*target.split(b"/"), limit=_MAX_REF_BYTES) or b"").strip()
            if _SHA.fullmatch(value):
                return value, target
        return self._resolved(target, set()), target

    # -- reflogs and worktrees --------------------------------------------------------------------------------------

    def _logs(self, top: tuple[bytes, ...]) -> None:
        for path in self._files(top):
            self._try(lambda path=path: self._log(path, b"/".join(path[1:])))

    def _log(self, path: tuple[bytes, ...], name: bytes) -> None:
        data = self._git.read(*path, limit=_MAX_REFLOG_BYTES)
        lines = (data or b"").split(b"\n")[-_MAX_REFLOG_LINES:]
        kind = "stash" if name == b"refs/stash" else "reflog"
        for line in reversed(lines):
            head, _, message = line.partition(b"\t")
            matched = _REFLOG.fullmatch(head)
            if matched is None:
                continue
            for sha in (matched.group(2), matched.group(1)):
                if sha != _ZERO:
                    self._found.logs.append(Named(sha, kind, _short(name), message[:200]))

    def _worktrees(self) -> None:
        directory = self._git.directory(b"worktrees")
        if directory is None:
            return
        with directory:
            for name, status in directory.entries(_MAX_WORKTREES):
                if stat.S_ISDIR(status.st_mode):
                    self._try(lambda name=name, directory=directory: self._worktree(directory, name))

    def _worktree(self, above: Directory, name: bytes) -> None:
        directory = above.directory(name)
        if directory is None:
            return
        with directory:
            place = (directory.read(b"gitdir", limit=_MAX_REF_BYTES) or b"").rstrip(b"\n")
            sha, branch = self._try(lambda: self.head(directory)) or (b"", b"")
            self._found.worktrees.append(LinkedWorktree(name, place, sha, _short(branch)))
        self._try(lambda: self._log((b"worktrees", name, b"logs", b"HEAD"), b"worktrees/" + name))


def _is_ref(name: bytes) -> bool:
    """Whether this may be the name of a reference; a path out of `refs/` never is."""
    if not name.startswith(b"refs/") or len(name) > 1024 or b"\0" in name:
        return False
    return all(part and not part.startswith(b".") for part in name.split(b"/"))
