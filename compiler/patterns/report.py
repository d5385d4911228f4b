"""Collecting everything that is wrong with a file, each thing with its place and a hint."""

from __future__ import annotations

from compiler.nearest import did_you_mean, nearest
from schemas.patterns import PatternDiagnostic

__all__ = ["Report", "did_you_mean", "nearest"]

_MOST = 200
_SHOWN = 200

_HINTS = {
    "bad-alias": "Put the anchor before the alias, or write the value out.",
    "bad-default": "Give a default that the field would take in a request.",
    "bad-expression": "For example step_0_result.confidence > 0.8 && !review.approved.",
    "bad-input": "Give a value that the field takes.",
    "bad-key": "Write one word before the colon.",
    "bad-path": "Write a path inside the worktree, for example packages/app.",
    "bad-pattern": "Write a regular expression as ECMA-262 and JSON Schema read it.",
    "bad-step-id": "Choose another id: a letter, then letters, digits, - and _, at most 64.",
    "bad-value": "Correct the value, or remove the key.",
    "duplicate-value": "Remove one of them.",
    "empty-steps": "Add at least one step, or remove the key.",
    "empty-workflow": "Add at least one step.",
    "impossible-bounds": "Lower the one, or raise the other.",
    "missing-key": "Add it, with a value.",
    "missing-oracle": 'For example verify: {type: command, run: "python -m pytest"}.',
    "missing-sources": 'sources: ["${first}", "${second}"]',
    "out-of-range": "Write a number within these bounds.",
    "required-default": "Remove one of them.",
    "too-deep": "Write it flatter.",
    "type-mismatch": "Compare numbers with numbers, texts with texts.",
    "unknown-field": "Name a field that it has.",
    "unknown-role": "Add the role under structure.roles.",
    "unsupported": "Remove the key.",
    "wrong-type": "Write a value of this kind.",
    "yaml-syntax": "Check the indentation, the quotes and the brackets around this place.",
}
"""What to do about a kind of mistake, where the place that finds it does not know better."""


class Report:
    """The diagnostics of one file."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._lines = text.split("\n")
        self._found: dict[tuple[int, int, str, str], PatternDiagnostic] = {}
        self.checks: list[tuple[str | list[str], int, int]] = []
        """The commands that are evidence, with their places."""

    def error(self, code: str, line: int, column: int, message: str, hint: str = "") -> None:
        """Something that makes the pattern unusable. Lines and columns count from 1, 0 is the whole file."""
        self._add("error", code, line, column, message, hint)

    def warning(self, code: str, line: int, column: int, message: str, hint: str = "") -> None:
        """Something that works and is probably not meant."""
        self._add("warning", code, line, column, message, hint)

    def _add(self, severity: str, code: str, line: int, column: int, message: str, hint: str) -> None:
        if len(self._found) >= _MOST:
            return
        shown = self._lines[line - 1].rstrip("\r")[:_SHOWN] if 0 < line <= len(self._lines) else ""
        self._found.setdefault(
            (line, column, code, message),
            PatternDiagnostic(
                file=self._file,
                line=line,
                column=column,
                code=code,
                severity="error" if severity == "error" else "warning",
                message=message,
                hint=hint or _HINTS.get(code, ""),
                source_line=shown,
            ),
        )

    @property
    def failed(self) -> bool:
        """Whether there is any error."""
        return any(found.severity == "error" for found in self._found.values())

    def sorted(self) -> list[PatternDiagnostic]:
        """Everything found, in the order of the file."""
        return [self._found[key] for key in sorted(self._found)]
