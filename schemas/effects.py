"""What a program may ask of the world: the closed vocabulary of effects and of their results.

A host function of the language performs an effect; the engine turns the request into events of the log and hands
back the result that the log holds. The digest of a request is part of its event, so that a program that asks
something else at a recorded place is found out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import UNSET, UnsetType

from schemas.agents import AgentSpec, Oracle, OracleResult
from schemas.base import Json, Millis, Model, Score, Usage
from schemas.events import ConfidenceSource, WorkspaceContribution


class Effect(Model, frozen=True, kw_only=True, tag_field="effect"):
    """Base of all effect requests."""

    KIND: ClassVar[str] = ""


class Task(Effect, frozen=True, kw_only=True, tag="task"):
    """Have a session of a role do something. Answered with `TaskOutcome`; fails with the task's error.

    `builds_on` are commits that the task goes on from besides the result branch, in order.
    """

    role: str
    text: str
    agent: AgentSpec
    step: str = ""
    session: str = ""
    input: Json = None
    context: Json = None
    timeout_ms: Millis | None = None
    attempts: int | None = None
    builds_on: list[str] | UnsetType = UNSET


class Verify(Effect, frozen=True, kw_only=True, tag="verify"):
    """Run command oracles on what a task left in its session's worktree. Answered with `Verification`.

    `merged`: the worktree is first brought up to the execution's result branch, as before a task.
    """

    oracles: list[Oracle]
    combine: Literal["min", "weighted", "product"] = "min"
    task_id: str = ""
    role: str = ""
    session: str = ""
    commit: str = ""
    step: str = ""
    merged: bool = False


class Integrate(Effect, frozen=True, kw_only=True, tag="integrate"):
    """Merge commits onto the result branch in order. Answered with `Integration`; fails with `workspace_conflict`."""

    commits: list[WorkspaceContribution]
    step: str = ""


class Ask(Effect, frozen=True, kw_only=True, tag="ask"):
    """Ask a person. Answered with `Answered`."""

    question: str
    kind: Literal["question", "approval"] = "question"
    options: list[str] = []
    who: list[str] = []
    default: Json = None
    deadline_ms: Millis | None = None
    role: str = ""


class Select(Effect, frozen=True, kw_only=True, tag="select"):
    """Choose a session of a role. Answered with `Selection`: the session that is named here, else the next in turn."""

    role: str
    criteria: Literal["availability", "expertise", "round_robin", "best"] = "availability"
    max_instances: int | None = None
    topic: str = ""
    session: str = ""


class Sleep(Effect, frozen=True, kw_only=True, tag="sleep"):
    """Wait for a time. Answered with None."""

    ms: Millis


class Wait(Effect, frozen=True, kw_only=True, tag="wait"):
    """Wait for a signal, at most `timeout_ms`. Answered with `Signalled`."""

    signal: str
    timeout_ms: Millis | None = None


class Now(Effect, frozen=True, kw_only=True, tag="now"):
    """The time in epoch milliseconds."""


class Random(Effect, frozen=True, kw_only=True, tag="random"):
    """A number in [0, 1)."""


class Log(Effect, frozen=True, kw_only=True, tag="log"):
    """A line for whoever reads the events."""

    message: str


class Call(Effect, frozen=True, kw_only=True, tag="call"):
    """Run another pattern as an execution of its own. Answered with its result."""

    pattern: str
    input: dict[str, Json] = {}


class Http(Effect, frozen=True, kw_only=True, tag="http"):
    """Ask a server over HTTP. Answered with `HttpAnswer`; fails where there is no answer."""

    method: str
    url: str
    headers: dict[str, str] = {}
    body: Json = None
    timeout_ms: Millis = 30_000


AnyEffect = Task | Verify | Integrate | Ask | Select | Sleep | Wait | Now | Random | Log | Call | Http


class TaskOutcome(Model, frozen=True, kw_only=True):
    """What a finished task left behind. `confidence` None: the agent gave no self-report."""

    task_id: str
    result: Json = None
    confidence: Score | None = None
    confidence_source: ConfidenceSource = ""
    role: str = ""
    session: str = ""
    agent_id: str = ""
    commit: str = ""
    files: list[str] = []
    usage: Usage | None = None
    attempt: int = 1


class Verification(Model, frozen=True, kw_only=True):
    """What the oracles found. `score` None: no evidence."""

    verification_id: str = ""
    score: Score | None = None
    passed: bool = False
    oracles: list[OracleResult] = []


class Integration(Model, frozen=True, kw_only=True):
    """The result branch after a step."""

    commit: str = ""
    files: list[str] = []


class Answered(Model, frozen=True, kw_only=True):
    """A person's answer. `by` is `deadline` when nobody gave one in time."""

    value: Json = None
    by: str = ""
    reason: str = ""


class Selection(Model, frozen=True, kw_only=True):
    """A session of a role."""

    role: str
    session: str


class Signalled(Model, frozen=True, kw_only=True):
    """How a wait ended."""

    received: bool
    data: Json = None


class HttpAnswer(Model, frozen=True, kw_only=True):
    """What a server said."""

    status: int
    headers: dict[str, str] = {}
    body: Json = None
