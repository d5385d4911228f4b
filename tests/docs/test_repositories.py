"""The page about repositories: every row names a test, and every test that it names is there."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

PAGE = ROOT / "docs/reference/repositories.md"
_TEST = re.compile(r"`(tests/[\w/.]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    """The rows of the tables, without their heads."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("|") and not line.startswith(("|---", "| what |"))]


def test_every_row_has_its_test() -> None:
    """A promise about repositories that nothing holds does not stand on the page."""
    assert len(rows()) > 30
    assert [row for row in rows() if not _TEST.search(row)] == []


def test_the_tests_of_the_rows_are_there() -> None:
    """A test that was renamed or removed takes its row along."""
    missing = [
        f"{file}::{name}"
        for row in rows()
        for file, name in _TEST.findall(row)
        if not (ROOT / file).is_file()
        or not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []
