"""Jest, Vitest, Mocha, Bun, Deno, Playwright and Jasmine. Prefixes of a monorepo's tool are passed over."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Kind, Patterns, Tally, counted_words, made_of

_BEFORE = r"^(?:[\w@:./-]+(?: [\w:./-]+)?(?: ?\||:) ?)?\s*"
"""`pkg:test: `, `packages/a test: `, `web | `: the lines of several packages are told apart so."""

_WORDS: dict[str, Kind] = {
    "passed": "passed", "failed": "failed", "skipped": "skipped", "todo": "skipped", "pending": "skipped",
    "total": "total", "error": "failed", "errors": "failed",
}  # fmt: skip

_JEST_TESTS = re.compile(rf"{_BEFORE}Tests:\s+(?P<parts>(?:\d+ \w+, )*\d+ total)$")
_JEST_SUITES = re.compile(rf"{_BEFORE}Test Suites:\s+(?P<parts>(?:\d+ [\w ]+, )*\d+(?: of \d+)? total)$")
_JEST_NONE = re.compile(rf"{_BEFORE}No tests found(?:, exiting with code [01]| related to files changed)")
_JEST_JSON = re.compile(r'"num(PassedTests|FailedTests|PendingTests|TodoTests|RuntimeErrorTestSuites)":\s?(\d+)')


class Jest:
    """The two lines of its summary: a suite that could not be loaded is a failure without a test."""

    name = "Jest"
    hints = ("Tests:", "Test Suites:", "No tests found", "numTotalTests")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._broken_suites = 0

    def line(self, text: str) -> None:
        """Looks for the summary, or for the JSON of `--json`."""
        if (tests := _JEST_TESTS.match(text)) is not None:
            tally = made_of({"passed": 0, **counted_words(tests["parts"], _WORDS)})
            if self._broken_suites and not tally.failed:
                tally = tally.plus(Tally(failed=self._broken_suites))
            self._found, self._broken_suites = tally.plus(self._found), 0
        elif (suites := _JEST_SUITES.match(text)) is not None:
            self._broken_suites = counted_words(suites["parts"], _WORDS).get("failed", 0)
        elif _JEST_NONE.match(text) is not None:
            self._found = self._found or Tally()
        elif '"numTotalTests"' in text:
            self._json(text)

    def _json(self, text: str) -> None:
        numbers = {name: int(number) for name, number in _JEST_JSON.findall(text)}
        failed = numbers.get("FailedTests", 0) + numbers.get("RuntimeErrorTestSuites", 0)
        skipped = numbers.get("PendingTests", 0) + numbers.get("TodoTests", 0)
        self._found = Tally(passed=numbers.get("PassedTests", 0), failed=failed, skipped=skipped).plus(self._found)

    def tally(self) -> Tally | None:
        """All summaries together."""
        return Tally(failed=self._broken_suites).plus(self._found) if self._broken_suites else self._found


_VITEST_TESTS = re.compile(rf"{_BEFORE}Tests {{2,}}(?P<parts>no tests|\d+ [a-z ]+(?: \| \d+ [a-z ]+)*)(?: \(\d+\))?$")
_VITEST_FILES = re.compile(
    rf"{_BEFORE}Test Files {{2,}}(?P<parts>no tests|\d+ [a-z ]+(?: \| \d+ [a-z ]+)*)(?: \(\d+\))?$"
)
_VITEST_ERRORS = re.compile(rf"{_BEFORE}(?:Type )?Errors {{2,}}(?:no errors|(\d+) errors?)$")
_VITEST_NONE = re.compile(rf"{_BEFORE}No test (?:suite )?(?:files )?found(?:, exiting with code [01]| in suite)?")


class Vitest:
    """Its summary: files, tests, and errors that belong to no test."""

    name = "Vitest"
    hints = ("Tests  ", "Test Files  ", "Errors  ", "No test ")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._broken_files = 0

    def line(self, text: str) -> None:
        """Looks for the lines of the summary."""
        text = text.rstrip()
        if (tests := _VITEST_TESTS.match(text)) is not None:
            tally = made_of({"passed": 0, **counted_words(tests["parts"], _WORDS)})
            if self._broken_files and not tally.failed:
                tally = tally.plus(Tally(failed=self._broken_files))
            self._found, self._broken_files = tally.plus(self._found), 0
        elif (files := _VITEST_FILES.match(text)) is not None:
            self._broken_files = counted_words(files["parts"], _WORDS).get("failed", 0)
        elif (errors := _VITEST_ERRORS.match(text)) is not None and self._found is not None:
            self._found = self._found.plus(Tally(failed=int(errors[1] or 0)))
        elif _VITEST_NONE.match(text) is not None:
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """All summaries together."""
        return Tally(failed=self._broken_files).plus(self._found) if self._broken_files else self._found


_MOCHA = re.compile(rf"{_BEFORE}(\d+) (passing|pending|failing)(?: \([\d.]+m?s\)| \(\d+ ?\w+\))?$")
_MOCHA_NONE = re.compile(r"^Error: No test files found")


class Mocha:
    """Up to three lines, the first of which is always there: `3 passing (5ms)`, `1 pending`, `1 failing`."""

    name = "Mocha"
    hints = ("passing", "pending", "failing", "No test files found")

    def __init__(self) -> None:
        self._found: Tally | None = None

    def line(self, text: str) -> None:
        """Takes one of the lines."""
        if (told := _MOCHA.match(text.rstrip())) is not None:
            kinds: dict[str, Kind] = {"passing": "passed", "pending": "skipped", "failing": "failed"}
            self._found = made_of({"passed": 0, kinds[told[2]]: int(told[1])}).plus(self._found)
        elif _MOCHA_NONE.match(text) is not None:
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """All lines together."""
        return self._found


_BUN_COUNT = re.compile(r"^\s*(\d+) (pass|fail|skip|todo|error|errors|filtered out)$")
_BUN_RAN = re.compile(r"^Ran \d+ tests? across \d+ files?")
_BUN_NONE = re.compile(
    r"^(?:No tests found!|error: 0 test files matching|The following filters did not match any test files)"
)


class Bun:
    """Counts, one on a line, then `Ran 3 tests across 1 file.`"""

    name = "bun test"
    hints = ("pass", "fail", "skip", "todo", "error", "filtered out", "Ran ", "No tests found!", "did not match")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._counts: dict[str, int] = {}

    def line(self, text: str) -> None:
        """Gathers counts until the last line comes."""
        if (count := _BUN_COUNT.match(text)) is not None:
            self._counts[count[2]] = int(count[1])
        elif _BUN_RAN.match(text) is not None:
            self._found, self._counts = _bun(self._counts).plus(self._found), {}
        elif _BUN_NONE.match(text) is not None:
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """All runs together, and counts whose last line is not there."""
        if {"pass", "fail"} <= self._counts.keys():
            return _bun(self._counts).plus(self._found)
        return self._found


def _bun(counts: dict[str, int]) -> Tally:
    failed = counts.get("fail", 0) + counts.get("error", 0) + counts.get("errors", 0)
    skipped = counts.get("skip", 0) + counts.get("todo", 0)
    return Tally(passed=counts.get("pass", 0), failed=failed, skipped=skipped, filtered=counts.get("filtered out", 0))


def deno() -> Patterns:
    """`ok | 3 passed (2 steps) | 0 failed | 1 ignored | 2 filtered out (12ms)`."""
    steps = r"(?: \(\d+ steps?\))?"
    return Patterns(
        "deno test",
        (" | ", "No test modules found"),
        [
            rf"^(?:ok|FAILED) \| (?P<passed>\d+) passed{steps}(?: \| (?P<failed>\d+) failed{steps})?"
            rf"(?: \| (?P<skipped>\d+) ignored{steps})?(?: \| \d+ measured)?(?: \| (?P<filtered>\d+) filtered out)?"
        ],
        [r"^error: No test modules found"],
    )


def playwright() -> Patterns:
    """A line for each outcome: `3 passed (2.0s)`, `1 failed`, `2 skipped`, `1 flaky`, `1 did not run`."""
    return Patterns(
        "Playwright",
        (" passed (", " did not run", "No tests found"),
        [r"^  (?P<passed>\d+) passed \([\d.]+m?s?\)$", r"^  (?P<skipped>\d+) did not run$"],
        [r"^Error: No tests found"],
    )


def jasmine() -> Patterns:
    """`3 specs, 0 failures, 1 pending spec`."""
    return Patterns(
        "Jasmine",
        ("specs", " spec,", "No specs found"),
        [r"^(?P<total>\d+) specs?, (?P<failed>\d+) failures?(?:, (?P<skipped>\d+) pending specs?)?"],
        [r"^(?:Incomplete: )?No specs found"],
    )
