"""Submodules of a directory: whether their files are there. What is in it may be anybody's, so no link is followed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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


def empty(directory: Path, submodules: Mapping[bytes, Path | None]) -> None:
    """Makes the directories of submodules empty: what is in one is moved to a place that is not there yet, or goes."""
    with files.opened(directory) as root:
        places = files.Places(root)
        try:
            for path, aside in sorted(submodules.items()):
                *above, name = path.split(b"/")
                inside = places.find((*above, name))
                if inside is None or not os.listdir(inside):  # noqa: PTH208 - of a descriptor
                    continue
                there = places.find(tuple(above))
                assert there is not None
                if aside is None:
                    files.remove(there, name)
                else:
                    aside.parent.mkdir(parents=True, exist_ok=True)
                    os.rename(name, aside, src_dir_fd=there)
                os.mkdir(name, 0o755, dir_fd=there)
        finally:
            places.close()
