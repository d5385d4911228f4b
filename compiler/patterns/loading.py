"""From the text of a pattern file to a compiled pattern."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.patterns.digests import digest_of
from compiler.patterns.flat_lower import FlatLowering, flat_steps
from compiler.patterns.flat_model import FlatPattern
from compiler.patterns.lower import Lowering
from compiler.patterns.model import OrgChart
from compiler.patterns.nesting import Lookup
from compiler.patterns.orgchart import every_step, is_flat, read_flat_pattern, read_org_chart
from compiler.patterns.prism_files import load_prism
from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from compiler.prism import PrismError, compile_program
from schemas.base import Model
from schemas.patterns import CompiledPattern, PatternDiagnostic, PatternFormat


class PatternResult(Model, frozen=True, kw_only=True):
    """A pattern, unless an error was found, and everything that was found."""

    pattern: CompiledPattern | None
    diagnostics: list[PatternDiagnostic] = []


def load_pattern(
    text: str, *, filename: str, modules: Mapping[str, str] | None = None, lookup: Lookup | None = None
) -> PatternResult:
    """Compiles a pattern file. `filename` decides the format and names the file in diagnostics; nothing is read.

    `modules` are the texts that a `.prism` pattern may import, by their paths; `lookup` finds the
    patterns that a workflow may call. Never raises for what is in the file.
    """
    report = Report(filename, text)
    if filename.endswith(".prism"):
        pattern = load_prism(text, filename, modules or {}, report)
    else:
        pattern = _yaml(text, report, lookup)
    return PatternResult(pattern=None if report.failed else pattern, diagnostics=report.sorted())


def _yaml(text: str, report: Report, lookup: Lookup | None) -> CompiledPattern | None:
    root = read_yaml(text, report)
    if root is None:
        return None
    if is_flat(root):
        flat = read_flat_pattern(root, report)
        lowering = FlatLowering(flat, report, text)
        return _compiled(flat, "flat", lowering, [step.id for step in flat_steps(flat.steps)], text, report)
    chart = read_org_chart(root, report)
    if chart is None:
        return None
    lowering = Lowering(chart, report, text, lookup)
    return _compiled(chart, "org-chart", lowering, [step.id for step in every_step(chart.steps)], text, report)


def _compiled(
    read: OrgChart | FlatPattern,
    written_as: PatternFormat,
    lowering: Lowering | FlatLowering,
    steps: list[str],
    text: str,
    report: Report,
) -> CompiledPattern | None:
    program = lowering.program()
    if report.failed:
        return None
    try:
        compile_program(program, name=read.name, globals=(*PROGRAM_GLOBALS, *HOST_FUNCTION_NAMES))
    except PrismError as error:
        report.error("internal", 0, 0, f"the compiled program is refused: {error}", "Please report this pattern.")
        return None
    return CompiledPattern(
        name=read.name,
        version=read.version,
        format=written_as,
        digest=digest_of(text, program, {}),
        program=program,
        source=text,
        description=read.description,
        input=read.input,
        roles=dict(lowering.roles),
        workspace=read.workspace,
        metadata=read.metadata,
        steps=steps,
        timeout_ms=read.timeout_ms,
    )
