"""Full runs of the chaos test, one after the other, resumable: `python -m tests.chaos.seeds --help`.

Each finished run is one line of a JSON-lines file; what stands there is not run again, so that the command may be ended
at any time and started anew. Whatever it started it ends, however it is ended. At last it writes the table of all runs
into a page of the documentation, between two markers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tests.chaos.killing import Run, kill_anything

FIRST_SEED = 1796123011
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
ROOT = Path(__file__).resolve().parents[2]


def arguments(given: list[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.seeds", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds (default 20)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"the first one (default {FIRST_SEED})")
    parser.add_argument("--executions", type=int, default=100, help="executions of each run (default 100)")
    parser.add_argument("--busy", type=int, default=5, help="so many of the runs beside busy processes (default 5)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2, help="how many of these")
    parser.add_argument("--results", type=Path, default=ROOT / ".chaos" / "runs.jsonl", help="where runs are kept")
    parser.add_argument("--table", type=Path, default=ROOT / "docs" / "guarantees.md", help="the page with the table")
    parser.add_argument("--again", action="store_true", help="run the failed ones again")
    parser.add_argument("--only-table", action="store_true", help="run nothing; write the table of what was run")
    return parser.parse_args(given)


def known(results: Path) -> dict[tuple[int, int, bool], dict[str, Any]]:
    """The last result of each run. A line that was cut off by a kill is none."""
    found: dict[tuple[int, int, bool], dict[str, Any]] = {}
    if results.exists():
        for line in results.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                found[entry["seed"], entry["executions"], entry["busy"]] = entry
    return found


@contextlib.contextmanager
def busy(processes: int) -> Generator[None]:
    """Processes that do nothing but compute, for the length of the block; they end with this one whatever ends it."""
    source = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
    started = [subprocess.Popen([sys.executable, "-c", source]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


async def one(seed: int, executions: int, *, processes: int) -> dict[str, Any]:
    """Runs one seed in a directory of its own, which stays where the run failed. Returns its entry."""
    run, began = Run(seed=seed, executions=executions), time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="px-chaos-"))
    outcome, kept = "completed", ""
    try:
        with busy(processes):
            await kill_anything(place, run, within_s=1_800.0)
    except Exception as error:  # noqa: BLE001 - whatever a run ends with is what it came to
        outcome, kept = f"{type(error).__name__}: {error}"[:2_000], str(place)
    finally:
        if not kept:
            shutil.rmtree(place, ignore_errors=True)
    return {
        "seed": seed,
        "executions": executions,
        "busy": processes > 0,
        "outcome": outcome,
        "kept": kept,
        "kills": dict(run.kills),
        "losses": dict(run.losses),
        "failures": dict(run.failures),
        "seconds": round(time.monotonic() - began, 1),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def table(entries: list[dict[str, Any]]) -> str:
    """The runs as a table, and their sums below it."""
    rows = [
        "| seed | executions | busy | kills | by part | attempts lost | outcome | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        outcome = "all completed" if entry["outcome"] == "completed" else f"**failed**: {entry['outcome'][:120]}"
        rows.append(
            f"| {entry['seed']} | {entry['executions']} | {'yes' if entry['busy'] else 'no'} "
            f"| {sum(entry['kills'].values())} | {_counts(entry['kills'])} | {_counts(entry['losses']) or 'none'} "
            f"| {_cell(outcome)} | {entry['seconds']:.0f} |"
        )
    kills, good = sum(sum(entry["kills"].values()) for entry in entries), _good(entries)
    executions = sum(entry["executions"] for entry in entries)
    rows += ["", f"{len(entries)} runs, {good} of them without a fault: {executions} executions, {kills} kills."]
    return "\n".join(rows)


def _good(entries: list[dict[str, Any]]) -> int:
    return sum(entry["outcome"] == "completed" for entry in entries)


def _counts(counted: dict[str, int]) -> str:
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def write_table(page: Path, entries: list[dict[str, Any]]) -> bool:
    """Puts the table between the markers of a page. False: the page has none."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        return False
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(entries)}\n{END}{after}", encoding="utf-8")
    return True


async def work(asked: argparse.Namespace) -> int:
    """Runs what is not there yet. Returns the exit code: 1 where a run failed."""
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    plan = [(asked.first_seed + number, asked.executions, number < asked.busy) for number in range(asked.seeds)]
    for key in plan if not asked.only_table else []:
        entry = known(asked.results).get(key)
        if entry is not None and (entry["outcome"] == "completed" or not asked.again):
            continue
        seed, executions, beside = key
        sys.stdout.write(f"seed {seed}, {executions} executions{', beside busy processes' if beside else ''} …\n")
        sys.stdout.flush()
        entry = await one(seed, executions, processes=asked.processes if beside else 0)
        with asked.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        sys.stdout.write(f"  {entry['outcome']}, {sum(entry['kills'].values())} kills, {entry['seconds']} s\n")
        sys.stdout.flush()
    found = known(asked.results)
    entries = [found[key] for key in plan if key in found]
    if not write_table(asked.table, entries):
        sys.stdout.write(f"{asked.table} has no {BEGIN} and {END}; here is the table:\n{table(entries)}\n")
    return 0 if _good(entries) == len(entries) else 1


def main(given: list[str]) -> int:
    """Runs until it is done, or a signal ends it in order."""
    asked = arguments(given)

    async def until_signalled() -> int:
        working = asyncio.create_task(work(asked))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        try:
            return await working
        except asyncio.CancelledError:
            sys.stdout.write("ended; the same command goes on where it was\n")
            return 130

    return asyncio.run(until_signalled())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
