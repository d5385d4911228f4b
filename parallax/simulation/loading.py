"""Finding what is to be simulated: a pattern by file or name, an agents file; and what stands in the way, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from compiler.patterns import load_pattern, validate_input
from compiler.prism.excerpt import marked
from parallax.simulation.agents_file import AgentsResult, agents_from, read_agents
from parallax.simulation.inputs import sample_input
from parallax.simulation.model import Agents
from schemas.patterns import CompiledPattern, PatternDiagnostic
from shared.log import keep_quiet
from shared.patterns import MAX_FILE_BYTES, SUFFIXES, PatternLibrary

IN_A_PATTERN = "simulation"
"""The key of a pattern's metadata that may hold agents, for whoever names none."""


class SimulationRefused(Exception):
    """Something cannot be simulated as it stands. `diagnostics` say where; `broken` tells that it is the pattern."""

    def __init__(self, message: str, diagnostics: list[PatternDiagnostic] | None = None, *, broken: bool = False):
        shown = [shown_diagnostic(one) for one in diagnostics or []]
        super().__init__("\n".join([message, *shown]))
        self.diagnostics = diagnostics or []
        self.broken = broken


def find_pattern(name: str | Path, directory: Path) -> CompiledPattern:
    """The pattern in a file, or in `directory` by NAME or NAME@1.x. Raises SimulationRefused."""
    keep_quiet()
    path = Path(name)
    if path.suffix not in SUFFIXES and not path.is_file():
        found = PatternLibrary(directory).find(str(name))
        if isinstance(found, CompiledPattern):
            return found
        raise SimulationRefused("\n".join(f"{one.what} {one.hint}".strip() for one in found))
    modules: dict[str, str] = {}
    if path.suffix == ".prism":
        modules = {other: text for other, text in PatternLibrary(path.parent).modules().items() if other != path.name}
    lookup = PatternLibrary(path.parent).source
    result = load_pattern(_text(path), filename=str(path), modules=modules, lookup=lookup)
    if result.pattern is None:
        raise SimulationRefused(f"{path} does not compile", result.diagnostics, broken=True)
    return result.pattern


def find_agents(path: Path | None, pattern: CompiledPattern) -> tuple[Agents, list[str]]:
    """The agents of a file, else those in the pattern's metadata, else the defaults; and what is odd about them.

    Raises SimulationRefused.
    """
    if path is not None:
        result = read_agents(_text(path), filename=str(path))
        source = str(path)
    elif isinstance(held := pattern.metadata.get(IN_A_PATTERN), dict):
        source = f"metadata.{IN_A_PATTERN} of {pattern.name}"
        result = agents_from(cast("dict[str, Any]", held), source=source)
    else:
        return Agents(), []
    return checked_agents(result, source, pattern)


def checked_agents(result: AgentsResult, source: str, pattern: CompiledPattern) -> tuple[Agents, list[str]]:
    """The agents, and a sentence for each name in them that the pattern has not. Raises SimulationRefused."""
    if result.agents is None:
        raise SimulationRefused(f"{source} cannot be used", result.diagnostics)
    odd: list[str] = []
    for kind, given, there in (
        ("role", result.agents.roles, list(pattern.roles)),
        ("step", result.agents.steps, pattern.steps),
    ):
        if there:
            odd += [f"{source}: {pattern.name} has no {kind} {name!r}" for name in given if name not in there]
    return result.agents, odd


def find_input(pattern: CompiledPattern, given: Mapping[str, Any]) -> dict[str, Any]:
    """The input of every run, made up where it is required and missing. Raises SimulationRefused."""
    made = sample_input(pattern.input, given)
    if problems := validate_input(pattern.input, made):
        raise SimulationRefused("\n".join(f"{one.where}: {one.what}. {one.hint}".strip() for one in problems))
    return made


def shown_diagnostic(one: PatternDiagnostic) -> str:
    """A diagnostic as a few lines of text."""
    place = f"{one.file}:{one.line}:{one.column}" if one.line else one.file
    lines = [f"{place}: {one.severity}: {one.message} [{one.code}]"]
    lines += marked(one.source_line, one.column)
    if one.hint:
        lines.append(f"    {one.hint}")
    return "\n".join(lines)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SimulationRefused(f"{path} cannot be read: it is larger than {MAX_FILE_BYTES // 1024} KiB")
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SimulationRefused(f"{path} cannot be read: it is not UTF-8 text") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or "it cannot be read"
        raise SimulationRefused(f"{path} cannot be read: {reason.lower()}") from error
