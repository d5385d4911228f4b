"""`/api/executions`: ask for one, look at it, interrupt it, replay it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from schemas.base import Model, Problem
from schemas.commands import (
    Cancel,
    CommandReply,
    ExecutionRequest,
    Pause,
    ReplayQuery,
    ReplayReport,
    RequestOptions,
    Resume,
    Signal,
)
from schemas.events import ENDINGS, ExecutionAccepted
from schemas.gateway import (
    CommandTaken,
    ExecutionBody,
    ExecutionCreated,
    ExecutionOptions,
    ExecutionView,
    Retry,
)
from services.gateway.bodies import (
    EXECUTION_STATUSES,
    After,
    Name,
    Wait,
    json_body,
    page_of,
    problem_of,
    seconds,
    takes,
)
from services.gateway.context import Context, context_of, execution_id, refused
from services.gateway.problems import Trouble, not_found
from services.gateway.reads import event_document, execution, history, page, rows, view_of_log
from shared import subjects
from shared.ids import new_id

_MOST_WAIT_S = 300.0
_MOST_PAGE_BYTES = 8 * 1024 * 1024


# -- asking for one -------------------------------------------------------------------------------------------------


@post("/executions", status_code=202, summary="Ask for an execution", operation_class=takes(ExecutionBody))
async def create(
    request: Request[Any, Any, Any], state: State, wait: Wait = None
) -> Response[ExecutionCreated] | Response[ExecutionView]:
    """Stores a request and answers 202; with `?wait=30s` 200 and the finished execution, if it ends in that time."""
    body = await json_body(request, ExecutionBody)
    return await submit(context_of(state), body, key_of(request), wait)


async def submit(
    context: Context, body: ExecutionBody, key: str, wait: str | None
) -> Response[ExecutionCreated] | Response[ExecutionView]:
    """Hands a request on to the bus and tells what became of it."""
    patience = 0.0 if wait is None else min(seconds(wait, "wait"), _MOST_WAIT_S)
    name = _fit(key or body.idempotency_key or body.execution_id or new_id())
    request = ExecutionRequest(
        pattern=body.pattern, input=body.input, repo=body.repo, execution_id=name, options=_options(body.options)
    )
    created = await _ask_for(context, request)
    if patience:
        view = await _ended(context, name, patience)
        if view is not None:
            return Response(view, status_code=200)
    return created


def key_of(request: Request[Any, Any, Any]) -> str:
    """The idempotency key in the headers, or an empty text where there is none. Raises Trouble 422 for an empty one:
    whoever sends a key wants the same request to be the same execution."""
    key = request.headers.get("idempotency-key")
    return "" if key is None else _fit(key)


def _fit(key: str) -> str:
    """An idempotency key that can be an execution's id. Raises Trouble 422."""
    if subjects.is_execution_id(key):
        return key
    hint = "Use letters, digits, - and _, at most 64 characters."
    problem = Problem(where="idempotency-key", what=f"{key[:100]!r} cannot be the id of an execution.", hint=hint)
    raise Trouble(422, "The idempotency key cannot be used.", [problem])


async def _ask_for(context: Context, request: ExecutionRequest) -> Response[ExecutionCreated]:
    """Stores a request and answers 202. Raises Trouble when the engine says no."""
    name = request.execution_id
    reply = await context.submit(subjects.REQUEST, request)
    if reply is not None and reply.status == "rejected":
        raise refused(reply)
    if reply is None:
        pattern = request.pattern.partition("@")[0]
        context.stored(ExecutionView(id=name, pattern_name=pattern, status="pending", input=request.input))
    status = "pending" if reply is None else "accepted"
    created = ExecutionCreated(id=name, status=status, events_url=f"/api/executions/{name}/events")
    return Response(created, status_code=202, headers={"location": f"/api/executions/{name}"})


def _options(given: ExecutionOptions) -> RequestOptions:
    """The options of the bus: `timeout` is a duration here, there it is `timeout_ms`."""
    options: dict[str, Any] = msgspec.to_builtins(given)
    timeout = options.pop("timeout", None)
    if isinstance(timeout, str):
        options["timeout_ms"] = round(seconds(timeout, "options.timeout") * 1000)
    elif timeout is not None:
        options["timeout_ms"] = timeout
    try:
        return msgspec.convert(options, RequestOptions)
    except msgspec.ValidationError as error:
        raise Trouble(422, "An option does not fit.", [problem_of(error, "options")]) from error


async def _ended(context: Context, name: str, patience: float) -> ExecutionView | None:
    """The execution once it has ended. None: it has not, in that time."""
    try:
        async with asyncio.timeout(patience):
            kinds = [subjects.event_of_type(name, kind) for kind in sorted(ENDINGS)]
            async with aclosing(context.bus.follow(kinds, after=0)) as endings:
                async for _ in endings:
                    break
    except TimeoutError:
        return None
    return view_of_log(name, await history(context.bus, name))


# -- looking at them ------------------------------------------------------------------------------------------------


@get("/executions", summary="List executions, newest first")
async def listing(
    state: State,
    status: Annotated[str | None, QueryParameter(description="Only those of this status.")] = None,
    pattern: Annotated[str | None, QueryParameter(description="Only those of this pattern.")] = None,
    cursor: Annotated[int | None, QueryParameter(ge=0, le=2**53, description="Where the page before ended.")] = None,
    limit: Annotated[int, page_of(500)] = 50,
) -> dict[str, Any]:
    """A page of executions and the cursor of the next one, which is null on the last."""
    if status is not None and status not in EXECUTION_STATUSES:
        problem = Problem(
            where="status", what=f"{status[:40]!r} is no status.", hint=f"One of {', '.join(EXECUTION_STATUSES)}."
        )
        raise Trouble(422, problem.what, [problem])
    found, following = await page(
        context_of(state).database, status=status, pattern=_text(pattern), before=cursor, limit=limit
    )
    return {"executions": msgspec.to_builtins(found), "cursor": following}


def _text(given: str | None) -> str | None:
    """A text that Postgres can compare with."""
    return None if given is None else given.replace("\x00", "\ufffd")


@get("/executions/{name:str}", summary="One execution")
async def show(state: State, name: Name) -> ExecutionView:
    """One execution with its status, result and confidence; as current as the log, with or without Postgres."""
    context = context_of(state)
    found = await execution(context, execution_id(name))
    if found is None:
        raise not_found("execution", name)
    return found


@get("/executions/{name:str}/tasks", summary="The tasks of an execution")
async def tasks(state: State, name: Name) -> list[dict[str, Any]]:
    """Every task: who did it, how often it was tried, what came of it."""
    context = context_of(state)
    query = "SELECT * FROM tasks WHERE execution_id = $1 ORDER BY first_seq"
    return await rows(context.database, query, await context.must_know(name))


@get("/executions/{name:str}/events", summary="The events of an execution")
async def events(
    state: State, name: Name, after: After = 0, limit: Annotated[int, page_of(10_000)] = 1000
) -> dict[str, Any]:
    """Events after a sequence, in order, read from the log itself. `next_after` is where the next page begins."""
    context = context_of(state)
    await context.must_know(name)
    found: list[dict[str, Any]] = []
    size = 0
    async with aclosing(context.bus.read(name, after=after)) as records:
        async for record in records:
            document = event_document(record)
            size += len(msgspec.json.encode(document))
            found.append(document)
            if len(found) >= limit or size > _MOST_PAGE_BYTES:
                break
    return {"events": found, "next_after": found[-1]["seq"] if found else after}


# -- commands -------------------------------------------------------------------------------------------------------


def _command(verb: str, kind: type[Model], summary: str, text: str) -> HTTPRouteHandler:
    async def handler(request: Request[Any, Any, Any], state: State, name: Name) -> CommandTaken:
        context = context_of(state)
        execution_id(name)
        body = await json_body(request, kind)
        await context.must_know(name)
        return taken(name, await context.submit(subjects.command(name, verb), body))

    handler.__doc__ = text
    handler.__name__ = verb
    needs_body = kind is Signal
    route = post(
        f"/executions/{{name:str}}/{verb}",
        status_code=202,
        summary=summary,
        operation_class=takes(kind, required=needs_body),
    )
    return route(handler)


@post(
    "/executions/{name:str}/retry",
    status_code=202,
    summary="Ask for an ended execution's work again",
    operation_class=takes(Retry, required=False),
)
async def retry(request: Request[Any, Any, Any], state: State, name: Name) -> Response[ExecutionCreated]:
    """A new execution with the pattern, input, repository and options of one that has ended. 409 while it has not."""
    context = context_of(state)
    execution_id(name)
    body = await json_body(request, Retry)
    await context.must_know(name)
    records = await history(context.bus, name)
    accepted = next((one.data for one in records if isinstance(one.data, ExecutionAccepted)), None)
    if accepted is None:
        raise Trouble(409, f"The execution {name!r} was never taken on; send a request that can be.")
    if not any(one.type in ENDINGS for one in records):
        raise Trouble(409, f"The execution {name!r} has not ended; cancel it, or wait for its end.")
    again = ExecutionRequest(
        pattern=accepted.pattern,
        input=accepted.input,
        repo=accepted.repo,
        execution_id=_fit(key_of(request) or body.idempotency_key or new_id()),
        options=accepted.options,
        source=accepted.source,
    )
    return await _ask_for(context, again)


def taken(name: str, reply: CommandReply | None) -> CommandTaken:
    """What became of a command. Raises Trouble when the engine said no."""
    if reply is not None and reply.status == "rejected":
        raise refused(reply)
    return CommandTaken(id=name, status="pending" if reply is None else "accepted")


cancel = _command("cancel", Cancel, "Cancel an execution", "Stops the agents and ends the execution as `cancelled`.")
pause = _command("pause", Pause, "Pause an execution", "Nothing new starts, and running agents are frozen.")
resume = _command("resume", Resume, "Resume an execution", "A paused execution goes on.")
signal = _command("signal", Signal, "Signal an execution", "Answers the oldest `wait` of that name, or waits for one.")


# -- replay ---------------------------------------------------------------------------------------------------------


@get("/executions/{name:str}/replay", summary="Run an execution again against its log")
async def replay(state: State, name: Name) -> ReplayReport:
    """Whether the program makes the same decisions as it did."""
    context = context_of(state)
    query = ReplayQuery(execution_id=await context.must_know(name))
    report = await context.ask(subjects.QUERY_REPLAY, query, ReplayReport, timeout_s=60.0)
    if report.error and not report.effects:
        raise Trouble(409, report.error)
    return report
