"""Collecting everything the checker finds in one file."""

from __future__ import annotations

from typing import Literal

from compiler.prism.errors import Diagnostic, PrismError
from compiler.prism.hints import hint_for
from compiler.prism.source import Source

MOST = 200


class Findings:
    """The diagnostics of one file, each at an offset of its text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: dict[tuple[int, str, str], Diagnostic] = {}

    def error(self, code: str, message: str, pos: int, hint: str = "") -> None:
        """Something that cannot work."""
        self._add("error", code, message, pos, hint)

    def warning(self, code: str, message: str, pos: int, hint: str = "") -> None:
        """Something that works and is probably not meant."""
        self._add("warning", code, message, pos, hint)

    def failure(self, failure: PrismError) -> None:
        """What ended the reading or linking of a program."""
        key = (-1, failure.code, failure.message)
        self.found[key] = Diagnostic(
            failure.code, failure.message, failure.line, failure.column, "error", failure.hint, failure.file,
            failure.source_line,
        )  # fmt: skip

    def _add(self, severity: Literal["error", "warning"], code: str, message: str, pos: int, hint: str) -> None:
        if len(self.found) >= MOST:
            return
        line, column = self.source.locate(pos)
        hint = hint or hint_for(code, message)
        self.found.setdefault(
            (pos, code, message),
            Diagnostic(code, message, line, column, severity, hint, self.source.name, self.source.line_text(line)),
        )

    @property
    def failed(self) -> bool:
        """Whether there is any error."""
        return any(one.severity == "error" for one in self.found.values())

    def sorted(self) -> list[Diagnostic]:
        """Everything in the order of the file."""
        return sorted(self.found.values(), key=lambda one: (one.line, one.column, one.code))
