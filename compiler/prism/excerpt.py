"""A line of a program with a mark under the place that is meant."""

from __future__ import annotations

from unicodedata import combining, east_asian_width


def marked(line: str, column: int, inset: str = "    ") -> list[str]:
    """The line and the line with the mark, set in; nothing for a blank line.

    `column` counts characters from 1. Tabs stay tabs and wide characters count twice, so that the mark stands under its
    place on a terminal. A line that was cut off before the place has no mark.
    """
    if not line.strip():
        return []
    if column > len(line) + 1:
        return [inset + line]
    return [inset + line, inset + "".join(map(_blank, line[: max(0, column - 1)])) + "^"]


def _blank(char: str) -> str:
    """Blanks as wide as a character."""
    if char == "\t":
        return char
    return "" if combining(char) else "  " if east_asian_width(char) in "WF" else " "
