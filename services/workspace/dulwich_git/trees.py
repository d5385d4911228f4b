"""Directories of a repository as values: compare two, change some paths of one, list one."""

from __future__ import annotations

from collections.abc import Mapping

from dulwich.objects import ObjectID

from services.workspace.dulwich_git.store import EMPTY_TREE, Entry, Store
from services.workspace.modes import DIRECTORY

Listing = dict[bytes, Entry]
"""The files of a directory and all below it, by path."""

Changes = dict[bytes, Entry | None]
"""What becomes of some paths. None: there is nothing any more."""

_Node = dict[bytes, "Entry | _Node | None"]


def listing(store: Store, tree: ObjectID, prefix: bytes = b"") -> Listing:
    """All files of a directory."""
    found: Listing = {}
    waiting = [(prefix, tree)]
    while waiting:
        where, current = waiting.pop()
        for name, (mode, sha) in store.tree(current).items():
            if mode == DIRECTORY:
                waiting.append((where + name + b"/", sha))
            else:
                found[where + name] = (mode, sha)
    return found


def changes_between(store: Store, old: ObjectID, new: ObjectID, prefix: bytes = b"") -> Changes:
    """What makes `new` of `old`. Directories that are the same are not looked into."""
    found: Changes = {}
    if old == new:
        return found
    before, after = store.tree(old), store.tree(new)
    for name in before.keys() | after.keys():
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        path = prefix + name
        if was is not None and was[0] == DIRECTORY:
            below = now[1] if now is not None and now[0] == DIRECTORY else EMPTY_TREE
            found.update(changes_between(store, was[1], below, path + b"/"))
        elif was is not None and (now is None or now[0] == DIRECTORY):
            found[path] = None
        if now is not None and now[0] == DIRECTORY:
            if was is None or was[0] != DIRECTORY:
                found.update(listing(store, now[1], path + b"/"))
        elif now is not None:
            found[path] = now
    return found


def changed(store: Store, tree: ObjectID, changes: Mapping[bytes, Entry | None]) -> ObjectID:
    """The directory with some paths changed. Directories that become empty vanish, as git has none of them."""
    root: _Node = {}
    removals_first = sorted(changes.items(), key=lambda change: (change[1] is not None, change[0]))
    for path, entry in removals_first:  # a file may take the place of a directory, and the other way round
        *parents, name = path.split(b"/")
        node = root
        for parent in parents:
            below = node.get(parent)
            if not isinstance(below, dict):
                below = node[parent] = {}
            node = below
        if entry is not None or not isinstance(node.get(name), dict):
            node[name] = entry
    return _rebuild(store, tree, root) or store.put_tree({})


def _rebuild(store: Store, tree: ObjectID | None, node: _Node) -> ObjectID | None:
    entries = dict(store.tree(tree)) if tree is not None else {}
    for name, wanted in node.items():
        if isinstance(wanted, dict):
            was = entries.get(name)
            below = _rebuild(store, was[1] if was is not None and was[0] == DIRECTORY else None, wanted)
            if below is not None:
                entries[name] = (DIRECTORY, below)
            elif was is not None and was[0] == DIRECTORY:
                del entries[name]
        elif wanted is not None:
            entries[name] = wanted
        elif name in entries and entries[name][0] != DIRECTORY:
            del entries[name]
    return store.put_tree(entries) if entries else None
