"""Files that are kept through a filter, which the platform cannot run.

No filter is ever defined here, because a filter is a program. Git would then store what is in the worktree: a large
file instead of its pointer, a secret in plain text. So such a file is refused by name, unless what is in it is already
what the filter would store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from services.workspace.git_program.runner import Git, split
from services.workspace.names import show
from services.workspace.problems import WorkspaceProblem

_NONE = frozenset({b"unspecified", b"unset", b"set"})
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LONGEST_POINTER = 1024


def refused(git: Git, stage: Path, paths: Sequence[bytes]) -> dict[bytes, WorkspaceProblem]:
    """Those of `paths`, whose contents are in `stage`, that are kept through a filter."""
    pieces = split(git.run("check-attr", "-z", "--stdin", "filter", stdin=b"".join(p + b"\0" for p in paths)).out)
    found: dict[bytes, WorkspaceProblem] = {}
    for path, _, value in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        place = stage / os.fsdecode(path)
        if value not in _NONE and not place.is_symlink() and not (value == b"lfs" and _is_pointer(place)):
            found[path] = missing_filter(path, value)
    return found


def missing_filter(path: bytes, name: bytes) -> WorkspaceProblem:
    """Says which file cannot be stored, and why."""
    return WorkspaceProblem(
        "filter_missing",
        f"{show(path)}: .gitattributes keeps this file through the filter {show(name)!r}, a program that the platform "
        "does not run, so git would store the raw content. Leave the file as it was, or take the attribute away.",
        paths=[show(path)],
    )


def _is_pointer(place: Path) -> bool:
    with place.open("rb") as file:
        content = file.read(_LONGEST_POINTER + 1)
    return len(content) <= _LONGEST_POINTER and content.startswith(_POINTER) and b"\noid sha256:" in content
