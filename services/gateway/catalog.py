"""Patterns, agents, workspaces and questions over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import Parameter

from compiler.patterns import load_pattern
from schemas.base import Problem
from schemas.gateway import ExecutionCreated, ExecutionView
from schemas.patterns import CompiledPattern, PatternDiagnostic
from schemas.workspaces import WorkspaceAnswer, WorkspaceQuery
from services.gateway.bodies import json_body
from services.gateway.context import Context, context_of, execution_id, refused
from services.gateway.executions import submit
from services.gateway.problems import Trouble, not_found
from services.gateway.reads import rows
from shared import subjects

# -- patterns -------------------------------------------------------------------------------------------------------


def _summary(pattern: CompiledPattern) -> dict[str, Any]:
    return {
        "name": pattern.name,
        "version": pattern.version,
        "format": pattern.format,
        "digest": pattern.digest,
        "description": pattern.description,
        "input": pattern.input,
        "roles": sorted(pattern.roles),
        "steps": pattern.steps,
    }


def _pattern(context: Context, name: str) -> CompiledPattern:
    found = context.library.find(name)
    if isinstance(found, list):
        raise Trouble(404, found[0].what, found)
    return found


@get("/patterns", summary="List patterns")
async def patterns(state: State) -> dict[str, Any]:
    """Every usable pattern, and what is wrong with the others."""
    library = context_of(state).library
    return {
        "patterns": [_summary(pattern) for pattern in library.all()],
        "diagnostics": msgspec.to_builtins(library.diagnostics()),
    }


@get("/patterns/{name:str}", summary="One pattern")
async def pattern(state: State, name: str) -> dict[str, Any]:
    """A pattern with its source and the program it compiles to; `name@1.x` picks a version."""
    found = _pattern(context_of(state), name)
    return {**_summary(found), "source": found.source, "program": found.program}


@get("/patterns/{name:str}/versions", summary="The versions of a pattern")
async def versions(state: State, name: str) -> list[dict[str, Any]]:
    """The versions in the library, and those that executions have used."""
    context = context_of(state)
    _pattern(context, name)
    there = [
        {"version": found.version, "digest": found.digest, "in_library": True}
        for found in context.library.all()
        if found.name == name
    ]
    known = {entry["digest"] for entry in there}
    used = await rows(
        context.database, "SELECT version, digest FROM pattern_versions WHERE name = $1 ORDER BY id", name
    )
    return there + [{**entry, "in_library": False} for entry in used if entry["digest"] not in known]


class PatternText(msgspec.Struct, kw_only=True):
    """A pattern's text. Without it the pattern of that name in the library is meant."""

    source: str = ""
    filename: str = ""


def _diagnostics(found: list[PatternDiagnostic]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(diagnostic) for diagnostic in found]


async def _compiled(
    request: Request[Any, Any, Any], state: State, name: str
) -> tuple[CompiledPattern | None, list[Any]]:
    body = await json_body(request, PatternText)
    if not body.source:
        return _pattern(context_of(state), name), []
    result = load_pattern(body.source, filename=body.filename or f"{name}.yaml")
    return result.pattern, _diagnostics(result.diagnostics)


@post("/patterns/{name:str}/validate", status_code=200, summary="Check a pattern")
async def validate(request: Request[Any, Any, Any], state: State, name: str) -> dict[str, Any]:
    """Everything that is wrong with a text, at once. `.prism` in `filename` says that it is a program."""
    compiled, found = await _compiled(request, state, name)
    return {"valid": compiled is not None, "diagnostics": found}


@post("/patterns/{name:str}/compile", status_code=200, summary="Compile a pattern")
async def compile_(request: Request[Any, Any, Any], state: State, name: str) -> dict[str, Any]:
    """The program that a pattern compiles to. 422 with the diagnostics when it does not."""
    compiled, found = await _compiled(request, state, name)
    if compiled is None:
        errors = [
            Problem(where=f"{one['file']}:{one['line']}:{one['column']}", what=one["message"], hint=one["hint"])
            for one in found
        ]
        raise Trouble(422, "The pattern does not compile.", errors)
    return {**_summary(compiled), "program": compiled.program, "diagnostics": found}


@post("/patterns/{name:str}/execute", status_code=202, summary="Run a pattern")
async def execute(
    request: Request[Any, Any, Any], state: State, name: str, wait: str | None = None
) -> Response[ExecutionCreated] | Response[ExecutionView]:
    """As `POST /executions`, with the pattern in the path."""
    body = await json_body(request, dict[str, Any])
    key = request.headers.get("idempotency-key") or body.pop("idempotency-key", None)
    return await submit(context_of(state), {**body, "pattern": name}, key, wait)


# -- agents ---------------------------------------------------------------------------------------------------------


@get("/agents", summary="List agents")
async def agents(
    state: State, status: str | None = None, limit: int = Parameter(default=200, ge=1, le=1000)
) -> list[dict[str, Any]]:
    """Agents that worked on executions, newest first."""
    query = "SELECT * FROM agents WHERE ($1::text IS NULL OR status = $1) ORDER BY updated_at DESC, id LIMIT $2"
    return await rows(context_of(state).database, query, status, limit)


@get("/agents/{agent_id:str}", summary="One agent")
async def agent(state: State, agent_id: str) -> dict[str, Any]:
    """An agent and what it took part in."""
    database = context_of(state).database
    found = await rows(database, "SELECT * FROM agents WHERE id = $1", agent_id)
    parts = await rows(
        database, "SELECT * FROM agent_participations WHERE agent_id = $1 ORDER BY first_at, id", agent_id
    )
    if not found and not parts:
        raise not_found("agent", agent_id)
    return {**(found[0] if found else {"id": agent_id}), "participations": parts}


# -- workspaces -----------------------------------------------------------------------------------------------------


@get("/workspaces", summary="List workspaces")
async def workspaces(state: State, limit: int = Parameter(default=200, ge=1, le=1000)) -> list[dict[str, Any]]:
    """Workspaces, the ones that changed last first."""
    query = "SELECT * FROM workspaces ORDER BY updated_at DESC, id LIMIT $1"
    return await rows(context_of(state).database, query, limit)


async def _ask_workspace(context: Context, query: WorkspaceQuery) -> WorkspaceAnswer:
    answer = await context.ask(subjects.QUERY_WORKSPACE, query, WorkspaceAnswer, timeout_s=20.0)
    if answer.errors:
        raise Trouble(404, answer.errors[0].what, answer.errors)
    return answer


@get("/workspaces/{name:str}", summary="One workspace")
async def workspace(state: State, name: str) -> dict[str, Any]:
    """A workspace with its sessions and branches."""
    answer = await _ask_workspace(context_of(state), WorkspaceQuery(query="show", execution_id=execution_id(name)))
    return msgspec.to_builtins(answer.workspace)


@get("/workspaces/{name:str}/diff", summary="What an execution changed")
async def diff(state: State, name: str, session: str = "", offset: int = Parameter(default=0, ge=0)) -> dict[str, Any]:
    """A unified diff from the base to the result, or to one session's branch, in pages."""
    query = WorkspaceQuery(query="diff", execution_id=execution_id(name), session=session, offset=offset)
    answer = await _ask_workspace(context_of(state), query)
    return msgspec.to_builtins(answer.diff)


# -- questions ------------------------------------------------------------------------------------------------------


@get("/questions", summary="List questions")
async def questions(state: State, status: str = "open") -> list[dict[str, Any]]:
    """Questions that wait for somebody; `?status=answered` lists the others."""
    query = "SELECT * FROM questions WHERE status = $1 ORDER BY asked_at, id LIMIT 1000"
    return await rows(context_of(state).database, query, status)


@post("/questions/{question_id:str}/answer", status_code=202, summary="Answer a question")
async def answer_question(request: Request[Any, Any, Any], state: State, question_id: str) -> dict[str, Any]:
    """Answers with `{value, by?, reason?}`. The first answer counts."""
    context = context_of(state)
    body = await json_body(request, dict[str, Any])
    found = await rows(context.database, "SELECT execution_id FROM questions WHERE id = $1", question_id)
    if not found:
        raise not_found("question", question_id)
    subject = subjects.command(found[0]["execution_id"], "answer")
    reply = await context.submit(subject, {**body, "question_id": question_id})
    if reply is not None and reply.status == "rejected":
        raise refused(reply)
    return {"id": question_id, "status": "pending" if reply is None else "accepted"}
