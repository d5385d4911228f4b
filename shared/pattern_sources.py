"""Where patterns come from: the shipped ones, which are always there, a directory of one's own, and files of requests.

A pattern of one's own wins over a shipped one of the same name, in all its versions; it may call shipped ones. Shipped
patterns call shipped ones only, so that what is tested with the product stays what it is.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import structlog

from compiler.patterns import load_pattern
from compiler.patterns.nesting import Lookup, PatternSource, header_of
from compiler.patterns.prism_files import prism_header
from compiler.patterns.report import did_you_mean
from schemas.base import Problem
from schemas.commands import PatternFile
from schemas.patterns import CompiledPattern, PatternDiagnostic
from shared.patterns import Loaded, PatternLibrary

_log = structlog.get_logger(__name__)
_MOST_PROBLEMS = 20


def shipped_patterns_dir() -> Path:
    """The patterns that ship with the product: in the package, or beside it in a checkout."""
    root = Path(__file__).parents[1]
    packaged = root / "parallax" / "data" / "patterns"
    return packaged if packaged.is_dir() else root / "patterns"


class Patterns:
    """The patterns of a directory, before those that ship. Looking is cheap; see `PatternLibrary`."""

    def __init__(self, directory: str | Path, *, shipped: Path | None = None) -> None:
        self.directory = Path(directory)
        self.shipped_directory = shipped_patterns_dir() if shipped is None else shipped
        self._shipped = PatternLibrary(self.shipped_directory)
        self._own: PatternLibrary | None = None
        if self.directory.resolve() != self.shipped_directory.resolve():
            self._own = PatternLibrary(self.directory, elsewhere=self._shipped.source)
        self._told: set[str] = set()

    def find(self, reference: str) -> CompiledPattern | list[Problem]:
        """The newest pattern for `name` or `name@1.x`, or what is wrong with the reference or the pattern."""
        name = reference.partition("@")[0]
        if self._own is None:
            return self._shipped.find(reference)
        if self._own.knows(name):
            self._say_hidden()
            return self._own.find(reference)
        if self._shipped.knows(name):
            return self._shipped.find(reference)
        problems = self._own.find(reference)
        if isinstance(problems, CompiledPattern):  # it has just been written
            return problems
        near = did_you_mean(name, sorted({*self._own.names(), *self._shipped.names()}))
        where = f"Patterns are read from {self.directory} and {self.shipped_directory}."
        hint = problems[0].hint if "Not usable" in problems[0].hint else (near or where)
        return [Problem(where=problems[0].where, what=problems[0].what, hint=hint), *problems[1:]]

    def source(self, reference: str) -> PatternSource | str:
        """The text of the newest pattern for `name` or `name@1.x`; a text says why there is none."""
        return (self._own or self._shipped).source(reference)

    def get(self, reference: str) -> CompiledPattern | None:
        """As `find`, or None."""
        found = self.find(reference)
        return found if isinstance(found, CompiledPattern) else None

    def all(self) -> list[CompiledPattern]:
        """Every usable pattern, by name and version."""
        return [pattern for pattern, _ in self.with_origin()]

    def with_origin(self) -> list[tuple[CompiledPattern, str]]:
        """Every usable pattern, by name and version, each with whose it is: `yours` or `shipped`."""
        own = [] if self._own is None else [(pattern, "yours") for pattern in self._own.all()]
        hidden = self.hidden()
        shipped = [(pattern, "shipped") for pattern in self._shipped.all() if pattern.name not in hidden]
        return sorted([*own, *shipped], key=lambda one: one[0].name)

    def hidden(self) -> list[str]:
        """The names of shipped patterns that one of yours is used instead of."""
        return [] if self._own is None else [name for name in self._shipped.names() if self._own.knows(name)]

    def files(self) -> list[Loaded]:
        """Every file of your directory, and after them every shipped one, with what it came to."""
        return [*([] if self._own is None else self._own.files()), *self._shipped.files()]

    def diagnostics(self) -> list[PatternDiagnostic]:
        """Everything that is wrong with the files as they are now."""
        return [*([] if self._own is None else self._own.diagnostics()), *self._shipped.diagnostics()]

    def compile(self, given: PatternFile) -> CompiledPattern | list[Problem]:
        """The pattern in a file that a request brought."""
        result = load_pattern(
            given.text, filename=given.file, modules=dict(given.modules), lookup=_beside(given, self.source)
        )
        if result.pattern is not None:
            return result.pattern
        errors = [found for found in result.diagnostics if found.severity == "error"]
        return [
            Problem(where=f"{one.file}:{one.line}:{one.column}", what=one.message, hint=one.hint)
            for one in errors[:_MOST_PROBLEMS]
        ]

    def _say_hidden(self) -> None:
        fresh = [name for name in self.hidden() if name not in self._told]
        if fresh:
            self._told.update(fresh)
            _log.info("yours_instead_of_shipped", patterns=fresh, directory=str(self.directory))


def _beside(given: PatternFile, library: Lookup) -> Lookup:
    """Looks among the files that came along, and then in the library."""
    along = PatternsOf(given.others)

    def look(reference: str) -> PatternSource | str:
        return along.source(reference) or library(reference)

    return look


class PatternsOf:
    """The patterns of some texts, by the names of their files."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._found: list[PatternSource] = []
        modules = {file: text for file, text in texts.items() if file.endswith(".prism")}
        for file, text in texts.items():
            is_program = file.endswith(".prism")
            header = prism_header(text, file) if is_program else header_of(text, file)
            if header is not None:
                beside = {name: module for name, module in modules.items() if name != PurePosixPath(file).name}
                self._found.append(
                    PatternSource(
                        name=header.name,
                        version=header.version,
                        file=file,
                        text=text,
                        modules=beside if is_program else {},
                    )
                )

    def source(self, reference: str) -> PatternSource | None:
        """The pattern of this name; one that came along is meant whatever version is asked for."""
        name = reference.partition("@")[0]
        return next((one for one in self._found if one.name == name), None)
