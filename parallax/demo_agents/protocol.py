"""The command-agent convention from the agent's side: one task in, lines out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", "build", "dist", "__pycache__", ".tox", ".mypy_cache"})
MOST_BYTES = 1_000_000


def read_task() -> dict[str, Any]:
    """The task on standard input. Ends the program with a sentence when there is none."""
    line = sys.stdin.readline()
    try:
        task = json.loads(line)
    except ValueError:
        fail("a task is expected on standard input, as one line of JSON")
    if not isinstance(task, dict):
        fail("a task is a JSON object")
    return cast("dict[str, Any]", task)


def progress(text: str) -> None:
    """A line for whoever watches."""
    _say({"type": "progress", "text": text})


def result(value: Any, confidence: float | None = None) -> None:
    """The end of the turn: what came out, and how sure the agent is."""
    line = {"type": "result", "result": value}
    _say(line if confidence is None else {**line, "confidence": round(confidence, 3)})


def fail(reason: str) -> NoReturn:
    """Ends the program as failed; the sentence goes to standard error."""
    sys.stderr.write(f"{reason}\n")
    sys.exit(1)


def run(work: Callable[[dict[str, Any]], tuple[Any, float | None]]) -> None:
    """Reads the task, does the work, writes the result."""
    value, confidence = work(read_task())
    result(value, confidence)


def python_files(root: Path) -> Iterator[Path]:
    """The Python files below a directory, in order; links and generated directories are left out."""
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root).parts
        if any(part in SKIPPED for part in inside) or path.is_symlink() or not path.is_file():
            continue
        if path.stat().st_size <= MOST_BYTES:
            yield path


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()
