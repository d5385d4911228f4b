"""Lists in columns that stay useful in a narrow terminal: an id is never cut, because people copy it.

Where the room is short, texts that may shrink are cut first, then the columns that matter least are left out. A pipe
gets everything, whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

_GAP = 2


@dataclass(frozen=True)
class Column:
    """One column of a list."""

    title: str
    least: int = 0
    """A text that may be cut to so many characters. 0: it is never cut."""
    leave_out: int = 0
    """Whether it may be left out where the room is short: 1 goes first, then 2, and so on. 0: it always stays."""


def print_list(
    out: Console, columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], *, whole: bool = False
) -> None:
    """Writes the rows under their titles, as much of them as the terminal has room for; with `whole`, all of them."""
    texts = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    needed = [max([len(column.title), *(row[index].cell_len for row in texts)]) for index, column in enumerate(columns)]
    fits = out.is_terminal and not whole
    shown = _chosen(columns, needed, out.width) if fits else list(range(len(columns)))
    widths = _fitted(columns, needed, shown, out.width) if fits else needed
    titles = [Text(column.title, style="dim") for column in columns]
    for row in [titles, *texts]:
        out.print(_line([(row[index], widths[index]) for index in shown]), soft_wrap=True)


def _line(cells: Sequence[tuple[Text, int]]) -> Text:
    """One row, without blanks at its end."""
    line = Text()
    for cell, width in cells:
        fitting = cell.copy()
        fitting.truncate(width, overflow="ellipsis", pad=True)
        line.append_text(fitting).append(" " * _GAP)
    line.rstrip()
    return line


def _chosen(columns: Sequence[Column], needed: Sequence[int], room: int) -> list[int]:
    """The columns that there is room for when every text that may shrink has done so."""
    shown = list(range(len(columns)))

    def least() -> int:
        return sum(min(needed[index], columns[index].least or needed[index]) + _GAP for index in shown) - _GAP

    for index in sorted(shown, key=lambda index: columns[index].leave_out):
        if columns[index].leave_out and least() > room:
            shown.remove(index)
    return shown


def _fitted(columns: Sequence[Column], needed: Sequence[int], shown: Sequence[int], room: int) -> list[int]:
    """The widths of the columns that are shown, the widest of those that may shrink cut until all fit."""
    widths = list(needed)
    while sum(widths[index] + _GAP for index in shown) - _GAP > room:
        able = [index for index in shown if columns[index].least and widths[index] > columns[index].least]
        if not able:
            break
        widths[max(able, key=lambda index: widths[index])] -= 1
    return widths
