"""Errors over HTTP: every one is a problem document that says where, what, and what to do."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from schemas.base import Problem
from schemas.gateway import ProblemDocument
from shared.bus import BusError, NoResponder
from shared.postgres import DatabaseAway

_TITLES = {
    400: "The request cannot be read",
    401: "A key is needed",
    404: "Not found",
    405: "Not allowed",
    409: "Not possible now",
    413: "Too large",
    415: "Not JSON",
    422: "The request cannot be carried out",
    500: "An error of ours",
    503: "A server is away",
    504: "No answer in time",
}
PROBLEM_JSON = "application/problem+json"


class Trouble(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str, errors: list[Problem] | None = None, *, again_s: int = 0) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors or []
        self.again_s = again_s


def not_found(what: str, name: str) -> Trouble:
    """There is no such thing."""
    return Trouble(404, f"There is no {what} {name[:200]!r}.")


def answer(request: Request[Any, Any, Any], trouble: Trouble) -> Response[bytes]:
    """A problem document as a response."""
    document = ProblemDocument(
        title=_TITLES.get(trouble.status, "Error"),
        status=trouble.status,
        detail=trouble.detail,
        instance=request.url.path,
        errors=trouble.errors,
    )
    headers = {"retry-after": str(trouble.again_s)} if trouble.again_s else {}
    if trouble.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(document), status_code=trouble.status, media_type=PROBLEM_JSON, headers=headers)


def on_trouble(request: Request[Any, Any, Any], error: Trouble) -> Response[bytes]:
    """Handles errors that the routes raise."""
    return answer(request, error)


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Handles what the framework raises: unknown paths, wrong methods, parameters of the wrong type."""
    extra: Any = error.extra
    problems: list[Problem] = []
    if isinstance(extra, list):
        for entry in extra:
            if isinstance(entry, dict):
                problems.append(Problem(where=str(entry.get("key", "")), what=str(entry.get("message", ""))))
    detail = "There is nothing at this path; /schema lists what there is." if error.status_code == 404 else error.detail
    return answer(request, Trouble(error.status_code, detail, problems))


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles everything else: servers that are away, and faults of ours, whose text stays in the log."""
    match error:
        case DatabaseAway():
            return answer(request, Trouble(503, "Postgres does not answer; executions go on without it.", again_s=2))
        case NoResponder():
            return answer(request, Trouble(503, "The service that answers this is not there.", again_s=2))
        case TimeoutError() | BusError():
            return answer(request, Trouble(503, "The message bus did not answer in time.", again_s=2))
        case _:
            request.logger.exception("request_failed", exc_info=error) if request.logger else None
            return answer(request, Trouble(500, "Something went wrong; the service's log says what."))
