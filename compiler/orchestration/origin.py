"""From a place in a compiled program back to the step of the file that it came from."""

from __future__ import annotations

import re

from compiler.orchestration.calling import shown_name
from compiler.prism import PrismError
from schemas.patterns import CompiledPattern

_STEP = re.compile(r"\s*// (line [1-9][0-9]*(?: of [^:]+)?: \S.*)")


def step_at(program: str, line: int) -> str:
    """The step behind a line of a program, as `line 12: review`; empty where no YAML lies behind it."""
    for text in reversed(program.split("\n")[: max(line, 0)]):
        found = _STEP.fullmatch(text.rstrip())
        if found:
            return found[1]
    return ""


def place_of(pattern: CompiledPattern, error: PrismError) -> str:
    """Where in a pattern's program, or in one that it calls, an error is, and the step of the file behind it."""
    line = f":{error.line}:{error.column}" if error.line else ""
    place = f"{error.file or 'program'}{line}"
    called = next((one for one in pattern.called.values() if shown_name(one) == error.file), None)
    found = called or pattern
    step = step_at(found.program, error.line) if found.format != "prism" else ""
    return f"{step} ({place})" if step else place
