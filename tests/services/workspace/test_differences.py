"""A diff that other tools take, and numbers that are those of git."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from schemas.workspaces import WorkspaceQuery
from services.workspace.problems import WorkspaceProblem
from services.workspace.views import diff
from tests.services.workspace.bench import GIT, Bench, git, repository


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    lines = "".join(f"line {number}\n" for number in range(200))
    repository(tmp_path / "origin", {"a.txt": lines, "b.txt": "b", "pkg/c.txt": "c\n", "bin": "\0x"}).close()
    made = Bench(tmp_path / "ws")
    made.ready(tmp_path / "origin")
    return made


def edited(dice: random.Random) -> str:
    """Two hundred lines with some of them changed, gone or new."""
    lines = [f"line {number}" for number in range(200)]
    for _ in range(dice.randint(1, 12)):
        place = dice.randrange(len(lines))
        match dice.randrange(3):
            case 0:
                lines[place] = f"changed {dice.random()}"
            case 1:
                del lines[place]
            case _:
                lines.insert(place, f"new {dice.random()}")
    return "\n".join(lines) + dice.choice(["", "\n"])


@pytest.mark.skipif(GIT is None, reason="asks the real git")
@pytest.mark.parametrize("seed", range(8))
def test_git_applies_the_diff_and_counts_the_same(bench: Bench, tmp_path: Path, seed: int) -> None:
    """The text is a patch that makes the result of the base; insertions and deletions are those of `git diff`."""
    dice = random.Random(seed)
    done = bench.work("dev-1", {"a.txt": edited(dice), "b.txt": "b\nc", "new/d.txt": "d\n", "pkg/c.txt": None})
    with bench.workspace.locked():
        store = bench.workspace.git
        old, new = store.tree_of(bench.workspace.base), store.tree_of(done.commit)
        found = store.difference(old, new, patch=True)
    checkout = tmp_path / "checkout"
    subprocess.run([str(GIT), "clone", "-q", str(tmp_path / "origin"), str(checkout)], check=True)
    (tmp_path / "patch").write_bytes(found.patch)
    git(checkout, "apply", "--index", str(tmp_path / "patch"))
    assert git(checkout, "write-tree").strip() == new
    numbers = git(bench.workspace.repository, "diff", "--shortstat", old, new)
    assert f"{found.insertions} insertion" in numbers
    assert f"{found.deletions} deletion" in numbers


def test_binaries_and_modes_are_said_and_not_shown(bench: Bench) -> None:
    """What is no text is named; a changed mode is two lines."""
    worktree = Path(bench.prepare("dev-1").path)
    (worktree / "bin").write_bytes(b"\0y")
    (worktree / "pkg/c.txt").chmod(0o755)
    bench.finish("dev-1")
    with bench.workspace.locked():
        page = diff(bench.workspace, WorkspaceQuery(query="diff", session="dev-1"))
    assert "GIT binary patch\n" in page.text
    assert "old mode 100644\nnew mode 100755\n" in page.text
    assert (page.insertions, page.deletions) == (0, 0)


def test_a_session_and_a_commit_that_are_not_there(bench: Bench) -> None:
    """Unknown names are answered with those that are known."""
    bench.work("dev-1", {"b.txt": "x"})
    with bench.workspace.locked():
        with pytest.raises(WorkspaceProblem, match="There are: dev-1"):
            diff(bench.workspace, WorkspaceQuery(query="diff", session="dev-2"))
        with pytest.raises(WorkspaceProblem, match="no commit of this workspace"):
            diff(bench.workspace, WorkspaceQuery(query="diff", commit="1" * 40))
