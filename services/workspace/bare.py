"""The bare repository of one execution: its branches, and objects of which many are borrowed from a cached clone."""

from __future__ import annotations

import os
from pathlib import Path

from services.workspace import files

_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[gc]\n\tauto = 0\n"
_CONFIG_SHA256 = (
    "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n[gc]\n\tauto = 0\n"
)


def make_bare(path: Path, branch: str, *, borrowed: Path | None, object_format: str = "sha1") -> None:
    """Makes it anew. Until a journal says that it is open, whatever is in the directory is half a beginning."""
    files.remove_tree(path)
    fill_bare(path, branch, object_format)
    if borrowed is not None:
        borrow(path, borrowed)
    with files.opened(path.parent) as directory:
        os.fsync(directory)


def fill_bare(path: Path, branch: str, object_format: str = "sha1") -> None:
    """Makes a directory a bare repository where it is none, or only half of one."""
    for directory in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (path / directory).mkdir(parents=True, exist_ok=True)
    (path / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    (path / "config").write_text(_CONFIG_SHA256 if object_format == "sha256" else _CONFIG)


def object_format_of(path: Path) -> str:
    """The object format of a repository that `fill_bare` filled: `sha1` or `sha256`."""
    return "sha256" if "sha256" in (path / "config").read_text() else "sha1"


def borrow(path: Path, objects: Path) -> None:
    """Makes a repository borrow objects; written again where the data directory has moved."""
    alternates = path / "objects/info/alternates"
    content = f"{objects.resolve()}\n".encode()
    try:
        if alternates.read_bytes() == content:
            return
    except OSError:
        pass
    files.replace(alternates, content, durable=True)


def borrowed_by(path: Path) -> Path | None:
    """The repository of which one borrows objects: the cached clone of its origin."""
    try:
        objects = (path / "objects/info/alternates").read_text("utf-8", "surrogateescape").rstrip("\n")
    except OSError:
        return None
    return Path(objects).parent if objects else None


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
