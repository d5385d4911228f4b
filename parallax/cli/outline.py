"""The steps of a pattern as an indented list: what is done, by whom, and what depends on what."""

from __future__ import annotations

from compiler.patterns.model import Step
from compiler.patterns.orgchart import read_org_chart
from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from schemas.patterns import CompiledPattern


def outline(pattern: CompiledPattern) -> list[str]:
    """The steps, a line each. Of a pattern that is no org chart only their names, since its flow is computed."""
    if pattern.format != "org-chart":
        return pattern.steps
    report = Report(pattern.name, pattern.source)
    root = read_yaml(pattern.source, report)
    chart = None if root is None else read_org_chart(root, report)
    return pattern.steps if chart is None else _lines(chart.steps, "")


def _lines(steps: list[Step], indent: str) -> list[str]:
    found: list[str] = []
    for step in steps:
        found.append(f"{indent}{step.id}: {_words(step)}")
        found += _lines(step.steps, indent + "  ")
        for word, branch in (("then", step.then_steps), ("else", step.else_steps)):
            if branch:
                found += [f"{indent}  {word}", *_lines(branch, indent + "    ")]
    return found


def _words(step: Step) -> str:
    if step.type == "condition":
        return f"condition {step.check.raw if step.check is not None else ''}".rstrip()
    return f"{step.type} by {step.role}" if step.role else step.type
