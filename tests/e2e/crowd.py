"""A program for many roles: it says that it is there, waits to be let go, and does what its task says.

`python crowd.py PLACE`. The task is `NAME` and words: `fail` ends with 3, `stubborn` gives its result when it is told
to stop, and does not stop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """One turn."""
    place = Path(sys.argv[1])
    name, *words = str(json.loads(sys.stdin.readline())["task"]).split()
    result = json.dumps({"type": "result", "result": f"did {name}"})
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, lambda _number, _frame: say(result))
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    (place / f"{name}.new").write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    (place / f"{name}.new").rename(place / f"{name}.pids")
    while not (place / f"{name}.go").exists():
        time.sleep(0.02)  # the file is the test's word; there is nothing to wait on
    if "fail" in words:
        return 3
    say(result)
    return 0


def say(line: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
