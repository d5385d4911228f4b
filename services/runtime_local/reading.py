"""Whether a program waits for the end of its standard input.

An agent gets one line and may get another as the answer to a question, so its input stays open; but a program that
reads all of its input before it begins (`cat`, `json.load(sys.stdin)`) would then wait for ever. Linux tells in which
system call a process is: one that stays in a read of its standard input, with all that was written read, and has asked
nothing, wants the end of it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

_READ = {"x86_64": "0", "aarch64": "63", "arm64": "63"}.get(platform.machine(), "")


def wants_end_of_input(pids: Iterable[int]) -> bool:
    """Whether one of these processes is in a read of its standard input now."""
    return any(_in_read_of_input(pid) for pid in pids)


def _in_read_of_input(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/syscall").read_text().split()
    except OSError:
        return False
    return len(fields) > 2 and fields[0] == _READ and fields[1] == "0x0"
