"""A directory in which a commit is checked, outside of every agent's worktree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from services.workspace import agent_git, files
from services.workspace.agent_git import AgentGit
from services.workspace.git_backend import Oid
from services.workspace.git_program.runner import Git
from services.workspace.git_program.submodules import Submodules
from services.workspace.git_program.tracked import Tracked
from services.workspace.git_program.worktree import moves_between, put_back
from services.workspace.names import show
from services.workspace.problems import WorkspaceProblem
from services.workspace.submodules import unfilled


class Commits(Protocol):
    """What is asked of the repository."""

    def tree_of(self, commit: Oid) -> Oid:
        """The tree of a commit."""
        ...

    def visible_refs(self) -> dict[str, Oid]:
        """What an agent sees of the origin."""
        ...

    def submodules(self, commit: Oid) -> dict[bytes, Oid]:
        """The submodules in a commit, by path, and the commits that they stand at."""
        ...

    def check(self, commit: Oid) -> None:
        """Raises `unsafe_repository` where a commit holds a file that must not be written to a disk."""
        ...


class GitEvidence:
    """The place, and what is known of it."""

    def __init__(self, commits: Commits, git: Git, place: Path, memory: Path, scratch: Path) -> None:
        self._commits = commits
        self._git = git
        self._scratch = scratch
        self._tracked = Tracked(git, place, memory, scratch)
        self._submodules = Submodules(commits, git, place, memory.with_name(memory.name + ".submodules"), scratch)

    def check_out(self, commit: Oid, *, keep: Sequence[str] = ()) -> bool:
        """Makes the tracked files those of `commit` and removes what is untracked."""
        tree = self._commits.tree_of(commit)
        state = self._tracked.memory.load()
        known = state is not None and self._tracked.exists()
        if state is None or not known:
            self._tracked.start_over(tree)
        else:
            index = self._tracked.memory.index(state)
            status = self._tracked.status(index, untracked=False, submodules=state.submodules)
            moves = moves_between(self._git, state.tree, tree)
            moves += put_back(self._git, tree, (status.changed | status.gone) - {move.path for move in moves})
            index = self._tracked.memory.fresh(index)
            self._tracked.move(index, tree, moves, state)
            self._tracked.sweep(index, files.Held(keep))
        now = self._tracked.memory.state
        assert now is not None
        self._submodules.fill(commit, files.Held(keep if known else ()), some=bool(now.submodules))
        self._renew_git(commit)
        return known

    def changes(self, commit: Oid) -> list[str]:
        """The tracked files that are no longer as `commit` holds them."""
        state = self._tracked.memory.load()
        if state is None or not self._tracked.exists() or state.tree != self._commits.tree_of(commit):
            raise WorkspaceProblem(
                "evidence_place_lost", f"The place of evidence {self._tracked.path} holds no check-out of {commit}."
            )
        index = self._tracked.memory.index(state)
        status = self._tracked.status(index, untracked=False, submodules=state.submodules)
        return [show(path) for path in sorted({*status.changed, *status.gone, *self._submodules.changes()})]

    def unfilled(self, commit: Oid) -> list[str]:
        """The submodules of `commit` of which no file is there."""
        del commit  # what is checked out is remembered
        return [show(path) for path in unfilled(self._tracked.path, self._submodules.known())]

    def _renew_git(self, commit: Oid) -> None:
        state = self._tracked.memory.state
        assert state is not None
        content = AgentGit(
            branch="",
            commit=commit,
            refs={ref: oid for ref, oid in self._commits.visible_refs().items() if ref.startswith("refs/tags/")},
            name="evidence",
            objects=self._git.directory / "objects",
            index=self._tracked.memory.index(state).read_bytes(),
            exclude=(self._git.directory / "info/exclude").read_bytes(),
        )
        agent_git.renew(self._tracked.path, self._scratch, content)
