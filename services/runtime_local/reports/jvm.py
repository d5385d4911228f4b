"""Maven's Surefire and Failsafe, Gradle, and JUnit's own launchers."""

from __future__ import annotations

import re

from services.runtime_local.reports.tally import Patterns, Tally

_SUREFIRE = re.compile(
    r"^(?:\[\w+\] )?\s*Tests run: (\d+),\s+Failures: (\d+),\s+Errors: (\d+),\s+Skipped: (\d+)(?:, Flakes: \d+)?"
    r"(?P<class>, Time elapsed: .*)?\s*$"
)
_SUREFIRE_NONE = re.compile(
    r"^(?:\[\w+\] )?\s*(?:No tests to run\.|There are no tests to run\.|Tests are skipped\.|No tests were executed!)"
)


class Maven:
    """The sum of each module; where that is not there, the lines of its classes."""

    name = "Maven"
    hints = ("Tests run:", "ests to run.", "Tests are skipped.", "No tests were executed!")

    def __init__(self) -> None:
        self._sums: Tally | None = None
        self._classes = Tally()

    def line(self, text: str) -> None:
        """Takes a line of a class, which has a time, or of a module, which has none."""
        if (told := _SUREFIRE.match(text)) is not None:
            run, failures, errors, skipped = (int(number) for number in told.groups()[:4])
            failed = failures + errors
            tally = Tally(passed=max(0, run - failed - skipped), failed=failed, skipped=skipped)
            if told["class"]:
                self._classes = self._classes.plus(tally)
            else:
                self._sums, self._classes = tally.plus(self._sums), Tally()
        elif _SUREFIRE_NONE.match(text) is not None:
            self._sums = self._sums or Tally()

    def tally(self) -> Tally | None:
        """All modules together."""
        return self._sums if self._classes == Tally() else self._classes.plus(self._sums)


_TASK = re.compile(r"^> Task (?:\S*:)?(?:test|[\w-]*Test|check)(?: (NO-SOURCE|SKIPPED|UP-TO-DATE|FROM-CACHE|FAILED))?$")
_OLD_TASK = re.compile(r"^(?::\S*)?:(?:test|\w*Test)(?: (NO-SOURCE|SKIPPED|UP-TO-DATE|FROM-CACHE|FAILED))$")
_COMPLETED = re.compile(r"^(\d+) tests? completed(?:, (\d+) failed)?(?:, (\d+) skipped)?$")
_METHOD = re.compile(r"^\S.* > .+ (PASSED|FAILED|SKIPPED)$")
_NO_MATCH = re.compile(r"^\s*> No tests found for given includes")


class Gradle:
    """Says nothing when tests pass, unless their events are logged; but it says which test tasks had nothing to do."""

    name = "Gradle"
    hints = ("Task ", ":test", "Test ", "completed", "PASSED", "FAILED", "SKIPPED", "No tests found")

    def __init__(self) -> None:
        self._idle = self._ran = False
        self._completed: Tally | None = None
        self._methods = Tally()

    def line(self, text: str) -> None:
        """Takes a task, a test, or the line after a failure."""
        if (task := _TASK.match(text) or _OLD_TASK.match(text)) is not None:
            self._idle = self._idle or task[1] in ("NO-SOURCE", "SKIPPED")
            self._ran = self._ran or task[1] not in ("NO-SOURCE", "SKIPPED")
        elif (told := _COMPLETED.match(text)) is not None:
            total, failed, skipped = (int(number or 0) for number in told.groups())
            tally = Tally(passed=max(0, total - failed - skipped), failed=failed, skipped=skipped)
            self._completed = tally.plus(self._completed)
        elif (method := _METHOD.match(text)) is not None:
            self._methods = self._methods.plus(
                Tally(passed=method[1] == "PASSED", failed=method[1] == "FAILED", skipped=method[1] == "SKIPPED")
            )
        elif _NO_MATCH.match(text) is not None:
            self._idle = True

    def tally(self) -> Tally | None:
        """The counts where there are any. A test task that ran and said nothing is no report of none."""
        if self._completed is not None or self._methods != Tally():
            most = self._completed or Tally()
            more = self._methods
            return most if _all(most) > _all(more) else more
        return Tally() if self._idle and not self._ran else None


def _all(tally: Tally) -> int:
    return tally.passed + tally.failed + tally.skipped


def console_launcher() -> Patterns:
    """The tree of JUnit's console launcher ends with a line for each count."""
    return Patterns(
        "JUnit console",
        (" tests successful ", " tests failed ", " tests skipped ", " tests aborted "),
        [
            r"^\[\s*(?P<passed>\d+) tests successful\s*\]$",
            r"^\[\s*(?P<failed>\d+) tests failed\s*\]$",
            r"^\[\s*(?P<skipped>\d+) tests (?:skipped|aborted)\s*\]$",
        ],
    )


def junit4() -> Patterns:
    """The text runner of JUnit 3 and 4."""
    return Patterns(
        "JUnit",
        ("OK (", "Tests run:"),
        [r"^OK \((?P<passed>\d+) tests?\)$", r"^Tests run: (?P<total>\d+),  Failures: (?P<failed>\d+)$"],
    )
