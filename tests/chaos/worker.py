"""The agent of the chaos test: adds one line to one file of its worktree, and says so.

Its line names the task, so that work that was done twice is two lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Does the turn that is on standard input."""
    turn = json.loads(sys.stdin.readline())
    notes = Path(turn["workspace"]) / f"{turn['role']}.txt"
    with notes.open("a", encoding="utf-8") as file:
        file.write(f"{turn['task_id']}\n")
    for message in (
        {"type": "progress", "text": "wrote a line"},
        {"type": "result", "result": {"line": turn["task_id"]}, "confidence": 0.9},
    ):
        sys.stdout.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    main()
