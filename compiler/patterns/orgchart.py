"""Reading a whole org chart: the top level of the file, the structure, and the workflow."""

from __future__ import annotations

import re
from typing import Any

from compiler.patterns import flat
from compiler.patterns.constants import report_unreachable
from compiler.patterns.flat_model import FlatPattern
from compiler.patterns.inputs import is_no_input, read_schema
from compiler.patterns.model import HUMAN, OrgChart, Role, Step
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean, nearest
from compiler.patterns.roles import read_structure, role_names
from compiler.patterns.steps import StepReader
from compiler.patterns.view import View, report_traps, to_json
from compiler.patterns.workspaces import WORKSPACE_KEYS, read_workspace
from compiler.versions import parse_version
from schemas.patterns import WorkspaceSpec

CHART_KEYS = ("name", "version", "description", "structure", "workflow", "metadata", "workspace")
_FLAT = frozenset({"agents", "execution", "aggregation", "validation", "groups", "steps"})
_NAME = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(?: [A-Za-z0-9._-]+)*\Z")
_SECOND_DIALECT = {
    "groups": "equals are one group; write each group as a step under steps, with agents of its own, and merge them",
    "confidence": "a result's confidence comes from its evidence; write validation: {minConfidence: 0.7} for a bound",
    "fallback": "it belongs to what is validated; write validation: {onFailure: fallback, fallback: …}",
}
"""Keys of the original's second form of flat patterns, and how what they mean is written."""
_BRANCHES = "feature_branch"
"""The strategy that is always followed: every execution and every session has branches of its own."""
CHART_WORKSPACE_KEYS = (*WORKSPACE_KEYS, "branchStrategy", "createPr", "pr")


def read_org_chart(root: Node, report: Report) -> OrgChart | None:
    """The org chart in a tree, or None when too little of it can be read to go on."""
    if root.kind != "map":
        message = "a pattern is a map with a name, a structure and a workflow"
        report.error("wrong-type", root.line, root.column, message, "Begin with name: my-pattern.")
        return None
    view = View(root, report, "the pattern", CHART_KEYS)
    chart = _heading(view, root, report)
    structure, workflow = view.get("structure"), view.get("workflow")
    if structure is None:
        view.missing("structure", "The roles of the team.")
    else:
        chart["roles"] = read_structure(structure, report)
    if workflow is None:
        view.missing("workflow", "The steps of the work.")
    else:
        _workflow(workflow, report, chart)
    _metadata(view, report, chart)
    made = OrgChart(**chart)
    for step in every_step(made.steps):
        report_unreachable(step, made.input, report)
    if names := _role_names(structure):
        _check_roles(made.roles, names, made.steps, report)
    return made


def _role_names(structure: Node | None) -> list[str]:
    roles = None if structure is None else next((value for key, value in structure.pairs if key.raw == "roles"), None)
    return [] if roles is None else role_names(roles)


def is_flat(root: Node) -> bool:
    """Whether a file describes a team of equals rather than an org chart; its keys may be misspelt."""
    names = {key.raw for key, _ in root.pairs}
    if names & _FLAT:
        return not names & {"structure", "workflow"}
    meant = {nearest(name, (*CHART_KEYS, *flat.KEYS)) or name for name in names}
    return bool(meant & {*_FLAT, "author", "tags", "input", "output"}) and not meant & {"structure", "workflow"}


def read_flat_pattern(root: Node, report: Report) -> FlatPattern:
    """The flat pattern in a tree."""
    view = View(root, report, "the pattern", flat.KEYS, _SECOND_DIALECT)
    return flat.read_flat(view, _heading(view, root, report), report)


def _heading(view: View, root: Node, report: Report) -> dict[str, Any]:
    name = view.text("name", required=True, hint="The name that requests call the pattern by.")
    place = view.get("name") or root
    if (name or (place.kind == "text" and not place.trap)) and not _NAME.match(name):
        hint = "Letters, digits, single spaces, '.', '_' and '-', at most 128."
        report.error("bad-name", place.line, place.column, f"{name!r} cannot be a pattern's name", hint)
    return {"name": name, "version": _version(view, report), "description": view.text("description")}


def _version(view: View, report: Report) -> str:
    node = view.get("version")
    if node is None:
        return "1.0.0"
    if node.kind not in {"text", "number"} or parse_version(node.raw) is None:
        message = f"{node.raw!r} is no version" if node.raw else "a version is a text"
        report.error("bad-version", node.line, node.column, message, "For example 1.0.0 or 2.0.0-rc.1.")
        return "1.0.0"
    return node.raw


def _workflow(node: Node, report: Report, chart: dict[str, Any]) -> None:
    view = View(node, report, "workflow", ("name", "description", "input", "steps", "output", "timeoutMs"))
    view.text("name")
    view.text("description")
    if (schema := view.get("input")) is not None:
        chart["input"] = read_schema(schema, report)
        chart["no_input"] = is_no_input(schema)
    chart["timeout_ms"] = view.integer("timeoutMs", least=1, most=2_592_000_000)
    steps = view.items("steps")
    if view.valid and not view.has("steps"):
        view.missing("steps", "At least one step.")
    elif (given := view.get("steps")) is not None and given.kind == "list" and not steps:
        place = view.key("steps")
        report.error("empty-workflow", place.line, place.column, "the workflow has no steps", "Add at least one step.")
    chart["steps"] = StepReader(report).read_all(steps, "step")
    if view.text("output") and chart["steps"]:
        chart["output"] = view.get("output")


def _metadata(view: View, report: Report, chart: dict[str, Any]) -> None:
    metadata, workspace = view.get("metadata"), view.get("workspace")
    if metadata is not None and metadata.kind != "map":
        view.wrong("metadata", metadata, "a map")
    elif metadata is not None:
        report_traps(metadata, report)
        chart["metadata"] = {key.raw: to_json(value) for key, value in metadata.pairs if key.raw != "workspace"}
        _check_counts(metadata, report)
        inner = next((pair for pair in metadata.pairs if pair[0].raw == "workspace"), None)
        if inner is not None and workspace is not None:
            message = "'workspace' stands at the top level already"
            report.error("conflicting-keys", inner[0].line, inner[0].column, message, "Remove one of them.")
        elif inner is not None:
            workspace = inner[1]
    if workspace is not None and workspace.kind != "null":
        chart["workspace"] = _workspace(workspace, report)


def _check_counts(metadata: Node, report: Report) -> None:
    """Metadata is free, but what it says of the size of the team has to be possible."""
    counts = {key.raw: (key, value.value) for key, value in metadata.pairs if value.kind == "number"}
    if "minAgents" in counts and "maxAgents" in counts and counts["minAgents"][1] > counts["maxAgents"][1]:
        (place, least), (_, most) = counts["minAgents"], counts["maxAgents"]
        message = f"minAgents ({least}) is more than maxAgents ({most})"
        report.error("impossible-instances", place.line, place.column, message, f"At most {most}.")


def _workspace(node: Node, report: Report) -> WorkspaceSpec:
    spec, view = read_workspace(node, report, CHART_WORKSPACE_KEYS)
    creates = view.flag("createPr")
    if creates:
        place = view.key("createPr")
        message = "'createPr' cannot be honoured: pull requests are not opened yet"
        report.error("unsupported", place.line, place.column, message, "Write push: true; the branch can be reviewed.")
    strategy = view.text("branchStrategy")
    if strategy and strategy != _BRANCHES:
        place = view.get("branchStrategy") or node
        message = f"branchStrategy {strategy!r} cannot be honoured: branches are parallax/<execution>/<role>/<n>"
        report.error("unsupported", place.line, place.column, message, f"Write {_BRANCHES}, or remove the key.")
    if view.has("pr") and not creates:
        place = view.key("pr")
        message = "'pr' has no effect: no pull request is opened"
        report.warning("unsupported", place.line, place.column, message, "Remove the key.")
    return spec


def _check_roles(roles: dict[str, Role], names: list[str], steps: list[Step], report: Report) -> None:
    used: set[str] = set()
    for step in every_step(steps):
        used.update(judge for judge, _ in step.judges)
        named = [(judge, place, "the oracle asks {!r}, which is no role") for judge, place in step.judges]
        named += [(key.raw, key, "the weight is for {!r}, which is no role") for key in step.weighed]
        if step.role_node is not None and step.role and not (step.role == HUMAN and step.type == "approve"):
            named.append((step.role, step.role_node, f"the {step.type} step names {{!r}}, which is no role"))
            used.add(step.role)
        for name, place, message in named:
            if name not in names:
                report.error("unknown-role", place.line, place.column, message.format(name), did_you_mean(name, names))
    for role in roles.values():
        used.add(role.reports_to)
        used.update(judge for judge, _ in role.judges)
        used.update(target for rule in role.fields.get("routing", []) for target in rule["to"])
        used.update(role.fields.get("escalation", {}).get("topicRoutes", {}).values())
    for role in roles.values():
        if role.id not in used and steps and not report.failed:
            message = f"nothing in the workflow is done by role {role.id!r}"
            report.warning("unused-role", role.line, role.column, message, "Remove it, or give it a step.")


def every_step(steps: list[Step]) -> list[Step]:
    """The steps and all steps inside them, in the order of the file."""
    found: list[Step] = []
    for step in steps:
        found.append(step)
        found += every_step([*step.steps, *step.then_steps, *step.else_steps])
    return found


def inside_conditions(steps: list[Step]) -> list[Step]:
    """The steps that stand inside a condition that is one of these or inside one of these."""
    conditions = [step for step in every_step(steps) if step.type == "condition"]
    return every_step([inner for one in conditions for inner in [*one.then_steps, *one.else_steps]])
