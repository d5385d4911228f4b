"""Events as sentences: every kind has words of its own, and no sentence spills over a line or shows what is private."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from parallax.cli.prose import KINDS, sentence
from parallax.client_events import Data, Event
from schemas.events import EVENT_TYPES

WHEN = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)


def event(kind: str, data: dict[str, object]) -> Event:
    """An event of a kind."""
    return Event(seq=1, type=kind, execution_id="e", time=WHEN, id="i", source="test", data=Data(data))


def test_every_kind_of_event_has_words_of_its_own() -> None:
    """A new kind without a sentence is found here."""
    assert set(EVENT_TYPES) - KINDS == set()


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_an_event_with_nothing_but_what_it_must_have_is_one_line(kind: str) -> None:
    """Whatever is missing or multi-line, a sentence is one line and not empty."""
    fields = msgspec.structs.fields(EVENT_TYPES[kind])
    bare = {field.name: "two\nlines" for field in fields if field.type is str and field.required}
    for data in ({}, bare):
        said = sentence(event(kind, dict(data)))
        assert said
        assert "\n" not in said


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (
            "task.completed",
            {"role": "reviewer", "step": "look", "confidence": 0.4, "result": {"verdict": "revise", "critique": "a\n"}},
            "reviewer did look, confidence 0.40: revise: a",
        ),
        ("question.asked", {"question_id": "q", "question": "May\nit?", "kind": "approval"},
         "the program asks for approval: May … it? [q]"),
        ("question.answered", {"value": "approve", "by": "ada", "reason": "fine"}, "answered: approve by ada (fine)"),
        ("workspace.conflicted", {"session": "left-1", "paths": ["a", "b"]}, "the work of left-1 conflicts in a, b"),
        ("task.retrying", {"delay_ms": 200, "error": {"code": "x", "message": "no luck"}},
         "will be tried again in 0.2 s: no luck"),
        ("verification.completed", {"role": "fixer", "passed": False, "score": 0.0,
                                    "oracles": [{"exit_code": 1, "tests_passed": 3, "tests_failed": 2}]},
         "the check of fixer did not pass (exit code 1, 3 passed, 2 failed), score 0.00"),
        ("some.future", {"execution_id": "e", "what": "x", "nothing": None}, "what=x"),
    ],
)  # fmt: skip
def test_a_sentence_says_who_did_what(kind: str, data: dict[str, object], said: str) -> None:
    """In the words that a person would use."""
    assert sentence(event(kind, data)) == said
