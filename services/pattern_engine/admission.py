"""What becomes of the bytes on `parallax.executions.request`: an execution that can be started, or what is wrong.

Pure: a payload, its place in the request stream and a way to look patterns up go in, a verdict comes out. Nothing that
a stranger can put into the payload raises anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from compiler.option_check import check_request
from compiler.patterns import validate_input
from schemas.base import EXECUTION_ID_PATTERN, MOST_LEVELS, Problem, too_deep
from schemas.commands import ExecutionRequest, PatternFile, Repository
from schemas.events import SEMANTICS, ExecutionAccepted, ExecutionRejected, ExecutionStarted
from schemas.json_text import read_json
from schemas.patterns import CompiledPattern, PatternFormat, WorkspaceSpec
from shared.ids import digest
from shared.shortening import shortened

MAX_REQUEST_BYTES = 512 * 1024
"""A request is part of two events and of every rebuild: larger inputs belong into the repository."""

_ID = re.compile(EXECUTION_ID_PATTERN, re.ASCII)
_AT_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<where>.*)`)?$", re.DOTALL)
_LONGEST_REASON = 500
_MOST_PROBLEMS = 50
_ID_HINT = "Use letters, digits, - and _, at most 64 characters, or leave it out to have one made."

Lookup = Callable[[str], "CompiledPattern | list[Problem]"]
Reader = Callable[[PatternFile], "CompiledPattern | list[Problem]"]


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A request that can be started as it is."""

    request: ExecutionRequest
    execution_id: str
    request_digest: str
    pattern: CompiledPattern
    input: dict[str, Any]
    repo: Repository | None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A request that cannot be run, under the id that its rejection gets."""

    execution_id: str
    errors: list[Problem]
    request_digest: str = ""
    requested_id: str = ""
    pattern: str = ""

    def event(self) -> ExecutionRejected:
        """The event that says so to everybody."""
        return ExecutionRejected(
            execution_id=self.execution_id,
            errors=self.errors,
            request_digest=self.request_digest,
            requested_id=self.requested_id,
            pattern=self.pattern,
        )


def fresh_id(payload: bytes, number: int) -> str:
    """The id of a request that brings none of its own. The same message gets the same id however often it is read."""
    return "x" + hashlib.sha256(b"%d:" % number + payload).hexdigest()[:26]


def admit(payload: bytes, number: int, lookup: Lookup, read: Reader | None = None) -> Admitted | Refused:
    """Checks one request, the message with this number of the request stream. `read` compiles a file that it brings."""
    fresh = fresh_id(payload, number)
    if len(payload) > MAX_REQUEST_BYTES:
        what = f"The request has {len(payload)} bytes; {MAX_REQUEST_BYTES} is the limit."
        hint = "Put large inputs into the repository and name the file in the input."
        return Refused(execution_id=fresh, errors=[Problem(where="", what=what, hint=hint)])
    body = _object(payload)
    if isinstance(body, Problem):
        return Refused(execution_id=fresh, errors=[body])
    given = body.pop("execution_id", None)
    signature = digest(body)
    pattern_name = body["pattern"][:256] if isinstance(body.get("pattern"), str) else ""
    if given in (None, ""):
        execution_id, requested = fresh, ""
    elif isinstance(given, str) and _ID.fullmatch(given):
        execution_id, requested = given, ""
    else:
        problem = Problem(where="execution_id", what=f"{_shown(given)} cannot be an execution id.", hint=_ID_HINT)
        return Refused(execution_id=fresh, errors=[problem], requested_id=_shown(given), pattern=pattern_name)

    def refuse(errors: list[Problem]) -> Refused:
        return Refused(
            execution_id=execution_id,
            errors=errors,
            request_digest=signature,
            requested_id=requested,
            pattern=pattern_name,
        )

    request = _request(body)
    if isinstance(request, list):
        return refuse(request)
    repo = Repository(url=request.repo) if isinstance(request.repo, str) else request.repo
    problems = _repository_problems(repo) + _option_problems(request)
    found = _pattern(request, lookup, read)
    if isinstance(found, list):
        return refuse([*problems, *found])
    if too_deep(request.input):
        return refuse(
            [*problems, Problem(where="input", what=f"The input is nested in more than {MOST_LEVELS} levels.")]
        )
    problems += validate_input(found.input, request.input)
    if problems:
        return refuse(problems)
    return Admitted(
        request=request,
        execution_id=execution_id,
        request_digest=signature,
        pattern=found,
        input=request.input,
        repo=repo,
    )


def _pattern(request: ExecutionRequest, lookup: Lookup, read: Reader | None) -> CompiledPattern | list[Problem]:
    if not isinstance(request.source, PatternFile):
        return lookup(request.pattern)
    if read is None:
        return [Problem(where="source", what="This engine takes no files.", hint="Put the file into the library.")]
    found = read(request.source)
    if isinstance(found, CompiledPattern) and found.name != request.pattern.partition("@")[0]:
        what = f"The file {request.source.file} is the pattern {found.name!r}, and {request.pattern!r} is asked for."
        return [Problem(where="pattern", what=what, hint=f"Ask for {found.name!r}.")]
    return found


def given_up(payload: bytes, number: int, reason: str) -> Refused:
    """The rejection of a request that no engine could handle, under its own id where it has one. Nothing of it but its
    id and its pattern's name is looked at: the rest is what they could not handle."""
    body = _object(payload[:MAX_REQUEST_BYTES])
    fields: dict[str, Any] = {} if isinstance(body, Problem) else body
    given, pattern = fields.pop("execution_id", None), fields.get("pattern")
    hint = "`parallax dead-letters list` shows it. Mend the cause, then have it handled again."
    problem = Problem(where="", what=f"The engine cannot handle it: {shortened(reason, _LONGEST_REASON)}", hint=hint)
    own = isinstance(given, str) and _ID.fullmatch(given) is not None
    return Refused(
        execution_id=str(given) if own else fresh_id(payload, number),
        errors=[problem],
        request_digest=digest(fields) if fields else "",
        pattern=pattern[:256] if isinstance(pattern, str) else "",
    )


def opening(admitted: Admitted, engine: str) -> tuple[ExecutionAccepted, ExecutionStarted]:
    """The first two events of an execution that `engine` takes on."""
    accepted = ExecutionAccepted(
        execution_id=admitted.execution_id,
        pattern=admitted.request.pattern,
        request_digest=admitted.request_digest,
        engine=engine,
        input=admitted.request.input,
        repo=admitted.repo,
        options=admitted.request.options,
        source=admitted.request.source,
    )
    return accepted, start_of(accepted, admitted.pattern, admitted.input, engine, 1)


def start_of(
    accepted: ExecutionAccepted, pattern: CompiledPattern, values: dict[str, Any], engine: str, epoch: int
) -> ExecutionStarted:
    """The event that fixes the program of an accepted execution."""
    return ExecutionStarted(
        execution_id=accepted.execution_id,
        engine=engine,
        epoch=epoch,
        pattern_name=pattern.name,
        pattern_version=pattern.version,
        pattern_format=pattern.format,
        pattern_digest=pattern.digest,
        program=pattern.program,
        program_digest=digest([pattern.program, pattern.modules, *([pattern.called] if pattern.called else [])]),
        input=values,
        pattern_source=pattern.source if pattern.source != pattern.program else "",
        modules=pattern.modules,
        called=pattern.called,
        workspace=msgspec.to_builtins(pattern.workspace) if pattern.workspace.enabled else None,
        roles=pattern.roles,
        limits={} if pattern.timeout_ms is None else {"timeout_ms": pattern.timeout_ms},
        semantics=SEMANTICS,
    )


def started_pattern(started: ExecutionStarted) -> CompiledPattern:
    """The pattern as it was when the execution started, from the log alone."""
    workspace = started.workspace
    return CompiledPattern(
        name=started.pattern_name,
        version=started.pattern_version,
        format=msgspec.convert(started.pattern_format, PatternFormat),
        digest=started.pattern_digest,
        program=started.program,
        source=started.pattern_source,
        modules=started.modules,
        called=started.called,
        roles=started.roles,
        workspace=WorkspaceSpec(enabled=False) if workspace is None else msgspec.convert(workspace, WorkspaceSpec),
        timeout_ms=started.limits.get("timeout_ms"),
    )


def _object(payload: bytes) -> dict[str, Any] | Problem:
    try:
        body = read_json(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return Problem(where="", what=f"The request is not JSON: {reason}.", hint='Send {"pattern": …, "input": {…}}.')
    if not isinstance(body, dict):
        return Problem(
            where="",
            what=f"The request is {_kind(body)}, not a JSON object.",
            hint='Send {"pattern": …, "input": {…}}.',
        )
    return cast("dict[str, Any]", body)


def _request(body: dict[str, Any]) -> ExecutionRequest | list[Problem]:
    """The request that a body is, or everything in it that means nothing, and the first thing that does not fit."""
    problems = check_request(body, ExecutionRequest)
    try:
        request = msgspec.convert(body, ExecutionRequest)
    except msgspec.ValidationError as error:
        return _at_most([*problems, _problem(error)])
    return _at_most(problems) or request


def _at_most(problems: list[Problem]) -> list[Problem]:
    """As many as somebody reads, and how many more there are."""
    more = len(problems) - _MOST_PROBLEMS
    if more <= 0:
        return problems
    word = Problem(where="", what=f"There are {more:,} more problems.", hint="They are named once these are mended.")
    return [*problems[:_MOST_PROBLEMS], word]


def _problem(error: msgspec.ValidationError) -> Problem:
    match = _AT_PATH.match(str(error))
    what, where = (match["what"], (match["where"] or "").lstrip(".")) if match else (str(error), "")
    if "missing required field `pattern`" in what:
        return Problem(
            where="pattern", what="The request names no pattern.", hint="`parallax patterns list` shows what there is."
        )
    return Problem(where=where, what=f"{what}.", hint="See the message table for what a request may hold.")


def _repository_problems(repo: Repository | None) -> list[Problem]:
    if repo is None:
        return []
    where = "repo.url"
    if not repo.url or any(ord(character) < 32 for character in repo.url + repo.base):
        return [Problem(where=where, what="The repository is empty or holds control characters.")]
    scheme = urlsplit(repo.url).scheme if "://" in repo.url else ""
    if "::" in repo.url.split("/")[0] or (scheme and scheme not in ("file", "https", "http")):
        return [
            Problem(
                where=where,
                what=f"Repositories are not fetched by {_shown(repo.url.split(':')[0])}.",
                hint="Use a local path, file:// or https://.",
            )
        ]
    if urlsplit(repo.url).password if scheme else None:
        return [
            Problem(
                where=where,
                what="The repository's URL holds a password, which would be readable in the log for ever.",
                hint="Give the URL without it and let the platform's credentials answer.",
            )
        ]
    return []


def _option_problems(request: ExecutionRequest) -> list[Problem]:
    if request.options.webhook:
        return [
            Problem(
                where="options.webhook",
                what="This version calls no webhooks.",
                hint="Subscribe to parallax.events.<id>.execution.* or wait over HTTP.",
            )
        ]
    return []


def _kind(value: object) -> str:
    match value:
        case str():
            return "a string"
        case list():
            return "an array"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case _:
            return "null"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "…"
