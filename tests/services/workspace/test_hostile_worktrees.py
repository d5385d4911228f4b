"""What an agent may leave in its worktree, so that the platform's git runs a program, or reads and writes elsewhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from services.workspace import files
from tests.services.workspace.bench import GIT, Bench, git, repository, write

needs_git = pytest.mark.skipif(GIT is None, reason="uses the git program")


class Trap:
    """A program that leaves a mark when it is run."""

    def __init__(self, place: Path) -> None:
        self._mark = place / "sprung"
        self.path = place / "trap"
        self.path.write_text(f'#!/bin/sh\necho "$0 $@" >>{self._mark}\ncat\n')
        self.path.chmod(0o755)

    def assert_not_sprung(self) -> None:
        assert not self._mark.exists(), self._mark.read_text()

    def config(self) -> str:
        """A configuration in which everything that may name a program names this one."""
        return (
            f"[core]\n\tfsmonitor = {self.path}\n\thooksPath = {self.path.parent}/hooks\n\tsshCommand = {self.path}\n"
            f"\tpager = {self.path}\n\teditor = {self.path}\n\taskPass = {self.path}\n\tgitProxy = {self.path}\n"
            f'[filter "x"]\n\tclean = {self.path}\n\tsmudge = {self.path}\n\tprocess = {self.path}\n\trequired = true\n'
            f'[diff]\n\texternal = {self.path}\n[diff "x"]\n\ttextconv = {self.path}\n\tcommand = {self.path}\n'
            f'[merge "x"]\n\tdriver = {self.path}\n[credential]\n\thelper = {self.path}\n'
            f"[uploadpack]\n\tpackObjectsHook = {self.path}\n[gpg]\n\tprogram = {self.path}\n"
            f"[alias]\n\tstatus = !{self.path}\n\tadd = !{self.path}\n[include]\n\tpath = {self.path.parent}/more\n"
        )

    def hooks(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for name in [
            "pre-commit",
            "post-commit",
            "post-checkout",
            "reference-transaction",
            "post-index-change",
            "pre-push",
            "pre-receive",
            "update",
            "post-receive",
            "post-update",
            "fsmonitor-watchman",
            "push-to-checkout",
            "proc-receive",
            "post-merge",
            "pre-auto-gc",
        ]:
            (place / name).write_bytes(self.path.read_bytes())
            (place / name).chmod(0o755)


@pytest.fixture
def trap(tmp_path: Path) -> Generator[Trap]:
    made = Trap(tmp_path)
    made.hooks(tmp_path / "hooks")
    yield made
    made.assert_not_sprung()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    repository(tmp_path / "origin", {"a.txt": "1\n", "d/b.txt": "b\n", "d/e/c.txt": "c\n"}).close()
    made = Bench(tmp_path / "ws")
    made.ready(tmp_path / "origin")
    return made


def whole_life(bench: Bench, worktree: Path) -> None:
    """Everything that the platform does with a worktree: commit, prepare, undo, integrate, diff, clean."""
    done = bench.finish("dev-1")
    bench.prepare("dev-1", "t2")
    write(worktree, {"later.txt": "l\n"})
    bench.finish("dev-1", "t2", outcome="failed")
    bench.prepare("dev-1", "t2", 2)
    if done.error is None:
        bench.integrate(done)
    bench.again().finalize(push=False)


def test_nothing_of_an_agents_own_git_runs(bench: Bench, trap: Trap) -> None:
    """Its configuration, hooks, attributes and replace refs are data."""
    worktree = Path(bench.prepare("dev-1").path)
    with (worktree / ".git/config").open("a") as config:
        config.write(trap.config())
    trap.hooks(worktree / ".git/hooks")
    (worktree / ".git/info").mkdir(exist_ok=True)
    (worktree / ".git/info/attributes").write_text("* filter=x diff=x merge=x\n")
    write(worktree, {"a.txt": "2\n", "n.txt": "n\n"})
    whole_life(bench, worktree)


@needs_git
@pytest.mark.parametrize("where", ["new", "d", "d/e"])
def test_nothing_of_a_nested_repository_runs(bench: Bench, trap: Trap, where: str) -> None:
    """A repository inside of the worktree, in a new or in a tracked directory, with every trap that there is."""
    worktree = Path(bench.prepare("dev-1").path)
    nested = worktree / where
    nested.mkdir(exist_ok=True)
    git(nested, "init", "-q")
    write(nested, {"x.txt": "x\n"})
    git(nested, "add", "-A")
    git(nested, "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-q", "-m", "x")
    with (nested / ".git/config").open("a") as config:
        config.write(trap.config())
    trap.hooks(nested / ".git/hooks")
    write(nested, {".gitattributes": "* filter=x diff=x\n", "y.txt": "y\n"})
    whole_life(bench, worktree)


@needs_git
@pytest.mark.parametrize("path", ["../../../../evil", "-u", "s", "d"])
def test_nothing_that_a_gitmodules_file_says_is_done(bench: Bench, trap: Trap, path: str) -> None:
    """Addresses that are commands, paths that lead out, update commands: nobody follows them."""
    worktree = Path(bench.prepare("dev-1").path)
    (worktree / ".gitmodules").write_text(
        f'[submodule "{path}"]\n\tpath = {path}\n\turl = ext::{trap.path}\n'
        f"\tupdate = !{trap.path}\n\tfetchRecurseSubmodules = true\n"
    )
    head = git(worktree, "rev-parse", "HEAD").strip()
    git(worktree, "update-index", "--add", "--cacheinfo", f"160000,{head},s")
    (worktree / "s").mkdir()
    (worktree / "s/.git").write_text(f"gitdir: {worktree}/.git\n")
    with (worktree / ".git/config").open("a") as config:
        config.write(
            f'{trap.config()}[submodule "s"]\n\turl = ext::{trap.path}\n\tactive = true\n\tupdate = !{trap.path}\n'
        )
    whole_life(bench, worktree)


@pytest.mark.parametrize("kind", ["gitfile", "commondir", "alternates", "link", "pipe"])
def test_an_agents_git_leads_nowhere(bench: Bench, trap: Trap, tmp_path: Path, kind: str) -> None:
    """A `.git` that is a file, a link, a pipe, or points to another repository: the platform's work is its own."""
    other = tmp_path / "other"
    repository(other, {"secret.txt": "not yours\n"}).close()
    worktree = Path(bench.prepare("dev-1").path)
    own = worktree / ".git"
    if kind == "commondir":
        (own / "commondir").write_text(f"{other}/.git\n")
    elif kind == "alternates":
        (own / "objects/info/alternates").write_text(f"{other}/.git/objects\n")
    else:
        own.rename(tmp_path / "was")
        if kind == "gitfile":
            own.write_text(f"gitdir: {other}/.git\n")
        elif kind == "link":
            own.symlink_to(other / ".git")
        else:
            os.mkfifo(own)
    with (other / ".git/config").open("a") as config:
        config.write(trap.config())
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    write(worktree, {"n.txt": "n\n"})
    whole_life(bench, worktree)
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before
    assert "secret.txt" not in bench.files()


@needs_git
def test_replaced_objects_are_not_replaced_for_the_platform(bench: Bench) -> None:
    """`git replace` in a worktree, or in the repository of the execution, changes nothing that is committed."""
    worktree = Path(bench.prepare("dev-1").path)
    blob = git(worktree, "rev-parse", "HEAD:a.txt").strip()
    (worktree / "other").write_text("replaced\n")
    other = git(worktree, "hash-object", "-w", "other").strip()
    git(worktree, "replace", blob, other)
    git(
        bench.workspace.repository,
        "update-ref",
        f"refs/replace/{blob}",
        git(worktree, "rev-parse", "HEAD:d/b.txt").strip(),
    )
    (worktree / "other").unlink()
    write(worktree, {"n.txt": "n\n"})
    bench.integrate(bench.finish("dev-1"))
    assert bench.files()["a.txt"] == b"1\n"
    assert (Path(bench.prepare("dev-2", "t2").path) / "a.txt").read_text() == "1\n"


def write_inside(worktree: Path, name: str, text: str) -> None:
    """Writes a file of a directory that may be a link by now: then it is not for the test to follow it."""
    directory, _, last = name.partition("/")
    place = os.open(worktree / directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        descriptor = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644, dir_fd=place)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    finally:
        os.close(place)


@pytest.mark.parametrize("seed", range(3))
def test_directories_that_become_links_while_git_looks(bench: Bench, tmp_path: Path, seed: int) -> None:
    """An agent that goes on swapping a directory for a link makes the platform read and write nothing elsewhere."""
    outside = tmp_path / "outside"
    write(outside, {"b.txt": "secret\n", "e/c.txt": "secret\n", "n.txt": "secret\n"})
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    worktree = Path(bench.prepare("dev-1", "t0").path)
    done = threading.Event()

    def swaps() -> None:
        while not done.is_set():
            try:
                (worktree / "d").rename(worktree / "away")
                (worktree / "d").symlink_to(outside)
                (worktree / "d").unlink()
                (worktree / "away").rename(worktree / "d")
            except OSError:
                continue

    swapping = threading.Thread(target=swaps)
    swapping.start()
    try:
        for number in range(6):
            task = f"t{number + 2 + seed}"
            for name in ("d/n.txt", "d/b.txt", "away/b.txt"):
                with suppress(OSError):
                    write_inside(worktree, name, f"{number}\n")
            bench.finish(
                "dev-1", "t1" if not number else f"t{number + 1 + seed}", outcome="ok" if number % 2 else "failed"
            )
            bench.prepare("dev-1", task)
    finally:
        done.set()
        swapping.join()
    with bench.repository as repo:
        for sha in repo.object_store:
            assert b"secret" not in repo[sha].as_raw_string()
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


def test_rights_are_never_given_to_what_a_link_points_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that could not be read, and is a link when its rights are mended, changes nothing elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (tmp_path / "d").symlink_to(outside)
    (tmp_path / "e").mkdir(mode=0o755)
    real, refused = os.open, set[bytes]()

    def once(path: bytes | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if isinstance(path, bytes) and path not in refused:
            refused.add(path)
            raise PermissionError(path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", once)
    with files.opened(tmp_path) as here:
        assert files.open_directory(here, b"d") is None
        descriptor = files.open_directory(here, b"e")
        assert descriptor is not None
        os.close(descriptor)
    assert outside.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "e").stat().st_mode & 0o777 == 0o700
