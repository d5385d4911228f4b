"""`parallax prism`: the language by itself. Works without any server."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.orchestration.legacy import LEGACY_GLOBALS, legacy_inputs
from compiler.orchestration.values import prism_value
from compiler.prism import Diagnostic, Machine, Options, PrismError, Program, compile_program
from compiler.prism.builtin_names import BUILTIN_NAMES
from compiler.prism.conformance import Case, check_case, encode, read_case
from compiler.prism.excerpt import marked
from compiler.prism.values import text_of
from parallax.cli.common import BadInputError, emit_json, json_option
from parallax.cli.inputs import read_inputs
from parallax.cli.prism_files import STDIN, ModuleFiles, read_program

EXIT_ERRORS, EXIT_UNREADABLE = 1, 2
_READABLE = "give the path of a file that can be read and is UTF-8 text"
_EFFECTS = tuple(name for name in HOST_FUNCTION_NAMES if name not in BUILTIN_NAMES)

_file = click.argument("file", type=click.Path(path_type=Path))
_files = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
_legacy_option = click.option(
    "--legacy",
    is_flag=True,
    help="Read an old script: an assignment declares, a missing member before ?? is null, and agentResults, agentList, "
    "agentCount and successfulResults are known (their values come from --input).",
)


@click.group()
def prism() -> None:
    """Run, check and format Prism programs. FILE may be - for standard input."""


def say(text: str) -> None:
    """A word to whoever reads along, beside the output."""
    click.echo(text, err=True)


# -- run -----------------------------------------------------------------------------------------------------------


@prism.command("run")
@_file
@click.option("--input", "inputs", multiple=True, metavar="K=V", help="The program's `input`: K=V, or @FILE with JSON.")
@_legacy_option
@json_option
def run_program(file: Path, inputs: tuple[str, ...], legacy: bool, as_json: bool) -> int:
    """Run a program and print its value. What it prints itself goes to standard error with --json.

    Nobody answers effects here: a program that assigns, asks or waits ends with an error that names the place.
    """
    given = read_inputs(inputs)
    options = Options(legacy=legacy)
    try:
        text = read_program(file, options)
        modules = ModuleFiles(file, options)
        program = compile_program(
            text, name=modules.name, modules=modules, options=options, globals=(*_globals(legacy), *_EFFECTS)
        )
        more = legacy_inputs(given) if legacy else {}
        value = _value_of(program, given, more, lambda line: click.echo(line, err=as_json))
        if as_json:
            emit_json(encode(value))
        else:
            click.echo(text_of(value))
    except PrismError as failure:
        if isinstance(failure.__cause__, BrokenPipeError):
            raise failure.__cause__ from None
        if as_json:
            fields = ("kind", "message", "line", "column", "code")
            emit_json({"error": {name: getattr(failure, name) for name in fields}})
        else:
            say(failure.show())
        return EXIT_ERRORS
    return 0


def _globals(legacy: bool) -> tuple[str, ...]:
    """What a program is given; an old script also what its host gave it."""
    return (*PROGRAM_GLOBALS, *LEGACY_GLOBALS) if legacy else PROGRAM_GLOBALS


def _value_of(program: Program, given: dict[str, Any], more: dict[str, Any], on_print: Callable[[str], None]) -> Any:
    """Run to the end. Raises PrismError, also when the program asks for an effect."""
    inputs = {"input": given, "workspace": None, "execution": {}, **{name: prism_value(more[name]) for name in more}}
    machine = Machine(program, inputs, {name: _asks(name) for name in _EFFECTS}, slice_steps=None, on_print=on_print)
    step = machine.start()
    if step.error is not None:
        raise step.error
    if step.status == "finished":
        return step.value
    asked = str(step.new[0].request)
    machine.close()
    place = next((one for one in program.effects if one.name == asked), None)
    unit = next((one for one in program.units.values() if place and one.source.name == place.file), program.unit)
    line, column = (place.line, place.column) if place is not None else (0, 0)
    raise PrismError(
        "RuntimeError",
        f"The program asks for the effect {asked}(), and nobody answers it here",
        line=line,
        column=column,
        code="no_host",
        hint="`parallax run` runs it as a pattern, with agents",
        file=unit.source.name,
        source_line=unit.source.line_text(line),
    )


def _asks(name: str) -> Callable[..., Any]:
    def ask(machine: Machine, *_args: Any) -> Any:
        return machine.perform(name)

    return ask


# -- check ---------------------------------------------------------------------------------------------------------


@prism.command("check")
@_files
@_legacy_option
@json_option
def check(files: tuple[Path, ...], legacy: bool, as_json: bool) -> int:
    """Say everything that is wrong with programs. Exit code 1 with errors, 2 when a file cannot be read."""
    from compiler.prism.check import check_program

    options = Options(legacy=legacy)
    names = (*_globals(legacy), *HOST_FUNCTION_NAMES)
    paths = [inner for path in files for inner in _expanded(path)]
    found: list[Diagnostic] = []
    unreadable = False
    for path in paths:
        try:
            text = read_program(path, options)
        except BadInputError as error:
            unreadable = True
            found.append(Diagnostic("unreadable", error.message, 0, 0, hint=_READABLE, file=str(path)))
            continue
        except PrismError as failure:
            found.append(Diagnostic(failure.code, failure.message, 0, 0, hint=failure.hint, file=str(path)))
            continue
        modules = ModuleFiles(path, options)
        made = check_program(text, name=modules.name, modules=modules, options=options, globals=names)
        found += [_placed(one, path, modules.name) for one in made]
    if as_json:
        fields = ("file", "line", "column", "code", "severity", "message", "hint", "source_line")
        emit_json(
            {"files": len(paths), "diagnostics": [{name: getattr(one, name) for name in fields} for one in found]}
        )
    else:
        for one in found:
            click.echo(_shown(one))
        errors = sum(one.severity == "error" for one in found)
        say(f"{_count(len(paths), 'file')}: {_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}.")
    if unreadable:
        return EXIT_UNREADABLE
    return EXIT_ERRORS if any(one.severity == "error" for one in found) else 0


def _placed(one: Diagnostic, path: Path, name: str) -> Diagnostic:
    """A diagnostic with the file as it was typed; one about a module keeps the module's name."""
    file = str(path) if one.file in ("", name) else one.file
    return Diagnostic(one.code, one.message, one.line, one.column, one.severity, one.hint, file, one.source_line)


def _shown(one: Diagnostic) -> str:
    place = f"{one.file}:{one.line}:{one.column}" if one.line else one.file
    lines = [f"{place}: {one.severity}: {one.message} [{one.code}]"]
    lines += marked(one.source_line, one.column)
    if one.hint:
        lines.append(f"    {one.hint}")
    return "\n".join(lines)


def _expanded(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    programs = sorted(inner for inner in path.iterdir() if inner.suffix == ".prism" and inner.is_file())
    if not programs:
        raise BadInputError(f"{path} holds no .prism files")
    return programs


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


# -- fmt -----------------------------------------------------------------------------------------------------------


@prism.command("fmt")
@_files
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 and name the files that would change.")
@click.option("--diff", "show_diff", is_flag=True, help="Write nothing; print what would change; exit 1 if anything.")
def fmt(files: tuple[Path, ...], only_check: bool, show_diff: bool) -> int:
    """Format programs in place. FILE - reads standard input and writes standard output.

    Comments are kept. A file that is no program is left alone and said, with exit code 1.
    """
    code = 0
    for path in [inner for given in files for inner in _expanded(given)]:
        try:
            text = read_program(path, Options())
            made = _formatted(text, str(path))
        except PrismError as failure:
            say(failure.show())
            code = EXIT_ERRORS
            continue
        changed = made != text
        if only_check or show_diff:
            if changed:
                code = EXIT_ERRORS
                _report(path, text, made, show_diff)
        elif str(path) == STDIN:
            sys.stdout.write(made)
        elif changed:
            path.write_bytes(made.encode())
            say(f"formatted {path}")
    return code


def _report(path: Path, text: str, made: str, show_diff: bool) -> None:
    if show_diff:
        before, after = text.splitlines(keepends=True), made.splitlines(keepends=True)
        for line in difflib.unified_diff(before, after, str(path), str(path)):
            click.echo(line, nl=not line.endswith("\n"))
    else:
        click.echo(f"{path} would be formatted")


def _formatted(text: str, name: str) -> str:
    """The formatted text, after a look at whether it still means the same."""
    from compiler.prism.parser import parse
    from compiler.prism.printer import format_source
    from compiler.prism.tree_equality import same_tree

    made = format_source(text, name)
    if not same_tree(parse(text, name), parse(made, name)):
        raise PrismError("CheckError", "Formatting would change what the program means; it was left alone", file=name)
    return made


# -- conformance ---------------------------------------------------------------------------------------------------


@prism.command("conformance")
@click.argument("file", type=click.Path(path_type=Path))
def conformance(file: Path) -> int:
    """Run conformance cases, one JSON object a line: a line for each case that fails, then how many passed."""
    passed = failed = 0
    for case in _cases(file):
        problem = check_case(case)
        if problem:
            failed += 1
            click.echo(f"{case.id}: {' '.join(problem.split())}")
        else:
            passed += 1
    if not passed + failed:
        raise BadInputError(f"{file} holds no cases")
    click.echo(f"{passed} passed, {failed} failed")
    return EXIT_ERRORS if failed else 0


def _cases(file: Path) -> Iterator[Case]:
    """The cases of a file. All of it is read first, so that a bad line is said before anything runs."""
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInputError(f"{file} is not UTF-8 text") from None
    except OSError as error:
        raise BadInputError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    cases: list[Case] = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            cases.append(read_case(msgspec.json.decode(line.encode())))
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"{file}, line {number}: not a case: {error}") from None
    yield from cases
