"""What an agent did in submodules, with a git of its own: its commits there are kept, as those beside its work are.

Objects of which another repository is said to have the commits are copied too where a submodule stands at them, so
that the next task finds the submodule filled; no ref keeps them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from services.workspace.agent_repository.modules import module_repositories
from services.workspace.agent_repository.objects import Budget
from services.workspace.agent_repository.opening import Finding, Unreadable, shown
from services.workspace.agent_repository.quarantine import Quarantine
from services.workspace.agent_repository.refs import Named
from services.workspace.agent_repository.repository import AgentRepository
from services.workspace.agent_repository.staged import staged_commit

_MOST = 1_000


class SubmoduleCommits:
    """Takes over the commits that an agent made in the submodules of its worktree.

    `lacking` gives those of some objects that the platform has not. `name` makes a ref for a commit, `admit` notes the
    refs and lets a quarantine into the store. `findings` are what could not be read.
    """

    def __init__(
        self,
        worktree: int,
        scratch: Path,
        lacking: Callable[[AbstractSet[bytes]], frozenset[bytes]],
        name: Callable[[bytes, Named, AgentRepository], None],
        admit: Callable[[Quarantine], None],
    ) -> None:
        self._worktree = worktree
        self._scratch = scratch
        self._lacking = lacking
        self._name = name
        self._admit = admit
        self._budget = Budget()
        self.findings: list[Finding] = []
        self.elsewhere: set[bytes] = set()
        """The commits that other repositories have, as the agent's git knows it."""

    def take(self, submodules: Mapping[bytes, bytes], at: int) -> None:
        """Takes everything. `submodules` are the paths of submodules, and where each of them stands now."""
        try:
            for name, git in module_repositories(self._worktree, submodules):
                repository = AgentRepository(git, _nothing, budget=self._budget)
                try:
                    self._take(name, repository, frozenset(submodules.values()), at)
                    self.findings += repository.findings
                finally:
                    repository.close()
        except Unreadable as error:
            self.findings.append(error.finding)

    def _take(self, name: bytes, repository: AgentRepository, heads: AbstractSet[bytes], at: int) -> None:
        fresh = self._lacking(repository.own())
        elsewhere = repository.elsewhere(fresh)
        self.elsewhere |= elsewhere
        if not fresh:
            return
        found = repository.commits(fresh - elsewhere)
        if len(found) > _MOST:
            message = f"the submodule has {len(found)} commits that nothing goes on from; {_MOST} are kept by refs"
            repository.findings.append(Finding("too_many", shown(name), message))
            del found[_MOST:]
        place = self._scratch / f"quarantine-{secrets.token_hex(6)}"
        quarantine = Quarantine(place, repository.objects, fresh, self._lacking)
        try:
            broken = quarantine.take([(one.sha, b"commit") for one in found])
            repository.findings += broken.values()
            for one in found:
                if one.sha not in broken:
                    self._name(name, one, repository)
            # what others have can be had again: where it cannot be copied, the submodule is only not filled
            quarantine.take([(sha, b"commit") for sha in sorted(heads & elsewhere & fresh)])
            self._take_staged(name, repository, quarantine, fresh - quarantine.taken, at)
            self._admit(quarantine)
        finally:
            quarantine.discard()

    def _take_staged(
        self, name: bytes, repository: AgentRepository, quarantine: Quarantine, fresh: AbstractSet[bytes], at: int
    ) -> None:
        if repository.index is None or not repository.refs.head:
            return
        head = repository.refs.head
        try:
            staged = staged_commit(repository.index, quarantine, fresh, self._lacking, parent=head, at=at)
        except Unreadable as error:
            repository.findings.append(error.finding)
            return
        if staged is not None:
            self._name(name, Named(staged, "unnamed", b"", b"What was staged"), repository)


def nobody_has(
    heads: Mapping[bytes, str], before: Mapping[bytes, str], elsewhere: Collection[bytes], has: Callable[[str], bool]
) -> dict[bytes, str]:
    """The submodules that were moved to commits that nobody else has, so far as is known."""
    return {
        path: head
        for path, head in heads.items()
        if before.get(path) != head and head.encode() not in elsewhere and not has(head)
    }


def _nothing(sha: bytes) -> None:
    """No delta of an agent's pack starts from an object that is only the platform's."""
    del sha
