"""Verification commands: run where the work is as an agent would be run, and judged by what they report.

A report of a test runner is worth more than an exit code: its failures are failures whatever the code says, and one of
nothing but skipped, left out or missing tests proves nothing. Where no report is recognised the exit code decides,
unless the command hides it.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from compiler.exit_status import HiddenStatus, hidden_status
from compiler.regular_expressions import BadExpression, compiled
from schemas.agents import Oracle, OracleResult
from services.runtime_local.environment import NotFound, find_program, search_path
from services.runtime_local.program import Program, start_program
from services.runtime_local.reports import Report, ReportReader, Tally, read_report
from services.runtime_local.speech import clean

MAX_OUTPUT = 16 * 1024
"""So much of the end of an oracle's output is kept."""

LONGEST_REPORT_LINE = 1024 * 1024
"""A longer line is read for reports in parts of this many bytes."""

_SHELL = re.compile(
    r"[|&;<>()$`*?\[\]{}~\n]|^\s*[A-Za-z_][A-Za-z0-9_]*=|"
    r"^\s*(?:!|:|\.|cd|command|eval|exec|exit|export|set|trap|type|ulimit|umask|unset)(?:\s|$)"
)
"""What only a shell knows: operators, expansions, assignments, and its own first words."""


class Running:
    """The programs of one verification, so that they can be frozen and ended from outside."""

    def __init__(self, execution_id: str, frozen: Callable[[str], bool]) -> None:
        self.execution_id = execution_id
        self.program: Program | None = None
        self.stopped = ""
        self._frozen = frozen

    def is_frozen(self) -> bool:
        """Whether the execution is paused now."""
        return self._frozen(self.execution_id)

    async def stop(self, reason: str) -> None:
        """Ends the running oracle, and lets none follow."""
        self.stopped = reason
        if self.program is not None:
            await self.program.end(grace_s=0.5)


def command_of(oracle: Oracle) -> list[str]:
    """The oracle's program and arguments. A text with shell syntax is the pattern's own, and run by `sh`."""
    if isinstance(oracle.run, list):
        return list(oracle.run)
    if _SHELL.search(oracle.run):
        return ["sh", "-c", oracle.run]
    return shlex.split(oracle.run)


async def run_oracle(oracle: Oracle, *, workspace: Path, env: dict[str, str], running: Running) -> OracleResult:
    """Runs one command oracle. What could not be run, or not be read, is no evidence: its score is None."""
    if running.stopped:
        return OracleResult(type=oracle.type, note=running.stopped)
    name = oracle.run if isinstance(oracle.run, str) else shlex.join(oracle.run)
    try:
        cwd, argv = _place(oracle, workspace), command_of(oracle)
        if not argv:
            raise NotFound("The oracle says no command.")
        argv[0] = find_program(argv[0], path=search_path(env), workspace=workspace)
    except (NotFound, ValueError) as error:
        return OracleResult(type=oracle.type, name=name, note=str(error))
    began = time.monotonic()
    try:
        program = await start_program(argv, cwd=cwd, env=env)
    except OSError as error:
        return OracleResult(type=oracle.type, name=name, note=f"{argv[0]} cannot be started: {error}.")
    running.program = program
    heard = _Heard()
    program.read(heard.out, heard.err)
    program.close_input()
    if running.is_frozen():
        program.freeze()
    timed_out = await _wait(program, oracle.timeout_ms / 1000, running)
    code = await program.wait()
    running.program = None
    took = round((time.monotonic() - began) * 1000)
    note = running.stopped or (f"It did not end within {oracle.timeout_ms} ms and was ended." if timed_out else "")
    if note:
        return OracleResult(type=oracle.type, name=name, duration_ms=took, output=heard.tail, note=note)
    return judge(oracle, code, heard.tail, report=heard.report(), name=name, duration_ms=took)


def _place(oracle: Oracle, workspace: Path) -> Path:
    place = (workspace / oracle.cwd).resolve()
    if not place.is_relative_to(workspace.resolve()):
        raise NotFound(f"The oracle's cwd {oracle.cwd!r} is outside the worktree.")
    if not place.is_dir():
        raise NotFound(f"The oracle's cwd {oracle.cwd!r} does not exist in the worktree.")
    return place


async def _wait(program: Program, timeout_s: float, running: Running) -> bool:
    """Waits for the program, at most so long of the time in which it was not frozen. True when that was too short."""
    ended = asyncio.create_task(program.wait())
    left = timeout_s
    while left > 0:
        slice_s = min(0.25, left)
        done, _ = await asyncio.wait({ended}, timeout=slice_s)
        if done:
            return False
        if not running.is_frozen():
            left -= slice_s
    await program.end(grace_s=0.5)
    await ended
    return True


class _Heard:
    """What an oracle writes: the end of it as text, and the reports in all of it."""

    def __init__(self) -> None:
        self.tail = ""
        self._readers = (ReportReader(), ReportReader())
        self._begun = [b"", b""]

    def out(self, piece: bytes, ends: bool) -> None:
        """Takes a piece of standard output."""
        self._add(0, piece, ends)

    def err(self, piece: bytes, ends: bool) -> None:
        """Takes a piece of standard error."""
        self._add(1, piece, ends)

    def report(self) -> Report | None:
        """What test runners reported on both."""
        return read_report(*self._readers)

    def _add(self, stream: int, piece: bytes, ends: bool) -> None:
        self.tail = (self.tail + clean(piece) + "\n" * ends)[-MAX_OUTPUT:]
        self._begun[stream] += piece
        if not ends and len(self._begun[stream]) < LONGEST_REPORT_LINE:
            return
        line, self._begun[stream] = self._begun[stream], b""
        for part in line.split(b"\r"):
            self._readers[stream].line(clean(part))


def report_of(output: str) -> Report | None:
    """The reports in a text."""
    reader = ReportReader()
    for line in output.split("\n"):
        reader.line(line)
    return read_report(reader)


def judge(
    oracle: Oracle, code: int, output: str, *, report: Report | None, name: str = "", duration_ms: int = 0
) -> OracleResult:
    """What an exit code, an output and the reports in it are worth. A score of None: they prove nothing."""
    tally = report.tally if report is not None else None
    score, note = _worth(oracle, code, output, report)
    return OracleResult(
        type=oracle.type,
        name=name,
        score=score,
        passed=code == 0 and score is not None and not (tally is not None and tally.failed),
        exit_code=code,
        duration_ms=duration_ms,
        tests_passed=tally.passed if tally else None,
        tests_failed=tally.failed if tally else None,
        tests_skipped=tally.skipped if tally else None,
        output=output,
        note=note,
    )


def _worth(oracle: Oracle, code: int, output: str, report: Report | None) -> tuple[float | None, str]:
    if report is not None:
        empty = _proves_nothing(code, report)
        if empty:
            return None, empty
    if oracle.score_pattern:
        return _read_score(oracle.score_pattern, output)
    if report is not None:
        return _of_report(oracle, code, report.tally)
    if code != 0:
        return oracle.fail_confidence, ""
    hidden = hidden_status(command_of(oracle))
    return (None, _hides(hidden)) if hidden is not None else (oracle.pass_confidence, "")


def _proves_nothing(code: int, report: Report) -> str:
    """Why a report is no evidence; empty where it is some."""
    tally, runners = report.tally, ", ".join(report.runners)
    if tally.failed or tally.passed:
        return f"The report of {runners} is not whole: {tally.broken}." if tally.broken and not code else ""
    if tally.skipped or tally.filtered:
        parts = [f"{tally.skipped} skipped"] if tally.skipped else []
        parts += [f"{tally.filtered} left out by a selection"] if tally.filtered else []
        return f"No test ran: {runners} reports {' and '.join(parts)}."
    return f"The report of {runners} is not whole: {tally.broken}." if tally.broken else f"No test ran ({runners})."


def _of_report(oracle: Oracle, code: int, tally: Tally) -> tuple[float, str]:
    if tally.failed:
        failed = "1 test" if tally.failed == 1 else f"{tally.failed} tests"
        note = "" if code else f"{failed} failed, although the exit code is 0."
        return oracle.fail_confidence, note
    if code != 0:
        return oracle.fail_confidence, ""
    if tally.skipped:
        total = tally.passed + tally.skipped
        return oracle.pass_confidence * tally.passed / total, f"{tally.skipped} of {total} tests were skipped."
    return oracle.pass_confidence, ""


def _hides(hidden: HiddenStatus) -> str:
    return f"Exit code 0 proves nothing: `{hidden.text}` {hidden.why}, and no tests were counted. {hidden.hint}"


def _share(pattern: str, passed: str | None, failed: str | None) -> tuple[float | None, str]:
    """Two numbers are how much passed and how much failed."""
    try:
        good, bad = float(passed or 0), float(failed or 0)
    except ValueError:
        return None, f"The scorePattern {pattern!r} found {passed!r} and {failed!r}, which are not numbers."
    if good < 0 or bad < 0 or good + bad == 0:
        return None, "No test ran."
    return good / (good + bad), ""


def _read_score(pattern: str, output: str) -> tuple[float | None, str]:
    try:
        expression = compiled(pattern)
    except BadExpression as error:
        return None, f"The scorePattern {pattern!r} cannot be used: {error}."
    # `$` is the end of the text, and the line break at the end of an output is not meant
    found = list(expression.every(output)) or list(expression.every(output.rstrip("\n")))
    if not found:
        return None, f"The scorePattern {pattern!r} was not found in the output."
    last, groups = found[-1], expression.groups
    if groups > 1:
        return _share(pattern, last.group(1), last.group(2))
    text = last.group(min(groups, 1)) or ""
    percent = text.rstrip().endswith("%") or output[last.end(min(groups, 1)) :][:1] == "%"
    try:
        number = float(text.rstrip().removesuffix("%"))
    except ValueError:
        return None, f"The scorePattern {pattern!r} found {text!r}, which is no number."
    number = number / 100 if percent else number
    if not 0.0 <= number <= 1.0:
        return None, f"The scorePattern {pattern!r} found {text!r}, which is no score from 0 to 1."
    return number, ""
