"""Three-way merges of whole directories, decided entry by entry and never by overwriting.

Directories that only one side touched are taken as they are, unread. What both sides touched in different ways is
merged line by line; what cannot be merged so is a conflict, and a merge with a conflict leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dulwich.objects import ObjectID

from services.workspace.dulwich_git.attributes import TreeAttributes
from services.workspace.dulwich_git.history import History
from services.workspace.dulwich_git.line_differences import TooMuchToCompare
from services.workspace.dulwich_git.needing import git_needed
from services.workspace.dulwich_git.renames import renames
from services.workspace.dulwich_git.store import EMPTY_TREE, Entry, Store
from services.workspace.dulwich_git.text_merging import merge_text
from services.workspace.dulwich_git.trees import Changes, changed, changes_between
from services.workspace.dulwich_git.worktree import entry_at
from services.workspace.modes import DIRECTORY, EXECUTABLE, FILE
from services.workspace.names import show

_RENAME_LIMIT = 7000
_EMPTY = b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@dataclass(slots=True)
class Merged:
    """The outcome of a merge. `tree` only means something when there are no `conflicts`."""

    tree: ObjectID
    conflicts: list[str] = field(default_factory=list[str])


def merge_commits(store: Store, history: History, ours: ObjectID, theirs: ObjectID, rules: bytes = b"") -> Merged:
    """Merges the commit `theirs` into `ours`. `rules` are attributes beside those in the files of `ours`."""
    attributes = TreeAttributes(store, store.tree_of(ours), rules)
    base = _base(store, history, ours, theirs, attributes)
    return _Merge(store, attributes).trees(base, store.tree_of(ours), store.tree_of(theirs))


def merge(store: Store, base: ObjectID, ours: ObjectID, theirs: ObjectID) -> Merged:
    """Merges the tree `theirs` into `ours`, both of which were once `base`."""
    return _Merge(store, TreeAttributes(store, ours)).trees(base, ours, theirs)


def _base(store: Store, history: History, one: ObjectID, other: ObjectID, attributes: TreeAttributes) -> ObjectID:
    """What two commits were once. Where they crossed they have several bases, which are merged in their turn."""
    first, *others = history.bases(one, other)
    tree = store.tree_of(first)
    for base in others:
        before = _base(store, history, first, base, attributes)
        merged = _Merge(store, attributes).trees(before, tree, store.tree_of(base))
        if merged.conflicts:
            raise git_needed("Two sides have crossed over a conflict", where="merge")
        tree = merged.tree
    return tree


class _Merge:
    """One merge of two trees and what they were once."""

    def __init__(self, store: Store, attributes: TreeAttributes) -> None:
        self._store = store
        self._attributes = attributes
        self._conflicts: list[str] = []

    def trees(self, base: ObjectID, ours: ObjectID, theirs: ObjectID) -> Merged:
        """Merges the tree `theirs` into `ours`, both of which were once `base`."""
        base, ours, theirs = self._without_renames(base, ours, theirs)
        tree = self._directories(b"", base, ours, theirs)
        return Merged(tree or self._store.put_tree({}), self._conflicts)

    def _without_renames(self, base: ObjectID, ours: ObjectID, theirs: ObjectID) -> tuple[ObjectID, ObjectID, ObjectID]:
        """The three trees with the changes of a file at its new name, where the other side has renamed it.

        Raises:
            WorkspaceProblem: both sides have a say in where a file is.
        """
        store = self._store
        sides = [changes_between(store, base, side) for side in (ours, theirs)]
        trees: list[Changes] = [{}, {}, {}]
        for number, mine in enumerate(sides):
            other = sides[1 - number]
            gone = {path: entry_at(store, base, path) for path, entry in mine.items() if entry is None}
            was = {path: entry for path, entry in gone.items() if entry is not None and not self._is_empty(entry)}
            new = {path: entry for path, entry in mine.items() if entry is not None and not self._is_empty(entry)}
            new = {path: entry for path, entry in new.items() if entry_at(store, base, path) is None}
            if not was or not new or not other:
                continue
            for path, former in renames(store, was, new, limit=_RENAME_LIMIT).items():
                self._refuse_unclear(path, former, (ours, theirs)[number], mine, other)
                if former not in other:
                    continue
                theirs_now = other[former]
                if theirs_now is None or not all(_is_file(one) for one in (was[former], new[path], theirs_now)):
                    raise git_needed(
                        f"One side renamed {show(former)} that the other made something else", where="merge"
                    )
                pair = (new[path], theirs_now) if number == 0 else (theirs_now, new[path])
                trees[0][former] = trees[2 - number][former] = None
                trees[1 + number][path] = self._files(path, was[former], *pair)
        made = (
            changed(store, tree, what) if what else tree for tree, what in zip((base, ours, theirs), trees, strict=True)
        )
        return next(made), next(made), next(made)

    @staticmethod
    def _is_empty(entry: Entry) -> bool:
        return entry[1] == _EMPTY

    def _refuse_unclear(self, path: bytes, former: bytes, side: ObjectID, mine: Changes, other: Changes) -> None:
        """A file where the other side has one, or new files of the other side in a directory that was renamed."""
        directory = former.rpartition(b"/")[0] + b"/"
        unclear = path in other or (former in other and other[former] is None)
        added = [one for one, entry in other.items() if entry is not None and one not in mine and one != former]
        if directory != b"/" and not self._has_directory(side, former):
            unclear = unclear or any(one.startswith(directory) for one in added)
        if unclear:
            raise git_needed(
                f"One side renamed {show(former)} to {show(path)} where the other changed files", where="merge"
            )

    def _has_directory(self, tree: ObjectID, path: bytes) -> bool:
        """Whether the directory of a path is there."""
        for part in path.split(b"/")[:-1]:
            entry = self._store.tree(tree).get(part)
            if entry is None or entry[0] != DIRECTORY:
                return False
            tree = entry[1]
        return True

    def _directories(self, prefix: bytes, base: ObjectID, ours: ObjectID, theirs: ObjectID) -> ObjectID | None:
        """The merged directory; None when nothing is left in it."""
        store = self._store
        before, mine, other = store.tree(base), store.tree(ours), store.tree(theirs)
        merged: dict[bytes, Entry] = {}
        for name in before.keys() | mine.keys() | other.keys():
            entry = self._entries(prefix + name, before.get(name), mine.get(name), other.get(name))
            if entry is not None:
                merged[name] = entry
        return store.put_tree(merged) if merged else None

    def _entries(self, path: bytes, base: Entry | None, ours: Entry | None, theirs: Entry | None) -> Entry | None:
        if theirs in (ours, base):
            return ours
        if ours == base:
            return theirs
        if _is_directory(ours) and _is_directory(theirs):
            assert ours is not None
            assert theirs is not None
            below = base[1] if base is not None and _is_directory(base) else EMPTY_TREE
            tree = self._directories(path + b"/", below, ours[1], theirs[1])
            return None if tree is None else (DIRECTORY, tree)
        if ours is not None and theirs is not None and _is_file(ours) and _is_file(theirs):
            return self._files(path, base if base is not None and _is_file(base) else None, ours, theirs)
        return self._one_gone(path, base, ours, theirs)

    def _one_gone(self, path: bytes, base: Entry | None, ours: Entry | None, theirs: Entry | None) -> Entry | None:
        """One side removed what the other changed, or made a directory of a file, or a link of it."""
        if _is_directory(base) and (ours is None or theirs is None):
            kept = ours or theirs
            assert base is not None
            if kept is None or _is_directory(kept):
                tree = self._directories(
                    path + b"/",
                    base[1],
                    ours[1] if ours is not None else EMPTY_TREE,
                    theirs[1] if theirs is not None else EMPTY_TREE,
                )
                return None if tree is None else (DIRECTORY, tree)
        left = ours or theirs
        if base is not None and None in (ours, theirs) and _is_directory(left):
            return left  # both removed a file, and one made a directory in its place
        self._conflicts.append(show(path))
        return left

    def _files(self, path: bytes, base: Entry | None, ours: Entry, theirs: Entry) -> Entry:
        mode = _mode(base, ours, theirs)
        if ours[1] == theirs[1]:
            return (mode, ours[1])
        if base is not None and base[1] in (ours[1], theirs[1]):
            return (mode, theirs[1] if base[1] == ours[1] else ours[1])
        store = self._store
        was = store.blob(base[1]) if base is not None else b""
        driver = self._attributes.of(path).get(b"merge")
        if driver in (False, b"binary"):
            self._conflicts.append(show(path))
            return (mode, ours[1])
        try:
            text, clean = merge_text(was, store.blob(ours[1]), store.blob(theirs[1]), union=driver == b"union")
        except TooMuchToCompare:
            raise git_needed(f"The changes of {show(path)} are too many to be merged", where="merge") from None
        if not clean:
            self._conflicts.append(show(path))
        return (mode, store.put(b"blob", text))


def _mode(base: Entry | None, ours: Entry, theirs: Entry) -> int:
    if ours[0] == theirs[0]:
        return ours[0]
    if base is None:
        return EXECUTABLE
    return theirs[0] if ours[0] == base[0] else ours[0]


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry[0] == DIRECTORY


def _is_file(entry: Entry) -> bool:
    return entry[0] in (FILE, EXECUTABLE)
