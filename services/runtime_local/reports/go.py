"""go test, as text and as JSON, and gotestsum."""

from __future__ import annotations

import re
from typing import cast

import msgspec

from services.runtime_local.reports.tally import Patterns, Tally

_TEST = re.compile(r"^--- (PASS|FAIL|SKIP): ")
_OK = re.compile(r"^ok  ?[ \t]+\S+[ \t]+(?:[\d.]+m?s|\(cached\))")
_FAIL = re.compile(r"^FAIL[ \t]+\S+(?:[ \t]+(?:[\d.]+m?s|\[(?:build|setup) failed\]))")
_EMPTY = re.compile(r"^(?:\?   ?[ \t]+\S+[ \t]+\[no test files\]|testing: warning: no tests to run"
                    r"|[ \t]+\S+[ \t]+coverage: 0\.0% of statements$|go: warning: \S+ matched no packages"
                    r"|no packages to test)")  # fmt: skip
_EVENT = re.compile(r'^\{.*"Action":"(?:pass|fail|skip|output|build-fail)"')


class GoTest:
    """Tests where the report names them (`-v`, `-json`, failures), else packages that are `ok`."""

    name = "go test"
    hints = (
        "--- ",
        "ok ",
        "FAIL",
        "no test files",
        "no tests to run",
        "no packages",
        "matched no",
        "coverage:",
        '"Action":',
    )

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._package = Tally()
        self._failed_events: dict[str, int] = {}

    def line(self, text: str) -> None:
        """Gathers the tests of a package until its own line comes."""
        if text.startswith("{"):
            self._event(text)
        elif (test := _TEST.match(text)) is not None:
            self._package = self._package.plus(_one(test[1].lower()))
        elif _OK.match(text) is not None:
            self._close(empty="[no tests to run]" in text or "[no test files]" in text, passed=True)
        elif _FAIL.match(text) is not None:
            self._close(empty=False, passed=False)
        elif _EMPTY.match(text) is not None:
            self._found = self._found or Tally()

    def _close(self, *, empty: bool, passed: bool) -> None:
        package, self._package = self._package, Tally()
        if not passed and not package.failed:
            package = package.plus(Tally(failed=1))
        elif passed and package == Tally() and not empty:
            package = Tally(passed=1)
        self._found = package.plus(self._found)

    def _event(self, text: str) -> None:
        if _EVENT.match(text) is None:
            return
        try:
            read = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return
        event = cast("dict[str, object]", read) if isinstance(read, dict) else {}
        action, package, test = event.get("Action"), str(event.get("Package", "")), str(event.get("Test", ""))
        self._found = self._found or Tally()
        if action in ("pass", "fail", "skip") and test and "/" not in test:
            self._found = self._found.plus(_one(str(action)))
            self._failed_events[package] = self._failed_events.get(package, 0) + (action == "fail")
        elif action == "build-fail" or (action == "fail" and not test and not self._failed_events.get(package)):
            self._found = self._found.plus(Tally(failed=1))

    def tally(self) -> Tally | None:
        """All packages together, and tests whose package's line is not there."""
        return self._found if self._package == Tally() else self._package.plus(self._found)


def _one(word: str) -> Tally:
    match word:
        case "pass":
            return Tally(passed=1)
        case "fail":
            return Tally(failed=1)
        case _:
            return Tally(skipped=1)


def gotestsum() -> Patterns:
    """Its last line, whatever format the lines before it have."""
    return Patterns(
        "gotestsum",
        ("DONE ",),
        [
            r"^DONE (?:\d+ runs?, )?(?P<total>\d+) tests?(?:, (?P<skipped>\d+) skipped)?"
            r"(?:, (?P<failed>\d+) failures?)?(?:, (?P<failed_too>\d+) errors?)? in "
        ],
    )
