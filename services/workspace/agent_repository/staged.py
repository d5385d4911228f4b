"""What is staged and nowhere else, as a commit: an agent that added a file and went on has meant both versions."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from services.workspace.agent_repository.index import DIRECTORY, GITLINK, Index, IndexEntry
from services.workspace.agent_repository.quarantine import Quarantine

_Node = dict[bytes, "IndexEntry | _Node"]


def staged_commit(
    index: Index,
    quarantine: Quarantine,
    fresh: AbstractSet[bytes],
    lacking: Callable[[AbstractSet[bytes]], AbstractSet[bytes]],
    *,
    parent: bytes,
    at: int,
) -> bytes | None:
    """A commit of what is staged, on top of `parent`. None: no content of it is `fresh`, the agent's alone.

    Contents that are not there, and the sides of a conflict, are left out.
    """
    staged = [entry for entry in index.entries if entry.mode not in {DIRECTORY, GITLINK} and entry.sha in fresh]
    names = list({entry.sha for entry in staged})
    broken = quarantine.take([(sha, b"blob") for sha in names])
    taken = {sha for sha in names if sha not in broken}
    if not taken:
        return None
    absent = lacking({entry.sha for entry in index.entries if entry.mode != GITLINK} - taken)
    root: _Node = {}
    for entry in index.entries:
        if not entry.stage and (entry.mode == GITLINK or entry.sha not in absent):
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
