"""Who a process is: a pid alone may belong to somebody else by the time it is used."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def process_identity(pid: int) -> str:
    """A text that no other process ever has, also after a reboot; "" when there is none (or only a zombie)."""
    if pid <= 0:
        return ""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in {"Z", "X"} else f"{_BOOT.read_text()[:8]}-{fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    except (OSError, IndexError):
        return ""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def is_same_process(pid: int, identity: str) -> bool:
    """Whether the process recorded as `pid` and `identity` still runs."""
    return bool(identity) and process_identity(pid) == identity


def kill_recorded(pid: int, identity: str, how: signal.Signals = signal.SIGKILL) -> bool:
    """Sends a signal to exactly that process; False when it is gone or somebody else has its pid now."""
    if not is_same_process(pid, identity):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, how)
        return True
    return False
