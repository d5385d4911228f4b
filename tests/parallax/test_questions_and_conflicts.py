"""What people see of questions, of what agents say on the way, and of work that could not be merged."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import timedelta

import pytest
from rich.console import Console

from parallax.cli.card import outcome_words, print_card, result_lines
from parallax.cli.executions import further
from parallax.cli.progress import Progress, Row, age, duration
from parallax.cli.prose import sentence
from parallax.cli.render import plain_line, progress_table
from parallax.client_events import Event
from schemas.agents import AgentSpec
from schemas.base import Failure
from schemas.events import (
    Event as Fact,
)
from schemas.events import (
    ExecutionCompleted,
    ExecutionFailed,
    QuestionAnswered,
    QuestionAsked,
    TaskCompleted,
    TaskRequested,
    TaskStarted,
    WorkspaceConflicted,
)
from tests.parallax.lives import BEGIN, ID, as_events, opening

REPORT = "\n".join(f"src/module_{number}.py:1:1: E501 line too long (110 > 88)" for number in range(900))


def folded(facts: Sequence[Fact]) -> tuple[Progress, list[str], list[Event]]:
    """The fold of a life that begins with these facts, its lines, and its events."""
    progress = Progress()
    events = as_events([*opening(), *facts])
    lines = [plain_line(line).plain for event in events for line in progress.apply(event)]
    return progress, lines, events


def shown(progress: Progress, width: int) -> list[str]:
    """The table of an execution on a terminal of a width."""
    out = Console(file=io.StringIO(), width=width, highlight=False, force_terminal=True, color_system=None)
    out.print(progress_table(progress, BEGIN + timedelta(seconds=5), width=width))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


def question(text: str, **more: object) -> QuestionAsked:
    """A question of the execution."""
    return QuestionAsked(execution_id=ID, question_id="q-1", question=text, **more)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_a_multi_line_question_leaves_names_and_times_alone(width: int) -> None:
    """The row is one line with mark, name and time; the question stands below, as long as a person reads."""
    progress, lines, _ = folded([question(REPORT, role="reviewer")])
    table = shown(progress, width)
    row = next(line for line in table if "?" in line)
    assert all(part in row for part in ("reviewer", " s"))
    assert len(table) < 80
    assert all(len(line) <= width for line in table)
    assert [line for line in lines if "\n" in line] == []


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_the_marks_stay_in_a_narrow_terminal(width: int) -> None:
    """A name of any length does not push the state of a step off the screen."""
    progress = Progress(began=BEGIN)
    long = "a_role_with_a_very_long_name_indeed"
    progress.rows = {
        "t": Row("t", long, "step", state="done", began=BEGIN, ended=BEGIN, confidence=0.4, note=REPORT),
        "u": Row("u", "b", "step\nof two lines", state="failed", began=BEGIN, ended=BEGIN),
    }
    head, first, second = shown(progress, width)
    assert head
    assert "✔" in first
    assert "0.40" in first
    assert "✘" in second


def test_an_open_question_is_shown_with_what_to_type() -> None:
    """For an approval, for options as the shell wants them quoted, and for a free answer."""
    typed = {
        "parallax approve q-1": question("Ship it?", kind="approval"),
        "parallax answer q-1 'two words'": question("Which?", options=["one", "two words"]),
        "parallax answer q-1 VALUE": question("What?"),
    }
    for command, asked in typed.items():
        progress, lines, _ = folded([asked])
        assert any(command in line for line in shown(progress, 100))
        assert command.rpartition(" ")[0] in lines[-1]


def test_the_card_says_who_approved_and_why() -> None:
    """A question stands on the card with its answer, and with that of nobody."""
    answered = QuestionAnswered(execution_id=ID, question_id="q-1", value="deny", by="ada", reason="too late")
    end = ExecutionCompleted(execution_id=ID, result={"approved": False, "verdict": "reject", "critique": "too late"})
    asked = question("Ship it?", kind="approval")
    for facts, said in (([asked, answered, end], "denied by ada: too late"), ([asked, end], "not answered")):
        progress, _, events = folded(facts)
        out = io.StringIO()
        print_card(Console(file=out, width=100), progress, events[-1])
        assert "Ship it?" in out.getvalue()
        assert said in out.getvalue()
        assert "reject: too late" in out.getvalue()


def test_what_an_agent_says_is_seen_while_it_works_and_gone_after() -> None:
    """The last word of a running task; words of tasks that do not run are nobody's."""
    started = [
        TaskRequested(execution_id=ID, task_id="t", effect="1", digest="d", role="writer", text="Write.",
                      agent=AgentSpec(), step="draft"),
        TaskStarted(execution_id=ID, task_id="t", attempt=1, effect="1", role="writer", session="writer-1",
                    agent_id="a", step="draft"),
    ]  # fmt: skip
    progress, _, _ = folded(list(started))
    said = progress.heard("t", "half\nway\x1b[2J", BEGIN + timedelta(seconds=2))
    assert [plain_line(line).plain for line in said] == ["   2.00s  ● writer       half"]
    assert progress.heard("t", "half", BEGIN) == []
    assert progress.heard("unknown", "half", BEGIN) == []
    assert any("half" in line for line in shown(progress, 80))


def test_what_was_left_out_of_a_result_is_on_the_card_and_in_the_table() -> None:
    """And in the sentence of the event: the live view alone is seen by nobody afterwards."""
    note = "said a confidence of 7, which is not between 0 and 1; it was left out"
    spec = AgentSpec(capabilities=["work"])
    facts: list[Fact] = [
        TaskRequested(execution_id=ID, task_id="t", effect="1", digest="d", role="worker", text="t", agent=spec),
        TaskStarted(
            execution_id=ID, task_id="t", effect="1", role="worker", attempt=1, session="worker-1", agent_id="a"
        ),
        TaskCompleted(
            execution_id=ID, task_id="t", effect="1", role="worker", session="worker-1", agent_id="a", attempt=1,
            result="done", note=note,
        ),
        ExecutionCompleted(execution_id=ID, result="done"),
    ]  # fmt: skip
    progress, lines, events = folded(facts)
    assert any(note in line for line in lines)
    assert progress.rows["t"].note == f"done; {note}"
    out = Console(file=io.StringIO(), width=200)
    print_card(out, progress, events[-1])
    assert isinstance(out.file, io.StringIO)
    assert note in out.file.getvalue()
    assert note in sentence(events[-2])


def test_a_conflict_leads_to_the_work_that_was_left_out() -> None:
    """Whose work, in which files, and the command that shows it; not an empty difference of the result."""
    conflict = WorkspaceConflicted(execution_id=ID, effect="1", paths=["f", "g"], role="b", session="b-1")
    failure = Failure(code="workspace_conflict", message="It cannot be merged.")
    end = ExecutionFailed(execution_id=ID, error=failure, branch=f"parallax/{ID}/result", commit="c" * 40)
    progress, lines, events = folded([conflict, end])
    assert "the work of b-1 conflicts in f, g" in lines[-2]
    commands = further(progress, events[-1])
    assert any(command.endswith(f"workspaces diff {ID} --session b-1") for command in commands)
    assert not any(command.endswith(f"workspaces diff {ID}") for command in commands)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"),
                           (360000, "4 d 4 h"), (-3, "0.0 s")]
)  # fmt: skip
def test_a_duration_is_two_units_at_most(seconds: float, words: str) -> None:
    """As people say it."""
    assert duration(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.5, "now"), (59, "59s"), (61, "1m"), (7300, "2h"), (200000, "2d")])
def test_an_age_is_one_unit(seconds: float, words: str) -> None:
    """As kubectl and docker say it."""
    assert age(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""), ("two\nlines", "two\nlines"), (3, "3"), (True, "yes"), ([1, 2], "2 items"),
        ({"a": {"b": [1]}, "c": 2}, "a: {…}, c: 2"), ({"summary": " mended "}, "mended"),
        ({"approved": False, "verdict": "reject", "critique": "no"}, "reject: no"),
        ({"result": [{"summary": "x"}], "sources": [{"role": "r"}]}, "r: x"),
    ],
)  # fmt: skip
def test_a_result_in_a_list_is_a_few_words_and_no_dump(value: object, words: str) -> None:
    """Its own summary, its verdict, or what it is made of."""
    assert outcome_words(value) == words


def test_a_result_of_one_endless_line_is_cut_with_a_word() -> None:
    """The card shows its beginning and says how much more there is, and where."""
    (line,) = result_lines("x" * 3_000_000)
    assert len(line) < 1_100
    assert "2,999,000 characters more; `show ID --json` has them all" in line


def test_what_an_execution_asked_that_is_over_is_withdrawn_on_the_card() -> None:
    """Nobody waits for the answer any more."""
    progress, _, events = folded(
        [question("Ship it?"), ExecutionFailed(execution_id=ID, error=Failure(code="c", message="m"))]
    )
    out = Console(file=io.StringIO(), width=100)
    print_card(out, progress, events[-1])
    assert isinstance(out.file, io.StringIO)
    assert "→ not answered; withdrawn: the execution is over" in out.file.getvalue()
