"""From a place in a compiled program back to the step of the file that it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from compiler.orchestration.calling import shown_name
from compiler.prism import PrismError
from schemas.patterns import CompiledPattern

_EMPTY = re.compile(r"the task of step '(?P<step>.*)' is empty")
_INPUT = re.compile(r"\binput\??\.([A-Za-z_][A-Za-z0-9_]*)")
_STEP = re.compile(r"\s*// (line [1-9][0-9]*(?: of [^:]+)?: \S.*)")


def step_at(program: str, line: int) -> str:
    """The step behind a line of a program, as `line 12: review`; empty where no YAML lies behind it."""
    for text in reversed(program.split("\n")[: max(line, 0)]):
        found = _STEP.fullmatch(text.rstrip())
        if found:
            return found[1]
    return ""


def empty_task(step: str) -> str:
    """The message of a step whose task says nothing."""
    return f"the task of step {step!r} is empty"


def explained(message: str, pattern: CompiledPattern, given: Mapping[str, Any]) -> str:
    """The message of a program's error, with the inputs that were not given where a step's task is empty for that."""
    found = _EMPTY.fullmatch(message)
    lacking = lacking_inputs(pattern.program, found["step"], given) if found else ""
    return f"{message}: {lacking}" if lacking else message


def lacking_inputs(program: str, step: str, given: Mapping[str, Any]) -> str:
    """The fields of the input that a step's text is made of and that say nothing, as `input.task is not given`."""
    lines = program.split("\n")
    at = next((number for number, line in enumerate(lines) if f"id: {json.dumps(step)}" in line), None)
    if at is None:
        return ""
    first = next((number for number in range(at, -1, -1) if _STEP.fullmatch(lines[number].rstrip())), at)
    names = dict.fromkeys(_INPUT.findall("\n".join(lines[first : at + 1])))
    words = [
        f"input.{name} is {'not given' if given.get(name) is None else 'empty'}"
        for name in names
        if given.get(name) is None or (isinstance(given[name], str) and not given[name].strip())
    ]
    return ", ".join(words)


def place_of(pattern: CompiledPattern, error: PrismError) -> str:
    """Where in a pattern's program, or in one that it calls, an error is, and the step of the file behind it."""
    line = f":{error.line}:{error.column}" if error.line else ""
    place = f"{error.file or 'program'}{line}"
    called = next((one for one in pattern.called.values() if shown_name(one) == error.file), None)
    found = called or pattern
    step = step_at(found.program, error.line) if found.format != "prism" else ""
    return f"{step} ({place})" if step else place
