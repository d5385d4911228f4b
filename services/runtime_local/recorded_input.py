"""The input of tasks that were recorded before roles said `interactive`.

Their programs were promised both: an answer to a question, and the end of the input where they read all of it. An
execution that was started then is finished as it was begun: Linux tells in which system call a process is, and one that
stays in a read of its standard input, with all that was written read, and has asked nothing, wants the end of it.
Nothing that is started today is guessed about.
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
