"""Where agents have their HOME and TMPDIR: short paths, whatever the ids and the data directory are.

A socket's address in the file system has at most 107 bytes (sun_path of Linux), and tools put sockets below TMPDIR and
HOME: `multiprocessing.Manager`, gpg-agent, ssh with a control path, language servers. A data directory with the ids of
execution and session below it leaves no room for that. So each runtime makes itself one private directory with a short
name, with a number for each session in it.

The directory is locked (flock) for as long as its runtime lives. That is how the next runtime of the same user knows
what one left that was killed, and how systemd-tmpfiles knows that it is in use.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PREFIX = "px-"
LONGEST_BASE = 48
"""Bytes of the directory in which places are made. It leaves 80 and more of a socket's address to the program."""

_MARKER = ".parallax-agents"


class Places:
    """The private places of the sessions of one runtime."""

    def __init__(self, environ: Mapping[str, str], fallback: Path) -> None:
        self._environ = environ
        self._fallback = fallback
        self._numbers = itertools.count(1)
        self._base: Path | None = None
        self._lock = -1

    def prepare(self) -> None:
        """Makes the directory, and removes those of runtimes that were killed. Raises OSError when there is no room."""
        base = self._make()
        for root in {base.parent, *candidates(self._environ)}:
            for left in left_behind(root, but=base):
                shutil.rmtree(left, ignore_errors=True)

    def make(self) -> Path:
        """A new place: a directory with `h` for HOME and `t` for TMPDIR in it. Raises OSError."""
        place = self._make() / str(next(self._numbers))
        for name in ("h", "t"):
            (place / name).mkdir(parents=True, mode=0o700)
        return place

    def close(self) -> None:
        """Removes everything."""
        if self._base is not None:
            shutil.rmtree(self._base, ignore_errors=True)
            self._base = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _make(self) -> Path:
        if self._base is not None and self._base.is_dir():
            return self._base
        for root in (*candidates(self._environ), self._fallback):
            try:
                root.mkdir(parents=True, exist_ok=True)
                base = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                continue
            if self._lock >= 0:
                os.close(self._lock)
            self._lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (base / _MARKER).touch(mode=0o600)
            self._base = base
            return base
        raise PermissionError(errno.EACCES, "no directory for the HOME and TMPDIR of agents can be made")


def candidates(environ: Mapping[str, str]) -> list[Path]:
    """Directories that are short enough, in the order of preference: the one that the user says comes first."""
    named = [environ.get("TMPDIR", ""), "/tmp", "/var/tmp", environ.get("XDG_RUNTIME_DIR", "")]  # noqa: S108 - only the place where a private directory is made
    fit = [name for name in named if name.startswith("/") and len(os.fsencode(name)) <= LONGEST_BASE]
    return [Path(name) for name in dict.fromkeys(fit) if Path(name).is_dir()]


def left_behind(root: Path, *, but: Path) -> Iterator[Path]:
    """Directories of this user's runtimes that run no more."""
    for place in sorted(root.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            if place == but or place.is_symlink() or place.stat().st_uid != os.geteuid():
                continue
            if not (place / _MARKER).is_file():
                continue
            handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield place
            finally:
                os.close(handle)
