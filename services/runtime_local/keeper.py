"""Stands between the runtime and one program, and answers for everything the program starts.

Run as a script with nothing but the standard library, so that it starts in some milliseconds:
`python -I -S keeper.py LIFELINE_FD GRACE_MS PROGRAM ARG…`. It makes itself the parent of all orphans below it (Linux's
child subreaper), so that a grandchild which left the session, the process group and the environment behind is found.
When the program ends, or the runtime does (the lifeline, a pipe, is closed by the kernel), or a SIGTERM comes, all that
is left of the tree is ended before the keeper itself ends, with the program's exit code or 128 plus its signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_NOT_STARTED = 127


def main(arguments: list[str]) -> int:
    """Runs one program to its end and returns its exit code."""
    lifeline, grace_s, argv = int(arguments[0]), int(arguments[1]) / 1000, arguments[2:]
    _adopt_orphans()
    read_end, write_end = os.pipe()
    for end in (read_end, write_end):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: stopping.append(got))
    signal.signal(signal.SIGCHLD, lambda _got, _frame: None)
    program = _start(argv, (lifeline, read_end, write_end))
    _let_go_of_standard_files()
    status: int | None = None
    while status is None and not stopping:
        ready, _, _ = select.select([lifeline, read_end], [], [])
        with contextlib.suppress(BlockingIOError):
            os.read(read_end, 4096)
        status = _reap(program, status)
        if lifeline in ready and status is None:
            grace_s = 0.0
            break
    if status is None and grace_s > 0:
        status = _ask_to_end(program, grace_s)
    status = _end_everything(program, status)
    code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _adopt_orphans() -> None:
    _process_control(_PR_SET_CHILD_SUBREAPER, 1)


def _process_control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _start(argv: list[str], closed: tuple[int, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        for end in closed:
            os.close(end)
        os.setsid()
        _process_control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execvp(argv[0], argv)  # noqa: S606 - the very purpose: no shell is wanted here
    except OSError as error:
        os.write(2, f"{argv[0]} cannot be started: {error.strerror}\n".encode())
    os._exit(_NOT_STARTED)


def _let_go_of_standard_files() -> None:
    """The pipes are the program's alone: their other ends see when it closes them."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _reap(program: int, status: int | None) -> int | None:
    """Collects every child that has ended. Returns the program's status once it is known."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, ended = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == program:
                status = ended
    return status


def _ask_to_end(program: int, grace_s: float) -> int | None:
    status: int | None = None
    for pid in descendants(os.getpid()):
        _send(pid, signal.SIGTERM)
        _send(pid, signal.SIGCONT)
    until = time.monotonic() + grace_s
    while status is None and time.monotonic() < until:
        time.sleep(0.01)
        status = _reap(program, status)
    return status


def _end_everything(program: int, status: int | None) -> int | None:
    """Kills below the keeper until nothing is left: stopped first, so that nothing forks away in between."""
    pause = 0.001
    while True:
        found = descendants(os.getpid())
        for pid in found:
            _send(pid, signal.SIGSTOP)
        for pid in found:
            _send(pid, signal.SIGKILL)
        if sys.platform != "linux" and status is None:
            _send(-program, signal.SIGKILL)
        status = _reap(program, status)
        if not _has_children():
            return status
        time.sleep(pause)
        pause = min(0.05, pause * 2)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(root: int) -> list[int]:
    """All processes below `root`, from /proc; without /proc the children are ended by the runtime's own search."""
    parents: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib would double the time the keeper takes to start
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - the same
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found.extend(below)
        waiting.extend(below)
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
