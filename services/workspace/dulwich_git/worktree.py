"""One session's worktree: bring it to a commit, and take what an agent made of it.

The platform's knowledge of the files (`Memory`) and all objects live outside of the worktree.
"""

from __future__ import annotations

import os
import struct
from hashlib import sha1
from pathlib import Path

from dulwich.objects import ObjectID

from services.workspace import files
from services.workspace.dulwich_git.attributes import TreeAttributes
from services.workspace.dulwich_git.line_ends import line_ends
from services.workspace.dulwich_git.own_rules import OwnRules
from services.workspace.dulwich_git.scan import Memory, Scan, Stamp, scan, stamp
from services.workspace.dulwich_git.store import EMPTY_TREE, Entry, Store
from services.workspace.dulwich_git.trees import Changes, changes_between, listing
from services.workspace.git_backend import NO_INTENT, Intent
from services.workspace.modes import DIRECTORY, SUBMODULE, SYMLINK


class Files:
    """The directory `path`, what is known of it in `memory`, and objects in `store`."""

    def __init__(self, store: Store, path: Path, memory: Path, rules: OwnRules) -> None:
        self.path = path
        self._store = store
        self._rules = rules
        self._memory = Memory(memory)

    def exists(self) -> bool:
        """Whether the directory is there (an agent may have removed it)."""
        return self.path.is_dir() and not self.path.is_symlink()

    def look(self, intent: Intent = NO_INTENT) -> Scan | None:
        """What differs from what the platform put there. None: there is no worktree, or its making was cut short."""
        self._memory.load()
        if not self._memory.known or not self.exists():
            return None
        with files.opened(self.path) as root:
            return scan(self._store, root, self._memory, intent, self._rules)

    def look_anew(self, tree: ObjectID) -> Scan | None:
        """What differs from `tree` in a directory of which nothing is known. None: there is none."""
        if not self.exists():
            return None
        self._memory.assume(tree, listing(self._store, tree))
        with files.opened(self.path) as root:
            return scan(self._store, root, self._memory, NO_INTENT, self._rules)

    def settle(self, tree: ObjectID, found: Scan) -> None:
        """Takes over what was found as the content `tree` of the worktree."""
        self._memory.save(tree, found.stamps)

    def bring_to(self, tree: ObjectID, *, found: Scan | None, clean: bool) -> None:
        """Writes the files of `tree`.

        `found` is what is in the worktree; without it nothing in there counts. `clean` also removes what git ignores.
        """
        self._store.flush()
        if found is None:
            found = self._start_over()
        elif not found.changes and found.base == tree and not (clean and found.extra):
            self._memory.save(tree, found.stamps)
            return
        wanted: Changes = dict.fromkeys(found.extra) if clean else {}
        wanted.update({path: entry_at(self._store, found.base, path) for path in found.changes})
        wanted.update(changes_between(self._store, found.base, tree))
        self._memory.forget()
        stamps = found.stamps
        with files.opened(self.path) as root:
            for path, made in self._write(
                root, wanted, TreeAttributes(self._store, tree, self._rules.attributes)
            ).items():
                if made is None:
                    stamps.pop(path, None)
                else:
                    stamps[path] = made
        self._memory.save(tree, stamps)

    def remove(self) -> None:
        """Removes the worktree and what is known of it."""
        self._memory.forget()
        files.remove_tree(self.path)

    def _start_over(self) -> Scan:
        """What is in the directory belongs to nobody: it goes."""
        files.remove_tree(self.path)
        self.path.mkdir(parents=True)
        return Scan(EMPTY_TREE)

    def _write(self, root: int, wanted: Changes, attributes: TreeAttributes) -> dict[bytes, Stamp | None]:
        made: dict[bytes, Stamp | None] = {}
        places = files.Places(root)
        gone: set[tuple[bytes, ...]] = set()
        try:
            for path in sorted((path for path, entry in wanted.items() if entry is None), reverse=True):
                *above, name = path.split(b"/")
                place = places.find(tuple(above))
                if place is not None:
                    files.remove(place, name)
                    gone.add(tuple(above))
                made[path] = None
            self._prune(root, gone)
            places.close()
            for path in sorted(path for path, entry in wanted.items() if entry is not None):
                entry = wanted[path]
                assert entry is not None
                made[path] = self._write_one(places, path, entry, attributes)
        finally:
            places.close()
        return made

    def _write_one(self, places: files.Places, path: bytes, entry: Entry, attributes: TreeAttributes) -> Stamp:
        mode, sha = entry
        *above, name = path.split(b"/")
        if mode == SUBMODULE:
            place = places.make((*above, name))
            return stamp(entry, os.fstat(place))
        content = self._store.blob(sha)
        if mode != SYMLINK:
            content = line_ends(attributes.of(path)).written(content)
        return stamp(entry, files.write(places.make(tuple(above)), name, mode, content))

    @staticmethod
    def _prune(root: int, gone: set[tuple[bytes, ...]]) -> None:
        """Removes directories in which nothing is left."""
        places = files.Places(root)
        try:
            for parts in sorted(gone, key=len, reverse=True):
                left = parts
                while left:
                    place = places.find(left[:-1])
                    if place is None or not files.prune(place, left[-1]):
                        break
                    left = left[:-1]
        finally:
            places.close()

    def index(self) -> bytes:
        """The staging area that says: nothing has changed."""
        return index_file(self._memory.stamps)


def entry_at(store: Store, tree: ObjectID, path: bytes) -> Entry | None:
    """What a directory holds at a path: a file, link or submodule."""
    *above, name = path.split(b"/")
    for part in above:
        below = store.tree(tree).get(part)
        if below is None or below[0] != DIRECTORY:
            return None
        tree = below[1]
    found = store.tree(tree).get(name)
    return None if found is None or found[0] == DIRECTORY else found


def index_file(stamps: dict[bytes, Stamp]) -> bytes:
    """The staging area (format 2) that says: nothing has changed since these stamps."""
    pieces = [struct.pack(">4sLL", b"DIRC", 2, len(stamps))]
    mask = 0xFFFFFFFF
    for path, known in sorted(stamps.items()):
        ctime_s, ctime_ns = divmod(known.ctime_ns, 1_000_000_000)
        mtime_s, mtime_ns = divmod(known.mtime_ns, 1_000_000_000)
        size = 0 if known.mode == SUBMODULE else known.size & mask
        times = (ctime_s & mask, ctime_ns, mtime_s & mask, mtime_ns)
        head = struct.pack(
            ">LLLLLLLLLL20sH",
            *times,
            known.device & mask,
            known.inode & mask,
            known.mode,
            os.getuid() & mask,
            os.getgid() & mask,
            size,
            bytes.fromhex(known.sha.decode()),
            min(len(path), 0xFFF),
        )
        pieces += [head, path, b"\0" * (8 - (len(head) + len(path)) % 8)]
    body = b"".join(pieces)
    return body + sha1(body, usedforsecurity=False).digest()
