"""A crash at any instant: the step, done again, ends as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.events import Event, WorkspaceIntegrated
from services.workspace.workspace import Workspace
from tests.services.workspace.bench import GIT, Bench, git, repository, write

_TOUCHES = frozenset(
    {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.symlink", "os.truncate", "os.chmod"}
)


def dies_at(number: int, step: Callable[[], object]) -> bool:
    """Does a step in a process that is killed before it touches the disk for the `number`th time. False: it was not."""
    child = os.fork()
    if child == 0:
        touched = 0

        def watch(event: str, _: tuple[object, ...]) -> None:
            nonlocal touched
            if event in _TOUCHES:
                touched += 1
                if touched == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            step()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _start(bench: Bench) -> None:
    bench.ready(bench.root.parent / "origin")


def _work(bench: Bench) -> None:
    _start(bench)
    write(Path(bench.prepare("dev-1").path), {"a.txt": "one\n2\n3\n", "new/b.txt": "b\n", "x.log": "x", "c.txt": None})


def _two(bench: Bench) -> None:
    _work(bench)
    bench.finish("dev-1")
    bench.work("dev-2", {"a.txt": "1\n2\nthree\n"}, "t2")


def _integrated(bench: Bench) -> None:
    _two(bench)
    _integrate(bench)


def _integrate(bench: Bench) -> Event:
    return bench.integrate(bench.finish("dev-1"), bench.finish("dev-2", "t2"))


STEPS: dict[str, tuple[Callable[[Bench], None], Callable[[Bench], Event]]] = {
    "open": (lambda _: None, lambda bench: bench.open(bench.root.parent / "origin")),
    "prepare": (_start, lambda bench: bench.prepare("dev-1")),
    "commit": (_work, lambda bench: bench.finish("dev-1")),
    "undo": (_work, lambda bench: bench.finish("dev-1", outcome="failed")),
    "prepare again": (_work, lambda bench: bench.prepare("dev-1", "t1", attempt=2)),
    "integrate": (_two, _integrate),
    "bring up": (_integrated, lambda bench: bench.prepare("dev-2", "t3")),
    "finalize": (_integrated, lambda bench: bench.finalize(push=True)),
}


@pytest.mark.parametrize(("before", "step"), STEPS.values(), ids=STEPS)
def test_a_step_that_was_cut_short_is_done_once(
    tmp_path: Path, before: Callable[[Bench], None], step: Callable[[Bench], Event]
) -> None:
    """Killed before any touch of the disk, a step done again gives the same answer, commits and files."""
    repository(tmp_path / "origin", {"a.txt": "1\n2\n3\n", "c.txt": "c\n", ".gitignore": "*.log\n"}).close()
    shutil.copytree(tmp_path / "origin", tmp_path / "origin.then")
    root = tmp_path / "ws"
    before(Bench(root))
    if root.exists():
        shutil.copytree(root, tmp_path / "then", symlinks=True)
    expected = step(Bench(root))
    wanted = _seen(Bench(root))
    number = 1
    while True:
        _back(tmp_path, root)
        bench = Bench(root)
        died = dies_at(number, lambda bench=bench: step(bench))
        bench = Bench(root)
        assert step(bench) == expected, number
        assert _seen(bench) == wanted, number
        if not died:
            break
        number += 3 if number > 3 else 1
    assert number > 5
    if GIT is not None:
        assert git(bench.workspace.repository, "fsck", "--full", "--strict", "--no-dangling") == ""


def _back(tmp_path: Path, root: Path) -> None:
    for place, then in ((root, tmp_path / "then"), (tmp_path / "origin", tmp_path / "origin.then")):
        shutil.rmtree(place, ignore_errors=True)
        if then.exists():
            shutil.copytree(then, place, symlinks=True)


def _seen(bench: Bench) -> dict[str, object]:
    """Everything that may be observed: branches, kept refs, files of the worktrees."""
    bench.open(bench.root.parent / "origin")
    workspace: Workspace = bench.workspace
    refs = {
        str(path.relative_to(workspace.repository)): path.read_text()
        for path in (workspace.repository / "refs").rglob("*")
        if path.is_file()
    }
    files = {
        str(path.relative_to(workspace.root)): path.read_bytes()
        for path in (workspace.root / "worktrees").rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    heads = {
        str(path.relative_to(workspace.root)): path.read_bytes()
        for path in (workspace.root / "worktrees").glob("*/.git/*")
        if path.name in {"HEAD", "packed-refs"}
    }
    return {**refs, **files, **heads}


def test_half_a_line_of_the_journal_was_never_written(tmp_path: Path) -> None:
    """A journal whose last line was cut off goes on from the line before it."""
    repository(tmp_path / "origin", {"a.txt": "1\n"}).close()
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    done = bench.work("dev-1", {"a.txt": "2\n"})
    journal = bench.workspace.root / "journal.jsonl"
    whole = journal.read_bytes()
    for cut in (1, 20, len(whole.splitlines(keepends=True)[-1]) - 1):
        journal.write_bytes(whole[:-cut])
        assert bench.again().finish("dev-1") == done
        assert journal.read_bytes() == whole


def test_branches_that_were_not_moved_in_time_are_moved_by_the_next_process(tmp_path: Path) -> None:
    """What the journal says is what the branches say, as soon as anybody looks."""
    bench = Bench(tmp_path / "ws")
    bench.ready()
    done = bench.integrate(bench.work("dev-1", {"a.txt": "2\n"}))
    assert isinstance(done, WorkspaceIntegrated)
    shutil.rmtree(bench.workspace.repository / "refs/heads/parallax")
    with bench.again().workspace.locked():
        pass
    assert bench.files() == {"a.txt": b"2\n"}


def test_two_processes_on_one_workspace_see_each_other(tmp_path: Path) -> None:
    """What another process has done since is taken in before anything else is."""
    one, other = Bench(tmp_path / "ws"), Bench(tmp_path / "ws")
    one.ready()
    first = one.work("dev-1", {"a.txt": "1\n"})
    assert other.finish("dev-1") == first
    second = other.work("dev-1", {"a.txt": "2\n"}, "t2")
    assert one.finish("dev-1", "t2") == second
    assert one.work("dev-1", {"a.txt": "3\n"}, "t3").parent == second.commit
