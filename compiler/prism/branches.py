"""Parallel branches of a running program: which run, which wait, and when the group has its answer.

All decisions depend only on the order in which results are delivered, so a replay that delivers the recorded results
in the recorded order takes the same ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from compiler.prism.errors import Raised

if TYPE_CHECKING:
    from greenlet import greenlet

Strategy = Literal["all", "race", "all_settled", "quorum"]
STRATEGIES: tuple[Strategy, ...] = ("all", "race", "all_settled", "quorum")


@dataclass(frozen=True, slots=True)
class BranchResult:
    """How one branch ended. `value` when ok, `error` when failed, neither when it was cancelled or never started."""

    index: int
    status: Literal["ok", "failed", "cancelled"]
    value: Any = None
    error: Raised | None = None


class Task:
    """One thread of control: the program itself, or a branch of it. `prefix` begins every path it gives out."""

    __slots__ = ("children", "count", "depth", "glet", "group", "index", "prefix", "waiting_on")

    def __init__(self, prefix: str, glet: greenlet, group: Group | None = None, index: int = 0) -> None:
        self.prefix = prefix
        self.glet = glet
        self.group = group
        self.index = index
        self.count = 0
        self.depth = 0
        self.waiting_on = ""
        self.children: Group | None = None

    def next_path(self) -> str:
        """The next place in program order."""
        self.count += 1
        return f"{self.prefix}{self.count}"


class Group:
    """The branches of one `branches` call and what its owner waits for."""

    __slots__ = ("closed", "limit", "live", "needed", "owner", "path", "results", "strategy", "thunks", "waiting")

    def __init__(
        self,
        owner: Task,
        path: str,
        thunks: list[Callable[[], Any]],
        strategy: Strategy,
        max_concurrency: int | None,
        min_results: int | None,
    ) -> None:
        self.owner = owner
        self.path = path
        self.thunks = thunks
        self.strategy: Strategy = strategy
        self.limit = max_concurrency or len(thunks)
        self.needed = min_results if min_results is not None else len(thunks) // 2 + 1
        self.waiting = deque(range(len(thunks)))
        self.live: dict[int, Task] = {}
        self.results: dict[int, BranchResult] = {}
        self.closed = False

    def startable(self) -> list[int]:
        """Indexes of the branches that may begin now, in order."""
        ready: list[int] = []
        while self.waiting and len(self.live) + len(ready) < self.limit:
            ready.append(self.waiting.popleft())
        return ready

    def decided(self) -> bool:
        """Whether the group has its answer, so that whatever still runs is a loser."""
        ok = sum(1 for result in self.results.values() if result.status == "ok")
        settled = len(self.results)
        if settled == len(self.thunks):
            return True
        if self.strategy == "all":
            return ok < settled
        if self.strategy == "race":
            return ok > 0
        if self.strategy == "quorum":
            return ok >= self.needed or len(self.thunks) - (settled - ok) < self.needed
        return False

    def outcome(self) -> list[BranchResult]:
        """All branches by position, never by arrival."""
        return [self.results.get(i) or BranchResult(i, "cancelled") for i in range(len(self.thunks))]
