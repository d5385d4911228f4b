"""The files of a worktree, touched without ever following a link that somebody put there.

An agent owns its worktree and may do anything to it, also while the platform looks: replace a directory by a link to
`/etc`, make a file a device, take all permissions away. Every step here goes through descriptors of directories that
were opened without following links, so nothing outside the worktree is read or written.
"""

from __future__ import annotations

import errno
import filecmp
import os
import secrets
import shutil
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from services.workspace.modes import EXECUTABLE, SYMLINK
from services.workspace.problems import WorkspaceProblem

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 5
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@contextmanager
def opened(path: Path) -> Generator[int]:
    """A descriptor of a directory of the platform's own, or of a worktree, made accessible if need be."""
    try:
        descriptor = os.open(path, _DIRECTORY_FLAGS)
    except PermissionError:
        path.chmod(0o700)
        descriptor = os.open(path, _DIRECTORY_FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_directory(parent: int, name: bytes) -> int | None:
    """A descriptor of a directory in a directory, made accessible if need be. None: it is no directory."""
    try:
        return os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
    except PermissionError:
        try:
            _unlock(parent, name)
            return os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise


def _unlock(parent: int, name: bytes) -> None:
    """Gives a directory that may not be read its rights back. It is never a link's target that gets them.

    A mode cannot be set on Linux without following a link; so it is set on a descriptor that stands for the directory
    itself, which may be had without rights to it.
    """
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{place}", 0o700)  # noqa: PTH101 - the descriptor, whatever the name is by now
    finally:
        os.close(place)


def _make_writable(directory: int) -> None:
    """Gives a directory the rights back that an agent may have taken from it. One of somebody else's stays as it is."""
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode & 0o700 != 0o700:
        with suppress(PermissionError):
            os.fchmod(directory, mode | 0o700)


def make_accessible(directory: int) -> None:
    """Gives a directory the rights back without which its files cannot be looked at."""
    if stat.S_IMODE(os.fstat(directory).st_mode) & 0o500 != 0o500:
        _make_writable(directory)


def make_all_accessible(root: int) -> None:
    """Gives every directory of a worktree the rights back without which its files cannot be looked at."""
    waiting: list[tuple[bytes, ...]] = [()]
    places = Places(root, repair=False)
    try:
        while waiting:
            parts = waiting.pop()
            here = places.find(parts)
            if here is None:
                continue
            make_accessible(here)
            with os.scandir(here) as entries:
                below = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
            waiting += [(*parts, name) for name in below]
    finally:
        places.close()


def prune_above(root: int, gone: Iterable[bytes]) -> None:
    """Removes the directories above paths that are gone, as far as nothing is left in them."""
    places = Places(root)
    try:
        for parts in sorted({tuple(path.split(b"/")[:-1]) for path in gone}, key=len, reverse=True):
            left = parts
            while left:
                place = places.find(left[:-1])
                if place is None or not prune(place, left[-1]):
                    break
                left = left[:-1]
    finally:
        places.close()


class Places:
    """The directories of a worktree as files are visited in the order of their paths: one chain of descriptors.

    With `repair` a directory that an agent took rights from gets them back.
    """

    def __init__(self, root: int, *, repair: bool = True) -> None:
        self._repair = repair
        if repair:
            _make_writable(root)
        self._root = root
        self._chain: list[tuple[bytes, int]] = []

    def close(self) -> None:
        """Closes all descriptors but the root's."""
        self._back_to(0)

    def find(self, parts: tuple[bytes, ...]) -> int | None:
        """The directory with these parts, if it is one. The descriptor is good until the next question."""
        return self._reach(parts, make=False)

    def make(self, parts: tuple[bytes, ...]) -> int:
        """The directory with these parts, made where it is not there; a file or link in its place gives way."""
        found = self._reach(parts, make=True)
        if found is None:
            raise _busy()
        return found

    def _back_to(self, depth: int) -> None:
        while len(self._chain) > depth:
            os.close(self._chain.pop()[1])

    def _reach(self, parts: tuple[bytes, ...], *, make: bool) -> int | None:
        common = 0
        while common < min(len(parts), len(self._chain)) and self._chain[common][0] == parts[common]:
            common += 1
        self._back_to(common)
        for name in parts[common:]:
            parent = self._chain[-1][1] if self._chain else self._root
            descriptor = open_directory(parent, name)
            for _ in range(_TRIES if make and descriptor is None else 0):
                remove(parent, name)
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=parent)
                descriptor = open_directory(parent, name)
                if descriptor is not None:
                    break
            if descriptor is None:
                return None
            if self._repair:
                _make_writable(descriptor)
            self._chain.append((name, descriptor))
        return self._chain[-1][1] if self._chain else self._root


def is_there(parent: int, name: bytes) -> bool:
    """Whether anything has this name."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return False
    return True


def remove(parent: int, name: bytes) -> None:
    """Removes whatever has this name; a directory with everything in it."""
    for _ in range(_TRIES):
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            if _remove_directory(parent, name):
                return
        else:
            return
    raise _busy()


def _busy() -> WorkspaceProblem:
    return WorkspaceProblem("worktree_busy", "The worktree changes while it is written; is an agent still at work?")


def _remove_directory(parent: int, name: bytes) -> bool:
    """Takes a directory apart. Directories inside move up beside it first, so that no depth is too deep.

    False: somebody changes it meanwhile, and what is there now is to be looked at again.
    """
    waiting = [name]
    try:
        while waiting:
            descriptor = open_directory(parent, waiting[-1])
            if descriptor is None:
                break
            try:
                _empty(descriptor, parent, waiting)
            finally:
                os.close(descriptor)
            os.rmdir(waiting[-1], dir_fd=parent)
            waiting.pop()
    except OSError as error:
        if error.errno not in (*_NOT_THERE, errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR):
            raise
    for left in waiting:
        if left != name:
            remove(parent, left)
    return not waiting


def _empty(directory: int, parent: int, moved: list[bytes]) -> None:
    """Empties a directory. Directories in which something is are moved to `parent`, before those of `moved`."""
    with suppress(OSError):
        os.fchmod(directory, 0o700)
    with os.scandir(directory) as entries:
        inside = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for child, is_directory in inside:
        if not is_directory:
            os.unlink(child, dir_fd=directory)
        elif not prune(directory, child):
            moved.insert(0, _move_up(directory, child, parent))


def _move_up(directory: int, name: bytes, parent: int) -> bytes:
    new = b".parallax-gone-" + secrets.token_hex(8).encode()
    try:
        os.rename(name, new, src_dir_fd=directory, dst_dir_fd=parent)
    except PermissionError:
        _unlock(directory, name)
        os.rename(name, new, src_dir_fd=directory, dst_dir_fd=parent)
    return new


def prune(parent: int, name: bytes) -> bool:
    """Removes a directory if nothing is in it, and says whether it did."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError:
        return False
    return True


class Held:
    """Paths that stay where everything else goes, each with all that is below it."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [os.fsencode(path).strip(b"/") for path in paths]

    def holds(self, path: bytes) -> bool:
        """Whether a path is one of them, or below one."""
        return any(path == held or path.startswith(held + b"/") for held in self._paths)

    def reaches_into(self, path: bytes) -> bool:
        """Whether one of them is below a path."""
        return any(held.startswith(path + b"/") for held in self._paths)


def clear(directory: Path, paths: Iterable[bytes], held: Held) -> None:
    """Removes paths of a worktree, but what is held."""
    with opened(directory) as root:
        places = Places(root)
        try:
            waiting = sorted(paths)
            for path in waiting:
                *above, name = path.split(b"/")
                place = None if held.holds(path) else places.find(tuple(above))
                if place is None:
                    continue
                below = places.find((*above, name)) if held.reaches_into(path) else None
                if below is None:
                    remove(place, name)
                else:
                    waiting.extend(path + b"/" + os.fsencode(child) for child in os.listdir(below))  # noqa: PTH208
        finally:
            places.close()


def same(one: Path, other: Path) -> bool:
    """Whether two files or links of the platform's own are the same."""
    if not (os.path.lexists(one) and os.path.lexists(other)) or one.is_symlink() != other.is_symlink():
        return False
    if one.is_symlink():
        return one.readlink() == other.readlink()
    if not (one.is_file() and other.is_file()):
        return False
    modes = (one.stat().st_mode ^ other.stat().st_mode) & 0o100
    return not modes and filecmp.cmp(one, other, shallow=False)


def write(parent: int, name: bytes, mode: int, content: bytes) -> os.stat_result:
    """Makes a file or a link anew; whatever had the name is gone."""
    remove(parent, name)
    if mode == SYMLINK:
        if not content or b"\0" in content:
            raise WorkspaceProblem("unsafe_repository", "The repository holds a link that points nowhere.")
        os.symlink(content, name, dir_fd=parent)
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    permissions = 0o777 if mode == EXECUTABLE else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, permissions, dir_fd=parent)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def copy(source: Places, target: Places, path: bytes, limit: int) -> bool:
    """Copies a file or a link from one directory to the same path in another. False: there is neither (any more).

    Raises:
        WorkspaceProblem: it cannot be read, is over `limit` bytes, or does not stand still.
    """
    *above, name = path.split(b"/")
    here = source.find(tuple(above))
    if here is None:
        return False
    try:
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(status.st_mode):
        with suppress(OSError):
            write(target.make(tuple(above)), name, SYMLINK, os.readlink(name, dir_fd=here))
            return True
        return False
    for _ in range(3):
        descriptor = open_file(here, name)
        if descriptor is None:
            return False
        try:
            if _copied(descriptor, target.make(tuple(above)), name, limit):
                return True
        finally:
            os.close(descriptor)
    raise WorkspaceProblem("file_changed", "A file changed while it was read; is the agent still at work?")


def _copied(descriptor: int, target: int, name: bytes, limit: int) -> bool:
    """Copies an open file. False: it changed meanwhile."""
    before = os.fstat(descriptor)
    if before.st_size > limit:
        megabytes = limit // (1024 * 1024)
        raise WorkspaceProblem(
            "file_too_large", f"A file is larger than {megabytes} MiB; put it into .gitignore or make it smaller"
        )
    remove(target, name)
    permissions = 0o700 if before.st_mode & 0o100 else 0o600
    made = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, permissions, dir_fd=target
    )
    size = 0
    try:
        while chunk := os.read(descriptor, 1 << 20):
            size += len(chunk)
            if size > limit:
                break
            view = memoryview(chunk)
            while view:
                view = view[os.write(made, view) :]
    finally:
        os.close(made)
    after = os.fstat(descriptor)
    return size == after.st_size and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def open_file(parent: int, name: bytes) -> int | None:
    """A descriptor of a regular file. None: it is none (any more)."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except PermissionError as error:
        raise WorkspaceProblem("unreadable_file", "A file of the worktree cannot be read.") from error
    except OSError as error:
        if error.errno in (*_NOT_THERE, errno.ENXIO):
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def read_small(parent: int, name: bytes, limit: int) -> bytes:
    """The beginning of a small regular file; nothing where there is none."""
    descriptor = open_file(parent, name)
    if descriptor is None:
        return b""
    try:
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)


def is_repository(directory: int) -> bool:
    """Whether a directory is a repository of its own, or a worktree of one: git takes it as one thing."""
    try:
        status = os.stat(b".git", dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    if stat.S_ISREG(status.st_mode):
        return read_small(directory, b".git", 8) == b"gitdir: "
    below = open_directory(directory, b".git")
    if below is None:
        return False
    try:
        return all(_is_there(below, name) for name in (b"HEAD", b"objects", b"refs"))
    finally:
        os.close(below)


def _is_there(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def replace(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Writes a file of the platform's own in one step: it has the old content or the new one, never half.

    The name in between is one that git does not take for a branch.
    """
    temporary = path.with_name(path.name + ".lock")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def remove_tree(path: Path) -> None:
    """Removes a directory of the platform's own with everything in it, whatever an agent made of it."""
    if not os.path.lexists(path):
        return
    with opened(path.parent) as parent:
        remove(parent, os.fsencode(path.name))


def free_bytes(path: Path) -> int:
    """The room left on the disk."""
    return shutil.disk_usage(path).free
