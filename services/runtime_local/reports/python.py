"""pytest and unittest, whose report nose2 and Django's runner print too."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Kind, Tally, counted_words, made_of

_WORDS: dict[str, Kind] = {
    "passed": "passed", "xpassed": "passed", "failed": "failed", "error": "failed", "errors": "failed",
    "skipped": "skipped", "deselected": "filtered", "subtests": "",
}  # fmt: skip

_PART = (
    r"\d+ (?:passed|failed|skipped|errors?|xfailed|xpassed|deselected|warnings?|rerun|reruns"
    r"|subtests passed|subtests failed|subtests skipped)"
)
_SUMMARY = re.compile(rf"^(?:=+ )?(?P<parts>{_PART}(?:, {_PART})*)(?: in [\d.]+ ?s(?:ec(?:onds)?)?\b.*)?(?: =+)?$")
_NOTHING = re.compile(
    r"^(?:=+ )?(?:no tests (?:ran|collected)|\d+(?:/\d+)? tests? collected)\b"
    r"(?P<rest>[^=]*?)(?: in [\d.]+ ?s.*)?(?: =+)?$"
)
_PROGRESS = re.compile(r"^(?:\S+\.py )?(?P<marks>[.FEsxXR]+) *\[ *\d+%\]$")
_SHORT = re.compile(r"^(?:FAILED|ERROR) \S+")
_SUGAR = re.compile(r"^Results \([\d.]+s\):$")
_SUGAR_PART = re.compile(rf"^ +(?P<part>{_PART})$")


class Pytest:
    """The last line of a run; without it (`-qq`) the marks of its progress and its list of failures."""

    name = "pytest"
    hints = (
        "passed", "failed", "skipped", "error", "xfailed", "deselected", "warning", "tests ran", "collected", "%]",
        "FAILED ", "ERROR ", "Results (",
    )  # fmt: skip

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._marks = ""
        self._listed = 0
        self._sugar = False

    def line(self, text: str) -> None:
        """Looks for a summary, a mark of progress or a listed failure."""
        text = text.rstrip()
        if self._sugar and (part := _SUGAR_PART.match(text)) is not None:
            self._add(part["part"])
        elif (summary := _SUMMARY.match(text)) is not None and _is_pytests(summary):
            self._add(summary["parts"])
        elif (nothing := _NOTHING.match(text)) is not None:
            self._add(nothing["rest"], collected_only=True)
        elif _SUGAR.match(text) is not None:
            self._sugar = True
        elif (progress := _PROGRESS.match(text)) is not None:
            self._marks += progress["marks"]
        elif _SHORT.match(text) is not None:
            self._listed += 1

    def _add(self, parts: str, *, collected_only: bool = False) -> None:
        counts = counted_words(re.sub(r"(\d+ )subtests ", r"\1sub", parts), _WORDS)
        failed_subtests = re.search(r"(\d+) subtests failed", parts)
        if failed_subtests is not None:
            counts["failed"] = counts.get("failed", 0) + int(failed_subtests[1])
        if collected_only:
            counts.pop("passed", None)
        self._found = made_of(counts).plus(self._found)

    def tally(self) -> Tally | None:
        """All summaries together; a part of a report where there is none."""
        if self._found is not None:
            return self._found
        if not self._marks:
            return None
        failed = max(self._marks.count("F") + self._marks.count("E"), self._listed)
        passed = self._marks.count(".") + self._marks.count("X")
        return Tally(passed=passed, failed=failed, skipped=self._marks.count("s"))


def _is_pytests(summary: re.Match[str]) -> bool:
    """Whether a list of counts is not a linter's: without a time and a frame it has to count tests."""
    framed = summary[0] != summary["parts"]
    return framed or re.search("passed|failed|skipped|xfailed|deselected", summary["parts"]) is not None


_RAN = re.compile(r"^Ran (\d+) tests? in ")
_VERDICT = re.compile(r"^(OK|FAILED|NO TESTS RAN)\b(.*)$")


class Unittest:
    """`Ran 3 tests in 0.1s`, and the verdict that follows it."""

    name = "unittest"
    hints = ("Ran ", "OK", "FAILED", "NO TESTS RAN")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._ran: int | None = None

    def line(self, text: str) -> None:
        """Takes the number, then the verdict."""
        if (ran := _RAN.match(text)) is not None:
            self._ran = int(ran[1])
        elif self._ran is not None and (verdict := _VERDICT.match(text)) is not None:
            self._found = _judged(self._ran, verdict[1], verdict[2].lower()).plus(self._found)
            self._ran = None
        elif text == "NO TESTS RAN":
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """All runs together. One whose verdict is not there proves nothing."""
        if self._ran is None:
            return self._found
        return Tally(broken="the verdict after 'Ran … tests' is missing").plus(self._found)


def _judged(ran: int, verdict: str, details: str) -> Tally:
    told = {kind.strip(): int(number) for kind, number in re.findall(r"([a-z ]+)=(\d+)", details)}
    failed = told.get("failures", 0) + told.get("errors", 0) + told.get("unexpected successes", 0)
    skipped = told.get("skipped", 0) + told.get("skip", 0)
    if verdict == "FAILED":
        failed = max(1, failed)
    passed = max(0, ran - failed - skipped - told.get("expected failures", 0))
    return Tally(passed=passed, failed=failed, skipped=skipped)
