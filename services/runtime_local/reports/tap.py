"""The Test Anything Protocol (12 to 14) with nested tests, node's test runner and tape, and Perl's prove."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Tally

_VERSION = re.compile(r"^TAP version \d+$")
_PLAN = re.compile(r"^(?P<indent>\s*)1\.\.(?P<count>\d+)\s*(?P<rest>#.*)?$")
_POINT = re.compile(r"^(?P<indent>\s*)(?P<no>not )?ok\b(?: (?P<number>\d+)\b)?(?P<rest>.*)$")
_DIRECTIVE = re.compile(r"(?<!\\)#\s*(skip\S*|todo)\b", re.IGNORECASE)
_BAIL = re.compile(r"^\s*Bail out!", re.IGNORECASE)
_BLOCK_END = re.compile(r"^\s*\}\s*$")


class Tap:
    """Counts the points that hold no others, whether these come before theirs or in braces after it."""

    name = "TAP"
    hints = ("ok", "1..", "TAP version", "Bail out!", "bail out!", "}")

    def __init__(self) -> None:
        self._certain = False
        self._bailed = False
        self._points: list[tuple[int, str]] = []
        self._passed = self._failed = self._skipped = 0
        self._top = 0
        self._plan: int | None = None
        self._open: list[tuple[bool, int]] = []

    def line(self, text: str) -> None:
        """Takes a version, a plan, a point, or the end of it all."""
        if (point := _POINT.match(text)) is not None:
            self._point(point)
        elif (plan := _PLAN.match(text)) is not None:
            self._certain = True
            if not plan["indent"]:
                self._plan = (self._plan or 0) + int(plan["count"])
        elif _VERSION.match(text) is not None:
            self._certain = True
        elif self._certain and _BAIL.match(text) is not None:
            self._bailed = True
        elif self._open and _BLOCK_END.match(text) is not None:
            failed, before = self._open.pop()
            self._failed += failed and self._failed == before

    def _point(self, point: re.Match[str]) -> None:
        if point["number"] is None and not self._certain:
            return
        self._certain = True
        indent, rest = len(point["indent"].expandtabs()), point["rest"]
        if indent == 0:
            self._top += 1
        below = [kind for depth, kind in self._points if depth > indent]
        self._points = [(depth, kind) for depth, kind in self._points if depth <= indent]
        directive = _DIRECTIVE.search(rest)
        kind = _kind(failed=point["no"] is not None, directive=directive[1].lower() if directive else "")
        if rest.endswith("{"):
            self._open.append((kind == "failed", self._failed))
        elif below:
            self._failed += kind == "failed" and "failed" not in below
            self._points.append((indent, "failed" if "failed" in below else kind))
        else:
            self._points.append((indent, kind))
            self._count(kind)

    def _count(self, kind: str) -> None:
        self._passed += kind == "passed"
        self._failed += kind == "failed"
        self._skipped += kind in ("skipped", "todo")

    def tally(self) -> Tally | None:
        """All points together. Fewer points than planned are a report that is not whole."""
        if not self._certain:
            return None
        broken = ""
        if self._plan is not None and self._top < self._plan:
            broken = f"{self._plan} tests were planned and {self._top} were reported"
        failed = self._failed + self._bailed
        return Tally(passed=self._passed, failed=failed, skipped=self._skipped, broken=broken)


def _kind(*, failed: bool, directive: str) -> str:
    if directive.startswith("skip"):
        return "skipped"
    if directive == "todo":
        return "todo"
    return "failed" if failed else "passed"


_SUMMARY = re.compile(r"^[#ℹ]\s+(tests|pass|fail|cancelled|skipped|skip|todo)\s+(\d+)\s*$")


class NodeTest:
    """The counts at the end of node's test runner, of tape and of what is like it."""

    name = "node --test"
    hints = ("# tests", "# pass", "# fail", "# cancelled", "# skip", "# todo", "ℹ ")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._counts: dict[str, int] = {}

    def line(self, text: str) -> None:
        """Takes one count; that of all tests comes first."""
        if (told := _SUMMARY.match(text)) is None:
            return
        if told[1] == "tests":
            self._found, self._counts = self.tally(), {}
        self._counts[told[1]] = int(told[2])

    def tally(self) -> Tally | None:
        """All runs together."""
        if not self._counts:
            return self._found
        counts = self._counts
        failed = counts.get("fail", 0) + counts.get("cancelled", 0)
        skipped = counts.get("skipped", 0) + counts.get("skip", 0) + counts.get("todo", 0)
        return Tally(passed=counts.get("pass", 0), failed=failed, skipped=skipped).plus(self._found)


_FILES = re.compile(r"^Files=\d+, Tests=(\d+),")
_RESULT = re.compile(r"^Result: (PASS|FAIL|NOTESTS)$")
_SUBTESTS = re.compile(r"^\s*Failed (\d+)/\d+ subtests")
_SKIPPED = re.compile(r"\(less (\d+) skipped subtests?: \d+ okay\)")


class Prove:
    """The last lines of prove."""

    name = "prove"
    hints = ("Files=", "Result: ", "Failed ", "skipped subtest")

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._tests: int | None = None
        self._failed = self._skipped = 0

    def line(self, text: str) -> None:
        """Takes the counts, then the verdict."""
        if (skipped := _SKIPPED.search(text)) is not None:
            self._skipped += int(skipped[1])
        if (failed := _SUBTESTS.match(text)) is not None:
            self._failed += int(failed[1])
        elif (files := _FILES.match(text)) is not None:
            self._tests = int(files[1])
        elif self._tests is not None and (result := _RESULT.match(text)) is not None:
            failures = max(1, self._failed) if result[1] == "FAIL" else 0
            passed = max(0, self._tests - failures - self._skipped)
            self._found = Tally(passed=passed, failed=failures, skipped=self._skipped).plus(self._found)
            self._tests, self._failed, self._skipped = None, 0, 0

    def tally(self) -> Tally | None:
        """All runs together."""
        return self._found
