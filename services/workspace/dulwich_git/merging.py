"""Three-way merges of whole directories, decided entry by entry and never by overwriting.

Directories that only one side touched are taken as they are, unread. What both sides touched in different ways is
merged line by line; what cannot be merged so is a conflict, and a merge with a conflict leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dulwich.objects import ObjectID
from merge3 import Merge3

from services.workspace.dulwich_git.history import History
from services.workspace.dulwich_git.store import EMPTY_TREE, Entry, Store
from services.workspace.modes import DIRECTORY, EXECUTABLE, FILE
from services.workspace.names import show

_MAX_TEXT = 4 * 1024 * 1024
_MAX_LINES = 50_000


@dataclass(slots=True)
class Merged:
    """The outcome of a merge. `tree` only means something when there are no `conflicts`."""

    tree: ObjectID
    conflicts: list[str] = field(default_factory=list[str])


def merge_commits(store: Store, history: History, ours: ObjectID, theirs: ObjectID) -> Merged:
    """Merges the commit `theirs` into `ours`."""
    return merge(store, _base(store, history, ours, theirs), store.tree_of(ours), store.tree_of(theirs))


def merge(store: Store, base: ObjectID, ours: ObjectID, theirs: ObjectID) -> Merged:
    """Merges the tree `theirs` into `ours`, both of which were once `base`."""
    conflicts: list[str] = []
    tree = _directories(store, b"", base, ours, theirs, conflicts)
    return Merged(tree or store.put_tree({}), conflicts)


def _base(store: Store, history: History, one: ObjectID, other: ObjectID) -> ObjectID:
    """What two commits were once. Where they crossed they have several bases, which are merged in their turn.

    A conflict between those stays in the text: it is one that both sides have settled, each in its own way.
    """
    first, *others = history.bases(one, other)
    tree = store.tree_of(first)
    for base in others:
        tree = merge(store, _base(store, history, first, base), tree, store.tree_of(base)).tree
    return tree


def _directories(
    store: Store, prefix: bytes, base: ObjectID, ours: ObjectID, theirs: ObjectID, conflicts: list[str]
) -> ObjectID | None:
    """The merged directory; None when nothing is left in it."""
    before, mine, other = store.tree(base), store.tree(ours), store.tree(theirs)
    merged: dict[bytes, Entry] = {}
    for name in before.keys() | mine.keys() | other.keys():
        entry = _entries(store, prefix + name, before.get(name), mine.get(name), other.get(name), conflicts)
        if entry is not None:
            merged[name] = entry
    return store.put_tree(merged) if merged else None


def _entries(
    store: Store, path: bytes, base: Entry | None, ours: Entry | None, theirs: Entry | None, conflicts: list[str]
) -> Entry | None:
    if theirs in (ours, base):
        return ours
    if ours == base:
        return theirs
    if _is_directory(ours) and _is_directory(theirs):
        assert ours is not None
        assert theirs is not None
        below = base[1] if base is not None and _is_directory(base) else EMPTY_TREE
        tree = _directories(store, path + b"/", below, ours[1], theirs[1], conflicts)
        return None if tree is None else (DIRECTORY, tree)
    if ours is not None and theirs is not None and _is_file(ours) and _is_file(theirs):
        return _files(store, path, base if base is not None and _is_file(base) else None, ours, theirs, conflicts)
    return _one_gone(store, path, base, ours, theirs, conflicts)


def _one_gone(
    store: Store, path: bytes, base: Entry | None, ours: Entry | None, theirs: Entry | None, conflicts: list[str]
) -> Entry | None:
    """One side removed what the other changed, or made a directory of a file, or a link of it."""
    if _is_directory(base) and (ours is None or theirs is None):
        kept = ours or theirs
        assert base is not None
        if kept is None or _is_directory(kept):
            tree = _directories(
                store,
                path + b"/",
                base[1],
                ours[1] if ours is not None else EMPTY_TREE,
                theirs[1] if theirs is not None else EMPTY_TREE,
                conflicts,
            )
            return None if tree is None else (DIRECTORY, tree)
    conflicts.append(show(path))
    return ours or theirs


def _files(store: Store, path: bytes, base: Entry | None, ours: Entry, theirs: Entry, conflicts: list[str]) -> Entry:
    mode = _mode(base, ours, theirs)
    if ours[1] == theirs[1]:
        return (mode, ours[1])
    if base is not None and base[1] in (ours[1], theirs[1]):
        return (mode, theirs[1] if base[1] == ours[1] else ours[1])
    text, clean = merge_text(
        store.blob(base[1]) if base is not None else b"", store.blob(ours[1]), store.blob(theirs[1])
    )
    if not clean:
        conflicts.append(show(path))
    return (mode, store.put(b"blob", text))


def _mode(base: Entry | None, ours: Entry, theirs: Entry) -> int:
    if ours[0] == theirs[0]:
        return ours[0]
    if base is None:
        return EXECUTABLE
    return theirs[0] if ours[0] == base[0] else ours[0]


def merge_text(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Merges two versions of a text, and says whether nothing was in conflict. What is no text never merges."""
    versions = (base, ours, theirs)
    if any(b"\0" in text[:8000] or len(text) > _MAX_TEXT or text.count(b"\n") > _MAX_LINES for text in versions):
        return ours, False
    before, mine, other = (text.splitlines(keepends=True) for text in versions)
    merged: list[bytes] = []
    clean = True
    for group in Merge3(before, mine, other).merge_groups():
        if group[0] == "conflict":
            clean = False
            merged += [b"<<<<<<< result\n", *_closed(group[2]), b"=======\n", *_closed(group[3]), b">>>>>>> session\n"]
        else:
            merged += group[1]
    return b"".join(merged), clean


def _closed(lines: Sequence[bytes]) -> Sequence[bytes]:
    if lines and not lines[-1].endswith(b"\n"):
        return [*lines[:-1], lines[-1] + b"\n"]
    return lines


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry[0] == DIRECTORY


def _is_file(entry: Entry) -> bool:
    return entry[0] in (FILE, EXECUTABLE)
