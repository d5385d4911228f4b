"""Patterns written in Prism: the program is taken as it is, `export const pattern = {…}` says what it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.patterns.digests import digest_of
from compiler.patterns.inputs import read_schema
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.view import View, to_json
from compiler.prism import PrismError, Program, compile_program
from compiler.prism import tree as t
from compiler.prism.parser import parse
from compiler.prism.source import Source
from schemas.patterns import CompiledPattern, WorkspaceSpec

_KEYS = ("name", "version", "description", "input", "workspace", "metadata", "timeoutMs")
_NAME = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(?: [A-Za-z0-9._-]+)*\Z")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,2}([-+][0-9A-Za-z.-]+)?\Z")
_MAX_DEPTH = 40


class _NotConstant(Exception):
    """A value that is not written out. `pos` is where."""

    def __init__(self, pos: int) -> None:
        super().__init__("not a constant")
        self.pos = pos


def load_prism(text: str, filename: str, modules: Mapping[str, str], report: Report) -> CompiledPattern | None:
    """The pattern in a Prism file. What is wrong goes to the report."""
    names = (*PROGRAM_GLOBALS, *HOST_FUNCTION_NAMES)
    try:
        program = parse(text, filename)
        compiled = compile_program(text, name=PurePosixPath(filename).name, modules=dict(modules), globals=names)
    except PrismError as error:
        report.error(error.code, error.line, error.column, error.message, error.hint)
        return None
    _check_names(compiled, names, report)
    places = Source(text, filename)
    fields = _metadata(program, places, report)
    stem = PurePosixPath(filename).name.removesuffix(".prism")
    made: dict[str, Any] = {"name": stem, "version": "1.0.0"}
    if fields is not None:
        made = _pattern(fields, stem, report)
    if fields is None and not _NAME.match(stem):
        report.error(
            "bad-name", 0, 0, f"{stem!r} cannot be a pattern's name", 'Add export const pattern = {name: "…"}.'
        )
    imported = {path: modules[path] for path in sorted(compiled.units) if path in modules}
    return CompiledPattern(
        format="prism",
        digest=digest_of(text, text, imported),
        program=text,
        source=text,
        roles=_roles(program, places),
        modules=imported,
        **made,
    )


def _check_names(program: Program, names: tuple[str, ...], report: Report) -> None:
    """Names that neither the program nor anybody else provides: they would fail only when they are reached."""
    for use in program.effects:
        if use.name not in names and not use.file.endswith("/"):
            hint = did_you_mean(use.name, names, "Nothing in the program or the host is called that.")
            report.error("undefined-name", use.line, use.column, f"nothing is called {use.name!r}", hint)


def _pattern(root: Node, stem: str, report: Report) -> dict[str, Any]:
    view = View(root, report, "pattern", _KEYS)
    name = view.text("name", stem)
    if not _NAME.match(name):
        place = view.get("name") or root
        hint = "Letters, digits, single spaces, '.', '_' and '-', at most 128."
        report.error("bad-name", place.line, place.column, f"{name!r} cannot be a pattern's name", hint)
    version = view.text("version", "1.0.0")
    if not _VERSION.match(version):
        place = view.get("version") or root
        report.error("bad-version", place.line, place.column, f"{version!r} is no version", "For example 1.0.0.")
    made: dict[str, Any] = {"name": name, "version": version, "description": view.text("description")}
    if (schema := view.get("input")) is not None:
        made["input"] = read_schema(schema, report)
    if (workspace := view.get("workspace")) is not None:
        spec = View(workspace, report, "workspace", ("enabled", "push"))
        made["workspace"] = WorkspaceSpec(
            enabled=spec.flag("enabled", True) is not False, push=bool(spec.flag("push", False))
        )
    if (metadata := view.get("metadata")) is not None:
        made["metadata"] = to_json(metadata) if metadata.kind == "map" else {}
    made["timeout_ms"] = view.integer("timeoutMs", least=1, most=2_592_000_000)
    return made


def _metadata(program: t.Program, places: Source, report: Report) -> Node | None:
    for statement in program.body:
        if not isinstance(statement, t.Export) or not isinstance(statement.statement, t.Let):
            continue
        target = statement.statement.target
        if isinstance(target, t.Bind) and target.name == "pattern":
            try:
                return _node(statement.statement.value, places, 0)
            except _NotConstant as error:
                line, column = places.locate(error.pos)
                message = "what `pattern` says has to be written out: it is read without running the program"
                report.error("not-constant", line, column, message, "Use literals only.")
                return None
    return None


def _roles(program: t.Program, places: Source) -> dict[str, Any]:
    """The agents that are declared at the top of the program with constant fields, by id."""
    roles: dict[str, Any] = {}
    for statement in program.body:
        if not isinstance(statement, t.Agents):
            continue
        for agent in statement.agents:
            made: dict[str, Any] = {"id": agent.name}
            for entry in agent.fields:
                try:
                    made[entry.key] = to_json(_node(entry.value, places, 0))
                except _NotConstant:
                    continue
            roles[str(made["id"])] = made
    return roles


def _node(value: Any, places: Source, depth: int) -> Node:
    line, column = places.locate(value.pos)
    if depth > _MAX_DEPTH:
        raise _NotConstant(value.pos)
    match value:
        case t.String():
            return Node(kind="text", value=value.value, raw=value.value, line=line, column=column)
        case t.Number():
            number = int(value.value) if value.value == int(value.value) else value.value
            return Node(kind="number", value=number, raw=str(number), line=line, column=column)
        case t.Unary(op="-", operand=t.Number(value=float() as number)):
            whole = -int(number) if number == int(number) else -number
            return Node(kind="number", value=whole, raw=str(whole), line=line, column=column)
        case t.Constant(value=None):
            return Node(kind="null", value=None, line=line, column=column)
        case t.Constant():
            raw = "true" if value.value else "false"
            return Node(kind="boolean", value=value.value, raw=raw, line=line, column=column)
        case t.Array():
            if any(item is None for item in value.items):
                raise _NotConstant(value.pos)
            items = [_node(item, places, depth + 1) for item in value.items]
            return Node(kind="list", value=items, line=line, column=column)
        case t.Object():
            return Node(kind="map", value=_pairs(value, places, depth), line=line, column=column)
        case _:
            raise _NotConstant(value.pos)


def _pairs(value: t.Object, places: Source, depth: int) -> list[tuple[Node, Node]]:
    pairs: list[tuple[Node, Node]] = []
    for entry in value.entries:
        if not isinstance(entry, t.Entry) or entry.shorthand:
            raise _NotConstant(entry.pos)
        line, column = places.locate(entry.pos)
        key = Node(kind="text", value=entry.key, raw=entry.key, line=line, column=column)
        pairs.append((key, _node(entry.value, places, depth + 1)))
    return pairs
