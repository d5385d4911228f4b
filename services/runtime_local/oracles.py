"""Verification commands: run in a session's worktree as an agent would be run, and read for what they found."""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from schemas.agents import Oracle, OracleResult
from services.runtime_local.environment import NotFound, find_program, search_path
from services.runtime_local.program import Program, start_program
from services.runtime_local.speech import clean

MAX_OUTPUT = 16 * 1024
"""So much of the end of an oracle's output is kept."""

_SHELL = re.compile(r"[|&;<>()$`*?\[\]{}~\n]|^\s*[A-Za-z_][A-Za-z0-9_]*=")
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|deselected)\b")
_UNITTEST = re.compile(r"^Ran (\d+) tests? in .*\n+(?:OK|FAILED)\b(.*)$", re.MULTILINE)
_SUMMARY = re.compile(r"^=*\s*(?:\d+ (?:passed|failed|skipped|errors?|xfailed|xpassed|deselected|warnings?)(?:, )?)+")


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
        return oracle.run
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
    tail = _Tail()
    program.read(tail.add, tail.add)
    program.close_input()
    if running.is_frozen():
        program.freeze()
    timed_out = await _wait(program, oracle.timeout_ms / 1000, running)
    code = await program.wait()
    running.program = None
    took = round((time.monotonic() - began) * 1000)
    note = running.stopped or (f"It did not end within {oracle.timeout_ms} ms and was ended." if timed_out else "")
    if note:
        return OracleResult(type=oracle.type, name=name, duration_ms=took, output=tail.text, note=note)
    return judge(oracle, code, tail.text, name=name, duration_ms=took)


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


class _Tail:
    def __init__(self) -> None:
        self.text = ""

    def add(self, line: bytes, _ends: bool) -> None:
        self.text = (self.text + clean(line) + "\n")[-MAX_OUTPUT:]


def judge(oracle: Oracle, code: int, output: str, *, name: str = "", duration_ms: int = 0) -> OracleResult:
    """What an exit code and an output are worth. Skipped tests count against a pass: they prove nothing."""
    counts = counts_of(output)
    score: float | None = oracle.pass_confidence if code == 0 else oracle.fail_confidence
    note = ""
    if oracle.score_pattern:
        score, note = _read_score(oracle.score_pattern, output)
    elif code == 0 and counts is not None:
        passed, _, skipped = counts
        if passed + skipped == 0:
            score, note = None, "No test ran."
        elif skipped:
            score = oracle.pass_confidence * passed / (passed + skipped)
            note = f"{skipped} of {passed + skipped} tests were skipped."
    return OracleResult(
        type=oracle.type,
        name=name,
        score=score,
        passed=code == 0 and score is not None and not (counts is not None and counts[0] == 0 < counts[2]),
        exit_code=code,
        duration_ms=duration_ms,
        tests_passed=counts[0] if counts else None,
        tests_failed=counts[1] if counts else None,
        tests_skipped=counts[2] if counts else None,
        output=output,
        note=note,
    )


def counts_of(output: str) -> tuple[int, int, int] | None:
    """The last summary like pytest's or unittest's: how many tests passed, failed and were skipped."""
    told = list(_UNITTEST.finditer(output))
    if told:
        found = {kind: int(number) for kind, number in re.findall(r"(\w+)=(\d+)", told[-1].group(2))}
        failed, skipped = found.get("failures", 0) + found.get("errors", 0), found.get("skipped", 0)
        return max(0, int(told[-1].group(1)) - failed - skipped), failed, skipped
    for line in reversed(output.splitlines()):
        if not _SUMMARY.match(line.strip()):
            continue
        found = {kind.removesuffix("s"): int(number) for number, kind in _COUNT.findall(line)}
        if found:
            failed = found.get("failed", 0) + found.get("error", 0)
            return found.get("passed", 0) + found.get("xpassed", 0), failed, found.get("skipped", 0)
    return None


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
        found = list(re.finditer(pattern, output))
    except re.error as error:
        return None, f"The scorePattern {pattern!r} is no regular expression: {error}."
    if not found:
        return None, f"The scorePattern {pattern!r} was not found in the output."
    last = found[-1]
    if last.re.groups > 1:
        return _share(pattern, *last.groups()[:2])
    text = (last.group(1) if last.re.groups else last.group(0)) or ""
    percent = text.rstrip().endswith("%") or output[last.end(last.re.groups and 1) :][:1] == "%"
    try:
        number = float(text.rstrip().removesuffix("%"))
    except ValueError:
        return None, f"The scorePattern {pattern!r} found {text!r}, which is no number."
    number = number / 100 if percent else number
    if not 0.0 <= number <= 1.0:
        return None, f"The scorePattern {pattern!r} found {text!r}, which is no score from 0 to 1."
    return number, ""
