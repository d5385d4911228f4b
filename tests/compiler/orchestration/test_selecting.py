"""Which session a `select` step gets."""

from __future__ import annotations

import pytest

from compiler.orchestration.selecting import Done, preferred
from tests.compiler.drive import pattern, run, scripted

NAMES = ["dev-1", "dev-2", "dev-3"]
HISTORY = [
    Done(session="dev-1", text="the parser", confidence=0.4),
    Done(session="dev-2", text="the parser", confidence=0.9),
    Done(session="dev-1", text="the docs", confidence=0.6),
    Done(session="dev-3", text="the docs"),
]


@pytest.mark.parametrize(
    ("criteria", "busy", "topic", "session"),
    [
        ("round_robin", ["dev-1"], "", ""),
        ("availability", [], "", ""),
        ("availability", ["dev-1"], "", "dev-2"),
        ("availability", NAMES, "", ""),
        ("expertise", [], "", "dev-1"),
        ("expertise", [], "Parser", "dev-1"),
        ("expertise", [], "network", ""),
        ("best", [], "", "dev-2"),
    ],
)
def test_the_preferred_session(criteria: str, busy: list[str], topic: str, session: str) -> None:
    """Empty where the criteria prefer none: then the sessions take turns."""
    assert preferred(criteria, NAMES, HISTORY, busy, topic) == session


def test_nobody_is_preferred_before_anything_was_done() -> None:
    """A first selection is by turns, whatever the criteria."""
    assert {preferred(criteria, NAMES, [], [], "") for criteria in ("availability", "expertise", "best")} == {""}


def test_the_best_session_so_far_is_asked_for() -> None:
    """A program's own record of what its sessions were sure of decides."""
    program = """
    agents { dev: Agent { id: "dev", capabilities: ["x"], maxInstances: 3 } }
    assign(dev, "one", {session: "dev-1"})
    assign(dev, "two", {session: "dev-2"})
    select(dev, {criteria: "best"})
    """
    life = run(pattern(program), scripted(dev=[("a", 0.5), ("b", 0.8)]))
    assert [request.session for _, request in life.asked if type(request).__name__ == "Select"] == ["dev-2"]
