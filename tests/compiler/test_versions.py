"""Versions by Semantic Versioning 2.0.0, and ranges as npm reads them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from compiler.versions import is_range, matches, newest, parse_version, precedence

ORDER = [
    "0.0.1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
    "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.0.1", "1.9.0", "1.10.0", "2.0.0-0", "2.0.0",
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(pairwise(ORDER)))
def test_precedence_is_semvers(before: str, after: str) -> None:
    """Numbers as numbers, fewer identifiers first, every pre-release before its release."""
    assert precedence(before) < precedence(after)


def test_build_metadata_has_no_precedence() -> None:
    """`1.1.0+build-7` is 1.1.0, and no pre-release for its hyphen."""
    assert parse_version("1.1.0+build-7") == parse_version("1.1.0+other") == parse_version("1.1.0")
    assert newest([("1.1.0+build-7", "b"), ("1.0.9", "a")], "1.x") == "b"
    assert newest([("1.1.0+b", "b"), ("1.1.0+a", "a")], "1.1.0+a") == "a"


@pytest.mark.parametrize(
    "text",
    ["", "one", "v1.0.0", "1.0.0-", "1.0.0-rc..1", "1.0.0-01", "01.0.0", "1.2.3.4", "1.0.0+", "1.0.0-é", "1.0.0\n"],
)
def test_what_is_no_version(text: str) -> None:
    """Leading zeros and empty identifiers are none."""
    assert parse_version(text) is None


def test_older_files_write_less() -> None:
    """A missing number is 0."""
    assert parse_version("1") == parse_version("1.0") == parse_version("1.0.0")


@pytest.mark.parametrize(
    ("wanted", "yes", "no"),
    [
        ("1.x", ["1.0.0", "1.99.0"], ["0.9.0", "2.0.0", "1.5.0-rc.1", "2.0.0-rc.1"]),
        ("1", ["1.0.0", "1.2.3"], ["2.0.0", "1.0.0-rc.1"]),
        ("1.2", ["1.2.0", "1.2.9"], ["1.3.0", "1.20.0"]),
        ("1.2.x", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("1.2.3", ["1.2.3", "1.2.3+x"], ["1.2.4", "1.2.3-rc.1"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0", "2.0.0-rc.1"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.0.1", "0.9.0"], ["1.0.0"]),
        ("^1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0", "1.2.2"]),
        ("~1", ["1.9.0"], ["2.0.0"]),
        (">=1.2 <2", ["1.2.0", "1.9.9"], ["2.0.0", "1.1.0", "2.0.0-rc.1"]),
        ("> 1.2", ["1.3.0"], ["1.2.9", "1.3.0-rc.1"]),
        ("<=1.2", ["1.2.9", "0.1.0"], ["1.3.0"]),
        (">=1.0.0-rc.2", ["1.0.0-rc.10", "1.0.0", "2.0.0"], ["1.0.0-rc.1", "1.1.0-rc.5"]),
        ("1.0.0-rc.2", ["1.0.0-rc.2"], ["1.0.0", "1.0.0-rc.20"]),
        ("^1.1.0-rc.1", ["1.1.0-rc.3", "1.1.0", "1.4.0"], ["1.2.0-rc.1"]),
        ("*", ["0.1.0", "7.0.0"], ["1.0.0-rc.1"]),
        ("latest", ["0.1.0"], ["1.0.0-rc.1"]),
    ],
)
def test_a_range_takes_what_npm_takes(wanted: str, yes: list[str], no: list[str]) -> None:
    """A pre-release only where the range names one of the same release."""
    assert [one for one in [*yes, *no] if matches(one, wanted)] == yes


@pytest.mark.parametrize("text", ["one", "^", "1.x-rc", "1..2", "=>1", "1 || 2", "1.2.3.4"])
def test_what_is_no_range(text: str) -> None:
    """It is refused where a pattern is asked for."""
    assert not is_range(text)
