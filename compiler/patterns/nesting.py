"""Patterns that call patterns: finding the one that is meant, and what has to hold for its input.

A called pattern becomes a function inside the program of its caller, so that an execution holds everything it runs,
as it was when it started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.patterns.model import OrgChart, Step
from compiler.patterns.orgchart import read_org_chart
from compiler.patterns.reader import Node, read_yaml
from compiler.patterns.report import Report, did_you_mean
from schemas.base import Model

MAX_NESTING = 8
"""How deep patterns may call patterns."""


class PatternSource(Model, frozen=True, kw_only=True):
    """The text of a pattern file, with what it says its name and version are."""

    name: str
    version: str
    file: str
    text: str


Lookup = Callable[[str], PatternSource | str]
"""Finds `name` or `name@1.x`; a text says in words why there is none."""


class Called(Model, frozen=True, kw_only=True):
    """A pattern that is to become a function of its caller."""

    source: PatternSource
    chart: OrgChart


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the pattern that is being written: nothing for one that runs by itself."""

    prefix: str = ""
    callers: tuple[str, ...] = ()
    in_branch: bool = False
    integrates: bool = True


def renamed(fields: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A role's fields; in a called pattern its roles have ids of their own, apart from those of the caller."""
    if not prefix:
        return fields
    made: dict[str, Any] = {**fields, "id": f"{prefix}-{fields['id']}"}
    if "reportsTo" in made:
        made["reportsTo"] = f"{prefix}-{made['reportsTo']}"
    if "routing" in made:
        made["routing"] = [{**rule, "to": [f"{prefix}-{to}" for to in rule["to"]]} for rule in fields["routing"]]
    if fields.get("escalation", {}).get("topicRoutes"):
        routes: dict[str, str] = fields["escalation"]["topicRoutes"]
        made["escalation"] = {**fields["escalation"], "topicRoutes": {k: f"{prefix}-{v}" for k, v in routes.items()}}
    if "verify" in made:
        verify: dict[str, Any] = fields["verify"]
        made["verify"] = {**verify, "oracles": renamed_oracles(verify["oracles"], prefix)}
    return made


def renamed_oracles(oracles: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Oracles of a called pattern: they ask the roles of that pattern."""
    return [{**one, "role": f"{prefix}-{one['role']}"} if "role" in one else one for one in oracles]


def header_of(text: str, file: str) -> PatternSource | None:
    """What a YAML file says its pattern is called; None where that cannot be read."""
    root = read_yaml(text, Report(file, text))
    if root is None or root.kind != "map":
        return None
    said = {key.raw: value.raw for key, value in root.pairs if value.kind in {"text", "number"}}
    if not said.get("name"):
        return None
    return PatternSource(name=said["name"], version=said.get("version") or "1.0.0", file=file, text=text)


def find_called(step: Step, lookup: Lookup | None, callers: tuple[str, ...], report: Report) -> Called | None:
    """The pattern that a step calls. `callers` are the ids of the patterns around it, outermost first."""
    node = step.pattern
    if node is None:
        return None
    if lookup is None:
        message = f"{node.raw!r} cannot be looked up: this pattern was given without its directory"
        report.error("unknown-pattern", node.line, node.column, message, "Keep the called pattern in the directory.")
        return None
    source = lookup(node.raw)
    if isinstance(source, str):
        report.error("unknown-pattern", node.line, node.column, source, "`parallax patterns list` shows what there is.")
        return None
    identity = f"{source.name}@{source.version}"
    if identity in callers or len(callers) > MAX_NESTING:
        message = "patterns call each other in a circle: " + " → ".join([*callers, identity])
        if identity not in callers:
            message = f"patterns call patterns more than {MAX_NESTING} levels deep"
        report.error("pattern-cycle", node.line, node.column, message, "Somebody has to do the work.")
        return None
    if source.file.endswith(".prism"):
        message = f"{source.name!r} is written in Prism and cannot be called from a workflow"
        report.error("unsupported", node.line, node.column, message, "Import its functions from a pattern in Prism.")
        return None
    inner = Report(source.file, source.text)
    root = read_yaml(source.text, inner)
    chart = None if root is None else read_org_chart(root, inner)
    if chart is None or inner.failed:
        refuse(step, source, inner, report)
        return None
    return Called(source=source, chart=chart)


def refuse(step: Step, source: PatternSource, inner: Report, report: Report) -> None:
    """Says at the step that the called pattern does not compile, with the first reason."""
    node = step.pattern
    first = next((one for one in inner.sorted() if one.severity == "error"), None)
    if node is None or first is None:
        return
    message = f"the pattern {source.name} {source.version} does not compile: {first.message} (line {first.line})"
    report.error(
        "broken-pattern", node.line, node.column, message, f"`parallax patterns lint {source.file}` says more."
    )


def check_input(step: Step, called: Called, report: Report) -> None:
    """Whether the step gives the fields that the called pattern needs, and no others."""
    schema: Mapping[str, Any] = called.chart.input
    given: dict[str, Node] = {key.raw: key for key, _ in step.input.pairs} if step.input is not None else {}
    place = step.input or step.pattern
    if not schema or place is None:
        return
    for name, rules in schema.items():
        if name not in given and rules.get("required") and "default" not in rules:
            message = f"the pattern {called.source.name} needs the input {name!r}"
            report.error("missing-input", place.line, place.column, message, str(rules.get("description", "")))
    for name, key in given.items():
        if name not in schema:
            message = f"the pattern {called.source.name} has no input {name!r}"
            report.error("unknown-input", key.line, key.column, message, did_you_mean(name, schema))
