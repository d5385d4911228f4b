"""Requests that a program makes to the world over HTTP."""

from __future__ import annotations

from typing import ClassVar

from schemas.base import Failure, Json, Millis
from schemas.events.base import Event


class HttpRequested(Event, frozen=True, kw_only=True):
    """A program asks for something over HTTP. The id of this event goes along as `Idempotency-Key`."""

    TYPE: ClassVar[str] = "http.requested"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str
    digest: str
    method: str
    url: str
    headers: dict[str, str] = {}
    body: Json = None
    timeout_ms: Millis = 30_000


class HttpCompleted(Event, frozen=True, kw_only=True):
    """What the server said: status, some of the headers, the body as JSON or text; or why there is no answer."""

    TYPE: ClassVar[str] = "http.completed"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "executor"

    effect: str
    status: int = 0
    headers: dict[str, str] = {}
    body: Json = None
    error: Failure | None = None
