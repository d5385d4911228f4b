"""`parallax patterns show` says who does what, and what depends on what."""

from __future__ import annotations

from pathlib import Path

from parallax.cli.outline import outline
from shared.patterns import PatternLibrary

SHIPPED = Path(__file__).parents[2] / "patterns"


def test_steps_are_indented_under_what_holds_them() -> None:
    """A parallel step's steps and a condition's branches stand under it, each with its type and its role."""
    pattern = PatternLibrary(SHIPPED).get("pair-programming")
    assert pattern is not None
    assert outline(pattern) == [
        "outline: assign by navigator",
        "code: assign by driver",
        "reading: review by navigator",
        "ending: condition reading.approved",
        "  then",
        "    agreed: aggregate",
        "  else",
        "    person: approve by human",
    ]
    tidy = PatternLibrary(SHIPPED).get("demo-tidy")
    assert tidy is not None
    assert outline(tidy)[:3] == ["fixes: parallel", "  lint: assign by lint_fixer", "  modernize: assign by modernizer"]


def test_other_formats_have_their_names_only() -> None:
    """The flow of a program and of a team of equals is computed."""
    for name in ("best-of-n", "consensus"):
        pattern = PatternLibrary(SHIPPED).get(name)
        assert pattern is not None
        assert outline(pattern) == pattern.steps
