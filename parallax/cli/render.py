"""An execution on a terminal: a live table while it runs; plain lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import IO, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from parallax.cli.progress import Line, Progress, Row, State, gist, shorten, visible
from parallax.client_events import Event
from shared.clock import SYSTEM_CLOCK

_MARKS: dict[State, tuple[str, str]] = {
    "waiting": ("○", "dim"),
    "running": ("●", "cyan"),
    "done": ("✔", "green"),
    "failed": ("✘", "red"),
    "stopped": ("■", "yellow"),
    "asking": ("?", "magenta"),
}
_NARROW, _NARROW_NAME = 100, 18
"""Below so many columns a step's name has only so many."""

_LINES_BELOW = 60
"""In a terminal with fewer columns a step is one line of text, without columns."""

_MOST_QUESTION_LINES = 12

STATUS_STYLES = {
    "completed": "green",
    "failed": "red",
    "not approved": "red",
    "verification failed": "red",
    "completed, not approved": "red",
    "completed, verification failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "waiting": "magenta",
}


def console(file: IO[str] | None = None) -> Console:
    """A console for people. Text is shown as it is; without a terminal there are no colours and nothing is wrapped."""
    stream = file or sys.stdout
    wide = None if stream.isatty() else 10_000
    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=not stream.isatty(), width=wide)


class LiveView:
    """Shows one execution as it happens. Give it every event; it never invents anything that is not one."""

    def __init__(self, out: Console, title: str = "") -> None:
        self._out = out
        self._title = title
        self._live: Live | None = None
        self.progress = Progress()

    def __enter__(self) -> Self:
        if self._out.is_terminal:
            self._live = Live(self, console=self._out, refresh_per_second=12, transient=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.update(self, refresh=True)
            self._live.stop()
            self._live = None

    def __rich__(self) -> RenderableType:
        return progress_table(self.progress, SYSTEM_CLOCK.now(), self._title, width=self._out.width)

    def show(self, event: Event) -> None:
        """Takes one event."""
        for line in self.progress.apply(event):
            if self._live is None:
                self._out.print(plain_line(line))

    def hear(self, task_id: str, text: str) -> None:
        """Takes in what an agent says while it works."""
        for line in self.progress.heard(task_id, text, SYSTEM_CLOCK.now()):
            if self._live is None:
                self._out.print(plain_line(line))

    def note(self, text: str) -> None:
        """A line of the program itself, above the table."""
        self._out.print(Text(text, style="bold yellow"))


def plain_line(line: Line) -> Text:
    """One line: when, a mark, who, what."""
    mark, style = _MARKS[line.state]
    return Text.assemble(f"{line.at:7.2f}s  ", (mark, style), f" {shorten(line.who):<12} {_one_line(line.what)}")


def _one_line(text: str) -> str:
    """A text on one line: a reader of a pipe counts on one line for each thing that happens."""
    return " ".join(visible(text).split("\n"))


def progress_table(
    progress: Progress, now: datetime, title: str = "", *, expand: bool = True, width: int = 0
) -> RenderableType:
    """Who does what, for how long, with what confidence; over the whole width with `expand`.

    `width` is that of the terminal: in a narrow one what was said needs the room more than what it is called.
    """
    head = Text.assemble(
        (title or progress.pattern or _nameless(progress), "bold"),
        ("  " + progress.execution_id, "dim"),
        ("  " + progress.standing, STATUS_STYLES.get(progress.standing, "")),
        (f"  {progress.seconds(now):.1f} s", "dim"),
    )
    asked = [line for row in progress.rows.values() if row.state == "asking" for line in _question_lines(row)]
    if 0 < width < _LINES_BELOW:
        lines = [head, *(_row_line(row, now) for row in progress.rows.values())]
        return Group(*(_within(line, width) for line in lines), *asked)
    table = Table(box=None, show_header=False, padding=(0, 1), expand=expand)
    narrow = 0 < width < _NARROW
    table.add_column(width=1)
    table.add_column(no_wrap=True, style="bold", overflow="ellipsis", max_width=_NARROW_NAME if narrow else None)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=_NARROW_NAME if narrow else None)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for row in progress.rows.values():
        table.add_row(*_cells(row, now, paused=progress.status == "paused", narrow=narrow))
    return Group(head, table, *asked) if progress.rows else head


def _nameless(progress: Progress) -> str:
    """What is said in place of a pattern's name: no engine has spoken yet, or the request named none."""
    return "waiting for an engine" if progress.status == "pending" else "no pattern"


def _row_line(row: Row, now: datetime) -> Text:
    """A row for a terminal that has no room for columns: what matters most comes first."""
    mark, style = _MARKS[row.state]
    taken = row.seconds(now)
    sure = "" if row.confidence is None else f" {row.confidence:.2f}"
    time = "" if taken is None else f" {taken:.1f} s"
    note = f" {gist(row.note)}" if row.note else ""
    return Text.assemble(
        (mark, style), f" {shorten(row.who, 12)}{sure}{time} ", (f"{shorten(row.what, 20)}{note}", "dim")
    )


def _within(line: Text, width: int) -> Text:
    cut = line.copy()
    cut.truncate(width, overflow="ellipsis")
    return cut


def _question_lines(row: Row) -> list[Text]:
    """An open question in full, and what to type to answer it."""
    if row.question is None:
        return []
    lines = row.question.text.strip().splitlines()
    if len(lines) > _MOST_QUESTION_LINES:
        left = len(lines) - _MOST_QUESTION_LINES + 1
        lines = [*lines[: _MOST_QUESTION_LINES - 1], f"… {left} lines more: `parallax inbox --json`"]
    head = Text.assemble("\n", (f"{row.who} asks", "bold magenta"))
    asked = [Text(f"  {line}") for line in lines]
    return [head, *asked, *(Text(f"    parallax {command}", style="cyan") for command in row.question.commands)]


def _cells(row: Row, now: datetime, *, paused: bool, narrow: bool) -> tuple[RenderableType, ...]:
    mark, style = _MARKS[row.state]
    lead: RenderableType = Text(mark, style=style)
    if row.state == "running" and not paused:
        lead = Spinner("dots", style=style)
    taken = row.seconds(now)
    what = row.what + (f" · attempt {row.attempt}" if row.attempt > 1 else "")
    return (
        lead,
        Text(shorten(row.who, 40)),
        Text(shorten(what, 80)),
        Text(gist(row.note) if "\n" in row.note else visible(row.note)),
        "" if row.confidence is None else confidence_text(row.confidence, bar=not narrow),
        "" if taken is None else Text(f"{taken:.1f} s", style="dim"),
    )


def confidence_style(score: float) -> str:
    """The colour of a confidence."""
    return "green" if score >= 0.8 else "yellow" if score >= 0.5 else "red"


def confidence_text(score: float, *, bar: bool = True) -> Text:
    """A confidence as a number and, with `bar`, a bar of five."""
    style = confidence_style(score)
    if not bar:
        return Text(f"{score:.2f}", style)
    filled = round(score * 5)
    return Text.assemble((f"{score:.2f} ", style), ("▰" * filled, style), ("▱" * (5 - filled), "dim"))


def put(out: Console, what: RenderableType) -> None:
    """Prints something laid out in columns; where no terminal is, without the blanks that fill a line."""
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as taken:
        out.print(what)
    for line in taken.get().splitlines():
        out.print(Text(line.rstrip()))


_DIFF_STYLES = (("+++", "bold"), ("---", "bold"), ("diff ", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))


def print_diff(out: Console, text: str) -> None:
    """Writes a diff, coloured on a terminal. Lines are left whole: the terminal folds what is too long for it."""
    for line in text.rstrip("\n").split("\n"):
        style = next((style for lead, style in _DIFF_STYLES if line.startswith(lead)), "")
        out.print(Text(visible(line), style=style), soft_wrap=True)


def print_commands(out: Console, commands: Iterable[str]) -> None:
    """Writes commands, a line each and whole, so that they can be copied from a narrow terminal too."""
    for command in commands:
        out.print(Text(f"  {command}", style="cyan"), soft_wrap=True)
