"""What an agent calls its commits is read as git reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.workspace.agent_repository.opening import Unreadable
from tests.services.workspace.agent_repository.planted import (
    bare_git,
    codes,
    findings_of,
    made,
    needs_git,
    opened,
    save,
)
from tests.services.workspace.bench import git

pytestmark = pytest.mark.backend("git")  # the reader knows nothing of backends


@needs_git
@pytest.mark.parametrize("packed", [False, True])
def test_branches_tags_and_the_stash_are_found(tmp_path: Path, packed: bool) -> None:
    """Loose and packed, each by its own name; what HEAD stands for is known."""
    tree = made(tmp_path / "r")
    git(tree, "checkout", "-qb", "feat/deep")
    (tree / "n").write_text("n")
    feat = save(tree)
    git(tree, "tag", "-a", "v1", "-m", "x")
    git(tree, "checkout", "-q", "main")
    for number in (1, 2):
        (tree / "s").write_text(str(number))
        git(tree, "stash", "-uq")
    if packed:
        git(tree, "pack-refs", "--all")
        git(tree, "repack", "-adq")
    with opened(tree) as found:
        assert found.findings == []
        assert found.refs.branch == b"refs/heads/main"
        assert found.refs.head.decode() == git(tree, "rev-parse", "main").strip()
        assert found.refs.names[b"refs/heads/feat/deep"].decode() == feat
        names = {(one.kind, one.name, one.sha.decode()) for one in found.commits(found.own())}
    assert ("branch", b"feat/deep", feat) in names
    assert ("branch", b"main", git(tree, "rev-parse", "main").strip()) in names
    assert ("stash", b"stash", git(tree, "rev-parse", "stash@{0}").strip()) in names
    assert ("stash", b"stash", git(tree, "rev-parse", "stash@{1}").strip()) in names


@needs_git
def test_commits_that_nothing_names_any_more_are_found(tmp_path: Path) -> None:
    """One that was reset away, one whose branch is deleted, and a stash that was dropped."""
    tree = made(tmp_path / "r")
    gone: set[str] = set()
    (tree / "n").write_text("n")
    gone.add(save(tree))
    git(tree, "reset", "-q", "--hard", "HEAD~1")
    git(tree, "checkout", "-qb", "feat")
    (tree / "m").write_text("m")
    gone.add(save(tree))
    git(tree, "checkout", "-q", "main")
    git(tree, "branch", "-qD", "feat")
    (tree / "s").write_text("s")
    git(tree, "stash", "-uq")
    gone.add(git(tree, "rev-parse", "stash").strip())
    git(tree, "stash", "drop", "-q")
    with opened(tree) as found:
        assert gone <= {one.sha.decode() for one in found.commits(found.own())}
    git(tree, "reflog", "expire", "--expire=now", "--all")
    with opened(tree) as found:
        unnamed = {one.sha.decode() for one in found.commits(found.own()) if one.kind == "unnamed"}
    assert unnamed == gone


@needs_git
def test_what_the_platform_knows_is_not_found(tmp_path: Path) -> None:
    """A commit of the platform is not the agent's; what is on top of it is."""
    tree = made(tmp_path / "r")
    base = git(tree, "rev-parse", "HEAD").strip().encode()
    with opened(tree) as found:
        assert found.commits(found.own() - {base}) == []
    (tree / "n").write_text("n")
    own = save(tree)
    with opened(tree) as found:
        assert [one.sha.decode() for one in found.commits(found.own() - {base})] == [own]


@needs_git
def test_linked_worktrees_are_found_with_their_heads(tmp_path: Path) -> None:
    """Where each lies, on which branch or commit it is."""
    tree = made(tmp_path / "r")
    git(tree, "worktree", "add", "-q", "-b", "side", str(tmp_path / "x"))
    (tmp_path / "x/n").write_text("n")
    side = save(tmp_path / "x")
    git(tree, "worktree", "add", "-q", "--detach", str(tmp_path / "y"))
    (tmp_path / "y/m").write_text("m")
    detached = save(tmp_path / "y")
    with opened(tree) as found:
        assert found.findings == []
        assert [(one.name, one.place, one.head.decode(), one.branch) for one in found.refs.worktrees] == [
            (b"x", f"{tmp_path}/x/.git".encode(), side, b"side"),
            (b"y", f"{tmp_path}/y/.git".encode(), detached, b""),
        ]
        names = {(one.kind, one.name, one.sha.decode()) for one in found.commits(found.own())}
    assert ("branch", b"side", side) in names
    assert ("worktree", b"y", detached) in names


@needs_git
def test_the_head_of_a_submodule_is_read_where_git_puts_it(tmp_path: Path) -> None:
    """In `.git/modules` of the repository, through a `.git` file that points there and nowhere else."""
    sub = made(tmp_path / "sub")
    tree = made(tmp_path / "r")
    git(tree, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(sub), "deep/s")
    head = git(sub, "rev-parse", "HEAD").strip()
    with opened(tree) as found:
        descriptor = os.open(tree, os.O_RDONLY)
        assert found.gitlink_head(descriptor, b"deep/s").decode() == head
        assert found.gitlink_head(descriptor, b"nothing") == b""
        for target in (str(sub / ".git"), "../../../sub/.git", "../../.git", "nonsense"):
            (tree / "deep/s/.git").write_text(f"gitdir: {target}\n")
            with pytest.raises(Unreadable) as refused:
                found.gitlink_head(descriptor, b"deep/s")
            assert refused.value.finding.code == "foreign_gitdir"
        os.close(descriptor)


def test_symbolic_references_in_a_circle_are_named(tmp_path: Path) -> None:
    """Two branches that name each other end in a finding, as does a chain without end."""
    git_directory = bare_git(tmp_path)
    (git_directory / "refs/heads/one").write_text("ref: refs/heads/two\n")
    (git_directory / "refs/heads/two").write_text("ref: refs/heads/one\n")
    (git_directory / "HEAD").write_text("ref: refs/heads/one\n")
    assert codes(findings_of(tmp_path)) == {"cyclic_ref"}


@pytest.mark.parametrize(
    "head", ["", "nonsense", "ref: ../../etc/passwd", "ref: refs/../../x", "ref: refs/heads/\0", "x" * 5000]
)
def test_a_head_that_git_would_not_write_is_named(tmp_path: Path, head: str) -> None:
    """No path leads out of the directory, and nothing is read without a bound."""
    git_directory = bare_git(tmp_path)
    (git_directory / "HEAD").write_text(head)
    assert codes(findings_of(tmp_path)) & {"bad_ref", "too_large"}


def test_a_reference_to_something_that_is_not_there_keeps_nothing(tmp_path: Path) -> None:
    """A branch may name a commit that the repository has not: it is no commit of the agent's."""
    git_directory = bare_git(tmp_path)
    (git_directory / "refs/heads/main").write_text("a" * 40 + "\n")
    (git_directory / "packed-refs").write_text("garbage\n")
    assert codes(findings_of(tmp_path)) == {"bad_ref"}
