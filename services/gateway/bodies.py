"""Bodies and parameters of requests: read with errors that name the place, and described for OpenAPI."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

import msgspec
from litestar import Request
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody
from litestar.params import PathParameter, QueryParameter

from compiler.option_check import check_request
from schemas.base import Problem
from schemas.commands import Cancel, Pause, Resume, Signal
from schemas.gateway import (
    AnswerBody,
    ExecutionBody,
    ExecutionOptions,
    PatternCheck,
    PatternRunBody,
    PatternText,
    ProblemDocument,
    Retry,
)
from schemas.json_text import read_json
from services.gateway.problems import Trouble

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
BODIES = (
    *(ExecutionBody, PatternRunBody, PatternText, PatternCheck, AnswerBody),
    *(Cancel, Pause, Resume, Signal, Retry, ProblemDocument),
)
"""Every type that a body may have. None has a key that means nothing: a misspelt one would be lost without a word."""

EXECUTION_STATUSES = ("pending", "running", "waiting", "paused", "completed", "failed", "cancelled", "rejected")
QUESTION_STATUSES = ("open", "answered", "withdrawn")

_DURATION = re.compile(r"^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h)?$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)

Name = Annotated[str, PathParameter(description="The id of the execution: letters, digits, - and _, at most 64.")]
PatternName = Annotated[str, PathParameter(description="The pattern's name, or `name@range`.")]
AgentId = Annotated[str, PathParameter(description="The id of the agent.")]
QuestionId = Annotated[str, PathParameter(description="The id of the question.")]
After = Annotated[int, QueryParameter(ge=0, le=2**53, description="Only what comes after this sequence.")]
MaybeAfter = Annotated[int | None, QueryParameter(ge=0, le=2**53, description="Only what comes after this sequence.")]
Wait = Annotated[str | None, QueryParameter(description="How long to wait for the end, such as 30s; at most 300s.")]


def page_of(most: int) -> QueryParameter:
    """The parameter that bounds a page."""
    return QueryParameter(ge=1, le=most, description=f"How many at most; up to {most}.")


async def json_body(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """The JSON body of a request as a type. Raises Trouble 400, 413, 415 or 422."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise _too_large(f"The body has {length} bytes; {MAX_BODY_BYTES} is the limit.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large(f"The body has more than {MAX_BODY_BYTES} bytes, which is the limit.")
        parts.append(part)
    body = b"".join(parts)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and media != "application/json":
        raise Trouble(415, f"The body is {media or 'of no stated type'}; send application/json.")
    decoded = _decoded(body or b"{}", kind)
    unknown = check_request(read_json(body or b"{}"), cast("type[msgspec.Struct]", kind), ExecutionOptions)
    if unknown:
        raise Trouble(422, "The body holds what means nothing.", unknown)
    return decoded


def _too_large(what: str) -> Trouble:
    hint = "Put large inputs into the repository and name the file in the input."
    return Trouble(413, what, [Problem(where="body", what=what, hint=hint)])


def _decoded(body: bytes, kind: type[T]) -> T:
    """Malformed JSON is 400, and JSON that does not fit is 422, wherever in the body the one or the other begins."""
    try:
        try:
            return cast("T", read_json(body, kind))
        except msgspec.ValidationError as error:
            read_json(body)  # what is wrong with the type may stand before what is no JSON at all
            raise Trouble(422, "The body does not fit.", [problem_of(error)]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Trouble(400, f"The body is not JSON: {reason}.") from error


def problem_of(error: msgspec.ValidationError, below: str = "") -> Problem:
    """What msgspec found, as where and what."""
    match = _PLACE.match(str(error))
    where, what = (match["where"] or "", match["what"]) if match else ("", str(error))
    place = ".".join(part for part in (below, where) if part)
    return Problem(where=place or "body", what=what, hint="/schema describes the body.")


def seconds(text: str, where: str) -> float:
    """A duration such as `30s`, `500ms`, `2m` or `30`, in seconds. Raises Trouble 422."""
    match = _DURATION.match(text.strip())
    if match is None:
        hint = "Write 500ms, 30s, 2m or 1h."
        problem = Problem(where=where, what=f"{text[:40]!r} is no duration.", hint=hint)
        raise Trouble(422, "A duration cannot be read.", [problem])
    return float(match[1]) * _UNITS[match[2]]


# -- OpenAPI --------------------------------------------------------------------------------------------------------


def components() -> dict[str, Any]:
    """The schemas of all bodies, by name."""
    _, found = msgspec.json.schema_components(BODIES, ref_template="#/components/schemas/{name}")
    return found


def takes(kind: type[Any], *, required: bool = True) -> type[Operation]:
    """What tells OpenAPI that an operation has a JSON body of a type."""
    media = OpenAPIMediaType(schema=Reference(ref=f"#/components/schemas/{kind.__name__}"))
    body = RequestBody(content={"application/json": media}, required=required)

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.request_body = body

    return Described
