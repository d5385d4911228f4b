"""Errors over HTTP: every one is a problem document that says where, what, and what to do."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import structlog
from litestar import HttpMethod, Request, Response
from litestar.exceptions import HTTPException

from schemas.base import Problem
from schemas.gateway import ProblemDocument
from shared.bus import BusError, EventTooLarge, NoResponder
from shared.postgres import REFUSED, DatabaseAway

_log = structlog.get_logger(__name__)

TITLES = {
    400: "The request cannot be read",
    401: "A key is needed",
    403: "Not from there",
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
"""What each status means here."""
_METHODS: tuple[HttpMethod, ...] = (
    HttpMethod.GET,
    HttpMethod.HEAD,
    HttpMethod.POST,
    HttpMethod.PUT,
    HttpMethod.PATCH,
    HttpMethod.DELETE,
    HttpMethod.OPTIONS,
)
PROBLEM_JSON = "application/problem+json"
_NO_TABLE = ("42P01", "3F000")
_AGAIN_S = 2


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
        title=TITLES.get(trouble.status, "Error"),
        status=trouble.status,
        detail=trouble.detail,
        instance=request.url.path,
        errors=trouble.errors,
    )
    headers = {"retry-after": str(trouble.again_s)} if trouble.again_s else {}
    if trouble.status == 405:
        headers["allow"] = ", ".join(_allowed(request))
    if trouble.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(document), status_code=trouble.status, media_type=PROBLEM_JSON, headers=headers)


def _allowed(request: Request[Any, Any, Any]) -> list[HttpMethod]:
    """The methods that a path has."""
    found: list[HttpMethod] = []
    for method in _METHODS:
        try:
            request.app.asgi_router.handle_routing(path=request.scope["path"], method=method)
        except HTTPException:
            continue
        found.append(method)
    return found


def on_trouble(request: Request[Any, Any, Any], error: Trouble) -> Response[bytes]:
    """Handles errors that the routes raise."""
    return answer(request, error)


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Handles what the framework raises: unknown paths, wrong methods, parameters of the wrong type."""
    if error.status_code >= 500:
        return on_error(request, error)
    problems: list[Problem] = []
    if isinstance(error.extra, list):
        for entry in error.extra:
            if isinstance(entry, dict):
                found = cast("dict[str, Any]", entry)
                problems.append(Problem(where=str(found.get("key", "")), what=str(found.get("message", ""))))
    detail = error.detail or TITLES.get(error.status_code, "Error")
    if error.status_code == 404:
        detail = "There is nothing at this path; /schema lists what there is."
    elif error.status_code == 405:
        detail = f"{request.method} is not for this path; /schema lists what there is."
    elif problems:  # only parameters come here; bodies are read by `json_body`
        return answer(request, Trouble(422, "A parameter does not fit.", problems))
    return answer(request, Trouble(error.status_code, detail, problems))


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles everything else: servers that are away, and faults of ours, whose text stays in the log."""
    trouble = known(error)
    if trouble is None:
        _log.exception("request_failed", path=request.url.path, exc_info=error)
        trouble = Trouble(500, "Something went wrong; the log of the service says what.")
    return answer(request, trouble)


def known(error: Exception) -> Trouble | None:
    """What an error of the servers behind the gateway means to a client. None: it is a fault of ours."""
    match error:
        case Trouble():
            return error
        case DatabaseAway():
            return Trouble(503, "Postgres does not answer; executions go on without it.", again_s=_AGAIN_S)
        case REFUSED() if getattr(error, "sqlstate", "") in _NO_TABLE:
            return Trouble(503, "The tables are not there yet; the projector makes them.", again_s=_AGAIN_S)
        case EventTooLarge():
            return Trouble(413, "The message bus does not take a message of this size.")
        case NoResponder():
            return Trouble(503, "The service that answers this is not there.", again_s=_AGAIN_S)
        case TimeoutError() | BusError():
            return Trouble(503, "The message bus did not answer in time.", again_s=_AGAIN_S)
        case _:
            return None
