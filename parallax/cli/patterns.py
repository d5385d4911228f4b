"""`parallax patterns`: what there is, what is wrong with a file, and what it compiles to. Works without any server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from compiler.patterns import PatternResult, load_pattern
from compiler.patterns.diagrams import mermaid
from parallax.cli.common import BadInputError, WorkFailedError, data_option, emit_json, json_option
from parallax.cli.outline import outline
from parallax.cli.pattern_library import library_for
from parallax.cli.pattern_texts import shown_diagnostic, unreadable
from parallax.cli.simulate import simulate
from schemas.patterns import CompiledPattern, PatternDiagnostic
from shared.log import keep_quiet
from shared.pattern_sources import Patterns
from shared.patterns import SUFFIXES, PatternLibrary

EXIT_ERRORS, EXIT_UNREADABLE = 1, 2


@click.group()
def patterns() -> None:
    """List, show, lint, compile and simulate patterns."""
    keep_quiet()


patterns.add_command(simulate)


def say(text: str) -> None:
    """A word to whoever reads along, beside the output."""
    click.echo(text, err=True)


_directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Only this directory of patterns (default: what the running stack reads, else PARALLAX_PATTERNS_DIR or "
    "./patterns; and the patterns that ship).",
)


@patterns.command("list")
@_directory_option
@json_option
@data_option
def list_patterns(directory: Path | None, as_json: bool, data: Path | None) -> int:
    """Every pattern that can be run, and files that cannot. What the running stack reads, where one runs."""
    if directory is not None and not directory.is_dir():
        raise BadInputError(f"there is no directory {directory}")
    library = library_for(directory, data)
    found = library.with_origin() if isinstance(library, Patterns) else [(one, "yours") for one in library.all()]
    hidden = library.hidden() if isinstance(library, Patterns) else []
    places = [library.directory]
    if isinstance(library, Patterns) and library.shipped_directory.resolve() != library.directory.resolve():
        places.append(library.shipped_directory)
    broken = [one for one in library.files() if not one.current]
    if as_json:
        emit_json(
            {
                "directory": str(library.directory),
                "directories": [str(place) for place in places],
                "patterns": [{**_summary(pattern), "origin": origin} for pattern, origin in found],
                "broken": [{"file": one.file, "errors": len(one.diagnostics)} for one in broken],
                "hidden": hidden,
            }
        )
        return 0
    width = max((len(f"{one.name} {one.version}") for one, _ in found), default=0)
    for pattern, origin in found:
        mark = "yours, instead of the shipped one" if pattern.name in hidden else origin
        mark = f"  ({mark})" if len(places) > 1 and (origin == "yours" or pattern.name in hidden) else ""
        click.echo(f"{f'{pattern.name} {pattern.version}':<{width}}  {pattern.description}{mark}".rstrip())
    for one in broken:
        where = next((place for place in places if (place / one.file).exists()), library.directory)
        say(f"{one.file} cannot be used: `parallax patterns lint {where / one.file}` says why.")
    say(f"From {' and '.join(map(str, places))}.")
    return 0


@patterns.command("show")
@click.argument("name")
@_directory_option
@json_option
@data_option
def show(name: str, directory: Path | None, as_json: bool, data: Path | None) -> int:
    """One pattern: its input, its roles, its steps. NAME may be a file, or NAME@1.x."""
    pattern = _find(name, directory, data)
    if as_json:
        emit_json({**_summary(pattern), "source": pattern.source, "program": pattern.program})
        return 0
    click.echo(f"{pattern.name} {pattern.version} ({pattern.format}, {pattern.digest[:12]})")
    if pattern.description:
        click.echo(pattern.description)
    _section("Input", [_input_line(field, rules) for field, rules in pattern.input.items()] or ["anything"])
    _section("Roles", [_role_line(role_id, role) for role_id, role in pattern.roles.items()])
    _section("Steps", outline(pattern))
    workspace = "works in a git workspace" if pattern.workspace.enabled else "needs no git workspace"
    _section("Workspace", [workspace + (", pushes its result" if pattern.workspace.push else "")])
    return 0


@patterns.command("lint")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--repo",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="The repository that the patterns are for (default: the one around the current directory).",
)
@json_option
def lint(files: tuple[Path, ...], repo: Path | None, as_json: bool) -> int:
    """Say everything that is wrong with pattern files. Exit code 1 with errors, 2 when a file cannot be read."""
    repository = _names_in(repo)
    paths = [inner for path in files for inner in _expanded(path)]
    found: list[PatternDiagnostic] = []
    lost = False
    for path in paths:
        result = _load(path, repository)
        lost |= result is None
        found += [unreadable(path)] if result is None else result.diagnostics
    if as_json:
        fields = ("file", "line", "column", "code", "severity", "message", "hint")
        emit_json(
            {"files": len(paths), "diagnostics": [{name: getattr(one, name) for name in fields} for one in found]}
        )
    else:
        for one in found:
            click.echo(shown_diagnostic(one))
        errors = sum(one.severity == "error" for one in found)
        warnings = len(found) - errors
        say(f"{_count(len(paths), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}.")
    if lost:
        return EXIT_UNREADABLE
    return EXIT_ERRORS if any(one.severity == "error" for one in found) else 0


@patterns.command("compile")
@click.argument("file")
@click.option("--to", type=click.Choice(["prism", "json", "mermaid"]), default="prism", help="What to write.")
@_directory_option
@click.option("--json", "as_json", is_flag=True, help="The same as --to json.")
@data_option
def compile_pattern(file: str, to: str, directory: Path | None, as_json: bool, data: Path | None) -> int:
    """Write what a pattern compiles to. FILE may also be the name of a pattern."""
    pattern = _find(file, directory, data, strict=True)
    if as_json or to == "json":
        called = {name: msgspec.to_builtins(one) for name, one in pattern.called.items()}
        emit_json({**_summary(pattern), "program": pattern.program, "modules": pattern.modules, "called": called})
    else:
        sys.stdout.write(pattern.program if to == "prism" else mermaid(pattern))
    return 0


def _find(name: str, directory: Path | None, data: Path | None, *, strict: bool = False) -> CompiledPattern:
    """The pattern in a file, or of a name. Raises click errors with the diagnostics."""
    path = Path(name)
    if path.suffix in SUFFIXES or path.is_file():
        result = _load(path)
        if result is None:
            raise BadInputError(unreadable(path).message)
        if result.pattern is None:
            for one in result.diagnostics:
                click.echo(shown_diagnostic(one), err=True)
            message = f"{path} does not compile"
            raise WorkFailedError(message) if strict else BadInputError(message)
        return result.pattern
    found = library_for(directory, data).find(name)
    if isinstance(found, CompiledPattern):
        return found
    lines: list[str] = []
    for one in found:
        lines.append(one.what if one.where == "pattern" else f"{one.where}: {one.what}")
        lines += [f"  {one.hint}"] if one.hint else []
    raise BadInputError("\n".join(lines))


def _names_in(repo: Path | None) -> frozenset[str]:
    """What a clone of the repository has at its top, as far as that is seen without git. Empty: there is none."""
    here = Path.cwd() if repo is None else repo.absolute()
    root = next((place for place in (here, *here.parents) if (place / ".git").exists()), None if repo is None else here)
    if root is None:
        return frozenset()
    try:
        ignored = (root / ".gitignore").read_text("utf-8", "replace") if (root / ".gitignore").is_file() else ""
        words = {line.strip().strip("/") for line in ignored.splitlines()}
        return frozenset(path.name for path in root.iterdir() if path.name not in words)
    except OSError:
        return frozenset()


def _load(path: Path, repository: frozenset[str] = frozenset()) -> PatternResult | None:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    modules: dict[str, str] = {}
    if path.suffix == ".prism":
        library = PatternLibrary(path.parent)
        modules = {name: module for name, module in library.modules().items() if name != path.name}
    lookup = PatternLibrary(path.parent, elsewhere=Patterns(path.parent).source).source
    return load_pattern(text, filename=str(path), modules=modules, lookup=lookup, repository=repository)


def _expanded(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(inner for inner in path.iterdir() if inner.suffix in SUFFIXES and inner.is_file())
        if not found:
            raise BadInputError(f"{path} holds no pattern: no file that ends in {', '.join(sorted(SUFFIXES))}")
        return found
    return [path]


def _summary(pattern: CompiledPattern) -> dict[str, Any]:
    return {
        "name": pattern.name,
        "version": pattern.version,
        "description": pattern.description,
        "format": pattern.format,
        "digest": pattern.digest,
        "input": pattern.input,
        "roles": pattern.roles,
        "steps": pattern.steps,
        "workspace": {"enabled": pattern.workspace.enabled, "push": pattern.workspace.push},
        "metadata": pattern.metadata,
    }


def _section(title: str, lines: list[str]) -> None:
    if lines:
        click.echo(f"\n{title}")
        for line in lines:
            click.echo(f"  {line}")


def _input_line(name: str, declared: object) -> str:
    rules = cast("dict[str, Any]", declared) if isinstance(declared, dict) else {"type": declared}
    words = [str(rules.get("type", "any"))]
    if rules.get("required"):
        words.append("required")
    if "default" in rules:
        words.append(f"default {json.dumps(rules['default'], ensure_ascii=False)}")
    described = f"  {rules['description']}" if rules.get("description") else ""
    return f"{name} ({', '.join(words)}){described}"


def _role_line(role_id: str, role: Any) -> str:
    declared: str | list[str] = role.get("agentType") or "custom"
    kinds = declared if isinstance(declared, str) else "/".join(declared)
    able = ", ".join(role.get("capabilities", []))
    above = f", reports to {role['reportsTo']}" if role.get("reportsTo") else ""
    return f"{role_id} ({kinds}): {able}{above}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
