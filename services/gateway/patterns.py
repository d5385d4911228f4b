"""Patterns over HTTP: what there is, whether a text is one, what it compiles to, and running one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from msgspec import UnsetType

from compiler.patterns import load_pattern, validate_input
from schemas.base import Problem
from schemas.gateway import ExecutionBody, ExecutionCreated, ExecutionView, PatternCheck, PatternRunBody, PatternText
from schemas.patterns import CompiledPattern, PatternDiagnostic
from services.gateway.bodies import PatternName, Wait, json_body, takes
from services.gateway.context import Context, context_of
from services.gateway.executions import key_of, submit
from services.gateway.problems import Trouble
from services.gateway.reads import rows
from shared.pattern_sources import Patterns

T = TypeVar("T")


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


async def _library(context: Context, look: Callable[[Patterns], T]) -> T:
    """Looks into the library beside the loop: it may have files to read and to compile."""
    async with context.library_lock:
        return await asyncio.to_thread(look, context.library)


async def _pattern(context: Context, name: str) -> CompiledPattern:
    found = await _library(context, lambda library: library.find(name))
    if isinstance(found, list):
        raise Trouble(404, found[0].what, found)
    return found


@get("/patterns", summary="List patterns")
async def patterns(state: State) -> dict[str, Any]:
    """Every usable pattern, and what is wrong with the others."""
    found, wrong = await _library(context_of(state), lambda library: (library.all(), library.diagnostics()))
    return {"patterns": [_summary(pattern) for pattern in found], "diagnostics": _diagnostics(wrong)}


@get("/patterns/{name:str}", summary="One pattern")
async def pattern(state: State, name: PatternName) -> dict[str, Any]:
    """A pattern with its source and the program it compiles to; `name@1.x` picks a version."""
    found = await _pattern(context_of(state), name)
    return {**_summary(found), "source": found.source, "program": found.program}


@get("/patterns/{name:str}/versions", summary="The versions of a pattern")
async def versions(state: State, name: PatternName) -> list[dict[str, Any]]:
    """The versions in the library, and those that executions have used."""
    context = context_of(state)
    await _pattern(context, name)
    every = await _library(context, lambda library: library.all())
    there = [
        {"version": found.version, "digest": found.digest, "in_library": True} for found in every if found.name == name
    ]
    known = {entry["digest"] for entry in there}
    query = "SELECT version, digest FROM pattern_versions WHERE name = $1 ORDER BY id"
    used = await rows(context.database, query, name)
    return there + [{**entry, "in_library": False} for entry in used if entry["digest"] not in known]


def _diagnostics(found: list[PatternDiagnostic]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(diagnostic) for diagnostic in found]


async def _compiled(
    request: Request[Any, Any, Any], state: State, name: str
) -> tuple[CompiledPattern | None, list[PatternDiagnostic]]:
    return await _compiled_text(state, name, await json_body(request, PatternText))


async def _compiled_text(
    state: State, name: str, body: PatternText | PatternCheck
) -> tuple[CompiledPattern | None, list[PatternDiagnostic]]:
    if not body.source:
        return await _pattern(context_of(state), name), []
    filename = body.filename or f"{name}.yaml"
    lookup = context_of(state).library.source
    result = await asyncio.to_thread(load_pattern, body.source, filename=filename, lookup=lookup)
    return result.pattern, result.diagnostics


@post("/patterns/{name:str}/validate", status_code=200, summary="Check a pattern", operation_class=takes(PatternCheck))
async def validate(request: Request[Any, Any, Any], state: State, name: PatternName) -> dict[str, Any]:
    """Everything that is wrong with a text, at once. `.prism` in `filename` says that it is a program.

    With `input`, whether the pattern takes it: `errors` says what is wrong with it, as a request would be told.
    """
    body = await json_body(request, PatternCheck)
    compiled, found = await _compiled_text(state, name, body)
    answer: dict[str, Any] = {"valid": compiled is not None, "diagnostics": _diagnostics(found)}
    if not isinstance(body.input, UnsetType):
        errors = [] if compiled is None else validate_input(compiled.input, body.input)
        answer |= {"valid": compiled is not None and not errors, "errors": msgspec.to_builtins(errors)}
    return answer


@post("/patterns/{name:str}/compile", status_code=200, summary="Compile a pattern", operation_class=takes(PatternText))
async def compile_(request: Request[Any, Any, Any], state: State, name: PatternName) -> dict[str, Any]:
    """The program that a pattern compiles to. 422 with the diagnostics when it does not."""
    compiled, found = await _compiled(request, state, name)
    if compiled is None:
        errors = [
            Problem(where=f"{one.file}:{one.line}:{one.column}", what=one.message, hint=one.hint) for one in found
        ]
        raise Trouble(422, "The pattern does not compile.", errors)
    return {**_summary(compiled), "program": compiled.program, "diagnostics": _diagnostics(found)}


@post("/patterns/{name:str}/execute", status_code=202, summary="Run a pattern", operation_class=takes(PatternRunBody))
async def execute(
    request: Request[Any, Any, Any], state: State, name: PatternName, wait: Wait = None
) -> Response[ExecutionCreated] | Response[ExecutionView]:
    """As `POST /executions`, with the pattern in the path."""
    given = await json_body(request, PatternRunBody)
    body = ExecutionBody(
        pattern=name,
        input=given.input,
        repo=given.repo,
        options=given.options,
        idempotency_key=given.idempotency_key,
        execution_id=given.execution_id,
    )
    try:
        return await submit(context_of(state), body, key_of(request), wait)
    except Trouble as trouble:
        if trouble.status == 422 and trouble.detail.startswith("There is no pattern "):
            raise Trouble(404, trouble.detail, trouble.errors) from trouble  # here the pattern is what the path names
        raise
