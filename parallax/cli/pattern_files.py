"""A pattern file of the caller's: its text goes along with the request, because services may not share the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from parallax.cli.common import BadInputError

if TYPE_CHECKING:
    from compiler.patterns.nesting import PatternSource
    from schemas.commands import PatternFile
    from schemas.patterns import CompiledPattern

_SUFFIXES = (".yaml", ".yml", ".prism")


def is_pattern_file(name: str) -> bool:
    """Whether what was typed is a file and no name: names hold neither dots nor slashes."""
    return Path(name).suffix in _SUFFIXES or "/" in name


def read_pattern_file(typed: str, data: Path | None) -> tuple[PatternFile, CompiledPattern]:
    """The file, with the files beside it that it uses, and what it compiles to here.

    What it calls is looked for beside it, and then where the stack looks. Raises BadInputError with everything that is
    wrong.
    """
    from compiler.patterns import load_pattern
    from compiler.patterns.nesting import PatternSource
    from parallax.cli.pattern_library import own_patterns_dir
    from parallax.cli.pattern_texts import shown_diagnostic, unreadable
    from schemas.commands import PatternFile
    from shared.log import keep_quiet
    from shared.pattern_sources import Patterns
    from shared.patterns import PatternLibrary

    keep_quiet()
    path = Path(typed)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadInputError(unreadable(path).message) from None
    beside = PatternLibrary(path.parent)
    library = Patterns(own_patterns_dir(data))
    along: dict[str, str] = {}

    def look(reference: str) -> PatternSource | str:
        found = beside.source(reference)
        if isinstance(found, PatternSource):
            along[Path(found.file).name] = found.text
            along.update(found.modules)
            return found
        elsewhere = library.source(reference)
        return found if isinstance(elsewhere, str) else elsewhere

    own = path.suffix == ".prism"
    modules = {name: module for name, module in beside.modules().items() if name != path.name} if own else {}
    result = load_pattern(text, filename=str(path), modules=modules, lookup=look)
    if result.pattern is None:
        for one in result.diagnostics:
            click.echo(shown_diagnostic(one), err=True)
        raise BadInputError(f"{path} does not compile")
    return (
        PatternFile(file=path.name, text=text, modules=dict(result.pattern.modules), others=along),
        result.pattern,
    )
