"""Bodies of the HTTP gateway that are not commands or events."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.base import Json, Model, Problem
from schemas.commands import Repository, RequestOptions


class ExecutionOptions(RequestOptions, frozen=True, kw_only=True, omit_defaults=True):
    """The options of a request over HTTP. `timeout` is a duration such as `30s` or `2m`, or milliseconds."""

    timeout: str | int | None = None


class ExecutionBody(Model, frozen=True, kw_only=True):
    """The body of `POST /api/executions`. The header `Idempotency-Key` wins over the field."""

    pattern: Annotated[str, Meta(min_length=1, max_length=256)]
    input: dict[str, Json] = {}
    repo: str | Repository | None = None
    options: ExecutionOptions = ExecutionOptions()
    idempotency_key: str = msgspec.field(name="idempotency-key", default="")
    execution_id: str = ""


class PatternRunBody(Model, frozen=True, kw_only=True):
    """The body of `POST /api/patterns/{name}/execute`: a request without the pattern's name."""

    input: dict[str, Json] = {}
    repo: str | Repository | None = None
    options: ExecutionOptions = ExecutionOptions()
    idempotency_key: str = msgspec.field(name="idempotency-key", default="")
    execution_id: str = ""


class Retry(Model, frozen=True, kw_only=True):
    """The body of `POST /api/executions/{id}/retry`: the id of the new execution, where the client wants to choose."""

    idempotency_key: str = msgspec.field(name="idempotency-key", default="")


class PatternText(Model, frozen=True, kw_only=True):
    """A pattern's text. Without it the pattern of that name in the library is meant."""

    source: str = ""
    filename: str = ""


class PatternCheck(Model, frozen=True, kw_only=True):
    """The body of `POST /api/patterns/{name}/validate`: a text, as in `PatternText`, and an input for it."""

    source: str = ""
    filename: str = ""
    input: dict[str, Json] | UnsetType = UNSET


class AnswerBody(Model, frozen=True, kw_only=True):
    """The body of `POST /api/questions/{id}/answer`."""

    value: Json
    by: str = ""
    reason: str = ""


class CommandTaken(Model, frozen=True, kw_only=True):
    """What became of a command: `accepted` by the engine, or stored and `pending` while no engine is there."""

    id: str
    status: str


class ProblemDocument(Model, frozen=True, kw_only=True):
    """An RFC 9457 problem document."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str = ""
    instance: str = ""
    errors: list[Problem] = []


class ExecutionCreated(Model, frozen=True, kw_only=True):
    """The answer to a request that was taken on."""

    id: str
    status: str
    events_url: str


class ExecutionView(Model, frozen=True, kw_only=True):
    """One execution as the projections have it. Times are RFC 3339.

    `approved`: whether the work passed its gates in the end, null where there was none or it is not over; where it is
    false, `evidence` says who said no to what. `unpublished` says why nothing was pushed although it was asked for.
    """

    id: str
    pattern_name: str
    status: str
    pattern_version: str = ""
    pattern_digest: str = ""
    input: Json = None
    result: Json = None
    confidence: float | None = None
    confidence_source: str = ""
    error: Json = None
    repo: str = ""
    branch: str = ""
    commit: str = ""
    pr_url: str = ""
    approved: bool | None = None
    evidence: Json = None
    unpublished: str = ""
    requested_at: str = ""
    started_at: str = ""
    ended_at: str = ""
