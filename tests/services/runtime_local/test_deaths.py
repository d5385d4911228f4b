"""What an exit code means, and who most likely sent the signal: as tables."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from services.runtime_local.deaths import MemoryKills, memory_kills, sentence, signal_of


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (137, signal.SIGKILL),
        (143, signal.SIGTERM),
        (130, signal.SIGINT),
        (139, signal.SIGSEGV),
        (134, signal.SIGABRT),
        (0, None),
        (1, None),
        (127, None),
        (128, None),
        (255, None),
        (-9, None),
    ],
)
def test_an_exit_code_says_which_signal_it_was(code: int, found: signal.Signals | None) -> None:
    """128 and its number; everything else is the program's own code."""
    assert signal_of(code) == found


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            MemoryKills(group=1, machine=5),
            MemoryKills(group=2, machine=6),
            "a process in its control group for lack of",
        ),
        (MemoryKills(group=1, machine=5), MemoryKills(group=1, machine=7), "2 processes on this machine for lack of"),
        (MemoryKills(machine=5), MemoryKills(machine=6), "a process on this machine for lack of"),
        (MemoryKills(group=1, machine=5), MemoryKills(group=1, machine=5), "or a `kill -9` from outside"),
        (MemoryKills(), MemoryKills(), "or a `kill -9` from outside"),
        (MemoryKills(), MemoryKills(machine=6), "or a `kill -9` from outside"),
    ],
)
def test_a_count_that_rose_is_the_likely_cause(before: MemoryKills, after: MemoryKills, words: str) -> None:
    """The kernel counts what it ends for lack of memory; a count that cannot be read says nothing."""
    text = sentence("model", 137, before, after)
    assert "model was ended by SIGKILL (exit code 137), which Parallax did not send" in text
    assert "out of memory" in text
    assert words in text
    assert "PARALLAX_MAX_CONCURRENCY" in text


def test_only_sigkill_is_the_kernels_way() -> None:
    """A crash is not taken for a lack of memory because some other process ran out of it."""
    text = sentence("model", 139, MemoryKills(machine=1), MemoryKills(machine=2), "last words")
    assert "SIGSEGV" in text
    assert "memory that is not its own" in text
    assert text.endswith("It said: last words")


@pytest.mark.parametrize(
    ("code", "words", "text"), [(3, "why", "p ended with exit code 3: why"), (3, "", "p ended with exit code 3.")]
)
def test_a_plain_exit_code_is_told_plainly(code: int, words: str, text: str) -> None:
    """With what the program said."""
    assert sentence("p", code, MemoryKills(), MemoryKills(), words) == text


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/a/b\n", "a/b/memory.events", "low 0\noom 1\noom_kill 4\noom_group_kill 0\n"),
        ("0::/../elsewhere\n", "memory.events", "oom_kill 4\n"),
        ("5:cpu:/x\n3:memory:/a\n", "memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"),
    ],
)
def test_both_versions_of_control_groups_are_read(tmp_path: Path, cgroup: str, file: str, text: str) -> None:
    """And the machine's count beside them."""
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(cgroup)
    (proc / "vmstat").write_text("nr_free_pages 5\noom_kill 9\n")
    (groups / file).parent.mkdir(parents=True)
    (groups / file).write_text(text)
    assert memory_kills(proc, groups) == MemoryKills(group=4, machine=9)


def test_a_machine_without_these_files_is_no_error(tmp_path: Path) -> None:
    """Neither of the counts is known there."""
    assert memory_kills(tmp_path, tmp_path) == MemoryKills()
