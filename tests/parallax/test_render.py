"""What a person sees, on a terminal and in a pipe."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from parallax.cli.card import confidence_words, print_card, result_lines
from parallax.cli.progress import Progress, visible
from parallax.cli.render import LiveView, console, print_commands, progress_table, put
from parallax.cli.stack import gateway_words
from parallax.client_events import Event
from tests.parallax.lives import BEGIN, cancelled_life, completed_life, failed_life, rejected_life

_SHOWN = ["n: 1.5", "ok: yes", "text:", "  a", "  b", "none: none", "in:", "  x: none"]


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


def test_a_confidence_stands_with_what_it_rests_on() -> None:
    """For each piece of work: the oracle, its exit code and tests, the verdict, and the agent's own word."""
    text = card(completed_life())
    assert re.search(r"linter\s+\S+ .*its own word 0\.90", text)
    assert re.search(r"moderniser\s+none\s+no evidence, and no word of its own", text)


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("two\nlines", ["two", "lines"]),
        (None, ["none"]),
        ({"n": 1.5, "ok": True, "text": "a\nb", "none": [], "in": {"x": None}}, _SHOWN),
        ([1, {"a": 2}], ["- 1", "-", "  a: 2"]),
        (
            {"result": [{"summary": "mended"}, {"verdict": "approve"}], "sources": [{"role": "a"}, {"role": "b"}]},
            ["a: mended", "b: approve"],
        ),
        ({"result": {"summary": "mended"}, "role": "a", "task_id": "t", "session": "a-1"}, ["summary: mended"]),
        ("\x1b[2Jgone", ["�[2Jgone"]),
    ],
    ids=["text", "none", "object", "list", "aggregate", "task", "escapes"],
)
def test_a_result_is_lines_for_people(value: object, lines: list[str]) -> None:
    """No JSON, no control characters, nothing cut in the middle."""
    assert result_lines(value) == lines


def test_a_long_result_says_how_much_more_there_is() -> None:
    """The card stays a card."""
    lines = result_lines([str(n) for n in range(100)])
    assert len(lines) < 20
    assert "lines more" in lines[-1]


def test_a_pipe_gets_no_blanks_at_the_ends_of_lines() -> None:
    """Neither the card nor a table is filled up to a width that nobody has."""
    stream = io.StringIO()
    out = console(stream)
    progress = Progress()
    for event in completed_life():
        progress.apply(event)
    put(out, progress_table(progress, BEGIN, expand=out.is_terminal))
    print_card(out, progress, completed_life()[-1], ["parallax replay tidy-1"])
    assert [line for line in stream.getvalue().splitlines() if line != line.rstrip()] == []
    assert max(map(len, stream.getvalue().splitlines())) < 200


def test_commands_are_never_broken_by_a_narrow_terminal() -> None:
    """What is to be copied stays on one line of the output."""
    stream = io.StringIO()
    command = f"parallax workspaces diff tidy-1 --data /{'long/' * 30}"
    print_commands(Console(file=stream, width=40, force_terminal=True), [command])
    assert command in stream.getvalue()


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


def test_the_card_of_a_rejected_request_names_what_was_asked_for() -> None:
    """No engine is waited for, nothing stands in empty brackets, and one event is one event."""
    progress = Progress()
    events = rejected_life()
    for event in events:
        progress.apply(event)
    out = Console(file=io.StringIO(), width=100)
    put(out, progress_table(progress, BEGIN, expand=False))
    print_card(out, progress, events[-1])
    assert isinstance(out.file, io.StringIO)
    said = out.file.getvalue()
    assert "demo-tydi" in said
    assert f"{progress.execution_id}  (demo-tydi)" in said
    assert said.rstrip().endswith("0 tasks, 1 event")
    for wrong in ("waiting for an engine", "()", "1 events"):
        assert wrong not in said


@pytest.mark.parametrize(
    ("url", "listens", "words"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://box:8080/", "0.0.0.0:8080", "http://box:8080/"),
        ("https://agents.example", "127.0.0.1:8080", "https://agents.example (listens on 127.0.0.1:8080)"),
        ("http://agents.example", "127.0.0.1:8080", "http://agents.example (listens on 127.0.0.1:8080)"),
    ],
)
def test_the_ready_line_says_where_the_gateway_listens(url: str, listens: str, words: str) -> None:
    """Where that is not where clients reach it: behind a proxy."""
    assert gateway_words({"PARALLAX_API_URL": url, "PARALLAX_API_LISTEN": listens}) == words


def test_what_an_agent_says_does_not_turn_its_line_around() -> None:
    """Neither control characters nor those that override the direction of a text reach the terminal."""
    assert visible("a\x1b[31mb\u202ec\u2066d\nה") == "a�[31mb�c�d\nה"
