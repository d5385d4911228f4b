"""The conformance cases of the language, and our own beside them."""

from __future__ import annotations

import pytest

from compiler.prism import PrismError
from compiler.prism.conformance import Case, check_case, equal, outcome_of, read_case
from tests.compiler.prism.corpus import cases

FILES = ("conformance.jsonl", "own.jsonl", "from_text.jsonl")


def failure_of(case: Case) -> PrismError | None:
    """The error a case ends with, if it does."""
    try:
        outcome_of(case)
    except PrismError as failure:
        return failure
    return None


@pytest.mark.parametrize("case", cases("conformance.jsonl"), ids=lambda case: case.id)
def test_conformance(case: Case) -> None:
    """A conformance case has the value, the confidence or the failure that is expected of it."""
    assert check_case(case) == ""


@pytest.mark.parametrize("case", cases("own.jsonl"), ids=lambda case: case.id)
def test_own_cases(case: Case) -> None:
    """Each sentence of the language's text holds in a small program."""
    assert check_case(case) == ""


@pytest.mark.parametrize("case", cases("from_text.jsonl"), ids=lambda case: case.id)
def test_cases_written_from_the_text_alone(case: Case) -> None:
    """What the language's text says holds, as somebody reads it who does not know how it was built."""
    assert check_case(case) == ""


def test_every_error_says_where_and_what_to_do() -> None:
    """Each error of the cases has a place, its line and a hint."""
    count = 0
    for name in FILES:
        for case in cases(name):
            failure = failure_of(case)
            if failure is not None:
                count += 1
                assert failure.line, (case.id, failure)
                assert failure.column, (case.id, failure)
                assert failure.hint, (case.id, failure)
    assert count > 1200


def test_there_are_cases() -> None:
    """The files of cases are not empty, and no id stands twice in one of them."""
    for name, least in zip(FILES, (570, 400, 2000), strict=True):
        ids = [case.id for case in cases(name)]
        assert len(ids) >= least
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (0, False, False),
        (None, False, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ({"$num": "-0"}, 0, True),
        ({"$num": "NaN"}, 0, False),
        ({"$v": 1, "$c": 0.5}, {"$v": 1, "$c": 0.5}, True),
        ([1, [2]], [1, [2.0]], True),
        ([1], [1, 2], False),
        ("1", 1, False),
    ],
)
def test_values_are_compared_as_the_language_does(wanted: object, found: object, *, same: bool) -> None:
    """Numbers compare as doubles, booleans are no numbers, and the order of keys counts."""
    assert equal(wanted, found) is same


@pytest.mark.parametrize(
    "data", [[], {}, {"source": "1"}, {"expect": {"value": 1}}, {"expect": {"value": 1}, "files": {}, "entry": "a"}]
)
def test_a_case_that_is_none_is_refused(data: object) -> None:
    """A line that is no case is refused with what is missing."""
    with pytest.raises(ValueError, match=r"case|entry|files"):
        read_case(data)


def test_a_failing_case_says_what_it_got() -> None:
    """What is wrong with a case names both outcomes."""
    assert "got" in check_case(read_case({"id": "x", "source": "1 + 1", "expect": {"value": 3, "confidence": None}}))
    assert "got" in check_case(read_case({"id": "x", "source": "1 + 1", "expect": {"error": "no"}}))
    assert "got" in check_case(read_case({"id": "x", "source": "nope", "expect": {"value": 3}}))
