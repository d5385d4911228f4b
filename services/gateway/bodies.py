"""Bodies and durations of requests, read with errors that name the place."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from schemas.base import Problem
from services.gateway.problems import Trouble

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h)?$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)


async def json_body(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """The JSON body of a request as a type. Raises Trouble 400, 413, 415 or 422."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise Trouble(413, f"The body has {length} bytes; {MAX_BODY_BYTES} is the limit.")
    body = await request.body()
    if len(body) > MAX_BODY_BYTES:
        raise Trouble(413, f"The body has {len(body)} bytes; {MAX_BODY_BYTES} is the limit.")
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and media != "application/json":
        raise Trouble(415, f"The body is {media or 'of no stated type'}; send application/json.")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise Trouble(422, "The body does not fit.", [_problem(error)]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Trouble(400, f"The body is not JSON: {reason}.") from error


def _problem(error: msgspec.ValidationError) -> Problem:
    match = _PLACE.match(str(error))
    if match is None:
        return Problem(where="", what=str(error))
    return Problem(where=match["where"] or "", what=match["what"])


def seconds(text: str, where: str) -> float:
    """A duration such as `30s`, `500ms`, `2m` or `30`, in seconds. Raises Trouble 422."""
    match = _DURATION.match(text.strip())
    if match is None:
        hint = "Write 500ms, 30s, 2m or 1h."
        raise Trouble(422, "A duration cannot be read.", [Problem(where=where, what=f"{text[:40]!r}", hint=hint)])
    return float(match[1]) * _UNITS[match[2]]
