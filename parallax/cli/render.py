"""An execution on a terminal: a live table while it runs, a card at its end; plain lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import IO, Any, Self

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from parallax.cli.progress import Line, Progress, Row, State, shorten, summary
from parallax.client_events import Data, Event, failure_of
from shared.clock import SYSTEM_CLOCK

_MARKS: dict[State, tuple[str, str]] = {
    "waiting": ("○", "dim"),
    "running": ("●", "cyan"),
    "done": ("✔", "green"),
    "failed": ("✘", "red"),
    "stopped": ("■", "yellow"),
    "asking": ("?", "magenta"),
}
STATUS_STYLES = {
    "completed": "green",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "waiting": "magenta",
}
_SOURCES = {
    "self_report": "reported by the agents themselves, uncalibrated",
    "verification": "earned by verification",
    "review": "given by a reviewer",
    "aggregate": "aggregated over the team",
    "program": "computed by the pattern",
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
        return progress_table(self.progress, SYSTEM_CLOCK.now(), self._title)

    def show(self, event: Event) -> None:
        """Takes one event."""
        for line in self.progress.apply(event):
            if self._live is None:
                self._out.print(plain_line(line))

    def note(self, text: str) -> None:
        """A line of the program itself, above the table."""
        self._out.print(Text(text, style="bold yellow"))


def plain_line(line: Line) -> Text:
    """One line: when, a mark, who, what."""
    mark, style = _MARKS[line.state]
    return Text.assemble(f"{line.at:7.2f}s  ", (mark, style), f" {line.who:<12} {line.what}")


def progress_table(progress: Progress, now: datetime, title: str = "") -> RenderableType:
    """Who does what, for how long, with what confidence."""
    head = Text.assemble(
        (title or progress.pattern or "waiting for an engine", "bold"),
        ("  " + progress.execution_id, "dim"),
        ("  " + progress.status, STATUS_STYLES.get(progress.status, "")),
        (f"  {progress.seconds(now):.1f} s", "dim"),
    )
    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for row in progress.rows.values():
        table.add_row(*_cells(row, now, paused=progress.status == "paused"))
    return Group(head, table) if progress.rows else head


def _cells(row: Row, now: datetime, *, paused: bool) -> tuple[RenderableType, ...]:
    mark, style = _MARKS[row.state]
    lead: RenderableType = Text(mark, style=style)
    if row.state == "running" and not paused:
        lead = Spinner("dots", style=style)
    taken = row.seconds(now)
    what = row.what + (f" · attempt {row.attempt}" if row.attempt > 1 else "")
    return (
        lead,
        Text(row.who),
        Text(what),
        Text(row.note),
        "" if row.confidence is None else confidence_text(row.confidence),
        "" if taken is None else Text(f"{taken:.1f} s", style="dim"),
    )


def confidence_text(score: float) -> Text:
    """A confidence as a number and a bar of five."""
    style = "green" if score >= 0.8 else "yellow" if score >= 0.5 else "red"
    filled = round(score * 5)
    return Text.assemble((f"{score:.2f} ", style), ("▰" * filled, style), ("▱" * (5 - filled), "dim"))


def confidence_words(confidence: float | None, source: str, *, calibrated: bool = False) -> str:
    """A confidence and where it came from, in words."""
    if confidence is None:
        return "none given"
    words = _SOURCES.get(source, source) or "of unknown origin"
    return f"{confidence:.2f}, {words}{', calibrated' if calibrated else ''}"


def print_card(out: Console, progress: Progress, ending: Event, commands: Iterable[str] = ()) -> None:
    """Writes the card of `final_card`; without a frame where there is no terminal."""
    out.print(final_card(progress, ending, commands, framed=out.is_terminal))


def final_card(
    progress: Progress, ending: Event, commands: Iterable[str] = (), *, framed: bool = True
) -> RenderableType:
    """The end of an execution: what came of it, where it is, how sure it is, and how to look further."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    for name, text in card_rows(progress, ending):
        rows.add_row(name, Text(text))
    parts: list[RenderableType] = [rows]
    further = list(commands)
    if further:
        parts += ["", *(Text("  " + command, style="cyan") for command in further)]
    style = STATUS_STYLES.get(progress.status, "")
    title = Text(progress.status, style=style)
    if not framed:
        return Group("", title, *parts)
    return Panel(Group(*parts), title=title, title_align="left", box=ROUNDED, padding=(0, 1))


def card_rows(progress: Progress, ending: Event) -> list[tuple[str, str]]:
    """What the card says, as name and text."""
    data = ending.data
    found = [("execution", f"{progress.execution_id}  ({progress.pattern})")]
    match ending.type:
        case "execution.completed":
            found.append(("result", summary(data.get("result"), 400) or "nothing"))
            words = confidence_words(
                data.get("confidence"), data.get("confidence_source", ""), calibrated=data.get("calibrated", False)
            )
            found.append(("confidence", words))
        case "execution.cancelled":
            by = f" (by {data['by']})" if data.get("by") else ""
            found.append(("reason", f"{data.get('reason') or 'none given'}{by}"))
        case "execution.rejected":
            found += [("error", _problem(problem)) for problem in data.get("errors", [])]
        case _:
            failure = failure_of(data)
            found.append(("error", f"{failure.message} [{failure.code}]"))
    found += _where(data, progress)
    tasks = sum(1 for key, row in progress.rows.items() if row.agent_id and not key.startswith(("verify", "integrate")))
    found.append(("took", f"{progress.seconds(ending.time):.2f} s, {tasks} tasks, {progress.events} events"))
    return found


def _where(data: Data, progress: Progress) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if data.get("branch"):
        found.append(("branch", f"{data['branch']}  {str(data.get('commit', ''))[:10]}".rstrip()))
    if progress.files:
        found.append(("files", shorten(", ".join(progress.files), 120)))
    if data.get("pr_url"):
        found.append(("pull request", data["pr_url"]))
    return found


def _problem(problem: dict[str, Any]) -> str:
    where = f"{problem['where']}: " if problem.get("where") else ""
    hint = f"  {problem['hint']}" if problem.get("hint") else ""
    return f"{where}{problem.get('what', '')}{hint}"


def diff_view(out: Console, text: str) -> RenderableType:
    """A diff, coloured on a terminal."""
    if not out.is_terminal:
        return Text(text)
    return Syntax(text, "diff", theme="ansi_dark", background_color="default", word_wrap=False)
