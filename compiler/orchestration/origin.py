"""From a place in a compiled program back to the step of the file that it came from."""

from __future__ import annotations

import re

_STEP = re.compile(r"\s*// (line [1-9][0-9]*: \S.*)")


def step_at(program: str, line: int) -> str:
    """The step behind a line of a program, as `line 12: review`; empty where no YAML lies behind it."""
    for text in reversed(program.split("\n")[: max(line, 0)]):
        found = _STEP.fullmatch(text.rstrip())
        if found:
            return found[1]
    return ""
