"""dotnet test: VSTest, Microsoft.Testing.Platform, and the console runners of xUnit and NUnit."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Kind, Patterns, Tally, made_of

_ASSEMBLY = (
    r"^\s*(?:Passed|Failed|Skipped)!\s+-\s+Failed:\s+(?P<failed>\d+), Passed:\s+(?P<passed>\d+), "
    r"Skipped:\s+(?P<skipped>\d+), Total:\s+\d+"
)
_TERMINAL = (
    r"^\s*Test summary: total: (?P<total>\d+), failed: (?P<failed>\d+), succeeded: \d+, skipped: (?P<skipped>\d+)"
)
_XUNIT = (
    r"^\s*\S+\s+Total: (?P<total>\d+), Errors: (?P<failed>\d+), Failed: (?P<failed_too>\d+), Skipped: (?P<skipped>\d+)"
)
_NUNIT = (
    r"^\s*Test Count: (?P<total>\d+), Passed: (?P<passed>\d+), Failed: (?P<failed>\d+)"
    r"(?:, Warnings: \d+, Inconclusive: \d+, Skipped: (?P<skipped>\d+))?"
)
_NOTHING = (
    r"^\s*(?:\S+\.dll : )?No test is available in ",
    r"^\s*No test matches the given testcase filter",
    r"^\s*Test run summary: Zero tests ran",
    r"^\s*Zero tests ran",
)
_TOTAL = re.compile(r"^(?:Total tests: (?:Unknown|(\d+))|  total: ([1-9]\d*))\s*$")
_PART = re.compile(r"^\s+(Passed|Failed|Skipped|failed|succeeded|skipped): (\d+)\s*$")
_KINDS: dict[str, Kind] = {"passed": "passed", "succeeded": "passed", "failed": "failed", "skipped": "skipped"}


class Dotnet:
    """A line for each assembly, or counts that each have a line of their own."""

    name = "dotnet test"
    hints = ("Failed", "otal", "Passed", "Skipped", "succeeded", "failed", "skipped", "No test ", "Zero tests")

    def __init__(self) -> None:
        self._lines = Patterns(self.name, (), (_ASSEMBLY, _XUNIT, _NUNIT), _NOTHING)
        self._summary = Patterns(self.name, (), (_TERMINAL,))
        self._blocks: list[dict[Kind, int]] = []

    def line(self, text: str) -> None:
        """Takes a line of any of these forms."""
        self._lines.line(text)
        self._summary.line(text)
        if (total := _TOTAL.match(text)) is not None:
            self._blocks.append({"total": int(total[1] or total[2] or 0)})
        elif self._blocks and (part := _PART.match(text)) is not None:
            self._blocks[-1][_KINDS[part[1].lower()]] = int(part[2])

    def tally(self) -> Tally | None:
        """All assemblies together, however often they are summed up."""
        lines, summary = self._lines.tally(), self._summary.tally()
        if lines is not None and lines != Tally():
            return lines
        blocks: Tally | None = None
        for block in self._blocks:
            if len(block) > 1 or not block["total"]:
                blocks = made_of(block).plus(blocks)
        return summary or blocks or lines
