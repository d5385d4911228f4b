"""What a person sees, on a terminal and in a pipe."""

from __future__ import annotations

import io

from rich.console import Console

from parallax.cli.card import confidence_words, print_card
from parallax.cli.progress import Progress
from parallax.cli.render import LiveView, console, progress_table
from parallax.client_events import Event
from tests.parallax.lives import BEGIN, cancelled_life, completed_life, failed_life, rejected_life


def card(events: list[Event], commands: list[str] | None = None) -> str:
    """The final card of a life, as plain text."""
    progress = Progress()
    for event in events:
        progress.apply(event)
    stream = io.StringIO()
    print_card(Console(file=stream, width=110, highlight=False), progress, events[-1], commands or [])
    return stream.getvalue()


def test_the_card_has_result_branch_confidence_and_where_it_came_from() -> None:
    """Everything that a person decides by is on one card."""
    text = card(completed_life(), ["parallax replay tidy-1"])
    for part in ("tidy now", "1.00, earned by verification", "parallax/tidy-1/result", "fedcba9876", "a.py, b.py"):
        assert part in text
    assert "parallax replay tidy-1" in text


def test_bad_endings_say_why_on_the_card() -> None:
    """Failed, cancelled, rejected: the reason stands there, with the hint where there is one."""
    assert "linter gave up [task_failed]" in card(failed_life())
    assert "no longer wanted (by ada)" in card(cancelled_life())
    assert "There is no pattern demo-tydi.  Did you mean demo-tidy?" in card(rejected_life())


def test_a_pipe_gets_plain_lines_without_escapes() -> None:
    """Piped output has one line for each thing that happens, and no control characters."""
    stream = io.StringIO()
    with LiveView(console(stream)) as view:
        for event in completed_life():
            view.show(event)
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert any("linter" in line and "confidence 0.90" in line for line in lines)
    assert lines[0].split()[0].endswith("s"), "each line begins with its time"


def test_a_terminal_gets_one_table_that_is_redrawn() -> None:
    """On a terminal the view is drawn in place, and stays at the end."""
    stream = io.StringIO()
    out = Console(file=stream, force_terminal=True, width=100, highlight=False)
    with LiveView(out) as view:
        for event in completed_life():
            view.show(event)
    assert "\x1b[" in stream.getvalue()
    assert "linter is done" in stream.getvalue()


def test_markup_in_an_agents_words_is_shown_and_not_obeyed() -> None:
    """Square brackets from outside are text."""
    events = completed_life()
    events[-1].data["result"] = "[bold]hi[/nonsense]"
    assert "[bold]hi[/nonsense]" in card(events)


def test_the_table_is_empty_headed_before_anything_happened() -> None:
    """Before the first event it says what it waits for."""
    stream = io.StringIO()
    Console(file=stream, width=80).print(progress_table(Progress(), BEGIN))
    assert "waiting for an engine" in stream.getvalue()


def test_no_confidence_is_said_so() -> None:
    """Nothing given is not zero, and a self-report is called what it is."""
    assert confidence_words(None, "") == "none given"
    assert "uncalibrated" in confidence_words(0.7, "self_report")
