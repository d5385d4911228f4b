"""Locks that a dead process cannot hold."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class _Held(threading.local):
    def __init__(self) -> None:
        self.descriptors: list[int] = []


_held = _Held()


@contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Holds the lock of a file, waiting for it. The kernel lets go of it when the process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _held.descriptors.append(descriptor)
        try:
            yield
        finally:
            _held.descriptors.remove(descriptor)
    finally:
        os.close(descriptor)


def held() -> tuple[int, ...]:
    """The locks of this thread. A program that inherits them holds them on when the one who started it is killed."""
    return tuple(_held.descriptors)
