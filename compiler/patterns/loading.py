"""From the text of a pattern file to a compiled pattern."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.patterns.digests import digest_of
from compiler.patterns.lower import Lowering
from compiler.patterns.nesting import Lookup
from compiler.patterns.orgchart import every_step, read_org_chart
from compiler.patterns.prism_files import load_prism
from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from compiler.prism import PrismError, compile_program
from schemas.base import Model
from schemas.patterns import CompiledPattern, PatternDiagnostic


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
        pattern = _org_chart(text, report, lookup)
    return PatternResult(pattern=None if report.failed else pattern, diagnostics=report.sorted())


def _org_chart(text: str, report: Report, lookup: Lookup | None) -> CompiledPattern | None:
    root = read_yaml(text, report)
    chart = None if root is None else read_org_chart(root, report)
    if chart is None:
        return None
    lowering = Lowering(chart, report, text, lookup)
    program = lowering.program()
    if report.failed:
        return None
    try:
        compile_program(program, name=chart.name, globals=(*PROGRAM_GLOBALS, *HOST_FUNCTION_NAMES))
    except PrismError as error:
        report.error("internal", 0, 0, f"the compiled program is refused: {error}", "Please report this pattern.")
        return None
    return CompiledPattern(
        name=chart.name,
        version=chart.version,
        format="org-chart",
        digest=digest_of(text, program, {}),
        program=program,
        source=text,
        description=chart.description,
        input=chart.input,
        roles=dict(lowering.roles),
        workspace=chart.workspace,
        metadata=chart.metadata,
        steps=[step.id for step in every_step(chart.steps)],
        timeout_ms=chart.timeout_ms,
    )
