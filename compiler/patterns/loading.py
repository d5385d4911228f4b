"""From the text of a pattern file to a compiled pattern."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.patterns.callees import Callees, first_error
from compiler.patterns.digests import digest_of
from compiler.patterns.flat_lower import FlatLowering, flat_steps
from compiler.patterns.flat_model import FlatPattern
from compiler.patterns.lower import Lowering
from compiler.patterns.model import OrgChart
from compiler.patterns.nesting import Caller, Lookup, PatternSource
from compiler.patterns.orgchart import every_step, is_flat, read_flat_pattern, read_org_chart
from compiler.patterns.prism_files import load_prism
from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from compiler.patterns.secret_texts import check_secret_texts
from compiler.prism import PrismError, compile_program
from compiler.setups import proposed_setup
from schemas.base import Model
from schemas.patterns import CompiledPattern, PatternDiagnostic, PatternFormat

_NOTHING = PatternDiagnostic(
    file="", line=0, column=0, code="broken-pattern", severity="error", message="there is no pattern in it"
)


class PatternResult(Model, frozen=True, kw_only=True):
    """A pattern, unless an error was found, and everything that was found."""

    pattern: CompiledPattern | None
    diagnostics: list[PatternDiagnostic] = []


def load_pattern(
    text: str,
    *,
    filename: str,
    modules: Mapping[str, str] | None = None,
    lookup: Lookup | None = None,
    repository: Collection[str] = (),
) -> PatternResult:
    """Compiles a pattern file. `filename` decides the format and names the file in diagnostics; nothing is read.

    `modules` are the texts that a `.prism` pattern may import, by their paths; `lookup` finds the
    patterns that a workflow may call; `repository` are the names at the top of the repository that it is for, which
    tell what set-up its checks need. Never raises for what is in the file.
    """
    report = Report(filename, text)
    pattern = _load(text, report, filename, modules or {}, _callees(lookup, ()))
    if pattern is not None and repository:
        _propose_setup(pattern, report, repository)
    return PatternResult(pattern=None if report.failed else pattern, diagnostics=report.sorted())


def _propose_setup(pattern: CompiledPattern, report: Report, repository: Collection[str]) -> None:
    """Checks run on a clean checkout, where nothing is installed that the pattern does not say."""
    if not pattern.workspace.enabled or pattern.workspace.setup or pattern.workspace.keep:
        return
    for run, line, column in report.checks:
        if (proposal := proposed_setup(run, repository)) is not None:
            words = ", ".join(proposal.setup)
            message = f"the check needs {proposal.makes}, which a clean checkout lacks ({proposal.lock} is there)"
            hint = f"Add workspace: {{setup: [{words}], setupKey: [{proposal.lock}]}}."
            report.warning("missing-setup", line, column, message, hint)


def _callees(lookup: Lookup | None, around: tuple[str, ...]) -> Callees:
    def compile_called(source: PatternSource, callers: tuple[str, ...]) -> CompiledPattern | PatternDiagnostic:
        report = Report(source.file, source.text)
        pattern = _load(source.text, report, source.file, source.modules, _callees(lookup, callers))
        if pattern is not None and not report.failed:
            return pattern
        return first_error(report) or _NOTHING

    return Callees(lookup, compile_called, around)


def _load(
    text: str, report: Report, filename: str, modules: Mapping[str, str], callees: Callees
) -> CompiledPattern | None:
    if filename.endswith(".prism"):
        return load_prism(text, filename, modules, report, callees)
    return _yaml(text, report, callees)


def _yaml(text: str, report: Report, callees: Callees) -> CompiledPattern | None:
    root = read_yaml(text, report)
    if root is None:
        return None
    check_secret_texts(root, report)
    if is_flat(root):
        flat = read_flat_pattern(root, report)
        lowering = FlatLowering(flat, report, text, callees)
        return _compiled(flat, "flat", lowering, [step.id for step in flat_steps(flat.steps)], text, report, callees)
    chart = read_org_chart(root, report)
    if chart is None:
        return None
    # one that is called may run in a branch, where its steps have to see each other's commits
    caller = Caller(callers=callees.around, in_branch=bool(callees.around))
    lowering = Lowering(chart, report, text, callees, caller)
    steps = [step.id for step in every_step(chart.steps)]
    return _compiled(chart, "org-chart", lowering, steps, text, report, callees)


def _compiled(
    read: OrgChart | FlatPattern,
    written_as: PatternFormat,
    lowering: Lowering | FlatLowering,
    steps: list[str],
    text: str,
    report: Report,
    callees: Callees,
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
        digest=digest_of(text, program, {}, callees.called),
        program=program,
        source=text,
        description=read.description,
        input=read.input,
        roles={**callees.roles, **lowering.roles},
        called=callees.called,
        workspace=read.workspace,
        metadata=read.metadata,
        steps=steps,
        timeout_ms=read.timeout_ms,
    )
