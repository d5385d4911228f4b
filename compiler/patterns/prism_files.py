"""Patterns written in Prism: the program is taken as it is, `export const pattern = {…}` says what it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, cast

from msgspec.structs import replace

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.patterns.callees import Callees
from compiler.patterns.digests import digest_of
from compiler.patterns.inputs import read_schema
from compiler.patterns.nesting import PatternSource
from compiler.patterns.prism_calls import resolve_calls
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.secret_texts import HINT
from compiler.patterns.view import View, to_json
from compiler.patterns.workspaces import read_workspace
from compiler.patterns.written_out import NotWrittenOut, written_out
from compiler.prism import PrismError, Program, compile_program
from compiler.prism import tree as t
from compiler.prism.parser import parse
from compiler.prism.source import Source
from compiler.versions import parse_version
from schemas.patterns import CompiledPattern
from schemas.secrets import is_secret_name, is_secret_text

_KEYS = ("name", "version", "description", "input", "workspace", "metadata", "timeoutMs")
_NAME = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(?: [A-Za-z0-9._-]+)*\Z")


def load_prism(
    text: str, filename: str, modules: Mapping[str, str], report: Report, callees: Callees
) -> CompiledPattern | None:
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
    _check_secrets(program, places, report)
    stem = PurePosixPath(filename).name.removesuffix(".prism")
    made: dict[str, Any] = {"name": stem, "version": "1.0.0"}
    if fields is not None:
        made = _pattern(fields, stem, report)
        if made.get("input"):
            _check_inputs(program, made["input"], places, report)
    if fields is None and not _NAME.match(stem):
        report.error(
            "bad-name", 0, 0, f"{stem!r} cannot be a pattern's name", 'Add export const pattern = {name: "…"}.'
        )
    pattern = CompiledPattern(format="prism", digest="", program=text, source=text, **made)
    callers = (*callees.around, f"{pattern.name}@{pattern.version}")
    resolve_calls(compiled, callees, callers, report, workspace=pattern.workspace.enabled)
    imported = {path: modules[path] for path in sorted(compiled.units) if path in modules}
    return replace(
        pattern,
        digest=digest_of(text, text, imported, callees.called),
        roles={**callees.roles, **_roles(program, places)},
        modules=imported,
        called=callees.called,
    )


def prism_header(text: str, file: str) -> PatternSource:
    """What a Prism file says its pattern is called; its name where that cannot be read."""
    report = Report(file, text)
    stem = PurePosixPath(file).name.removesuffix(".prism")
    try:
        fields = _metadata(parse(text, file), Source(text, file), report)
    except PrismError:
        fields = None
    made: dict[str, Any] = {} if fields is None else _pattern(fields, stem, report)
    name, version = made.get("name", stem), made.get("version", "1.0.0")
    return PatternSource(name=name, version=version, file=file, text=text)


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
    if parse_version(version) is None:
        place = view.get("version") or root
        report.error(
            "bad-version", place.line, place.column, f"{version!r} is no version", "For example 1.0.0 or 2.0.0-rc.1."
        )
    made: dict[str, Any] = {"name": name, "version": version, "description": view.text("description")}
    if (schema := view.get("input")) is not None:
        made["input"] = read_schema(schema, report)
    if (workspace := view.get("workspace")) is not None:
        made["workspace"], _ = read_workspace(workspace, report)
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
                return written_out(statement.statement.value, places)
            except NotWrittenOut as error:
                line, column = places.locate(error.pos)
                message = "what `pattern` says has to be written out: it is read without running the program"
                report.error("not-constant", line, column, message, "Use literals only.")
                return None
    return None


def _check_secrets(program: t.Program, places: Source, report: Report) -> None:
    """Values of secrets that stand in the declarations of agents: they would be readable in the log for ever."""
    for statement in program.body:
        for agent in statement.agents if isinstance(statement, t.Agents) else ():
            for entry in agent.fields:
                if entry.key != "agentConfig":
                    continue
                try:
                    config = to_json(written_out(entry.value, places))
                except NotWrittenOut:
                    continue
                env = cast("dict[str, Any]", config).get("env") if isinstance(config, dict) else None
                for name, value in cast("dict[str, Any]", env).items() if isinstance(env, dict) else ():
                    if isinstance(value, str) and value and (is_secret_name(name) or is_secret_text(value)):
                        line, column = places.locate(entry.value.pos)
                        message = f"{name!r} looks like a secret, and its value would be readable in the log for ever"
                        hint = f'Write {name}: {{ secret: "{name}" }}.'
                        report.error("secret-literal", line, column, message, hint)
                if any(map(is_secret_text, _texts(config))):
                    line, column = places.locate(entry.value.pos)
                    message = "agentConfig holds what looks like a secret, and would be readable in the log for ever"
                    report.error("secret-literal", line, column, message, HINT)


def _check_inputs(program: t.Program, declared: Mapping[str, Any], places: Source, report: Report) -> None:
    """Fields of the input that no request can bring, because the pattern declares others."""
    read: list[tuple[str, int]] = []
    left: list[Any] = [program]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += cast("list[Any]", node)
        elif isinstance(node, dict):
            left += cast("dict[str, Any]", node).values()
        elif isinstance(node, t.Node):
            fields = [getattr(node, name) for name in node.__struct_fields__]
            if "input" in fields and not isinstance(node, t.Name | t.Member | t.String | t.Entry | t.Prop):
                return  # a variable of the program's own is called so
            if isinstance(node, t.Member) and isinstance(node.object, t.Name) and node.object.name == "input":
                read.append((node.name, node.pos))
            left += fields
    for name, position in read:
        if name not in declared:
            line, column = places.locate(position)
            hint = did_you_mean(name, declared, f"Declared: {', '.join(declared)}.")
            report.warning("unknown-field", line, column, f"the pattern declares no input {name!r}: it is null", hint)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a value but those of `env`."""
    if isinstance(value, str):
        yield value
    inner = cast("list[Any]", value) if isinstance(value, list) else []
    if isinstance(value, dict):
        inner = [item for key, item in cast("dict[str, Any]", value).items() if key != "env"]
    for item in inner:
        yield from _texts(item)


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
                    made[entry.key] = to_json(written_out(entry.value, places))
                except NotWrittenOut:
                    continue
            roles[str(made["id"])] = made
    return roles
