"""What is remembered of one simulated run: its tasks, what was true about them, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.base import Failure
from schemas.events import Event, Refusal

Status = Literal["completed", "failed", "stalled"]
Again = Literal["", "retry", "revision", "escalation"]
Ending = Literal["open", "completed", "failed", "withdrawn"]


@dataclass(slots=True)
class TaskRecord:
    """One task of a run. `quality` is the truth about the work, which no agent and no pattern gets to see.

    For a verdict, `quality` is that of what was judged. An `answer` is to another agent's question; its `path` is
    empty, for the program did not ask for it. Times are in milliseconds since the run began, money in US
    dollars; `wasted_usd` is the part of it that went into attempts that failed or were withdrawn.
    """

    task_id: str
    path: str
    role: str
    step: str
    text: str
    kind: Literal["work", "verdict", "answer"] = "work"
    again: Again = ""
    session: str = ""
    status: Ending = "open"
    attempts: int = 1
    result: Any = None
    confidence: float | None = None
    quality: float | None = None
    verdict: str = ""
    lied: bool = False
    requested_ms: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    cost_usd: float = 0.0
    wasted_usd: float = 0.0
    tokens: int = 0
    error: Failure | None = None
    input: Any = None
    context: Any = None

    @property
    def name(self) -> str:
        """The step's id, or the role where the task belongs to no step."""
        return self.step or self.role


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a place of the program and tells one way through it from another."""

    path: str
    label: str


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as the log would hold it, `at_ms` after the run began."""

    at_ms: int
    event: Event

    @property
    def type(self) -> str:
        """Its kind, such as `task.completed`."""
        return self.event.TYPE


@dataclass(slots=True)
class Outcome:
    """How one run went.

    `approved` is whether every gate was passed in the end, None where there was none; `refusals` are those that stand:
    who said no to what, and why. `waits_for` says what a stalled run waits for. `quality` is the lowest quality of the
    work that the result holds, None where that cannot be told. `cost` is in US dollars, `seconds` in simulated time.
    """

    run: int
    status: Status
    result: Any = None
    confidence: float | None = None
    confidence_source: str = ""
    approved: bool | None = None
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    quality: float | None = None
    error: Failure | None = None
    waits_for: list[str] = field(default_factory=list[str])
    tasks: list[TaskRecord] = field(default_factory=list[TaskRecord])
    path: str = ""
    seconds: float = 0.0
    cost: float = 0.0
    wasted: float = 0.0
    tokens: int = 0
    effects: int = 0
    repeats: int = 0
    questions: int = 0
    unanswered: int = 0
    conflicts: int = 0
    agents_asked: int = 0
    checks: int = 0
    checks_failed: int = 0
    asked_at_the_top: int = 0
    events: list[LoggedEvent] = field(default_factory=list[LoggedEvent])

    @property
    def escalations(self) -> int:
        """How often work went to somebody higher up, people included."""
        return sum(task.again == "escalation" for task in self.tasks) + self.asked_at_the_top

    @property
    def hops(self) -> int:
        """How often somebody in the team was asked an agent's question."""
        return sum(task.kind == "answer" for task in self.tasks)

    @property
    def retries(self) -> int:
        """How often work was done once more because its confidence was low."""
        return sum(task.again == "retry" for task in self.tasks)

    @property
    def revisions(self) -> int:
        """How often work was done again because a reviewer sent it back."""
        return sum(task.again == "revision" for task in self.tasks)
