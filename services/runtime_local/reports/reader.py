"""Reading an output for the reports in it, whichever runners wrote them."""

from __future__ import annotations

from collections.abc import Callable

from schemas.base import Model
from services.runtime_local.reports.dotnet import Dotnet
from services.runtime_local.reports.go import GoTest, gotestsum
from services.runtime_local.reports.javascript import Bun, Jest, Mocha, Vitest, deno, jasmine, playwright
from services.runtime_local.reports.junit_xml import JunitXml
from services.runtime_local.reports.jvm import Gradle, Maven, console_launcher, junit4
from services.runtime_local.reports.native import CTest, GoogleTest, catch2
from services.runtime_local.reports.php import Phpunit
from services.runtime_local.reports.python import Pytest, Unittest
from services.runtime_local.reports.ruby import minitest, rspec
from services.runtime_local.reports.rust import cargo, nextest
from services.runtime_local.reports.swift import SwiftTesting, XCTest
from services.runtime_local.reports.tally import Recogniser, Tally
from services.runtime_local.reports.tap import NodeTest, Prove, Tap

_ALL: tuple[Callable[[], Recogniser], ...] = (
    Pytest, Unittest, Jest, Vitest, Mocha, NodeTest, Bun, deno, playwright, jasmine, GoTest, gotestsum, cargo, nextest,
    Maven, Gradle, console_launcher, junit4, JunitXml, Prove, Tap, CTest, GoogleTest, catch2, Dotnet, rspec, minitest,
    Phpunit, XCTest, SwiftTesting,
)  # fmt: skip

_SAYS_IT_AGAIN = {
    "go test": ("gotestsum",),
    "TAP": ("node --test", "prove"),
}
"""Reports that are left out beside one of these, which sums them up. JUnit's XML beside another report repeats it."""

_LONGEST_LINE = 4096
"""Longer lines are looked at by those alone who may write everything in one line."""

_OF_ANY_LENGTH = frozenset({"JUnit XML", "go test", "Jest"})


class Report(Model, frozen=True, kw_only=True):
    """What all reports of an output say together, and whose they are."""

    runners: list[str]
    tally: Tally


class ReportReader:
    """Reads one stream of an output, line by line."""

    def __init__(self) -> None:
        self._recognisers = [make() for make in _ALL]

    def line(self, text: str) -> None:
        """Takes the next line, without terminal sequences. What a carriage return overwrites is looked at as well."""
        for part in text.split("\r"):
            for recogniser in self._recognisers:
                if len(part) > _LONGEST_LINE and recogniser.name not in _OF_ANY_LENGTH:
                    continue
                if not recogniser.hints or any(hint in part for hint in recogniser.hints):
                    recogniser.line(part)

    def found(self) -> dict[str, Tally]:
        """The reports so far, by runner."""
        tallies = {recogniser.name: recogniser.tally() for recogniser in self._recognisers}
        return {name: tally for name, tally in tallies.items() if tally is not None}


def read_report(*streams: ReportReader) -> Report | None:
    """The reports of all streams of one program. None: no runner is recognised, so nothing was counted."""
    found: dict[str, Tally] = {}
    for stream in streams:
        for name, tally in stream.found().items():
            found[name] = tally.plus(found.get(name))
    for name, others in _SAYS_IT_AGAIN.items():
        if any(other in found for other in others):
            found.pop(name, None)
    if not found:
        return None
    if len(found) > 1 and (xml := found.pop("JUnit XML", None)) is not None:
        counted = sum(tally.failed for tally in found.values())
        found["JUnit XML"] = Tally(failed=max(0, xml.failed - counted), broken=xml.broken)
    total = Tally()
    for tally in found.values():
        total = total.plus(tally)
    return Report(runners=list(found), tally=total)
