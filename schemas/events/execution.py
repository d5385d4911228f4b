"""What engines alone write about an execution, in one fenced sequence."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import UNSET, UnsetType

from schemas.base import Failure, Json, Model, Problem, Score, Usage
from schemas.commands import PatternFile, Repository, RequestOptions
from schemas.events.base import ConfidenceSource, Event
from schemas.patterns import CalledPattern

SEMANTICS = 3
"""What programs mean today. An execution keeps the meaning that it began with; the log says which one that is.

1 (the field is absent): a verdict is a value; only `approve` and a `verify` step may stop a program.
2: a "no" that stands ends the execution as failed, and no result is surer than the evidence of its work. A task starts
from the result and from what it is said to build on, never from what else its session did.
3: a reviewer's critique is whole, whatever its length, and also where it is made of objects; a verdict is not taken out
of the middle of a sentence. A "no" in a branch of a parallel step stands whatever the step's `onError` says.
"""


class ExecutionAccepted(Event, frozen=True, kw_only=True):
    """A request is taken on. `request_digest` tells a repeated request from a different one under the same id."""

    TYPE: ClassVar[str] = "execution.accepted"
    KEY: ClassVar[tuple[str, ...]] = ("request_digest",)
    WRITER: ClassVar[str] = "pattern_engine"

    pattern: str
    request_digest: str
    engine: str = ""
    input: dict[str, Json] = {}
    repo: Repository | None = None
    options: RequestOptions = RequestOptions()
    source: PatternFile | UnsetType = UNSET
    """The file that the request brought its pattern in."""


class ExecutionRejected(Event, frozen=True, kw_only=True):
    """A request cannot be run. `requested_id` is the id it came with where that could not be used."""

    TYPE: ClassVar[str] = "execution.rejected"
    WRITER: ClassVar[str] = "pattern_engine"

    errors: list[Problem]
    request_digest: str = ""
    requested_id: str = ""
    pattern: str = ""


class ExecutionStarted(Event, frozen=True, kw_only=True):
    """The program is fixed: its source and digest are here, so a later edit of the pattern changes nothing.

    `semantics` is the number of the meaning that its functions have (see `SEMANTICS`); absent, it is 1.
    """

    TYPE: ClassVar[str] = "execution.started"
    WRITER: ClassVar[str] = "pattern_engine"

    engine: str
    epoch: int
    pattern_name: str
    pattern_version: str
    pattern_format: str
    pattern_digest: str
    program: str
    program_digest: str
    input: dict[str, Json] = {}
    pattern_source: str = ""
    modules: dict[str, str] = {}
    called: dict[str, CalledPattern] = {}
    workspace: dict[str, Json] | None = None
    roles: dict[str, Json] = {}
    limits: dict[str, int] = {}
    semantics: int | UnsetType = UNSET

    @property
    def meaning(self) -> int:
        """The number of the meaning that the program's functions have in this execution."""
        return 1 if self.semantics is UNSET else self.semantics


class ExecutionClaimed(Event, frozen=True, kw_only=True):
    """Another engine owns the execution from here on; every append of the former owner is refused."""

    TYPE: ClassVar[str] = "execution.claimed"
    KEY: ClassVar[tuple[str, ...]] = ("epoch",)
    WRITER: ClassVar[str] = "pattern_engine"

    engine: str
    epoch: int
    former: str = ""
    reason: str = ""


class ExecutionPaused(Event, frozen=True, kw_only=True):
    """Nothing new starts and running agents are frozen until `execution.resumed`."""

    TYPE: ClassVar[str] = "execution.paused"
    KEY: ClassVar[tuple[str, ...]] = ("number",)
    WRITER: ClassVar[str] = "pattern_engine"

    number: int
    reason: str = ""
    by: str = ""


class ExecutionResumed(Event, frozen=True, kw_only=True):
    """A paused execution goes on."""

    TYPE: ClassVar[str] = "execution.resumed"
    KEY: ClassVar[tuple[str, ...]] = ("number",)
    WRITER: ClassVar[str] = "pattern_engine"

    number: int
    by: str = ""


class Check(Model, frozen=True, kw_only=True):
    """What one oracle found, as evidence for a refusal. Counts are None where no tests were counted."""

    type: str
    name: str = ""
    passed: bool = False
    score: Score | None = None
    exit_code: int | None = None
    tests_passed: int | None = None
    tests_failed: int | None = None
    tests_skipped: int | None = None
    note: str = ""


class Refusal(Model, frozen=True, kw_only=True):
    """A "no" of a gate: about the work of which `tasks`, at which step, by whom, and why.

    `verdict` is the reviewer's word (`none`: there was none that could be read, or nobody answered), or `failed` or
    `no evidence` of a verification; `score` what the evidence was worth, None where there was none.
    """

    code: Literal["not_approved", "verification_failed"]
    step: str
    kind: Literal["review", "approve", "verify", "assign"]
    by: str
    verdict: str
    critique: str = ""
    score: Score | None = None
    tasks: list[str] = []
    checks: list[Check] = []


class ExecutionCompleted(Event, frozen=True, kw_only=True):
    """The end of an execution that reached its end. `confidence` None: nobody gave any.

    `approved`: whether every gate was passed in the end; absent where there was none. Where it is false the chart said
    `onReject: continue`, and `evidence` says who said no, and why. `unpublished` says why nothing was pushed although
    it was asked for.
    """

    TYPE: ClassVar[str] = "execution.completed"
    WRITER: ClassVar[str] = "pattern_engine"

    result: Json = None
    confidence: Score | None = None
    confidence_source: ConfidenceSource = ""
    calibrated: bool = False
    branch: str = ""
    commit: str = ""
    pr_url: str = ""
    effects: int = 0
    usage: Usage | None = None
    approved: bool | UnsetType = UNSET
    evidence: list[Refusal] | UnsetType = UNSET
    unpublished: str | UnsetType = UNSET


class ExecutionFailed(Event, frozen=True, kw_only=True):
    """The end of an execution that could not reach its end. Work that was committed stays on its branches.

    `evidence`, with the codes `not_approved` and `verification_failed`, says who said no to which work, and why.
    `unpublished` is as in `execution.completed`.
    """

    TYPE: ClassVar[str] = "execution.failed"
    WRITER: ClassVar[str] = "pattern_engine"

    error: Failure
    branch: str = ""
    commit: str = ""
    effects: int = 0
    evidence: list[Refusal] | UnsetType = UNSET
    unpublished: str | UnsetType = UNSET


class ExecutionCancelled(Event, frozen=True, kw_only=True):
    """The end of an execution that somebody stopped."""

    TYPE: ClassVar[str] = "execution.cancelled"
    WRITER: ClassVar[str] = "pattern_engine"

    reason: str = ""
    by: str = ""
