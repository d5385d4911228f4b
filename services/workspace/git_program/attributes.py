"""The attribute files of a commit, where git looks for them.

Merges and diffs of a bare repository know no attributes before git 2.41. So they run in a directory of the platform's
own, which holds the attribute files of one commit and nothing else.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from services.workspace import files
from services.workspace.git_backend import Oid
from services.workspace.git_program.runner import Git, split

ATTRIBUTES = b".gitattributes"


def is_attributes(path: bytes) -> bool:
    """Whether a path is that of an attribute file."""
    return path.rpartition(b"/")[2] == ATTRIBUTES


@contextmanager
def with_attributes(git: Git, scratch: Path, commit: Oid) -> Generator[Git]:
    """Git in such a directory, with an index beside it that is not there yet."""
    place = scratch / f"attributes-{secrets.token_hex(6)}"
    index = place.with_name(f"{place.name}.index")
    place.mkdir(parents=True)
    try:
        inside = git.inside(place, index)
        _extract(inside, place, commit)
        yield inside
    finally:
        files.remove_tree(place)
        index.unlink(missing_ok=True)


def _extract(git: Git, place: Path, commit: Oid) -> None:
    listed = git.run("ls-tree", "-r", "-z", "--full-tree", commit).out
    if ATTRIBUTES not in listed:
        return
    wanted: list[tuple[bytes, bytes]] = []
    for line in split(listed):
        head, _, path = line.partition(b"\t")
        if is_attributes(path) and head.startswith(b"100"):
            wanted.append((path, head.split(b" ")[2]))
    out = git.run("cat-file", "--batch", stdin=b"".join(oid + b"\n" for _, oid in wanted)).out
    for path, _ in wanted:
        head, _, out = out.partition(b"\n")
        size = int(head.rpartition(b" ")[2])
        target = place / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(out[:size])
        out = out[size + 1 :]
