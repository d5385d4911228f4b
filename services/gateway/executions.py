"""`/api/executions`: ask for one, look at it, interrupt it, replay it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import Parameter

from schemas.base import Problem
from schemas.commands import ReplayQuery, ReplayReport
from schemas.events import ENDINGS
from schemas.gateway import ExecutionCreated, ExecutionView
from services.gateway.bodies import json_body, seconds
from services.gateway.context import Context, context_of, execution_id, refused
from services.gateway.problems import Trouble, not_found
from services.gateway.reads import event_document, execution, history, page, rows, view_of_log
from shared import subjects
from shared.ids import new_id

_MOST_WAIT_S = 300.0
_STATUSES = ["pending", "running", "waiting", "paused", "completed", "failed", "cancelled", "rejected"]
_COMMANDS = {"cancel", "pause", "resume", "signal"}


@post("/executions", status_code=202, summary="Ask for an execution")
async def create(
    request: Request[Any, Any, Any], state: State, wait: str | None = None
) -> Response[ExecutionCreated] | Response[ExecutionView]:
    """Stores a request. The body is `{pattern, input, repo?, options?, idempotency-key?}`; `?wait=30s` waits for the end."""
    body = await json_body(request, dict[str, Any])
    key = (
        request.headers.get("idempotency-key") or body.pop("idempotency-key", None) or body.pop("idempotency_key", None)
    )
    return await submit(context_of(state), body, key, wait)


async def submit(
    context: Context, body: dict[str, Any], key: Any, wait: str | None
) -> Response[ExecutionCreated] | Response[ExecutionView]:
    """Hands a request on to the bus and tells what became of it."""
    patience = 0.0 if wait is None else min(seconds(wait, "wait"), _MOST_WAIT_S)
    name = key if key is not None else body.get("execution_id") or new_id()
    if not isinstance(name, str) or not subjects.is_execution_id(name):
        hint = "Use letters, digits, - and _, at most 64 characters."
        raise Trouble(
            422,
            "The idempotency key cannot be used.",
            [Problem(where="idempotency-key", what=str(name)[:100], hint=hint)],
        )
    wanted = {**body, "execution_id": name}
    if isinstance(body.get("options"), dict):
        wanted["options"] = _options(body["options"])
    reply = await context.submit(subjects.REQUEST, wanted)
    if reply is not None and reply.status == "rejected":
        raise refused(reply)
    if patience:
        view = await _ended(context, name, patience)
        if view is not None:
            return Response(view, status_code=200)
    status = "pending" if reply is None else "accepted"
    created = ExecutionCreated(id=name, status=status, events_url=f"/api/executions/{name}/events")
    return Response(created, status_code=202, headers={"location": f"/api/executions/{name}"})


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of the bus: `timeout` may be a duration, there it is `timeout_ms`."""
    options = dict(given)
    timeout = options.pop("timeout", None)
    if isinstance(timeout, str):
        options["timeout_ms"] = round(seconds(timeout, "options.timeout") * 1000)
    elif timeout is not None:
        options["timeout_ms"] = timeout
    return options


async def _ended(context: Context, name: str, patience: float) -> ExecutionView | None:
    """The execution once it has ended. None: it has not, in that time."""
    try:
        async with asyncio.timeout(patience):
            kinds = [subjects.event(name, *kind.split(".")) for kind in sorted(ENDINGS)]
            async with aclosing(context.bus.follow(kinds, after=0)) as endings:
                async for _ in endings:
                    break
    except TimeoutError:
        return None
    return view_of_log(name, await history(context.bus, name))


@get("/executions", summary="List executions, newest first")
async def listing(
    state: State,
    status: str | None = None,
    pattern: str | None = None,
    cursor: int | None = None,
    limit: int = Parameter(default=50, ge=1, le=500),
) -> dict[str, Any]:
    """A page of executions and the cursor of the next one."""
    if status is not None and status not in _STATUSES:
        raise Trouble(
            422, f"{status[:40]!r} is no status.", [Problem(where="status", what="", hint=", ".join(_STATUSES))]
        )
    found, following = await page(
        context_of(state).database, status=status, pattern=pattern, before=cursor, limit=limit
    )
    return {"executions": msgspec.to_builtins(found), "cursor": following}


@get("/executions/{name:str}", summary="One execution")
async def show(state: State, name: str) -> ExecutionView:
    """One execution with its status, result and confidence."""
    context = context_of(state)
    found = await execution(context.database, context.bus, execution_id(name))
    if found is None:
        raise not_found("execution", name)
    return found


@get("/executions/{name:str}/tasks", summary="The tasks of an execution")
async def tasks(state: State, name: str) -> list[dict[str, Any]]:
    """Every task: who did it, how often it was tried, what came of it."""
    query = "SELECT * FROM tasks WHERE execution_id = $1 ORDER BY first_seq"
    return await rows(context_of(state).database, query, execution_id(name))


@get("/executions/{name:str}/events", summary="The events of an execution")
async def events(
    state: State,
    name: str,
    after: int = Parameter(default=0, ge=0),
    limit: int = Parameter(default=1000, ge=1, le=10_000),
) -> dict[str, Any]:
    """Events after a sequence, in order, read from the log itself."""
    context = context_of(state)
    found: list[dict[str, Any]] = []
    async with aclosing(context.bus.read(execution_id(name), after=after)) as records:
        async for record in records:
            found.append(event_document(record))
            if len(found) >= limit:
                break
    if not found and not after:
        raise not_found("execution", name)
    return {"events": found, "next_after": found[-1]["seq"] if found else after}


@post("/executions/{name:str}/{verb:str}", status_code=202, summary="Cancel, pause, resume or signal an execution")
async def command(request: Request[Any, Any, Any], state: State, name: str, verb: str) -> dict[str, Any]:
    """Carries a command to the engine that owns the execution."""
    if verb not in _COMMANDS:
        raise Trouble(404, f"An execution cannot be asked to {verb[:40]!r}; it can {', '.join(sorted(_COMMANDS))}.")
    body = await json_body(request, dict[str, Any])
    reply = await context_of(state).submit(subjects.command(execution_id(name), verb), body)
    if reply is not None and reply.status == "rejected":
        raise refused(reply)
    return {"id": name, "status": "pending" if reply is None else "accepted"}


@get("/executions/{name:str}/replay", summary="Run an execution again against its log")
async def replay(state: State, name: str) -> ReplayReport:
    """Whether the program makes the same decisions as it did."""
    query = ReplayQuery(execution_id=execution_id(name))
    report = await context_of(state).ask(subjects.QUERY_REPLAY, query, ReplayReport, timeout_s=60.0)
    if report.error and not report.effects:
        raise Trouble(404, report.error)
    return report


@get("/stats", summary="Counts")
async def stats(state: State) -> dict[str, Any]:
    """How many executions there are in each status, and how far the projections are behind the log."""
    context = context_of(state)
    counted = await rows(context.database, "SELECT status, count(*) AS n FROM executions GROUP BY status")
    position = await rows(context.database, "SELECT position FROM projection_positions WHERE name = 'log'")
    last = await context.bus.last_seq()
    reached = position[0]["position"] if position else 0
    return {
        "executions": {row["status"]: row["n"] for row in counted},
        "log": {"last_seq": last, "projected": reached, "behind": max(0, last - reached)},
    }
