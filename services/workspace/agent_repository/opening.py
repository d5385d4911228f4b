"""Files of hostile directories: opened one name at a time, never through a link, never more than a bound is read."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ABSENT = (errno.ENOENT,)
_FOREIGN = (errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENODEV, errno.ENAMETOOLONG)
_CHUNK_BYTES = 1 << 20


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with something in an agent's repository: a stable code, where it is, and a sentence."""

    code: str
    where: str
    message: str


class Unreadable(Exception):
    """A part of an agent's repository that cannot be used. It is about this part alone."""

    def __init__(self, code: str, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.finding = Finding(code, where, message)


def shown(name: bytes) -> str:
    """A name as text for people, cut where nobody would read on."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(name)} bytes)"


class Directory:
    """An open directory. `where` is its name in findings."""

    def __init__(self, descriptor: int, where: str) -> None:
        self.descriptor = descriptor
        self.where = where

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the descriptor."""
        os.close(self.descriptor)

    def place(self, name: bytes) -> str:
        """The name of something in this directory, for findings."""
        return f"{self.where}/{shown(name)}" if self.where else shown(name)

    def directory(self, *names: bytes) -> Directory | None:
        """A directory below this one. None: there is nothing of this name.

        Raises:
            Unreadable: something else has the name, such as a link.
        """
        current, where = self.descriptor, self.where
        try:
            for name in names:
                where = f"{where}/{shown(name)}" if where else shown(name)
                below = _open_directory(current, name, where)
                if below is None:
                    return None
                if current != self.descriptor:
                    os.close(current)
                current = below
            made = os.dup(current) if current == self.descriptor else current
            current = self.descriptor
            return Directory(made, where)
        finally:
            if current != self.descriptor:
                os.close(current)

    def read(self, *names: bytes, limit: int) -> bytes | None:
        """The content of a regular file below this directory. None: there is nothing of this name.

        Raises:
            Unreadable: it is no regular file, or larger than `limit` bytes.
        """
        above = self.directory(*names[:-1])
        if above is None:
            return None
        with above:
            found = above.open(names[-1], limit=limit)
            if found is None:
                return None
            try:
                return read_all(found, limit, above.place(names[-1]))
            finally:
                os.close(found)

    def open(self, name: bytes, *, limit: int) -> int | None:
        """A descriptor of a regular file of at most `limit` bytes in this directory. None: there is none.

        Raises:
            Unreadable: it is no regular file, or larger.
        """
        where = self.place(name)
        if not _plain(name):
            raise Unreadable("bad_name", where, "it is no name of a file")
        try:
            descriptor = _opened(name, _FILE_FLAGS, self.descriptor)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise _said(error, where, "it is not a regular file") from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise Unreadable("not_a_file", where, "it is not a regular file")
        if status.st_size > limit:
            os.close(descriptor)
            raise Unreadable("too_large", where, f"it has {status.st_size} bytes; at most {limit} are read")
        return descriptor

    def entries(self, limit: int) -> list[tuple[bytes, os.stat_result]]:
        """What is in the directory, by name. Whatever goes while it is looked at is left out.

        Raises:
            Unreadable: there are over `limit` entries.
        """
        found: list[tuple[bytes, os.stat_result]] = []
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                if len(found) >= limit:
                    raise Unreadable("too_many", self.where, f"it holds over {limit} entries")
                with suppress(OSError):
                    found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
        return sorted(found)


def _plain(name: bytes) -> bool:
    return bool(name) and name not in {b".", b".."} and b"/" not in name and b"\0" not in name


def _open_directory(parent: int, name: bytes, where: str) -> int | None:
    if not _plain(name):
        raise Unreadable("bad_name", where, "it is no name of a directory")
    try:
        return _opened(name, _DIRECTORY_FLAGS, parent)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _said(error, where, "it is not a directory (links are not followed)") from error


def _opened(name: bytes, flags: int, parent: int) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        _unlock(name, parent)
        return os.open(name, flags, dir_fd=parent)


def _unlock(name: bytes, parent: int) -> None:
    """Takes a lock off that an agent put on its own file. The descriptor is of the thing itself, never of a link."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            os.chmod(f"/proc/self/fd/{handle}", 0o700)  # noqa: PTH101  # a path that the kernel resolves to the handle
    finally:
        os.close(handle)


def _said(error: OSError, where: str, foreign: str) -> Unreadable:
    if error.errno in _FOREIGN:
        return Unreadable("not_a_file", where, foreign)
    return Unreadable("unreadable", where, f"it cannot be opened: {error.strerror}")


def read_all(descriptor: int, limit: int, where: str) -> bytes:
    """The content of an open file, also while somebody writes to it.

    Raises:
        Unreadable: it grew over `limit` bytes, or cannot be read.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            piece = os.read(descriptor, _CHUNK_BYTES)
        except OSError as error:
            raise Unreadable("unreadable", where, f"it cannot be read: {error.strerror}") from error
        if not piece:
            return b"".join(pieces)
        size += len(piece)
        if size > limit:
            raise Unreadable("too_large", where, f"it has over {limit} bytes")
        pieces.append(piece)
