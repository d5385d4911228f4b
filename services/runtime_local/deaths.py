"""What the end of a program by a signal means: which signal it was, and what most likely sent it.

A program that dies so has failed, whoever sent the signal, unless this runtime did. Out of memory is the common case,
and the hardest to see from an exit code: the kernel counts what it ends for lack of memory, for the machine and for
each control group, so that a count which rose while the program ran is a strong hint.
"""

from __future__ import annotations

import signal
from pathlib import Path

from schemas.base import Model

FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""What somebody else sends, such as a service manager that stops the machine, this runtime and its programs at once."""

_CAUSES: dict[signal.Signals, str] = {
    signal.SIGTERM: "somebody asked it to end from outside",
    signal.SIGINT: "somebody interrupted it from outside",
    signal.SIGHUP: "its terminal was closed, or somebody asked it to end from outside",
    signal.SIGQUIT: "somebody asked it to end from outside",
    signal.SIGSEGV: "the program crashed: it used memory that is not its own",
    signal.SIGBUS: "the program crashed: a file that it had mapped became shorter, or the disk is full",
    signal.SIGABRT: "the program gave up by itself: an assertion failed, or it could not get memory",
    signal.SIGILL: "the program crashed: it is built for another processor",
    signal.SIGFPE: "the program crashed: an arithmetic error",
    signal.SIGTRAP: "the program crashed: a failed check of its own",
    signal.SIGPIPE: "it wrote to something that had been closed",
    signal.SIGXCPU: "it used more processor time than its limit (`ulimit -t`) allows",
    signal.SIGXFSZ: "it wrote a larger file than its limit (`ulimit -f`) allows",
    signal.SIGSYS: "it made a system call that is forbidden here",
}

_MORE_MEMORY = "Give it more memory, or let fewer agents work at once (PARALLAX_MAX_CONCURRENCY)"


class MemoryKills(Model, frozen=True, kw_only=True):
    """How many processes the kernel has ended for lack of memory; None where that cannot be read."""

    group: int | None = None
    machine: int | None = None


def memory_kills(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> MemoryKills:
    """The counts of this moment, of this process's control group and of the machine."""
    return MemoryKills(group=_of_group(proc, groups), machine=_count(proc / "vmstat", "oom_kill"))


def _of_group(proc: Path, groups: Path) -> int | None:
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            places = [groups / path.lstrip("/") / "memory.events", groups / "memory.events"]
        elif "memory" in controllers.split(","):
            places = [groups / "memory" / path.lstrip("/") / "memory.oom_control"]
        else:
            continue
        for place in places:
            count = _count(place, "oom_kill")
            if count is not None:
                return count
    return None


def _count(file: Path, name: str) -> int | None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None


def signal_of(code: int) -> signal.Signals | None:
    """The signal that an exit code stands for: 128 and its number, as shells have it. None: it is a plain exit code."""
    try:
        found = signal.Signals(code - 128)
    except ValueError:
        return None
    return found if found in _CAUSES or found == signal.SIGKILL else None


def cause_of(number: signal.Signals, before: MemoryKills, after: MemoryKills) -> str:
    """What most likely sent the signal, as the rest of a sentence."""
    if number != signal.SIGKILL:
        return _CAUSES[number]
    mine, all_of_them = _more(before.group, after.group), _more(before.machine, after.machine)
    if mine or all_of_them:
        where = "in its control group" if mine else "on this machine"
        count = mine or all_of_them
        processes = "a process" if count == 1 else f"{count} processes"
        return f"out of memory: the kernel ended {processes} {where} for lack of memory meanwhile. {_MORE_MEMORY}"
    return f"out of memory where this machine does not count it, or a `kill -9` from outside. {_MORE_MEMORY}"


def _more(before: int | None, after: int | None) -> int:
    return max(0, after - before) if before is not None and after is not None else 0


def sentence(program: str, code: int, before: MemoryKills, after: MemoryKills, words: str = "") -> str:
    """How a program ended: its exit code, the signal, the likely cause, and the end of what it said."""
    number = signal_of(code)
    if number is None:
        return f"{program} ended with exit code {code}" + (f": {words}" if words else ".")
    cause = cause_of(number, before, after)
    said = f" It said: {words}" if words else ""
    return (
        f"{program} was ended by {number.name} (exit code {code}), which Parallax did not send. Likely: {cause}.{said}"
    )
