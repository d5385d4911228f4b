"""An agent that mends what `ruff check` can mend, by the repository's own rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any, cast

from parallax.demo_agents.protocol import fail, progress, run

_FAULTS_FOUND = 1
_TIMEOUT_S = 300


def work(task: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Counts the faults, has ruff mend them, counts what is left. As sure as the share that was mended."""
    del task
    before = _faults()
    progress(f"ruff finds {len(before)} faults")
    if before:
        _ruff("check", "--no-cache", "--fix", "--exit-zero", "--quiet", ".")
    left = _faults()
    rules = Counter(str(fault.get("code") or "syntax") for fault in before)
    progress(f"{len(before) - len(left)} mended, {len(left)} left")
    summary: dict[str, Any] = {
        "summary": f"{len(before) - len(left)} of {len(before)} lint faults mended",
        "found": len(before),
        "left": len(left),
        "rules": dict(sorted(rules.items())),
    }
    if left:
        summary["remaining"] = [f"{fault.get('filename')}: {fault.get('message')}" for fault in left[:20]]
    share = 1.0 if not before else (len(before) - len(left)) / len(before)
    return summary, 0.5 + 0.45 * share


def _faults() -> list[dict[str, Any]]:
    out = _ruff("check", "--no-cache", "--output-format", "json", "--exit-zero", ".")
    try:
        found = json.loads(out or "[]")
    except ValueError:
        fail(f"ruff did not answer in JSON: {out[:200]}")
    return cast("list[dict[str, Any]]", found)


def _ruff(*arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        fail(f"ruff could not be run: {error}")
    if done.returncode > _FAULTS_FOUND or "No module named ruff" in done.stderr:
        fail(f"ruff failed: {done.stderr.strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    run(work)
