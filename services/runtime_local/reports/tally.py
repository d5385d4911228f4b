"""What a report counts, and the two ways in which most reports are read: by patterns and by counted words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from schemas.base import Model

Kind = Literal["passed", "failed", "skipped", "filtered", "total", ""]
"""What a number counts. `filtered`: left out by a selection that the command made. Empty: nothing that matters."""


class Tally(Model, frozen=True, kw_only=True):
    """Tests by what became of them. `broken` says why the report is not whole; then its counts prove nothing."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    filtered: int = 0
    broken: str = ""

    def plus(self, other: Tally | None) -> Tally:
        """Both together."""
        if other is None:
            return self
        return Tally(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            skipped=self.skipped + other.skipped,
            filtered=self.filtered + other.filtered,
            broken=self.broken or other.broken,
        )


class Recogniser(Protocol):
    """Knows the reports of one runner."""

    @property
    def name(self) -> str:
        """The runner, as people call it."""
        ...

    @property
    def hints(self) -> tuple[str, ...]:
        """One of these is in every line that matters. None: every line does."""
        ...

    def line(self, text: str) -> None:
        """Takes the next line of the output."""
        ...

    def tally(self) -> Tally | None:
        """All reports so far together. None: there was none."""
        ...


def made_of(counts: Mapping[Kind, int]) -> Tally:
    """Counts as a tally. Without the passed tests they are what is left of the total."""
    failed, skipped = counts.get("failed", 0), counts.get("skipped", 0)
    passed = counts.get("passed")
    if passed is None:
        passed = max(0, counts.get("total", 0) - failed - skipped)
    return Tally(passed=passed, failed=failed, skipped=skipped, filtered=counts.get("filtered", 0))


_COUNTED = re.compile(r"(\d+) ([a-z]+(?: (?:out|failed)\b)?)")


def counted_words(text: str, words: Mapping[str, Kind]) -> dict[Kind, int]:
    """The numbers before known words, as in `1 failed, 2 passed`; words of one kind are added up."""
    counts: dict[Kind, int] = {}
    for number, word in _COUNTED.findall(text.lower()):
        kind = words.get(word, words.get(word.split(" ")[0], ""))
        if kind:
            counts[kind] = counts.get(kind, 0) + int(number)
    return counts


class Patterns:
    """Reports whose every line of interest stands for itself. The groups of `summaries` are named after kinds.

    `failed_too` and `skipped_too` are further groups of these kinds. A match of `nothing` is a report of no test.
    """

    def __init__(self, name: str, hints: Sequence[str], summaries: Sequence[str], nothing: Sequence[str] = ()) -> None:
        self.name = name
        self.hints = tuple(hints)
        self._summaries = [re.compile(pattern) for pattern in summaries]
        self._nothing = [re.compile(pattern) for pattern in nothing]
        self._found: Tally | None = None

    def line(self, text: str) -> None:
        """Adds what the line counts."""
        for pattern in self._summaries:
            if (match := pattern.match(text)) is not None:
                self._found = _of_groups(match).plus(self._found)
                return
        if any(pattern.match(text) for pattern in self._nothing):
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """All lines together."""
        return self._found


def _of_groups(match: re.Match[str]) -> Tally:
    counts: dict[Kind, int] = {}
    for name, text in match.groupdict().items():
        if text is not None:
            kind = msgspec.convert(name.removesuffix("_too"), Kind)
            counts[kind] = counts.get(kind, 0) + int(text)
    return made_of(counts)
