"""Between JSON and the values of the language: what goes in, what comes out, and how a value reads in a text.

Inputs and results enter a program as values and are never spliced into its source, so nothing in them can be code.
"""

from __future__ import annotations

import json
import math
from typing import Any, cast

from compiler.prism import Confident, EffectFailed
from compiler.prism.values import EXACT_TO

Value = Any
"""A value of the language: None, bool, float (int for whole numbers beyond 2**53), str, list, dict, a function, or
`Confident`."""

_DEPTH = 100


def prism_value(value: Any, depth: int = 0) -> Value:
    """Plain JSON as a value of the language. Raises `EffectFailed` for what no program can hold."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if depth > _DEPTH:
        raise EffectFailed("value_too_deep", f"a value is nested more than {_DEPTH} levels deep")
    if isinstance(value, list | tuple):
        return [prism_value(item, depth + 1) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        made = {str(key): prism_value(item, depth + 1) for key, item in cast("dict[Any, Any]", value).items()}
        if len(made) == 2 and "$v" in made and "$c" in made:
            made["$plain"] = True  # two such keys alone would be read as a value with a confidence
        return made
    raise EffectFailed("value_not_json", f"a value of type {type(value).__name__} is not JSON")


def plain(value: Value, depth: int = 0) -> Any:
    """A value of the language as plain JSON, without confidences. Whole numbers become integers."""
    value = bare(value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return whole(value)
    if depth > _DEPTH:
        raise EffectFailed("value_too_deep", f"a value is nested more than {_DEPTH} levels deep")
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in cast("list[Value]", value)]
    if isinstance(value, dict):
        return {str(key): plain(item, depth + 1) for key, item in cast("dict[str, Value]", value).items()}
    return "[Function]"


def bare(value: Value) -> Value:
    """The value without the confidence around it."""
    while isinstance(value, Confident):
        value = cast("Value", value.value)
    return value


def confidence_of(value: Value) -> float | None:
    """The confidence around a value; None for a plain one."""
    return float(value.confidence) if isinstance(value, Confident) else None


def with_confidence(value: Value, confidence: float | None) -> Value:
    """The value with a confidence around it, or as it is where there is none."""
    return value if confidence is None else Confident(value, float(confidence))


def whole(number: float) -> int | float:
    """A number as people write it: 3 rather than 3.0."""
    if type(number) is int:
        return number
    return int(number) if math.isfinite(number) and number == int(number) and abs(number) < 2**53 else number


def canonical(value: Value) -> str:
    """One text for each value, for comparison by value."""
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def readable(value: Value, indent: str = "") -> str:
    """A value as a person would write it into a text: the result of a step rather than its record, lists as lines."""
    value = bare(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(whole(value))
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "\n".join(_item("-", item, indent) for item in cast("list[Value]", value))
    if isinstance(value, dict):
        return _mapping(cast("dict[str, Value]", value), indent)
    return "[Function]"


def _mapping(fields: dict[str, Value], indent: str) -> str:
    if "task_id" in fields and "result" in fields:
        return readable(fields["result"], indent)
    if "verdict" in fields and "approved" in fields:
        critique = readable(fields.get("critique"))
        verdict = readable(fields["verdict"])
        return f"{verdict}: {critique}" if critique else verdict
    if "result" in fields and ({"method", "sources"} <= set(fields) or "validResults" in fields):
        return readable(fields["result"], indent)
    if "passed" in fields and "oracles" in fields:
        critique = readable(fields.get("critique"))
        return "passed" if bare(fields["passed"]) else f"did not pass: {critique}" if critique else "did not pass"
    return "\n".join(_item(f"{key}:", item, indent) for key, item in fields.items())


def _item(head: str, item: Value, indent: str) -> str:
    body = readable(item, indent + "  ")
    if "\n" not in body and not isinstance(bare(item), list | dict):
        return f"{indent}{head} {body}".rstrip()
    if not body.startswith(indent + "  "):
        body = "\n".join(f"{indent}  {line}" for line in body.split("\n"))
    if head == "-":
        return f"{indent}- {body.lstrip()}"
    return f"{indent}{head}\n{body}"


def _number(value: float) -> float:
    if type(value) is int and abs(value) > EXACT_TO:
        return value
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise EffectFailed("value_not_json", "a number is too large for a program, or not a number")
    return number


def as_doubles(value: Any) -> Any:
    """JSON in which whole numbers beyond 2**53 are the nearest doubles: what they were in programs at first.

    Executions that began then keep it (`execution.started.semantics` 1), so that they decide as they did.
    """
    if type(value) is int and abs(value) > EXACT_TO:
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if isinstance(value, list):
        return [as_doubles(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: as_doubles(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


def replaced(array: Value, path: list[int], value: Value) -> Value:
    """An array with the element at a path of indexes replaced; what has no such element stays as it is."""
    if not path:
        return value
    inner = bare(array)
    if not isinstance(inner, list) or path[0] >= len(cast("list[Value]", inner)):
        return array
    items = list(cast("list[Value]", inner))
    items[path[0]] = replaced(items[path[0]], path[1:], value)
    return with_confidence(items, confidence_of(array))


def listed(value: Value) -> list[Value]:
    """The elements of an array; of anything else but null, that itself."""
    entries = bare(value)
    return list(cast("list[Value]", entries)) if isinstance(entries, list) else [] if entries is None else [value]


def without(options: Value, key: str) -> tuple[Value, Value]:
    """One option, and the other ones."""
    fields = bare(options)
    if not isinstance(fields, dict):
        return None, fields
    rest = dict(cast("dict[str, Value]", fields))
    return rest.pop(key, None), rest
