"""What is wrong with a pattern file, as text."""

from __future__ import annotations

from pathlib import Path

from compiler.prism.excerpt import marked
from schemas.patterns import PatternDiagnostic

_READABLE = "Give the path of a file that can be read and is UTF-8 text."


def unreadable(path: Path) -> PatternDiagnostic:
    """Why a file cannot be read."""
    try:
        path.read_text("utf-8")
        reason = "it cannot be read"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
    message = f"{path} cannot be read: {reason}"
    return PatternDiagnostic(
        file=str(path), line=0, column=0, code="unreadable", severity="error", message=message, hint=_READABLE
    )


def shown_diagnostic(one: PatternDiagnostic) -> str:
    """A diagnostic with its line, as a compiler writes one."""
    place = f"{one.file}:{one.line}:{one.column}" if one.line else one.file
    lines = [f"{place}: {one.severity}: {one.message} [{one.code}]"]
    lines += marked(one.source_line, one.column)
    if one.hint:
        lines.append(f"    {one.hint}")
    return "\n".join(lines)
