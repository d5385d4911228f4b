"""The commits of one execution: who descends from whom, and how a commit is made.

Everything the platform commits descends from the base commit, so no question here looks past it, however long the
history of the repository is. Commits are functions of what they hold: the same work, redelivered, is the same commit.
"""

from __future__ import annotations

from dulwich.objects import Commit, ObjectID

from services.workspace.commit_text import PLATFORM
from services.workspace.dulwich_git.store import Store


class History:
    """The commits since `base` in `store`."""

    def __init__(self, store: Store, base: ObjectID) -> None:
        self._store = store
        self._base = base

    def ancestors(self, commit: ObjectID) -> set[ObjectID]:
        """The commit and all before it down to the base, which is the oldest one looked at."""
        found: set[ObjectID] = set()
        waiting = [commit]
        while waiting:
            current = waiting.pop()
            if current in found:
                continue
            found.add(current)
            if current != self._base:
                waiting.extend(self._store.parents(current))
        return found

    def ours(self, commit: ObjectID) -> bool:
        """Whether a commit is known and descends from the base."""
        return commit in self._store and self._descends(commit)

    def _descends(self, commit: ObjectID) -> bool:
        current = commit
        seen = 0
        while current != self._base:
            parents = self._store.parents(current)
            seen += 1
            if not parents or seen > 1_000_000:
                return False
            current = parents[0]
        return True

    def holds(self, commit: ObjectID, other: ObjectID) -> bool:
        """Whether `other` is part of the history of `commit`."""
        return other in {commit, self._base} or other in self.ancestors(commit)

    def bases(self, one: ObjectID, other: ObjectID) -> list[ObjectID]:
        """The youngest commits that both have, in a fixed order."""
        common = self.ancestors(one) & self.ancestors(other)
        older: set[ObjectID] = set()
        for commit in common:
            if commit != self._base:
                older.update(self._store.parents(commit))
        return sorted(common - older)

    def only_in(self, one: ObjectID, other: ObjectID) -> int:
        """How many commits of `one` are not part of `other`."""
        return len(self.ancestors(one) - self.ancestors(other))


def make_commit(
    store: Store,
    *,
    tree: ObjectID,
    parents: list[ObjectID],
    author: str,
    at: int,
    message: bytes,
) -> ObjectID:
    """Stores a commit. `at` is the time of the event it answers, in epoch seconds."""
    commit = Commit()
    commit.tree = tree
    commit.parents = parents
    commit.author = author.encode()
    commit.committer = PLATFORM.encode()
    commit.author_time = commit.commit_time = max(at, 0)
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = None
    commit.message = message
    return store.put(b"commit", commit.as_raw_string())
