"""The submodules of an agent's worktree: their files, and repositories in which the agent's own git works.

One is filled where its commit is held: by the origin, or in the execution's repository, where an agent made it. The
repositories are where git puts them, in `modules` of the agent's `.git`, and borrow their objects from the platform's.
What becomes of them there is read as data, like all that an agent's git has.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import structlog

from services.workspace import files
from services.workspace.agent_git import AgentGit
from services.workspace.bare import borrowed_by
from services.workspace.git_backend import Oid
from services.workspace.git_program.index import Memory
from services.workspace.git_program.runner import Git
from services.workspace.git_program.submodules import Name, is_commit, names_of, put
from services.workspace.git_program.tracked import Tracked
from services.workspace.names import safe_name, show
from services.workspace.problems import WorkspaceProblem

_log = structlog.get_logger(__name__)

_DEEPEST = 8
_MOST = 500
_REFS = "refs/parallax/submodules"


class Commits(msgspec.Struct, frozen=True):
    """What is asked of the repository: the submodules of a commit, and whether its files may be written."""

    submodules: Callable[[Oid], dict[bytes, Oid]]
    check: Callable[[Oid], None]


class _Filled(msgspec.Struct, frozen=True):
    """A submodule of which the platform put the files there: its path, its commit, and the index they are of."""

    path: bytes
    commit: str
    index: str


class _State(msgspec.Struct):
    filled: list[_Filled] = []


@dataclass(slots=True)
class Filling:
    """What is to be put into a worktree: repositories by the names of submodules, and directories by their paths."""

    repositories: dict[bytes, AgentGit] = field(default_factory=dict[bytes, AgentGit])
    made: dict[bytes, Path] = field(default_factory=dict[bytes, Path])
    kept: list[bytes] = field(default_factory=list[bytes])
    state: _State = field(default_factory=_State)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a submodule is: its path, its repository as seen from the worktree, and where it says it comes from."""

    path: bytes
    repository: bytes
    url: bytes
    depth: int

    def inner(self, path: bytes, name: Name) -> _Place:
        """A submodule of it."""
        inside = self.path + b"/" + path if self.path else path
        return _Place(inside, self.repository + b"/modules/" + name.name, resolved(name.url, self.url), self.depth + 1)


_TOP = _Place(b"", b".git", b"", 0)


class AgentSubmodules:
    """The submodules of a worktree. `memory` is a directory for what is known of them."""

    def __init__(self, commits: Commits, git: Git, place: Path, memory: Path, scratch: Path) -> None:
        self._commits = commits
        self._git = git
        self._place = place
        self._memory = memory
        self._scratch = scratch
        self._file = memory / "state"

    # -- what is there ----------------------------------------------------------------------------------------------

    def is_clean(self, path: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Whether a submodule holds the files of the commit that its HEAD is at, and what ignore rules keep out.

        `heads` gives the commit at which the agent's git stands in a submodule; empty, where nothing is checked out.
        """
        head = heads(path)
        known = next((one for one in self._load().filled if one.path == path and one.commit == head), None)
        if not head or not is_commit(self._git, head) or not self._is_directory(path):
            return False
        index = self._memory / known.index if known else Memory(self._scratch / "submodule").fresh()
        try:
            if known is None:
                self._git.at(self._scratch, index).run("read-tree", "--no-recurse-submodules", head)
            tracked = Tracked(self._git, self._place / os.fsdecode(path), self._memory / "none", self._scratch)
            inner = self._commits.submodules(head)
            status = tracked.status(index, untracked=True, submodules=list(inner))
        finally:
            if known is None:
                index.unlink(missing_ok=True)
        if status.changed or status.gone or status.new or status.repositories or status.too_deep:
            return False
        return all(self._stands_at(path + b"/" + name, oid, heads) for name, oid in inner.items())

    def _stands_at(self, path: bytes, oid: Oid, heads: Callable[[bytes], Oid]) -> bool:
        with files.opened(self._place) as root:
            places = files.Places(root, repair=False)
            there = places.find(tuple(path.split(b"/")))
            empty = there is not None and not os.listdir(there)  # noqa: PTH208 - of a descriptor
            places.close()
        return empty or (heads(path) == oid and self.is_clean(path, heads))

    def is_intact(self, path: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Whether a clean submodule, and all in it, stands where the platform put it."""
        inside = [one for one in self._load().filled if one.path == path or one.path.startswith(path + b"/")]
        return bool(inside) and all(heads(one.path) == one.commit for one in inside)

    def _is_directory(self, path: bytes) -> bool:
        with files.opened(self._place) as root:
            places = files.Places(root, repair=False)
            try:
                return places.find(tuple(path.split(b"/"))) is not None
            finally:
                places.close()

    # -- what is put there ------------------------------------------------------------------------------------------

    def make(self, commit: Oid, intact: Collection[bytes], name: str, url: bytes) -> Filling:
        """Makes the files of the submodules of a commit, beside the worktree. Those that are `intact` stay."""
        filling = Filling()
        wanted = self._commits.submodules(commit)
        if not wanted:
            return filling
        self._memory.mkdir(parents=True, exist_ok=True)
        before = {one.path: one for one in self._load().filled}
        for path, oid, place in _placed(replace(_TOP, url=url), wanted, names_of(self._git, commit)):
            at = Filling(state=filling.state)
            made = self._made(oid, place, name, at, before) if path in intact else None
            made = made or self._made(oid, place, name, at, {})
            if made is None:
                continue
            if path in at.made:
                filling.made[path] = at.made[path]
            else:
                filling.kept.append(path)
            filling.repositories[place.repository.removeprefix(b".git/modules/")] = made
        return filling

    def _made(
        self, oid: Oid, place: _Place, name: str, filling: Filling, before: Mapping[bytes, _Filled]
    ) -> AgentGit | None:
        """The repository of a submodule, whose files are in `filling` unless they are there. None: it cannot be had."""
        if place.depth > _DEEPEST or len(filling.state.filled) >= _MOST or not is_commit(self._git, oid):
            return None
        marks = len(filling.state.filled)
        known = before.get(place.path)
        made: Path | None = None
        try:
            if known is not None and known.commit == oid and (self._memory / known.index).is_file():
                index = self._memory / known.index
            elif before:
                return None
            else:
                self._commits.check(oid)
                index = Memory(self._memory / "submodule").fresh()
                made = self._scratch / f"submodule-{secrets.token_hex(6)}"
                self._check_out(oid, made, index)
            filling.state.filled.append(_Filled(place.path, oid, index.name))
            return self._repository(oid, place, name, filling, before, made, index)
        except WorkspaceProblem as problem:
            _log.warning("submodule_not_filled", path=show(place.path), commit=oid, error=problem.message)
            del filling.state.filled[marks:]
            if made is not None:
                files.remove_tree(made)
            return None

    def _check_out(self, oid: Oid, made: Path, index: Path) -> None:
        made.mkdir(parents=True)
        git = self._git.at(made, index)
        git.run("read-tree", "--no-recurse-submodules", oid)
        git.run("checkout-index", "--all", "--force", "--index")

    def _repository(
        self,
        oid: Oid,
        place: _Place,
        name: str,
        filling: Filling,
        before: Mapping[bytes, _Filled],
        made: Path | None,
        index: Path,
    ) -> AgentGit:
        up = b"../" * (place.path.count(b"/") + 1)
        inner: dict[bytes, AgentGit] = {}
        wanted = self._commits.submodules(oid)
        if made is not None:
            (made / ".git").write_bytes(b"gitdir: " + up + place.repository + b"\n")
            for path in wanted:
                put(made, path, None)
            filling.made[place.path] = made
        for path, at, below in _placed(place, wanted, names_of(self._git, oid) if wanted else {}):
            repository = self._made(at, below, name, filling, before)
            if repository is None:
                continue
            inner[below.repository.removeprefix(place.repository + b"/modules/")] = repository
            inside = filling.made.pop(below.path, None)
            if inside is not None and made is not None:
                put(made, path, inside)
        return AgentGit(
            branch="",
            commit=oid,
            refs=self._refs(oid),
            name=name,
            objects=self._git.directory / "objects",
            index=index.read_bytes(),
            exclude=(self._git.directory / "info/exclude").read_bytes(),
            submodules=inner,
            worktree=b"../" * (place.repository.count(b"/") + 1) + place.path,
            url=place.url,
        )

    def _refs(self, oid: Oid) -> dict[str, Oid]:
        """The branches and tags that the origin's own repository of a submodule knows, where it has the commit."""
        clone = borrowed_by(self._git.directory)
        if clone is None or not clone.is_dir():
            return {}
        git = replace(self._git, directory=clone)
        words = ("for-each-ref", "--format=%(objectname) %(refname)")
        holders = split_lines(git.run(*words, f"--contains={oid}", _REFS, codes=None).out)
        places = sorted({"/".join(ref.split("/")[:4]) for ref in holders})
        found: dict[str, Oid] = {}
        for place in places[:1]:
            for ref, at in split_lines(git.run(*words, f"{place}/refs").out).items():
                own = ref.removeprefix(f"{place}/")
                if own.startswith(("refs/tags/", "refs/remotes/origin/")) and own != "refs/remotes/origin/HEAD":
                    found[own] = at
        return found

    def take_over(self, filling: Filling) -> None:
        """Puts the files into the worktree, and writes down what is there."""
        if not filling.state.filled and not self._memory.is_dir():
            return
        self._file.unlink(missing_ok=True)
        for path, made in filling.made.items():
            put(self._place, path, made)
        self._memory.mkdir(parents=True, exist_ok=True)
        files.replace(self._file, msgspec.msgpack.encode(filling.state))
        used = {one.index for one in filling.state.filled} | {self._file.name}
        for left in self._memory.iterdir():
            if left.name not in used:
                left.unlink()

    def remove(self) -> None:
        """Forgets everything."""
        files.remove_tree(self._memory)

    def _load(self) -> _State:
        try:
            return msgspec.msgpack.decode(self._file.read_bytes(), type=_State)
        except (OSError, msgspec.MsgspecError, ValueError):
            return _State()


def _placed(above: _Place, wanted: Mapping[bytes, Oid], named: Mapping[bytes, Name]) -> list[tuple[bytes, Oid, _Place]]:
    """Those submodules that `.gitmodules` gives a name under which git keeps a repository of its own."""
    taken: list[bytes] = []
    found: list[tuple[bytes, Oid, _Place]] = []
    for path, oid in wanted.items():
        name = named.get(path)
        if name is None or not _is_place(name.name) or any(_is_inside(name.name, other) for other in taken):
            continue
        taken.append(name.name)
        found.append((path, oid, above.inner(path, name)))
    return found


def fillable(git: Git, commit: Oid, submodules: Mapping[bytes, Oid]) -> set[bytes]:
    """Those submodules of a commit whose commits are held, and that `.gitmodules` names."""
    placed = _placed(_TOP, submodules, names_of(git, commit)) if submodules else []
    return {path for path, oid, _ in placed if is_commit(git, oid)}


def _is_place(name: bytes) -> bool:
    parts = name.split(b"/")
    if any(byte < 0x20 for byte in name):
        return False
    return len(name) <= 1000 and len(parts) <= 50 and all(safe_name(part) and len(part) <= 200 for part in parts)


def _is_inside(one: bytes, other: bytes) -> bool:
    return one == other or one.startswith(other + b"/") or other.startswith(one + b"/")


def split_lines(out: bytes) -> dict[str, Oid]:
    """Refs and what they name, of lines of both."""
    lines = out.decode("utf-8", "surrogateescape").splitlines()
    return {ref: oid for oid, _, ref in (line.partition(" ") for line in lines)}


def resolved(url: bytes, above: bytes) -> bytes:
    """An address of a submodule, as git reads it beside that of the repository it is in. Empty: it cannot be told."""
    if not url.startswith((b"./", b"../")):
        return url
    if not above:
        return b""
    base = above.rstrip(b"/")
    while True:
        if url.startswith(b"./"):
            url = url[2:]
        elif url.startswith(b"../"):
            url, base = url[3:], base.rpartition(b"/")[0]
        else:
            return base + b"/" + url
