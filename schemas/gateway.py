"""Bodies of the HTTP gateway that are not commands or events."""

from __future__ import annotations

from schemas.base import Json, Model, Problem


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
    """One execution as the projections have it. Times are RFC 3339."""

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
    requested_at: str = ""
    started_at: str = ""
    ended_at: str = ""
