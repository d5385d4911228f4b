"""Submodules whose commits are held: where a local origin keeps them, and their files at a place of evidence.

A submodule is filled where its commit is held and `.gitmodules` names it, as a clone with its submodules would do. Its
objects come from nowhere but the origin's own git directory: what only an agent has, nobody can fetch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from services.workspace import agent_git, files
from services.workspace.agent_git import AgentGit
from services.workspace.bare import borrowed_by
from services.workspace.git_backend import Oid
from services.workspace.git_program.index import Memory
from services.workspace.git_program.runner import Git, split
from services.workspace.git_program.tracked import Tracked
from services.workspace.names import show
from services.workspace.problems import WorkspaceProblem

_log = structlog.get_logger(__name__)

_DEEPEST = 8
_MOST = 500
"""So deep are submodules of submodules filled, and so many of a commit in all. The others are named as unfilled."""


def module_repositories(root: Path) -> Iterator[Path]:
    """The repositories of submodules below `modules` of a git directory. Links are not followed, nor a `commondir`."""
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        if directory.is_symlink() or not directory.is_dir():
            continue
        inside = {entry.name: entry for entry in os.scandir(directory)}
        head, kept = inside.get("HEAD"), [inside.get("objects"), inside.get("refs")]
        if head is None or None in kept:
            waiting += [Path(entry.path) for entry in inside.values() if entry.is_dir(follow_symlinks=False)]
            continue
        own = all(one is not None and one.is_dir(follow_symlinks=False) for one in kept)
        if own and head.is_file(follow_symlinks=False) and "commondir" not in inside:
            yield directory
        waiting.append(directory / "modules")


class Commits(Protocol):
    """What is asked of the repository."""

    def submodules(self, commit: Oid) -> dict[bytes, Oid]:
        """The submodules in a commit, by path, and the commits that they stand at."""
        ...

    def check(self, commit: Oid) -> None:
        """Raises `unsafe_repository` where a commit holds a file that must not be written to a disk."""
        ...


class _Filled(msgspec.Struct):
    """A submodule whose files are there, and the name of the index that they are of."""

    path: bytes
    index: str


class _State(msgspec.Struct, omit_defaults=True):
    """`filled` are those of which the platform put the files there, `known` all that were met, nested ones too."""

    filled: list[_Filled] = []
    known: list[bytes] = []


class Submodules:
    """The submodules of the commit at a place of evidence. `memory` is a directory for what is known of them."""

    def __init__(self, commits: Commits, git: Git, place: Path, memory: Path, scratch: Path) -> None:
        self._commits = commits
        self._git = git
        self._place = place
        self._memory = memory
        self._scratch = scratch
        self._file = memory / "state"

    def fill(self, commit: Oid, held: files.Held, *, some: bool) -> None:
        """Makes the directory of each submodule hold the files of its commit, or none, but of those that are held.

        Not `some`: the commit has no submodule.
        """
        if not some:
            files.remove_tree(self._memory)
            return
        wanted, before = self._commits.submodules(commit), self._load()
        state = _State(known=list(wanted))
        for path in wanted:
            if held.holds(path):
                inside = path + b"/"
                state.filled += [one for one in before.filled if one.path == path or one.path.startswith(inside)]
                state.known += [name for name in before.known if name.startswith(inside)]
        kept = {one.index for one in state.filled}
        self._memory.mkdir(parents=True, exist_ok=True)
        self._file.unlink(missing_ok=True)
        for left in self._memory.iterdir():
            if left.name not in kept:
                left.unlink()
        named = names_of(self._git, commit)
        for path, oid in wanted.items():
            if not held.holds(path):
                put(self._place, path, self._made(oid, path, state, 1) if path in named else None)
        files.replace(self._file, msgspec.msgpack.encode(state))

    def changes(self) -> list[bytes]:
        """The files of submodules that are no longer those of their commits, of those that were filled here."""
        found: list[bytes] = []
        for one in self._load().filled:
            with files.opened(self._place) as root:
                places = files.Places(root, repair=False)
                there = places.find(tuple(one.path.split(b"/"))) is not None
                places.close()
            if not there:
                found.append(one.path)
                continue
            tracked = Tracked(self._git, self._place / os.fsdecode(one.path), self._memory / "none", self._scratch)
            status = tracked.status(self._memory / one.index, untracked=False)
            found += [one.path + b"/" + name for name in status.changed | status.gone]
        return found

    def known(self) -> list[bytes]:
        """The paths of all submodules that were met, those of filled ones too."""
        return self._load().known

    def _load(self) -> _State:
        try:
            return msgspec.msgpack.decode(self._file.read_bytes(), type=_State)
        except (OSError, msgspec.MsgspecError, ValueError):
            return _State()

    def _made(self, oid: Oid, where: bytes, state: _State, depth: int) -> Path | None:
        """A directory with the files of a submodule, and a `.git` that borrows its objects. None: it cannot be had."""
        if depth > _DEEPEST or len(state.filled) >= _MOST or not self._is_commit(oid):
            return None
        index = Memory(self._memory / "submodule").fresh()
        made = self._scratch / index.name
        done = False
        try:
            self._commits.check(oid)
            made.mkdir(parents=True)
            git = self._git.at(made, index)
            git.run("read-tree", "--no-recurse-submodules", oid)
            git.run("checkout-index", "--all", "--force", "--index")
            state.filled.append(_Filled(where, index.name))
            self._fill_nested(made, oid, where, state, depth)
            objects = self._git.directory / "objects"
            content = AgentGit("", oid, {}, "evidence", objects, index.read_bytes(), b"")
            agent_git.renew(made, self._scratch, content)
            done = True
        except WorkspaceProblem as problem:
            _log.warning("submodule_not_filled", path=show(where), commit=oid, error=problem.message)
            state.filled = [one for one in state.filled if one.path != where and not one.path.startswith(where + b"/")]
        finally:
            if not done:
                files.remove_tree(made)
        return made if done else None

    def _fill_nested(self, made: Path, oid: Oid, where: bytes, state: _State, depth: int) -> None:
        wanted = self._commits.submodules(oid)
        named = names_of(self._git, oid) if wanted else dict[bytes, Name]()
        for path, inner in wanted.items():
            inside = where + b"/" + path
            state.known.append(inside)
            put(made, path, self._made(inner, inside, state, depth + 1) if path in named else None)

    def _is_commit(self, oid: Oid) -> bool:
        return origin_has(self._git, oid)


def origin_has(git: Git, oid: Oid) -> bool:
    """Whether the origin has a commit: its cached clone does, from which a repository borrows."""
    clone = borrowed_by(git.directory)
    return clone is not None and clone.is_dir() and is_commit(replace(git, directory=clone), oid)


def is_commit(git: Git, oid: Oid) -> bool:
    """Whether a repository has a commit."""
    return git.run("cat-file", "-t", oid, codes=None).out == b"commit\n"


def put(directory: Path, path: bytes, made: Path | None) -> None:
    """Makes a path of a directory what was made in the scratch, or an empty directory."""
    *above, name = path.split(b"/")
    with files.opened(directory) as root:
        places = files.Places(root)
        try:
            there = places.make(tuple(above))
            files.remove(there, name)
            if made is None:
                os.mkdir(name, 0o755, dir_fd=there)
            else:
                os.rename(made, name, dst_dir_fd=there)
        finally:
            places.close()


@dataclass(frozen=True, slots=True)
class Name:
    """What `.gitmodules` calls a submodule, and where it says that it comes from."""

    name: bytes
    url: bytes


def names_of(git: Git, commit: Oid) -> Mapping[bytes, Name]:
    """What `.gitmodules` of a commit says of submodules, by their paths."""
    words = ("config", "--no-includes", "--null", f"--blob={commit}:.gitmodules")
    done = git.run(*words, "--get-regexp", r"^submodule\..*\.(path|url)$", codes=None)
    paths: dict[bytes, bytes] = {}
    urls: dict[bytes, bytes] = {}
    for line in split(done.out) if done.code == 0 else []:
        key, _, value = line.partition(b"\n")
        name, _, kind = key.removeprefix(b"submodule.").rpartition(b".")
        (paths if kind == b"path" else urls)[name] = value
    return {path: Name(name, urls.get(name, b"")) for name, path in paths.items()}
