"""Submodules of a directory: whether their files are there. What is in it may be anybody's, so no link is followed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from services.workspace import files


def unfilled(directory: Path, submodules: Iterable[bytes]) -> list[bytes]:
    """Those of some submodules, by path, whose directory is not there or holds nothing but a `.git`."""
    found: list[bytes] = []
    with files.opened(directory) as root:
        places = files.Places(root, repair=False)
        try:
            for path in sorted(submodules):
                there = places.find(tuple(path.split(b"/")))
                if there is None or set(os.listdir(there)) <= {".git"}:  # noqa: PTH208 - of a descriptor
                    found.append(path)
        finally:
            places.close()
    return found
