"""A pattern as a Mermaid picture: who reports to whom, and how the steps follow one another."""

from __future__ import annotations

from typing import Any, cast

from compiler.patterns.flat_model import FlatStep
from compiler.patterns.model import Step
from compiler.patterns.orgchart import read_flat_pattern, read_org_chart
from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from schemas.patterns import CompiledPattern

_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;"})


def mermaid(pattern: CompiledPattern) -> str:
    """The picture of a pattern; of one written in Prism only its roles, since its flow is computed."""
    lines = ["flowchart TB", f"  subgraph roles[{_label('roles of ' + pattern.name)}]"]
    numbers = {role_id: f"r{position}" for position, role_id in enumerate(pattern.roles)}
    for role_id, role in pattern.roles.items():
        fields = cast("dict[str, Any]", role) if isinstance(role, dict) else {}
        lines.append(f"    {numbers[role_id]}[{_label(str(fields.get('name') or role_id))}]")
    for role_id, role in pattern.roles.items():
        above = cast("dict[str, Any]", role).get("reportsTo") if isinstance(role, dict) else None
        if isinstance(above, str) and above in numbers:
            lines.append(f"    {numbers[above]} --- {numbers[role_id]}")
    lines.append("  end")
    if pattern.format == "org-chart":
        report = Report(pattern.name, pattern.source)
        root = read_yaml(pattern.source, report)
        chart = None if root is None else read_org_chart(root, report)
        if chart is not None:
            _Flow(lines).draw(chart.steps)
    elif pattern.format == "flat":
        report = Report(pattern.name, pattern.source)
        root = read_yaml(pattern.source, report)
        if root is not None:
            _FlatFlow(lines).draw(read_flat_pattern(root, report).steps)
    return "\n".join(lines) + "\n"


class _Flow:
    """Draws steps; each call of `_steps` takes the ends that lead in and gives those that lead out."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._count = 0

    def draw(self, steps: list[Step]) -> None:
        """All steps, between a start and an end."""
        self._lines.append('  begin(["start"])')
        ends = self._steps(steps, [("begin", "")])
        self._lines.append('  done(["end"])')
        self._join(ends, "done")

    def _steps(self, steps: list[Step], ends: list[tuple[str, str]]) -> list[tuple[str, str]]:
        for step in steps:
            ends = self._step(step, ends)
        return ends

    def _step(self, step: Step, ends: list[tuple[str, str]]) -> list[tuple[str, str]]:
        if step.type == "sequential":
            return self._steps(step.steps, ends)
        node = f"s{self._count}"
        self._count += 1
        if step.type == "condition":
            check = step.check.raw if step.check is not None else ""
            self._lines.append(f"  {node}{{{_label(check)}}}")
            self._join(ends, node)
            yes = self._steps(step.then_steps, [(node, "yes")])
            return yes + (self._steps(step.else_steps, [(node, "no")]) if step.else_steps else [(node, "no")])
        who = f"{step.id}: {step.type}" + (f" by {step.role}" if step.role else "")
        shape = f"{{{{{_label(who)}}}}}" if step.type in {"review", "approve"} else f"[{_label(who)}]"
        self._lines.append(f"  {node}{shape}")
        self._join(ends, node)
        if step.type == "parallel":
            return [end for inner in step.steps for end in self._step(inner, [(node, "")])] or [(node, "")]
        return [(node, "")]

    def _join(self, ends: list[tuple[str, str]], node: str) -> None:
        for end, word in ends:
            self._lines.append(f"  {end} -->{f'|{word}|' if word else ''} {node}")


class _FlatFlow:
    """Draws the steps of a team of equals."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._count = 0

    def draw(self, steps: list[FlatStep]) -> None:
        """All steps, between a start and an end."""
        self._lines.append('  begin(["start"])')
        ends = [("begin", "")]
        for step in steps:
            ends = self._step(step, ends)
        self._lines.append('  done(["end"])')
        self._join(ends, "done")

    def _step(self, step: FlatStep, ends: list[tuple[str, str]]) -> list[tuple[str, str]]:
        node = f"s{self._count}"
        self._count += 1
        rule = step.aggregation.get("strategy", "best")
        words = {
            "work": f"{step.id}: {step.count} agents, {step.execution.get('strategy', 'parallel')}, {rule}",
            "merge": f"{step.id}: {rule}",
            "parallel": f"{step.id}: at once",
            "switch": step.id,
        }[step.kind]
        self._lines.append(f"  {node}{{{_label(words)}}}" if step.kind == "switch" else f"  {node}[{_label(words)}]")
        self._join(ends, node)
        if step.kind == "switch":
            ways = [*step.cases.items(), *([("else", step.default)] if step.default else [])]
            return [end for value, inner in ways for end in self._step(inner, [(node, _label(value))])]
        return [end for inner in step.steps for end in self._step(inner, [(node, "")])] or [(node, "")]

    def _join(self, ends: list[tuple[str, str]], node: str) -> None:
        for end, word in ends:
            self._lines.append(f"  {end} -->{f'|{word}|' if word else ''} {node}")


def _label(text: str) -> str:
    cleaned = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return '"' + cleaned[:80].translate(_ENTITIES) + '"'
