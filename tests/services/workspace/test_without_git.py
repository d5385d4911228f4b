"""Where there is no git program, what takes one is refused in a sentence that names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dulwich.objects import ObjectID, Tree

from schemas.events import WorkspaceConflicted, WorkspaceFailed, WorkspaceFinalized, WorkspaceIntegrated
from tests.services.workspace.bench import Bench, repository, with_tree, write

pytestmark = pytest.mark.backend("dulwich")


@pytest.mark.parametrize(
    "lines",
    [
        "[extensions]\n\tobjectFormat = sha256\n",
        "[extensions]\n\trefStorage = reftable\n",
        "[extensions]\n\tsomethingNew = true\n",
        '[remote "origin"]\n\turl = https://example.invalid/x\n\tpromisor = true\n\tpartialCloneFilter = blob:none\n',
    ],
)
def test_formats_that_only_git_knows(tmp_path: Path, lines: str) -> None:
    """Neither corrupt nor unreachable: git is needed, and the answer comes at once."""
    repository(tmp_path / "origin", {"a.txt": "a\n"}).close()
    with (tmp_path / "origin/.git/config").open("a") as config:
        config.write(lines)
    failed = Bench(tmp_path / "ws").open(tmp_path / "origin")
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "git_needed"
    assert "the git program" in failed.error.message


@pytest.mark.parametrize(
    "line",
    ["*.b filter=lfs", "a ident", "u working-tree-encoding=UTF-16", "[attr]x filter=y"],
)
def test_attributes_that_only_git_follows(tmp_path: Path, line: str) -> None:
    """What would be stored, written or merged in another way than git's is not begun."""
    repository(tmp_path / "origin", {"a.txt": "a\n", "d/.gitattributes": f"# x\n{line}\n"}).close()
    failed = Bench(tmp_path / "ws").open(tmp_path / "origin")
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "git_needed"
    assert "d/.gitattributes" in failed.error.message


@pytest.mark.parametrize("line", ["*.b filter=lfs", "n ident", "u working-tree-encoding=UTF-16"])
def test_attributes_that_an_agent_adds(tmp_path: Path, line: str) -> None:
    """The turn in which an agent asks for what only git does fails by name; its next one goes on."""
    repository(tmp_path / "origin", {"a.txt": "a\n"}).close()
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    prepared = bench.prepare("dev-1")
    write(Path(prepared.path), {"d/.gitattributes": line + "\n", "n": "n\n"})
    done = bench.finish("dev-1")
    assert done.error is not None
    assert done.error.code == "git_needed"
    assert f"d/.gitattributes says {line.split()[1]}" in done.error.message
    assert "the git program" in done.error.message
    assert bench.work("dev-1", {"n": "n\n"}, "t2").files == ["n"]


def test_a_base_that_only_git_reads(tmp_path: Path) -> None:
    """An expression is refused by name, and a name that is none is not taken for one."""
    repository(tmp_path / "origin", {"a.txt": "a\n"}).close()
    for number, (base, code) in enumerate(
        {":/a": "git_needed", "main@{1}": "git_needed", "x~1": "base_not_found"}.items()
    ):
        failed = Bench(tmp_path / "ws", f"x{number}").open(tmp_path / "origin", base)
        assert isinstance(failed, WorkspaceFailed)
        assert failed.error.code == code, base


def test_texts_that_are_too_long_to_merge(tmp_path: Path) -> None:
    """Forty thousand lines of which a hundred repeat take git; that is said within seconds."""
    lines = [f"line {number * 7 % 100}\n" for number in range(40_000)]
    repository(tmp_path / "origin", {"a": "".join(lines)}).close()
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    one = bench.work("dev-1", {"a": "".join(sorted(lines))})
    two = bench.work("dev-2", {"a": "".join([*lines[:20_000], "new\n", *lines[20_000:]])}, "t2")
    before = os.times()
    conflicted = bench.integrate(one, two)
    assert os.times().user - before.user < 20
    assert isinstance(conflicted, WorkspaceConflicted)
    assert "The changes of a are too many to be merged" in conflicted.message
    assert "the git program" in conflicted.message


def test_new_files_in_a_directory_that_the_other_side_renamed(tmp_path: Path) -> None:
    """Where they belong is for git to say; files of a directory that is still there stay where they are."""
    text = "".join(f"line {number}\n" for number in range(50))
    repository(tmp_path / "origin", {"d/a": text, "e/a": text + "e", "e/b": "b\n"}).close()
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    one = bench.work("dev-1", {"e/a": None, "f/a": text + "e"})
    two = bench.work("dev-2", {"e/n": "n\n"}, "t2")
    assert isinstance(bench.integrate(one, two), WorkspaceIntegrated)
    three = bench.work("dev-3", {"d/a": None, "g/a": text}, "t3")
    four = bench.work("dev-4", {"d/n": "n\n"}, "t4")
    refused = bench.integrate(three, four, effect="2")
    assert isinstance(refused, WorkspaceConflicted)
    assert "One side renamed d/a to g/a" in refused.message
    assert "the git program" in refused.message


def test_submodules(tmp_path: Path) -> None:
    """A repository with a submodule takes git."""
    repo = repository(tmp_path / "origin", {"a.txt": "a\n"})
    tree = Tree()
    tree.add(b"s", 0o160000, ObjectID(b"1" * 40))
    with_tree(repo, tree)
    repo.close()
    failed = Bench(tmp_path / "ws").open(tmp_path / "origin")
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "git_needed"


@pytest.mark.parametrize("kind", ["hook", "shared"])
def test_a_push_that_the_receiver_has_a_say_in(tmp_path: Path, kind: str) -> None:
    """Hooks are never skipped and shared permissions never lost: the push is refused, the work stays."""
    repository(tmp_path / "origin", {"a.txt": "a\n"}).close()
    if kind == "hook":
        hook = tmp_path / "origin/.git/hooks/pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    else:
        with (tmp_path / "origin/.git/config").open("a") as config:
            config.write("[core]\n\tsharedRepository = group\n")
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
    done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    assert not done.pushed
    assert done.error is not None
    assert done.error.code == "git_needed"
