"""cargo test and cargo-nextest."""

from __future__ import annotations

from services.runtime_local.reports.tally import Patterns


def cargo() -> Patterns:
    """A line for each binary and one for the documentation's tests."""
    return Patterns(
        "cargo test",
        ("test result:", "Executable "),
        [
            r"^test result: (?:ok|FAILED)\. (?P<passed>\d+) passed; (?P<failed>\d+) failed"
            r"(?:; (?P<skipped>\d+) ignored)?(?:; \d+ measured)?(?:; (?P<filtered>\d+) filtered out)?"
        ],
        [r"^\s*Executable (?:unittests|tests|benches|examples)\b"],
    )


def nextest() -> Patterns:
    """The summary. What nextest calls skipped is left out by a filter or by `#[ignore]`; it does not say which."""
    return Patterns(
        "cargo nextest",
        ("tests run:", "test run:", "no tests to run"),
        [
            r"^\s*Summary \[[^\]]*\]\s+\d+(?:/\d+)? tests? run: (?P<passed>\d+) passed(?: \([^)]*\))?"
            r"(?:, (?P<failed>\d+) failed(?: \([^)]*\))?)?(?:, (?P<failed_too>\d+) exec failed)?"
            r"(?:, \d+ timed out)?(?:, (?P<skipped>\d+) skipped)?"
        ],
        [r"^error: no tests to run"],
    )
