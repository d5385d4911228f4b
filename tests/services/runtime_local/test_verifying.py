"""Verification commands: what is run, what its output is worth, and what is no evidence."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.agents import Oracle, OracleResult, VerifyOffer, VerifyReply
from schemas.events import ExecutionCompleted
from services.runtime_local.oracles import command_of, judge, report_of
from shared import subjects
from shared.ids import new_id
from shared.testing import eventually
from tests.services.runtime_local.stage import Stage, stage
from tests.services.runtime_local.test_reports import PROVE_NOTHING


def offer(place: Path, *oracles: Oracle, **fields: Any) -> VerifyOffer:
    """Oracles offered for a worktree."""
    return VerifyOffer(
        verification_id=str(fields.pop("verification_id", new_id())),
        execution_id=str(fields.pop("execution_id", f"e{new_id()[:12]}")),
        session="worker-1",
        role="worker",
        workspace=str(place),
        oracles=list(oracles),
        **fields,
    )


async def ask(scene: Stage, offered: VerifyOffer) -> VerifyReply:
    """The runtime's verdicts."""
    return await scene.bus.request(subjects.runtime_verify("local"), offered, VerifyReply, timeout_s=20)


async def verdict(scene: Stage, place: Path, **fields: Any) -> OracleResult:
    """One oracle's verdict."""
    reply = await ask(scene, offer(place, Oracle(**fields)))
    assert not reply.error
    return reply.results[0]


def python(*lines: str) -> list[str]:
    """A command that runs these lines."""
    return [sys.executable, "-c", "\n".join(lines)]


async def test_the_exit_code_decides(nats_url: str, tmp_path: Path) -> None:
    """passConfidence for 0, failConfidence for anything else; the output's end is kept."""
    async with stage(nats_url, tmp_path) as scene:
        good = await verdict(scene, tmp_path, run=python("print('fine')"), pass_confidence=0.9)
        assert (good.score, good.passed, good.exit_code, good.output) == (0.9, True, 0, "fine\n")
        bad = await verdict(scene, tmp_path, run=python("raise SystemExit(3)"), fail_confidence=0.2)
        assert (bad.score, bad.passed, bad.exit_code) == (0.2, False, 3)


async def test_it_runs_in_the_worktree_or_below_it(nats_url: str, tmp_path: Path) -> None:
    """`cwd` is relative to the worktree, and cannot leave it, by dots or by a link."""
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "link").symlink_to(tmp_path)
    async with stage(nats_url, tmp_path) as scene:
        show = python("import os; print(os.getcwd())")
        assert (await verdict(scene, tmp_path / "tree", run=show)).output == f"{tmp_path / 'tree'}\n"
        assert (await verdict(scene, tmp_path / "tree", run=show, cwd="sub")).output == f"{tmp_path / 'tree' / 'sub'}\n"
        for place in ("..", "link", "/", "sub/../.."):
            outside = await verdict(scene, tmp_path / "tree", run=show, cwd=place)
            assert (outside.score, outside.passed) == (None, False)
            assert "outside the worktree" in outside.note
        absent = await verdict(scene, tmp_path / "tree", run=show, cwd="absent")
        assert absent.score is None
        assert "does not exist" in absent.note


async def test_what_cannot_be_run_is_no_evidence(nats_url: str, tmp_path: Path) -> None:
    """A missing program, an unclosed quotation mark, an empty command: no score, and a sentence."""
    async with stage(nats_url, tmp_path) as scene:
        for run, note in (("no-such-tool -q", "was not found in PATH"), ("echo 'x", "quotation"), ([], "no command")):
            result = await verdict(scene, tmp_path, run=run)
            assert (result.score, result.passed) == (None, False)
            assert note in result.note
        reply = await ask(scene, offer(tmp_path / "absent", Oracle(run="true")))
        assert "is not on this machine" in reply.error


async def test_a_command_that_takes_too_long_is_ended_and_no_evidence(nats_url: str, tmp_path: Path) -> None:
    """With its children; the limit is said."""
    async with stage(nats_url, tmp_path) as scene:
        mark = tmp_path / "alive"
        child = f"import time; time.sleep(3); open({str(mark)!r}, 'w')"
        result = await verdict(
            scene,
            tmp_path,
            run=python(
                "import subprocess, sys, time",
                f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)",
                "print('begun', flush=True); time.sleep(300)",
            ),
            timeout_ms=700,
        )
        assert (result.score, result.passed, result.output) == (None, False, "begun\n")
        assert "within 700 ms" in result.note
        await asyncio.sleep(3)  # the child would have made its mark by now
        assert not mark.exists()


async def test_output_is_bounded_and_readable(nats_url: str, tmp_path: Path) -> None:
    """The end of it is kept, without terminal sequences and with what is no UTF-8 replaced."""
    async with stage(nats_url, tmp_path) as scene:
        lines = ("import sys", "sys.stdout.buffer.write(b'x' * 3_000_000 + b'\\n\\x1b[1m\\xffend\\x00\\n')")
        result = await verdict(scene, tmp_path, run=python(*lines))
        assert len(result.output) <= 16 * 1024
        assert result.output.endswith("\ufffdend\n")


async def test_a_text_with_shell_syntax_is_the_patterns_own_shell(nats_url: str, tmp_path: Path) -> None:
    """Without any it is split into words, and no shell sees it."""
    async with stage(nats_url, tmp_path) as scene:
        assert (await verdict(scene, tmp_path, run="echo a && echo b")).output == "a\nb\n"
        assert (await verdict(scene, tmp_path, run="printf '%s.' 'a b' c")).output == "a b.c.\n"
    assert command_of(Oracle(run=["printf", "$(id)"])) == ["printf", "$(id)"]
    for words in ("! grep -q bad f", "exit 1", "cd lib", ". ./env", "export A"):
        assert command_of(Oracle(run=words)) == ["sh", "-c", words]
    for words in ("cdparanoia x", "exitcode", "pytest !x", "git set"):
        assert command_of(Oracle(run=words))[0] != "sh"


async def test_the_same_verification_is_run_once(nats_url: str, tmp_path: Path) -> None:
    """Whoever asks again joins, or is answered from memory."""
    async with stage(nats_url, tmp_path) as scene:
        mark = tmp_path / "mark"
        asked = offer(
            tmp_path, Oracle(run=python(f"open({str(mark)!r}, 'a').write('x')", "import time; time.sleep(.3)"))
        )
        first, second = await asyncio.gather(ask(scene, asked), ask(scene, asked))
        assert first == second == await ask(scene, asked)
        assert mark.read_text() == "x"


async def test_the_end_of_the_execution_ends_its_verification(nats_url: str, tmp_path: Path) -> None:
    """The command is ended, and whoever asked is told; it is not taken for a verdict."""
    async with stage(nats_url, tmp_path) as scene:
        mark = tmp_path / "mark"
        asked = offer(tmp_path, Oracle(run=python(f"open({str(mark)!r}, 'w')", "import time; time.sleep(300)")))
        asking = asyncio.create_task(ask(scene, asked))
        await eventually(mark.exists, timeout_s=10)
        await scene.bus.append(ExecutionCompleted(execution_id=asked.execution_id))
        reply = await asking
        assert reply.error == "the execution is over"
        assert [result.score for result in reply.results] == [None]


@pytest.mark.parametrize(
    ("code", "output", "score", "passed"),
    [
        (0, "==== 8 passed in 0.1s ====", 1.0, True),
        (0, "6 passed, 2 skipped in 0.1s", 0.75, True),
        (0, "6 passed, 2 deselected in 0.1s", 1.0, True),
        (0, "===== 4 skipped in 0.1s =====", None, False),
        (0, "no tests ran in 0.01s", None, False),
        (5, "no tests ran in 0.01s", None, False),
        (0, "0 passed in 0.01s", None, False),
        (1, "===== 1 failed, 9 passed in 0.1s =====", 0.0, False),
        (0, "===== 1 failed, 9 passed in 0.1s =====", 0.0, False),
        (2, "9 passed in 0.1s", 0.0, False),
        (0, "I said 5 skipped lines", 1.0, True),
        (1, "I said 5 skipped lines", 0.0, False),
        (0, "Ran 4 tests in 0.001s\n\nOK", 1.0, True),
        (0, "Ran 4 tests in 0.001s\n\nOK (skipped=1)", 0.75, True),
        (0, "Ran 2 tests in 0.001s\n\nOK (skipped=2)", None, False),
        (0, "Ran 0 tests in 0.000s\n\nOK", None, False),
        (1, "Ran 4 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)", 0.0, False),
        (0, "1..3\nok 1\nok 2", None, False),
        (1, "1..3\nok 1\nok 2", 0.0, False),
    ],
)
def test_a_report_decides_before_the_exit_code(code: int, output: str, score: float | None, passed: bool) -> None:
    """Failures are failures, skipped tests are discounted, and a report of no test is no evidence."""
    result = judge(Oracle(run="pytest"), code, output, report=report_of(output))
    assert (result.score, result.passed) == (score, passed)
    assert (result.note != "") == (score is None or 0 < score < 1 or (code == 0 and score == 0))


@pytest.mark.parametrize("output", PROVE_NOTHING.values(), ids=PROVE_NOTHING.keys())
def test_exit_code_0_beside_a_report_of_nothing_is_no_evidence(output: str) -> None:
    """The note says what the report says."""
    result = judge(Oracle(run="true"), 0, output, report=report_of(output))
    assert (result.score, result.passed) == (None, False)
    assert result.note


def test_a_hidden_exit_status_is_no_evidence_where_nothing_was_counted() -> None:
    """A report that is counted is evidence all the same, and an exit code other than 0 is what it is."""
    oracle = Oracle(run="pytest -q 2>&1 | tail -5")
    nothing = judge(oracle, 0, "fine", report=None)
    assert (nothing.score, nothing.passed) == (None, False)
    assert "`| tail -5` gives the pipe its own exit status" in nothing.note
    counted = judge(oracle, 0, "", report=report_of("3 passed in 0.1s"))
    assert (counted.score, counted.passed) == (1.0, True)
    failed = judge(oracle, 0, "", report=report_of("1 failed, 1 passed in 0.03s"))
    assert (failed.score, failed.passed) == (0.0, False)
    assert "1 test failed, although the exit code is 0" in failed.note
    assert judge(oracle, 1, "fine", report=None).score == 0.0


async def test_a_report_is_found_before_a_long_end(nats_url: str, tmp_path: Path) -> None:
    """Only the end of the output is kept, but all of it is read, from both streams."""
    async with stage(nats_url, tmp_path) as scene:
        lines = (
            "import sys",
            "sys.stderr.write('\\x1b[31m1 failed\\x1b[0m, 2 passed in 0.1s\\n'); sys.stderr.flush()",
            "[print('so be it', n) for n in range(20_000)]",
        )
        result = await verdict(scene, tmp_path, run=python(*lines))
        assert (result.score, result.passed) == (0.0, False)
        assert (result.tests_passed, result.tests_failed) == (2, 1)
        assert "failed" not in result.output


@pytest.mark.parametrize(
    ("pattern", "output", "score", "note"),
    [
        (r"score: ([\d.]+)", "score: 0.5\nscore: 0.7", 0.7, ""),
        (r"(\d+)%", "coverage 87%", 0.87, ""),
        (r"[\d.]+$", "0.25", 0.25, ""),
        (r"score ([\d.]+)$", "score 0.25\n", 0.25, ""),
        (r"^(\w+\s?)+(\d)$", "a" * 40 + "!", None, "was not found"),
        (r"(?<=score )(\d)", "score 1", None, "look-behind"),
        (r"score: (\S+)", "score: 7", None, "no score from 0 to 1"),
        (r"score: (\S+)", "score: nan", None, "no score from 0 to 1"),
        (r"score: (\S+)", "score: good", None, "no number"),
        (r"score: (\S+)", "nothing", None, "was not found"),
        (r"score: (", "score: 1", None, "is never closed"),
        (r"score: (x)?", "score: ", None, "no number"),
        (r"pass (\d+)[\s\S]*?fail (\d+)", "pass 3\nfail 1", 0.75, ""),
        (r"(\d+) passed(?:, (\d+) failed)?", "4 passed", 1.0, ""),
        (r"(\d+) passed, (\d+) failed", "0 passed, 0 failed", None, "No test ran"),
        (r"(\w+) passed, (\d+) failed", "some passed, 1 failed", None, "not numbers"),
    ],
)
def test_a_score_pattern_reads_the_score(pattern: str, output: str, score: float | None, note: str) -> None:
    """The last match counts; two numbers are how much passed and how much failed.

    What cannot be read is no evidence, whatever the exit code says.
    """
    result = judge(Oracle(run="x", score_pattern=pattern), 0, output, report=report_of(output))
    assert result.score == (pytest.approx(score) if score is not None else None)
    assert note in result.note
    assert result.passed == (score is not None)
