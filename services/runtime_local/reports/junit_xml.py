"""JUnit's XML, which many runners write to standard output if told to. Read as a stream of tags, not as a document."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Tally

_LONGEST_TAG = 64 * 1024
_TAG = re.compile(
    r"<(/?)(testsuites|testsuite|testcase|failure|error|skipped)\b((?:[^<>\"']|\"[^\"]*\"|'[^']*')*?)(/?)>"
)
_BEGUN = re.compile(r"<(?:testsuites?|testcase|failure|error|skipped)?\b[^>]*$")
_ATTRIBUTE = re.compile(r"\b(tests|failures|errors|skipped|disabled)\s*=\s*[\"'](\d+)[\"']")


class JunitXml:
    """Counts test cases by what stands in them; a suite that lists none is taken at its word."""

    name = "JUnit XML"
    hints: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._found: Tally | None = None
        self._rest = ""
        self._depth = 0
        self._said: Tally | None = None
        self._cases = Tally()
        self._case: Tally | None = None

    def line(self, text: str) -> None:
        """Takes the tags of a line, and keeps one that goes on in the next."""
        if not self._rest and "<" not in text:
            return
        text = self._rest + text
        end = 0
        for tag in _TAG.finditer(text):
            self._tag(tag[2], tag[3], closing=bool(tag[1]), empty=bool(tag[4]))
            end = tag.end()
        begun = _BEGUN.search(text, max(end, len(text) - _LONGEST_TAG))
        self._rest = begun[0] + " " if begun is not None and (self._depth or begun[0].startswith("<testsuite")) else ""

    def _tag(self, name: str, attributes: str, *, closing: bool, empty: bool) -> None:
        if name in ("testsuites", "testsuite"):
            self._suite(attributes, closing=closing, empty=empty)
        elif not self._depth:
            return
        elif name == "testcase":
            if not closing:
                self._case = Tally(passed=1)
            if (closing or empty) and self._case is not None:
                self._cases, self._case = self._cases.plus(self._case), None
        elif self._case == Tally(passed=1):  # what is said first: node writes a failure below the `skipped` of a todo
            self._case = Tally(skipped=1) if name == "skipped" else Tally(failed=1)
        elif self._case is None and not closing and name == "error":
            self._cases = self._cases.plus(Tally(failed=1))

    def _suite(self, attributes: str, *, closing: bool, empty: bool) -> None:
        if closing:
            self._depth = max(0, self._depth - 1)
        else:
            if self._depth == 0 or self._said is None:
                self._said = _said(attributes)
            self._depth += not empty
        if self._depth == 0:
            self._found = self._whole().plus(self._found)
            self._said, self._cases = None, Tally()

    def _whole(self) -> Tally:
        return self._cases if self._cases != Tally() or self._said is None else self._said

    def tally(self) -> Tally | None:
        """All documents together. One that does not end proves nothing."""
        if self._depth == 0:
            return self._found
        return Tally(failed=self._whole().failed, broken="the XML does not end").plus(self._found)


def _said(attributes: str) -> Tally | None:
    numbers = {name: int(number) for name, number in _ATTRIBUTE.findall(attributes)}
    if "tests" not in numbers:
        return None
    failed = numbers.get("failures", 0) + numbers.get("errors", 0)
    skipped = numbers.get("skipped", 0) + numbers.get("disabled", 0)
    return Tally(passed=max(0, numbers["tests"] - failed - skipped), failed=failed, skipped=skipped)
