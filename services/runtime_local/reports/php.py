"""PHPUnit and Pest."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Kind, Tally, counted_words, made_of

_OK = re.compile(r"^OK \((\d+) tests?, \d+ assertions?\)$")
_TESTS = re.compile(r"^Tests: (\d+), Assertions: \d+(?P<rest>(?:, [A-Za-z ]+: \d+)*)\.?$")
_NONE = re.compile(r"^(?:No tests executed!|\s*INFO\s+No tests found\.)")
_PEST = re.compile(r"^\s*Tests:\s+(?P<parts>(?:\d+ \w+(?:, )?)+) \(\d+ assertions?\)$")
_PEST_WORDS: dict[str, Kind] = {
    "passed": "passed", "failed": "failed", "skipped": "skipped", "todo": "skipped", "todos": "skipped",
    "incomplete": "skipped", "risky": "skipped", "warnings": "passed", "warning": "passed", "deprecated": "passed",
}  # fmt: skip


class Phpunit:
    """A risky test, which asserts nothing, and an incomplete one count as skipped."""

    name = "PHPUnit"
    hints = ("OK (", "Tests:", "No tests ")

    def __init__(self) -> None:
        self._found: Tally | None = None

    def line(self, text: str) -> None:
        """Takes one of its last lines."""
        if (ok := _OK.match(text)) is not None:
            self._found = Tally(passed=int(ok[1])).plus(self._found)
        elif (tests := _TESTS.match(text)) is not None:
            told = {name.strip(): int(number) for name, number in re.findall(r", ([A-Za-z ]+): (\d+)", tests["rest"])}
            failed = told.get("Failures", 0) + told.get("Errors", 0)
            skipped = sum(told.get(name, 0) for name in ("Skipped", "Incomplete", "Risky"))
            self._found = made_of({"total": int(tests[1]), "failed": failed, "skipped": skipped}).plus(self._found)
        elif (pest := _PEST.match(text)) is not None:
            self._found = made_of({"passed": 0, **counted_words(pest["parts"], _PEST_WORDS)}).plus(self._found)
        elif _NONE.match(text) is not None:
            self._found = self._found or Tally()

    def tally(self) -> Tally | None:
        """All runs together."""
        return self._found
