"""The bare repository of one execution: its branches, and objects of which many are borrowed from a cached clone."""

from __future__ import annotations

import os
from pathlib import Path

from services.workspace import files

_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[gc]\n\tauto = 0\n"


def make_bare(path: Path, branch: str, *, borrowed: Path | None) -> None:
    """Makes it anew. Until a journal says that it is open, whatever is in the directory is half a beginning."""
    files.remove_tree(path)
    for directory in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (path / directory).mkdir(parents=True)
    (path / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    (path / "config").write_text(_CONFIG)
    if borrowed is not None:
        files.replace(path / "objects/info/alternates", f"{borrowed.resolve()}\n".encode(), durable=True)
    with files.opened(path.parent) as directory:
        os.fsync(directory)


def point(path: Path, ref: str, commit: str) -> None:
    """Makes a ref name a commit."""
    place = path / ref
    content = f"{commit}\n".encode()
    try:
        if place.read_bytes() == content:
            return
    except OSError:
        place.parent.mkdir(parents=True, exist_ok=True)
    files.replace(place, content)
