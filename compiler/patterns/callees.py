"""The patterns that a pattern calls while it runs: found, compiled, and kept for the program that calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from compiler.input_check import validate_value
from compiler.nearest import did_you_mean, nearest
from compiler.orchestration.calling import call_name
from compiler.patterns.model import OrgChart
from compiler.patterns.nesting import MAX_NESTING, Lookup, PatternSource, renamed
from compiler.patterns.orgchart import is_flat, read_org_chart
from compiler.patterns.reader import Node, read_yaml
from compiler.patterns.report import Report
from compiler.patterns.view import to_json
from schemas.base import ROLE_ID_PATTERN, Model
from schemas.patterns import CalledPattern, CompiledPattern, PatternDiagnostic

Compile = Callable[[PatternSource, tuple[str, ...]], CompiledPattern | PatternDiagnostic]
"""Compiles a pattern that the patterns with these identities call; or the first thing that is wrong with it."""


class Call(Model, frozen=True, kw_only=True):
    """A call as it stands in a file: of what, as which step, and where."""

    reference: str
    step: str
    line: int
    column: int


class Inlined(Model, frozen=True, kw_only=True):
    """An org chart that becomes a function of the org chart that calls it."""

    source: PatternSource
    chart: OrgChart


class Callees:
    """Everything that one pattern calls. `called` and `roles` are for its program."""

    def __init__(self, lookup: Lookup | None, compile: Compile, around: tuple[str, ...] = ()) -> None:  # noqa: A002 - what it does
        self.around = around
        self.called: dict[str, CalledPattern] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        self._lookup = lookup
        self._compile = compile
        self._names: dict[str, str] = {}

    def find(self, call: Call, callers: tuple[str, ...], report: Report) -> PatternSource | None:
        """The pattern that is meant. `callers` are the patterns around the call, outermost first."""
        if self._lookup is None:
            message = f"{call.reference!r} cannot be looked up: this pattern was given without its directory"
            hint = "Keep the called pattern in the directory."
            report.error("unknown-pattern", call.line, call.column, message, hint)
            return None
        source = self._lookup(call.reference)
        if isinstance(source, str):
            hint = "`parallax patterns list` shows what there is."
            report.error("unknown-pattern", call.line, call.column, source, hint)
            return None
        identity = f"{source.name}@{source.version}"
        if identity in callers or len(callers) > MAX_NESTING:
            message = "patterns call each other in a circle: " + " → ".join([*callers, identity])
            if identity not in callers:
                message = f"patterns call patterns more than {MAX_NESTING} levels deep"
            report.error("pattern-cycle", call.line, call.column, message, "Somebody has to do the work.")
            return None
        return source

    def for_workflow(
        self, call: Call, callers: tuple[str, ...], given: Node | None, report: Report, *, workspace: bool
    ) -> CompiledPattern | Inlined | None:
        """The pattern that a step of an org chart calls; another org chart is handed back to become a part of it."""
        source = self.find(call, callers, report)
        if source is None:
            return None
        chart, is_chart = _chart_in(call, source, report)
        if is_chart and chart is None:
            return None
        if chart is None:
            made = self.add(call, source, callers, report, workspace=workspace)
            if made is not None:
                check_input(made.name, made.input, given, call, report)
            return made
        check_input(source.name, chart.input, given, call, report)
        if chart.workspace.enabled and not workspace:
            _refuse_workspace(call, source, report)
        return Inlined(source=source, chart=chart)

    def add(
        self, call: Call, source: PatternSource, callers: tuple[str, ...], report: Report, *, workspace: bool
    ) -> CompiledPattern | None:
        """Compiles a pattern that was found, for a caller with or without a workspace."""
        made = self._compile(source, callers)
        if isinstance(made, PatternDiagnostic):
            refuse(call, source, made, report)
            return None
        if made.workspace.enabled and not workspace:
            _refuse_workspace(call, source, report)
        name = call_name(call.step, made.name)
        other = self._names.setdefault(name, call.reference)
        if other != call.reference:
            message = f"the roles of {call.reference!r} and of {other!r} would have the same names"
            report.error("duplicate-step", call.line, call.column, message, "Give each call an id of its own.")
        for role in made.roles.values():
            fields = renamed(role, name)
            if not re.match(ROLE_ID_PATTERN, fields["id"]):
                message = f"the role {role['id']!r} of {made.name} would be called {fields['id']!r}, which is too long"
                report.error("bad-step-id", call.line, call.column, message, "Give the call a shorter id.")
            self.roles[fields["id"]] = fields
        self.called.update(made.called)
        self.called[call.reference] = CalledPattern(
            name=made.name,
            version=made.version,
            format=made.format,
            program=made.program,
            modules=made.modules,
            input=made.input,
            roles=made.roles,
            workspace=made.workspace.enabled,
            timeout_ms=made.timeout_ms,
        )
        return made


def _chart_in(call: Call, source: PatternSource, report: Report) -> tuple[OrgChart | None, bool]:
    """The org chart of a called pattern, and whether it is one; the chart is None, too, when it cannot be read."""
    if source.file.endswith(".prism"):
        return None, False
    inner = Report(source.file, source.text)
    root = read_yaml(source.text, inner)
    if root is not None and is_flat(root):
        return None, False
    chart = None if root is None else read_org_chart(root, inner)
    if chart is None or inner.failed:
        refuse(call, source, first_error(inner), report)
        return None, True
    return chart, True


def first_error(report: Report) -> PatternDiagnostic | None:
    """The first error of a report."""
    return next((one for one in report.sorted() if one.severity == "error"), None)


def refuse(call: Call, source: PatternSource, first: PatternDiagnostic | None, report: Report) -> None:
    """Says at the call that the called pattern does not compile, with the first reason."""
    if first is None:
        return
    message = f"the pattern {source.name} {source.version} does not compile: {first.message} (line {first.line})"
    hint = f"`parallax patterns lint {source.file}` says more."
    report.error("broken-pattern", call.line, call.column, message, hint)


def _refuse_workspace(call: Call, source: PatternSource, report: Report) -> None:
    """Says at the call that the called pattern needs what its caller has not."""
    message = f"the pattern {source.name} works in a workspace, and this one has none"
    report.error("no-workspace", call.line, call.column, message, "Write workspace: {enabled: true}.")


def check_input(name: str, schema: dict[str, Any], given: Node | None, place: Node | Call, report: Report) -> None:
    """Whether the written input of a call has the fields that the pattern needs, and no others."""
    if not schema:
        return
    keys: dict[str, Node] = {} if given is None else {key.raw: key for key, _ in given.pairs}
    check_fields(name, schema, keys, given or place, report)
    for key, value in given.pairs if given is not None else ():
        if "$" not in json.dumps(to_json(value)):
            check_value(name, schema, key.raw, to_json(value), value, report)


def check_fields(
    name: str, schema: dict[str, Any], keys: dict[str, Node], place: Node | Call, report: Report, *, open_: bool = False
) -> None:
    """As `check_input`, by the keys that are given. `open_`: there may be more than those."""
    misspelt = {nearest(key, schema) for key in keys if key not in schema}
    for field, rules in schema.items():
        needed = rules.get("required") and "default" not in rules and not open_
        if needed and field not in keys and field not in misspelt:
            message = f"the pattern {name} needs the input {field!r}"
            hint = str(rules.get("description") or f"input: {{{field}: …}}")
            report.error("missing-input", place.line, place.column, message, hint)
    for field, key in keys.items():
        if field not in schema and schema:
            message = f"the pattern {name} has no input {field!r}"
            report.error("unknown-input", key.line, key.column, message, did_you_mean(field, schema))


def check_value(name: str, schema: dict[str, Any], field: str, value: Any, place: Node, report: Report) -> None:
    """Whether a value that is written out fits the field it is given for."""
    if field not in schema or value is None:
        return
    for problem in validate_value(schema[field], value, field)[:3]:
        message = f"the pattern {name} cannot take this: {problem.what}"
        report.error("bad-input", place.line, place.column, message, problem.hint)
