"""CTest, GoogleTest, Catch2 and doctest."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Patterns, Tally

_CTEST = re.compile(r"^\d+% tests passed, (\d+) tests? failed(?:, \d+ tests? skipped)? out of (\d+)")
_CTEST_SKIPPED = re.compile(r"^\s*\d+/\d+ Test\s+#\d+: .*\*\*\*(?:Skipped|Not Run \(Disabled\))")
_CTEST_LISTED = re.compile(r"^\s+\d+ - .+ \((Skipped|Disabled)\)(?:\s|$)")
_CTEST_NONE = re.compile(r"^(?:No tests were found!!!|Total Tests: \d+)\s*$")


class CTest:
    """Its summary counts skipped tests as passed; those that did not run are listed after it."""

    name = "CTest"
    hints = ("tests passed,", "No tests were found", "Total Tests:", "***", " - ")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._skipped = self._listed = self._disabled = 0

    def line(self, text: str) -> None:
        """Looks for the summary, and for tests that did not run."""
        if (told := _CTEST.match(text)) is not None:
            failed, total = int(told[1]), int(told[2])
            self._found = Tally(passed=max(0, total - failed), failed=failed).plus(self._found)
        elif _CTEST_SKIPPED.match(text) is not None:
            self._skipped += 1
            self._disabled += "Disabled" in text
        elif self._found is not None and (listed := _CTEST_LISTED.match(text)) is not None:
            self._listed += 1
            self._disabled += listed[1] == "Disabled" and not self._skipped
        elif _CTEST_NONE.match(text) is not None:
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """The summary, less what did not run. Disabled tests are no part of its total."""
        if self._found is None:
            return None
        skipped = max(self._skipped, self._listed)
        passed = max(0, self._found.passed - (skipped - self._disabled))
        return Tally(passed=passed, failed=self._found.failed, skipped=skipped)


_RUNNING = re.compile(r"^\[==========\] Running (\d+) tests? from ")
_RAN = re.compile(r"^\[==========\] (\d+) tests? from .* ran\.")
_OUTCOME = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) *\] (\d+) tests?[.,]")
_DISABLED = re.compile(r"^\s+YOU HAVE (\d+) DISABLED TESTS?")


class GoogleTest:
    """The lines after `ran.`; a program that ends before it says so has died in a test."""

    name = "GoogleTest"
    hints = ("[======", "[  PASSED", "[  FAILED", "[  SKIPPED", " DISABLED TEST")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._running = 0

    def line(self, text: str) -> None:
        """Takes a line of the frame, never one of a single test."""
        if _RUNNING.match(text) is not None:
            self._running += 1
            self._found = self._found or Tally()
        elif _RAN.match(text) is not None:
            self._running = max(0, self._running - 1)
            self._found = self._found or Tally()
        elif (told := _OUTCOME.match(text)) is not None:
            number = int(told[2])
            match told[1]:
                case "PASSED":
                    tally = Tally(passed=number)
                case "FAILED":
                    tally = Tally(failed=number)
                case _:
                    tally = Tally(skipped=number)
            self._found = tally.plus(self._found)
        elif (disabled := _DISABLED.match(text)) is not None:
            self._found = Tally(skipped=int(disabled[1])).plus(self._found)

    def tally(self) -> Tally | None:
        """All programs together."""
        if self._running and self._found is not None:
            return Tally(failed=self._running).plus(self._found)
        return self._found


def catch2() -> Patterns:
    """Catch2 and doctest."""
    return Patterns(
        "Catch2",
        ("test cases", "test case", "No test"),
        [
            r"^All tests passed \(\d+ assertions? in (?P<passed>\d+) test cases?\)",
            r"^(?:\[doctest\] )?test cases:\s+\d+ \|\s+(?P<passed>\d+) passed(?: \|\s+(?P<failed>\d+) failed)?"
            r"(?: \|\s+\d+ failed as expected)?(?: \|\s+(?P<skipped>\d+) skipped)?",
            r"^test cases:\s+(?:\d+) \|\s+(?P<failed>\d+) failed",
        ],
        [r"^No tests? ran\b", r"^No test cases matched"],
    )
