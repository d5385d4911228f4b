"""swift test: XCTest, which sums up every suite, and Swift Testing."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Tally

_SUITE = re.compile(r"^\s*Test Suite '(?P<name>.*)' (?:passed|failed) at ")
_EXECUTED = re.compile(
    r"^\s*Executed (?P<total>\d+) tests?, with (?:(?P<skipped>\d+) tests? skipped and )?(?P<failed>\d+) failures?"
)
_NONE = re.compile(r"^(?:error: no tests found|warning: No matching test cases were run)")


class XCTest:
    """The outermost suite, `All tests` or `Selected tests`; without it the last one that is told."""

    name = "XCTest"
    hints = ("Test Suite '", "Executed ", "no tests found", "No matching test cases")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._last: Tally | None = None
        self._outermost = False

    def line(self, text: str) -> None:
        """Takes the end of a suite, and its counts on the line after it."""
        if (suite := _SUITE.match(text)) is not None:
            self._outermost = suite["name"] in ("All tests", "Selected tests")
        elif (told := _EXECUTED.match(text)) is not None:
            failed, skipped = int(told["failed"]), int(told["skipped"] or 0)
            tally = Tally(passed=max(0, int(told["total"]) - failed - skipped), failed=failed, skipped=skipped)
            if self._outermost:
                self._found, self._last, self._outermost = tally.plus(self._found), None, False
            else:
                self._last = tally
        elif _NONE.match(text) is not None:
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """All runs together."""
        return self._last if self._found is None else self._found.plus(self._last)


_RUN = re.compile(r"^.{0,3}Test run with (?P<total>\d+) tests?(?: in \d+ suites?)? (?P<verdict>passed|failed) after")
_TEST = re.compile(r"^.{0,3}Test .+ (?P<what>failed after|skipped\b)")


class SwiftTesting:
    """`Test run with 3 tests passed after 0.001 seconds.`, and the tests that failed or were skipped before it."""

    name = "Swift Testing"
    hints = ("Test run with ", " failed after", " skipped")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._failed = self._skipped = 0

    def line(self, text: str) -> None:
        """Takes a test that did not pass, or the end of the run."""
        if (run := _RUN.match(text)) is not None:
            failed = max(1, self._failed) if run["verdict"] == "failed" else 0
            passed = max(0, int(run["total"]) - failed - self._skipped)
            self._found = Tally(passed=passed, failed=failed, skipped=self._skipped).plus(self._found)
            self._failed = self._skipped = 0
        elif (test := _TEST.match(text)) is not None and not text.lstrip("✔✘➜◇↳ ").startswith("Test Suite "):
            self._failed += test["what"] == "failed after"
            self._skipped += test["what"] == "skipped"

    def tally(self) -> Tally | None:
        """All runs together."""
        return self._found
