"""A place for evidence holds the commit it vouches for, and what a set-up made there; nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.workspace.git_backend import EvidencePlace
from tests.services.workspace.bench import Bench, repository, write


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    repository(tmp_path / "origin", {"a.txt": "1\n", "d/b.txt": "b\n", ".gitignore": "lib/\n*.o\n"}).close()
    made = Bench(tmp_path / "ws")
    made.ready(tmp_path / "origin")
    return made


def place_of(bench: Bench) -> tuple[Path, EvidencePlace]:
    root = bench.workspace.root
    (root / "scratch").mkdir(exist_ok=True)
    return root / "evidence", bench.workspace.git.evidence(
        root / "evidence", memory=root / "evidence.memory", scratch=root / "scratch"
    )


def below(root: Path) -> list[str]:
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    )


def test_a_check_out_removes_what_the_commit_does_not_hold(bench: Bench) -> None:
    """Ignored and untracked files go, changed ones are put back, and what is to be kept stays, also inside of those."""
    done = bench.work("dev-1", {"a.txt": "2\n", "new.txt": "n\n"})
    root, place = place_of(bench)
    assert not place.check_out(bench.workspace.base)
    assert below(root) == [".gitignore", "a.txt", "d/b.txt"]
    write(root, {"lib/u.py": "u", "lib/kept/v.py": "v", "x.o": "o", "env/bin": "b", "env/lib/c": "c", "a.txt": "bad\n"})
    assert place.check_out(done.commit, keep=["lib/kept", "env"])
    assert below(root) == [".gitignore", "a.txt", "d/b.txt", "env/bin", "env/lib/c", "lib/kept/v.py", "new.txt"]
    assert (root / "a.txt").read_text() == "2\n"
    assert (root / ".git/HEAD").read_text() == f"{done.commit}\n"
    assert place.check_out(bench.workspace.base)
    assert below(root) == [".gitignore", "a.txt", "d/b.txt"]


def test_tracked_files_that_a_check_changes_are_named(bench: Bench) -> None:
    """New files are no change; changed, removed and replaced tracked ones are."""
    root, place = place_of(bench)
    place.check_out(bench.workspace.base)
    write(root, {"made.txt": "m", "lib/u.py": "u"})
    assert place.changes(bench.workspace.base) == []
    write(root, {"a.txt": "good\n", "d/b.txt": None})
    assert place.changes(bench.workspace.base) == ["a.txt", "d/b.txt"]
