"""The command for full runs: what was run is not run again, and the table stands between its markers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import seeds


def entry(seed: int, outcome: str = "completed", *, busy: bool = False) -> dict[str, Any]:
    """A run."""
    kills = {"executor": 3, "nats": 4}
    return {
        "seed": seed, "executions": 2, "busy": busy, "outcome": outcome, "kept": "", "kills": kills,
        "losses": {"runtime_lost": 2}, "failures": {}, "seconds": 12.34, "at": "2026-01-01T00:00:00Z",
    }  # fmt: skip


async def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a kill that cut the last line off; failed runs only where that is asked for."""
    ran: list[tuple[int, int]] = []

    async def one(seed: int, _executions: int, *, processes: int) -> dict[str, Any]:
        ran.append((seed, processes))
        return entry(seed, busy=processes > 0)

    monkeypatch.setattr(seeds, "one", one)
    results, page = tmp_path / "runs.jsonl", tmp_path / "page.md"
    lines = [json.dumps(entry(7, busy=True)), json.dumps(entry(8, "AssertionError: a | b")), '{"seed": 9, "execu']
    results.write_text("\n".join(lines) + "\n")
    page.write_text(f"before\n{seeds.BEGIN}\nold\n{seeds.END}\nafter\n")
    given = ["--seeds", "4", "--first-seed", "7", "--executions", "2", "--busy", "1", "--processes", "3"]
    given += ["--results", str(results), "--table", str(page)]
    assert await seeds.work(seeds.arguments(given)) == 1
    assert ran == [(9, 0), (10, 0)]
    assert "| 8 | 2 | no | 7 | nats 4, executor 3 | runtime_lost 2 | **failed**: AssertionError: a / b | 12 |" in (
        page.read_text()
    )
    assert await seeds.work(seeds.arguments([*given, "--again"])) == 0
    assert ran[2:] == [(8, 0)]
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| 7 | 2 | yes | 7 | nats 4, executor 3 | runtime_lost 2 | all completed | 12 |" in text
    assert "4 runs, 4 of them without a fault: 8 executions, 28 kills." in text
