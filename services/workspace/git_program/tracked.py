"""The tracked files of a directory that somebody else may change at any time, also while git is at work.

Git looks: it says which files differ from its index. It never reads a changed file from there, nor writes one: changed
files are copied out, and new ones moved in, through descriptors of directories that were opened without following
links, so nobody who swaps a directory for a link makes git read or write anything outside.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.workspace import files
from services.workspace.git_backend import Oid
from services.workspace.git_program.attributes import is_attributes
from services.workspace.git_program.index import Memory, State
from services.workspace.git_program.runner import Git, split
from services.workspace.modes import SUBMODULE
from services.workspace.names import is_git_directory, show
from services.workspace.problems import WorkspaceProblem

_LONG_PATH = 4000
"""Git cannot reach a path that is longer, and what it says of it is cut before the reason."""


@dataclass(slots=True)
class Status:
    """What differs from the index: tracked paths that are gone or changed, and what is not tracked.

    `repositories` are nested ones: nothing in them counts, but what is tracked. `too_deep`: there are directories below
    that git cannot reach.
    """

    gone: set[bytes] = field(default_factory=set[bytes])
    changed: set[bytes] = field(default_factory=set[bytes])
    new: set[bytes] = field(default_factory=set[bytes])
    ignored: list[bytes] = field(default_factory=list[bytes])
    repositories: list[bytes] = field(default_factory=list[bytes])
    too_deep: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of a path between two trees. `mode` 0: it goes."""

    path: bytes
    mode: int


class Tracked:
    """The directory `path`, and what is known of it in `memory`. `scratch` is on the same file system."""

    def __init__(self, git: Git, path: Path, memory: Path, scratch: Path) -> None:
        self.path = path
        self.memory = Memory(memory)
        self._git = git
        self._scratch = scratch

    def exists(self) -> bool:
        """Whether the directory is there."""
        return self.path.is_dir() and not self.path.is_symlink()

    # -- looking ----------------------------------------------------------------------------------------------------

    def status(self, index: Path, *, untracked: bool, submodules: Collection[bytes] = ()) -> Status:
        """What differs from an index. Without `untracked` only tracked files are looked at."""
        words = ["status", "--porcelain=v2", "-z", "--no-renames", "--ignore-submodules=all"]
        words += ["--untracked-files=all", "--ignored=matching"] if untracked else ["--untracked-files=no"]
        with files.opened(self.path) as root:
            files.make_accessible(root)
        done = self._git.at(self.path, index).run(*words)
        if "ermission denied" in done.errors:
            with files.opened(self.path) as root:
                files.make_all_accessible(root)
            done = self._git.at(self.path, index).run(*words)
            if "ermission denied" in done.errors:
                raise WorkspaceProblem("unreadable_file", f"A file of the worktree cannot be read: {done.errors[:500]}")
        found = Status(too_deep=any(len(line) > _LONG_PATH for line in done.errors.splitlines()))
        for line in split(done.out):
            _take(found, line)
        self._look_for(submodules, found)
        return found

    def _look_for(self, submodules: Collection[bytes], found: Status) -> None:
        """Git is told not to look at submodules. One whose directory is gone, or something else, has changed."""
        if not submodules:
            return
        with files.opened(self.path) as root:
            places = files.Places(root, repair=False)
            try:
                for path in submodules:
                    if places.find(tuple(path.split(b"/"))) is not None:
                        continue
                    *above, name = path.split(b"/")
                    there = places.find(tuple(above))
                    (found.changed if there is not None and files.is_there(there, name) else found.gone).add(path)
            finally:
                places.close()

    def copied_out(
        self, paths: Iterable[bytes], target: Path, limit: int
    ) -> tuple[list[bytes], dict[bytes, WorkspaceProblem]]:
        """Copies files and links into a directory of the platform's own.

        Gives those that are there, and what cannot be taken: files over `limit` bytes, unreadable and restless ones.
        """
        taken: list[bytes] = []
        problems: dict[bytes, WorkspaceProblem] = {}
        with files.opened(self.path) as root, files.opened(target) as inside:
            source, place = files.Places(root, repair=False), files.Places(inside)
            try:
                for path in sorted(paths):
                    try:
                        if files.copy(source, place, path, limit):
                            taken.append(path)
                    except WorkspaceProblem as problem:
                        message = f"{problem.message.rstrip('.?')}: {show(path)}."
                        problems[path] = WorkspaceProblem(problem.code, message, paths=[show(path)])
            finally:
                source.close()
                place.close()
        return taken, problems

    # -- writing ----------------------------------------------------------------------------------------------------

    def start_over(self, tree: Oid) -> None:
        """Makes the whole directory anew. What is in it belongs to nobody: it goes."""
        self.memory.forget()
        files.remove_tree(self.path)
        index = self.memory.fresh()
        made = self._scratch / index.name
        made.mkdir(parents=True)
        try:
            git = self._git.at(made, index)
            git.run("read-tree", "--no-recurse-submodules", tree)
            git.run("checkout-index", "--all", "--force", "--index")
            listed = _listed(git)
            for path in (path for path, mode in listed.items() if mode == SUBMODULE):
                (made / os.fsdecode(path)).mkdir(parents=True, exist_ok=True)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            made.rename(self.path)
        finally:
            files.remove_tree(made)
        self._remember(index, tree, listed)

    def move(self, index: Path, tree: Oid, moves: Sequence[Move], state: State) -> None:
        """Makes the files those of `tree`, of which `moves` are all that differ from what is there.

        `index` stands for what is there and becomes the one of `tree`.
        """
        self.memory.forget()
        git = self._git.at(self._scratch, index)
        git.run("read-tree", "-m", "-i", "--no-recurse-submodules", tree)
        wanted = [move for move in moves if move.mode and move.mode != SUBMODULE]
        made = self._scratch / f"{index.name}.files"
        made.mkdir(parents=True, exist_ok=True)
        try:
            if wanted:
                names = b"".join(move.path + b"\0" for move in wanted)
                self._git.at(made, index).run("checkout-index", "--force", "-z", "--stdin", stdin=names)
            self._write(made, moves)
        finally:
            files.remove_tree(made)
        changed = {move.path for move in moves}
        bumped = {move.path for move in moves if move.mode == SUBMODULE}
        submodules = sorted((set(state.submodules) - changed) | bumped)
        attributes = state.attributes or any(is_attributes(move.path) for move in wanted)
        self.memory.save(index, tree, attributes=attributes, submodules=submodules)

    def _write(self, made: Path, moves: Sequence[Move]) -> None:
        gone = [move.path for move in moves if not move.mode]
        with files.opened(self.path) as root, files.opened(made) as inside:
            places, source = files.Places(root), files.Places(inside)
            try:
                _remove(places, gone)
                places.close()
                files.prune_above(root, gone)
                for move in sorted(moves, key=lambda move: move.path):
                    if move.mode == SUBMODULE:
                        places.make(tuple(move.path.split(b"/")))
                    elif move.mode:
                        _move_in(source, places, move.path)
            finally:
                places.close()
                source.close()

    def sweep(self, index: Path, held: files.Held) -> None:
        """Removes everything that is not tracked, but what is held: ignored files, empty directories, sockets."""
        listed = _listed(self._git.at(self.path, index))
        above: set[bytes] = set()
        for path in listed:
            cut = path.rfind(b"/")
            while cut > 0 and path[:cut] not in above:
                above.add(path[:cut])
                cut = path.rfind(b"/", 0, cut)
        with files.opened(self.path) as root:
            places = files.Places(root)
            try:
                waiting = [b""]
                while waiting:
                    waiting += _swept(places, waiting.pop(), listed, above, held)
            finally:
                places.close()

    def _remember(self, index: Path, tree: Oid, listed: dict[bytes, int]) -> None:
        attributes = any(is_attributes(path) for path in listed)
        submodules = [path for path, mode in listed.items() if mode == SUBMODULE]
        self.memory.save(index, tree, attributes=attributes, submodules=submodules)

    def remove(self) -> None:
        """Removes the directory and what is known of it."""
        self.memory.remove()
        files.remove_tree(self.path)


def _take(found: Status, line: bytes) -> None:
    """Takes in a line of `git status --porcelain=v2 -z`."""
    kind, _, rest = line.partition(b" ")
    if kind == b"!":
        found.ignored.append(rest.rstrip(b"/"))
    elif kind == b"?":
        if rest.endswith(b"/"):
            found.repositories.append(rest.rstrip(b"/"))
        elif any(is_git_directory(part) for part in rest.split(b"/")):
            parts = rest.split(b"/")
            depth = next(number for number, part in enumerate(parts) if is_git_directory(part))
            top = b"/".join(parts[: depth + 1])
            if top not in found.repositories:
                found.repositories.append(top)
        else:
            found.new.add(rest)
    elif kind == b"1":
        fields = rest.split(b" ", 7)
        if fields[0][1:] == b"D":
            found.gone.add(fields[7])
        elif fields[0][1:] != b".":
            found.changed.add(fields[7])


def _listed(git: Git) -> dict[bytes, int]:
    """The paths of an index with their modes."""
    found: dict[bytes, int] = {}
    for line in split(git.run("ls-files", "--stage", "-z").out):
        head, _, path = line.partition(b"\t")
        found[path] = int(head[:6], 8)
    return found


def _remove(places: files.Places, gone: Sequence[bytes]) -> None:
    for path in sorted(gone, reverse=True):
        *above, name = path.split(b"/")
        place = places.find(tuple(above))
        if place is not None:
            files.remove(place, name)


def _move_in(source: files.Places, places: files.Places, path: bytes) -> None:
    *above, name = path.split(b"/")
    here = source.find(tuple(above))
    if here is None:
        raise WorkspaceProblem("git_failed", f"git did not write {path!r}.")
    there = places.make(tuple(above))
    try:
        os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
    except (IsADirectoryError, NotADirectoryError, PermissionError):
        files.remove(there, name)
        os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)


def _swept(
    places: files.Places, where: bytes, listed: dict[bytes, int], above: set[bytes], held: files.Held
) -> list[bytes]:
    """Sweeps one directory, and gives the directories in it that are to be swept."""
    parts = tuple(where.split(b"/")) if where else ()
    here = places.find(parts)
    below: list[bytes] = []
    if here is None:
        return below
    with os.scandir(here) as entries:
        inside = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in inside:
        path = where + b"/" + name if where else name
        if path == b".git" or held.holds(path):
            continue
        if is_directory and (path in above or held.reaches_into(path)):
            below.append(path)
        elif path not in listed or is_directory != (listed[path] == SUBMODULE):
            with suppress(FileNotFoundError):
                files.remove(here, name)
    return below
