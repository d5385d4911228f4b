"""Paths beside a commit's files that are brought to where it is checked: from a local origin, or an agent's worktree.

Whether they can be is looked at twice: where a workspace is opened, before any agent has worked, and for each check.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from services.workspace.problems import WorkspaceProblem

Stamp = tuple[int, int, int, int, int]
"""Type and mode, size, time of modification, time of change, and number of a file; of a directory the first alone."""


class Tracked:
    """The paths of a commit."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._paths = {os.fsdecode(path) for path in paths}
        self._directories = {path[:at] for path in self._paths for at, letter in enumerate(path) if letter == "/"}

    def holds(self, path: str) -> bool:
        """Whether the commit has something there, a file or a directory."""
        return path in self._paths or path in self._directories

    def is_directory(self, path: str) -> bool:
        """Whether the commit has files below it."""
        return path in self._directories

    def check(self, path: str, what: str) -> None:
        """Raises `copy_tracked` or `keep_tracked` where the commit has something there, or in the way of it."""
        if self.holds(path) or self.above(path):
            raise WorkspaceProblem(
                f"{what}_tracked", f"`workspace.{what}` names {path!r}, which is in the repository: leave it out."
            )

    def above(self, path: str) -> bool:
        """Whether the commit has a file where `path` needs a directory."""
        parts = path.split("/")
        return any("/".join(parts[:number]) in self._paths for number in range(1, len(parts)))


def check_brought(
    source: Path | None, paths: Sequence[str], tracked: Tracked, *, what: Literal["copy", "keep"], whose: str
) -> None:
    """Whether paths could be brought from `source`; None: from somewhere that is not there yet.

    What cannot be looked at is left to the check that needs it.

    Raises:
        WorkspaceProblem: one is the commit's own, or is not there, or leads out.
    """
    for path in paths:
        with _named(path, what, whose), suppress(PermissionError):
            tracked.check(path, what)
            if source is not None:
                _check(source, path)


def bring(
    source: Path, path: str, target: Path, tracked: Tracked, *, what: Literal["copy", "keep"], whose: str
) -> None:
    """Copies a path with all below it. A link stays one, and must not lead out of `source`.

    Raises:
        WorkspaceProblem: it is the commit's own, or is not there, or leads out.
    """
    with _named(path, what, whose):
        tracked.check(path, what)
        _check(source, path)
        _copy(source, path, target)


@contextmanager
def _named(path: str, what: str, whose: str) -> Generator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise WorkspaceProblem(
            f"{what}_missing", f"`workspace.{what}` names {path!r}, which is not in the directory of {whose}."
        ) from None
    except _OutsideError as error:
        raise WorkspaceProblem(
            f"{what}_refused", f"`workspace.{what}` names {path!r}, of which {error} leads out of {whose}."
        ) from None


def walk(path: Path, name: str) -> Iterator[tuple[str, Stamp]]:
    """Everything at and below a path, with what tells whether it has changed. Links are not followed."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        yield name, (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        return
    yield name, (found.st_mode, 0, 0, 0, 0)
    waiting = [(str(path), name)]
    while waiting:
        directory, above = waiting.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                inner, status = f"{above}/{entry.name}", entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    yield inner, (status.st_mode, 0, 0, 0, 0)
                    waiting.append((entry.path, inner))
                else:
                    times = (status.st_mtime_ns, status.st_ctime_ns)
                    yield inner, (status.st_mode, status.st_size, *times, status.st_ino)


class _OutsideError(Exception):
    """A link that leads out of where it is."""


def _check(source: Path, path: str) -> None:
    real = source.resolve(strict=True)
    if not (source / path).parent.resolve(strict=True).is_relative_to(real):
        raise _OutsideError(path)
    (source / path).lstat()
    _check_links(real, source / path)


def _copy(source: Path, path: str, target: Path) -> None:
    made = target / path
    remove_tree(made)
    made.parent.mkdir(parents=True, exist_ok=True)
    status = (source / path).lstat()
    if stat.S_ISDIR(status.st_mode):
        shutil.copytree(source / path, made, symlinks=True, ignore=_irregular)
    elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
        shutil.copy2(source / path, made, follow_symlinks=False)


def _irregular(directory: str, names: list[str]) -> list[str]:
    """Pipes, sockets and devices, which have no content to copy, and git directories, which are hostile."""
    kinds = {name: (Path(directory) / name).lstat().st_mode for name in names}
    return [
        name
        for name, mode in kinds.items()
        if name == ".git" or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
    ]


def _check_links(root: Path, path: Path) -> None:
    for name, stamp in walk(path, str(path)):
        if stat.S_ISLNK(stamp[0]):
            link = Path(name)
            aim = Path(link.readlink())
            if aim.is_absolute() or not (link.parent / aim).resolve().is_relative_to(root):
                raise _OutsideError(str(link.relative_to(path.parent)))


def remove_tree(path: Path) -> None:
    """Removes a path with all below it, read-only directories too, which package managers make. Follows no link."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        for directory, _, _ in os.walk(path):
            Path(directory).chmod(0o700)
        shutil.rmtree(path)
