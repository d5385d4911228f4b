"""RSpec, Minitest and test-unit."""

from __future__ import annotations

from services.runtime_local.reports.tally import Patterns


def rspec() -> Patterns:
    """`3 examples, 0 failures, 1 pending, 1 error occurred outside of examples`."""
    return Patterns(
        "RSpec",
        ("examples,", "example,", "No examples found", "All examples were filtered out"),
        [
            r"^(?P<total>\d+) examples?, (?P<failed>\d+) failures?(?:, (?P<skipped>\d+) pending)?"
            r"(?:, (?P<failed_too>\d+) errors? occurred outside of examples)?"
        ],
        [r"^No examples found\.", r"^All examples were filtered out"],
    )


def minitest() -> Patterns:
    """`3 runs, 5 assertions, 0 failures, 0 errors, 1 skips`; test-unit says tests, pendings and omissions."""
    return Patterns(
        "Minitest",
        (" assertions,",),
        [
            r"^(?P<total>\d+) (?:runs|tests), \d+ assertions, (?P<failed>\d+) failures, (?P<failed_too>\d+) errors"
            r"(?:, (?P<skipped>\d+) (?:skips|pendings))?(?:, (?P<skipped_too>\d+) omissions)?"
        ],
    )
