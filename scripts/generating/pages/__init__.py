"""The pages of docs/reference/, one module for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTE = "<!-- Made by scripts/generate; edit the source instead. -->"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; `|` and line ends in cells are made harmless."""
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' for _ in heads)}|"]
    for row in rows:
        cells = [" ".join(cell.split()).replace("|", "\\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page(lines: Iterable[str]) -> str:
    """A page out of its lines, with the note that it is generated."""
    return "\n".join([NOTE, "", *lines]).rstrip() + "\n"
