"""Lists in columns, at the widths that terminals have."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from parallax.cli.columns import Column, print_list
from parallax.cli.render import console

COLUMNS = (
    Column("ID"),
    Column("STATUS"),
    Column("REQUESTED", leave_out=1),
    Column("CONFIDENCE", leave_out=2),
    Column("RESULT", least=16, leave_out=3),
)
ROWS = [
    ["xa4khw7kqn9z166rd5f0dr4xxm", "completed", "2026-11-25 21:36:30", "0.90", "the words of a result that is long"],
    ["short", "failed", "2026-11-25 21:36:31", "", "步骤 was not approved"],
]


def lines(width: int) -> list[str]:
    """What a terminal of that width shows."""
    out = io.StringIO()
    print_list(Console(file=out, width=width, force_terminal=True, color_system=None), COLUMNS, ROWS)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40, 20])
def test_ids_and_statuses_are_whole_at_any_width(width: int) -> None:
    """Whatever the room, a row is one line that has the whole id and the whole status."""
    title, first, second = lines(width)
    assert title.split()[:2] == ["ID", "STATUS"]
    assert first.split()[:2] == [ROWS[0][0], "completed"]
    assert second.split()[:2] == ["short", "failed"]


def test_what_matters_least_is_left_out_first() -> None:
    """A result is cut before the time goes, the time goes before the confidence, and the result goes last."""
    assert lines(120)[0].split() == ["ID", "STATUS", "REQUESTED", "CONFIDENCE", "RESULT"]
    assert lines(92)[0].split() == ["ID", "STATUS", "REQUESTED", "CONFIDENCE", "RESULT"]
    assert lines(92)[1].endswith("…")
    assert lines(80)[0].split() == ["ID", "STATUS", "CONFIDENCE", "RESULT"]
    assert lines(60)[0].split() == ["ID", "STATUS", "RESULT"]
    assert lines(50)[0].split() == ["ID", "STATUS"]


@pytest.mark.parametrize("width", [120, 80, 60, 50])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Down to the width of what is never cut."""
    assert all(len(line) <= width for line in lines(width))


def test_a_pipe_gets_everything() -> None:
    """Nothing is cut or left out, and no line ends in blanks."""
    out = io.StringIO()
    print_list(console(out), COLUMNS, ROWS)
    shown = out.getvalue().splitlines()
    assert all(cell in line for line, row in zip(shown[1:], ROWS, strict=True) for cell in row)
    assert [line.rstrip() for line in shown] == shown
