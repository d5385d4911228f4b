"""One supervisor for each data directory, and nothing left over from one that was killed.

The lock is the kernel's (`flock`): it goes with the process that held it, so it cannot be stale. The pid in the file is
only for people.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from parallax.stack.errors import AlreadyRunningError
from shared.paths import NotYours, closed, read_record, user_name
from shared.processes import is_same_process, kill_recorded, process_identity

MARK = "STACK_DATA_DIRECTORY"
"""An environment variable that every process of a stack carries: the data directory it belongs to."""


@contextmanager
def held(data: Path) -> Generator[None]:
    """Holds the data directory for the length of the block. Raises AlreadyRunningError when somebody else does."""
    place = data / "run" / "lock"
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise NotYours(closed(data)) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(str(data), _holder(handle, data)) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def check_owner(data: Path) -> None:
    """Raises NotYours where the stack of this data directory is another user's: what we made there would be ours."""
    run = data / "run"
    try:
        owner = run.stat().st_uid
    except FileNotFoundError:
        return
    except PermissionError:
        raise NotYours(closed(data)) from None
    if owner != os.geteuid():
        hint = "run it as that user" if os.geteuid() == 0 else "name a data directory of your own with --data"
        raise NotYours(f"the stack in {data} is not yours: it belongs to {user_name(owner)}; {hint}")


def _holder(handle: int, data: Path) -> int:
    text = os.pread(handle, 32, 0).decode(errors="replace").strip()
    if text.isdigit():
        return int(text)
    record = read_record(data)
    return record.pid if record else 0


def end_orphans(data: Path, *, within_s: float = 5.0) -> list[str]:
    """Ends every process that a killed supervisor of this data directory left behind; their names.

    Only the holder of the lock may call it. Processes are known by pid and start time from the record, and by the mark
    in their environment, so that one that was started a moment before the end is found too.
    """
    found: dict[int, tuple[str, str]] = {}
    record = read_record(data)
    for part in record.parts if record else []:
        if part.pid and is_same_process(part.pid, part.identity):
            found[part.pid] = (part.name, part.identity)
    for pid in _marked(data):
        found.setdefault(pid, (f"process {pid}", process_identity(pid)))
    for pid, (_, identity) in found.items():
        kill_recorded(pid, identity, signal.SIGKILL)
    deadline = time.monotonic() + within_s
    while any(is_same_process(pid, identity) for pid, (_, identity) in found.items()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)  # they are no children of ours: their end can only be looked for
    return [name for name, _ in found.values()]


def _marked(data: Path) -> list[int]:
    ours: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(data):
                ours.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return ours
