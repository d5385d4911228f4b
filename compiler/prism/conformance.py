"""Conformance cases: programs with the value and confidence they must have, one JSON object a line.

A case with an `error` passes when the program is refused or fails with a Prism error, never with any other exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from compiler.prism.errors import PrismError
from compiler.prism.options import Options
from compiler.prism.program import compile_program
from compiler.prism.running import run, run_exports
from compiler.prism.values import Confident, to_json

_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"), "-0": 0.0}


@dataclass(frozen=True, slots=True)
class Case:
    """One program and what is expected of it."""

    id: str
    source: str
    expect: Mapping[str, Any]
    files: Mapping[str, str] | None = None
    entry: str = ""
    options: Options = field(default_factory=Options)
    inputs: Mapping[str, Any] | None = None


def read_case(data: object) -> Case:
    """A case from its JSON. Raises ValueError saying what is missing."""
    if not isinstance(data, dict):
        raise ValueError("a case is a JSON object")  # noqa: TRY004 - one kind of error for every bad case
    fields = cast("dict[str, Any]", data)
    expect, files, entry = fields.get("expect"), fields.get("files"), fields.get("entry", "")
    if not isinstance(expect, dict) or not ("error" in expect or "value" in expect):
        raise ValueError("a case needs `expect` with a `value` or an `error`")
    if files is not None:
        if not isinstance(files, dict) or not all(isinstance(text, str) for text in cast("Any", files).values()):
            raise ValueError("`files` maps paths to texts")
        if entry not in files:
            raise ValueError("`entry` names one of the `files`")
    elif not isinstance(fields.get("source"), str):
        raise ValueError("a case needs a `source`, or `files` and an `entry`")
    name, inputs = fields.get("id", "?"), fields.get("inputs")
    return Case(
        name if isinstance(name, str) else "?",
        str(fields.get("source") or ""),
        cast("Mapping[str, Any]", expect),
        cast("Mapping[str, str] | None", files),
        str(entry),
        _options(fields),
        cast("Mapping[str, Any]", inputs) if isinstance(inputs, dict) else None,
    )


def _options(fields: dict[str, Any]) -> Options:
    given = fields.get("options")
    options = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    bands = options.get("bands")
    levels = cast("dict[str, Any]", bands) if isinstance(bands, dict) else options
    legacy = bool(options.get("legacy", fields.get("legacy", False)))
    return Options(float(levels.get("high", 0.7)), float(levels.get("medium", 0.5)), legacy)


def check_case(case: Case) -> str:
    """What is wrong with the outcome of a case, or "" when it passes."""
    try:
        outcome = encode(outcome_of(case))
    except PrismError as failure:
        return "" if "error" in case.expect else f"expected {_shown(case.expect)}, got {failure}"
    if "error" in case.expect:
        return f"expected an error ({case.expect['error']}), got {_shown(outcome)}"
    wanted = {"value": case.expect["value"], "confidence": case.expect.get("confidence")}
    return "" if equal(wanted, outcome) else f"expected {_shown(wanted)}, got {_shown(outcome)}"


def outcome_of(case: Case) -> Any:
    """What the program of a case ends with. Raises PrismError when it is refused or fails."""
    if case.files is None:
        return run(compile_program(case.source, options=case.options), case.inputs)
    program = compile_program(case.files[case.entry], name=case.entry, modules=case.files, options=case.options)
    return run_exports(program, case.inputs)[1].get("out")


def encode(value: Any) -> dict[str, Any]:
    """A result as `{"value", "confidence"}`."""
    if isinstance(value, Confident):
        inner = cast("Any", value.value)
        return {"value": to_json(inner), "confidence": value.confidence}
    return {"value": to_json(value), "confidence": None}


def equal(wanted: Any, found: Any) -> bool:
    """Whether two encoded values are the same: numbers as doubles, keys in order."""
    if isinstance(wanted, dict):
        entries = cast("dict[str, Any]", wanted)
        if list(entries) == ["$num"]:
            number = _NUMBERS.get(str(entries["$num"]))
            return not isinstance(found, bool) and isinstance(found, int | float) and found == number
        if not isinstance(found, dict):
            return False
        others = cast("dict[str, Any]", found)
        return list(entries) == list(others) and all(equal(entries[key], others[key]) for key in entries)
    if isinstance(wanted, list):
        items = cast("list[Any]", wanted)
        if not isinstance(found, list) or len(items) != len(cast("list[Any]", found)):
            return False
        return all(equal(one, other) for one, other in zip(items, cast("list[Any]", found), strict=True))
    if isinstance(wanted, bool) or isinstance(found, bool) or wanted is None or found is None:
        return wanted is found
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return float(wanted) == float(found)
    return type(wanted) is type(found) and wanted == found


def _shown(outcome: Any) -> str:
    text = repr(dict(outcome))
    return text if len(text) <= 300 else text[:300] + "…"
