"""What is staged and nowhere else, as a commit: an agent that added a file and went on has meant both versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from services.workspace.agent_repository.index import DIRECTORY, GITLINK, Index, IndexEntry
from services.workspace.agent_repository.opening import Unreadable
from services.workspace.agent_repository.quarantine import Quarantine

_Node = dict[bytes, "IndexEntry | _Node"]


def staged_commit(
    index: Index, quarantine: Quarantine, held: Callable[[bytes], bool], parent: bytes, at: int
) -> bytes | None:
    """A commit of what is staged, on top of `parent`. None: the platform holds every content of it already.

    Contents that are not there, and the sides of a conflict, are left out.
    """
    fresh = [entry for entry in index.entries if entry.mode not in {DIRECTORY, GITLINK} and not held(entry.sha)]
    taken: set[bytes] = set()
    for entry in fresh:
        with suppress(Unreadable):
            quarantine.take(entry.sha, b"blob")
            taken.add(entry.sha)
    if not taken:
        return None
    root: _Node = {}
    for entry in index.entries:
        if not entry.stage and (entry.mode == GITLINK or entry.sha in taken or held(entry.sha)):
            _place(root, entry)
    tree = _tree(root, quarantine)
    who = b"Parallax <parallax@platform.parallax.invalid> %d +0000" % max(at, 0)
    text = b"tree %s\nparent %s\nauthor %s\ncommitter %s\n\nWhat was staged\n" % (tree, parent, who, who)
    return quarantine.put(b"commit", text)


def _place(root: _Node, entry: IndexEntry) -> None:
    *above, name = entry.path.removesuffix(b"/").split(b"/")
    node = root
    for part in above:
        below = node.setdefault(part, {})
        if not isinstance(below, dict):
            return
        node = below
    node.setdefault(name, entry)


def _tree(node: _Node, quarantine: Quarantine) -> bytes:
    lines: list[tuple[bytes, bytes]] = []
    for name, entry in node.items():
        if isinstance(entry, dict):
            mode, sha = DIRECTORY, _tree(entry, quarantine)
        else:
            mode, sha = entry.mode, entry.sha
        order = name + b"/" if mode == DIRECTORY else name
        lines.append((order, b"%o %s\0" % (mode, name) + bytes.fromhex(sha.decode())))
    return quarantine.put(b"tree", b"".join(line for _, line in sorted(lines)))
