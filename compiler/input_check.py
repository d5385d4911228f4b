"""Whether a value fits an input schema: enforced on every request, and on what one pattern hands to another."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time
from typing import Any, cast
from urllib.parse import urlsplit

from compiler.nearest import did_you_mean
from schemas.base import Problem

FORMATS = ("date", "date-time", "time", "email", "uri", "uuid", "ipv4")
_MOST = 50
_LONGEST_MATCHED = 10_000


def validate_input(schema: dict[str, Any], value: Any) -> list[Problem]:
    """Everything that is wrong with a request's input. A schema without fields takes any object."""
    if not isinstance(value, dict):
        return [Problem(where="input", what=f"the input is {_kind(value)}, not an object", hint='"input": {…}')]
    problems: list[Problem] = []
    if schema:
        _object(schema, cast("dict[str, Any]", value), "input", problems, more=False)
    return problems[:_MOST]


def validate_value(rules: dict[str, Any], value: Any, where: str) -> list[Problem]:
    """Everything that is wrong with one value, called `where` in the messages."""
    problems: list[Problem] = []
    _value(rules, value, where, problems)
    return problems[:_MOST]


def _object(schema: dict[str, Any], value: dict[str, Any], where: str, problems: list[Problem], *, more: bool) -> None:
    for name, field in schema.items():
        rules = cast("dict[str, Any]", field)
        if name not in value or (value[name] is None and rules.get("type") not in {"null", "any"}):
            if rules.get("required") and "default" not in rules:
                hint = str(rules.get("description") or f"Give a value of type {rules.get('type', 'any')}.")
                problems.append(Problem(where=f"{where}.{name}", what=f"{name!r} is missing", hint=hint))
        else:
            _value(rules, value[name], f"{where}.{name}", problems)
    for name in value:
        if name not in schema and not more:
            what = f"there is no input field {str(name)[:100]!r}"
            problems.append(Problem(where=where, what=what, hint=did_you_mean(str(name)[:100], schema)))


def _value(rules: dict[str, Any], value: Any, where: str, problems: list[Problem]) -> None:
    if len(problems) > _MOST:
        return

    def wrong(what: str, hint: str = "") -> None:
        problems.append(Problem(where=where, what=what, hint=hint))

    wanted = rules.get("type", "any")
    if wanted != "any" and not _is(wanted, value):
        wrong(f"{where} is {_kind(value)}, not {_TYPE_WORDS.get(wanted, wanted)}", _type_hint(wanted, value))
        return
    if "enum" in rules and not any(_same(value, one) for one in rules["enum"]):
        choices = ", ".join(str(one) for one in rules["enum"][:20])
        wrong(f"{where} is not one of the values it may have", f"One of {choices}.")
    if isinstance(value, str):
        _text(rules, value, where, wrong)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(rules, value, where, wrong)
    elif isinstance(value, list):
        _array(rules, cast("list[Any]", value), where, problems)
    elif isinstance(value, dict) and ("properties" in rules or rules.get("additionalProperties", True) is not True):
        _fields(rules, cast("dict[str, Any]", value), where, problems)


def _fields(rules: dict[str, Any], value: dict[str, Any], where: str, problems: list[Problem]) -> None:
    """The properties of an object, and those that are not named: none, any, or such as one schema describes."""
    known, extra = rules.get("properties", {}), rules.get("additionalProperties", True)
    _object(known, value, where, problems, more=extra is not False)
    if isinstance(extra, dict):
        for name, item in value.items():
            if name not in known:
                _value(cast("dict[str, Any]", extra), item, f"{where}.{str(name)[:100]}", problems)


def _text(rules: dict[str, Any], value: str, where: str, wrong: Any) -> None:
    if len(value) < rules.get("minLength", 0):
        wrong(f"{where} is shorter than {rules['minLength']} characters")
    if len(value) > rules.get("maxLength", math.inf):
        wrong(f"{where} is longer than {rules['maxLength']} characters")
    if "pattern" in rules:
        if len(value) > _LONGEST_MATCHED:
            wrong(f"{where} is longer than the {_LONGEST_MATCHED} characters that can be matched")
        elif not re.search(rules["pattern"], value):
            wrong(f"{where} does not have the form it should have", f"It has to match {rules['pattern']}")
    if "format" in rules and not _has_format(rules["format"], value):
        wrong(f"{where} is no {rules['format']}")


def _number(rules: dict[str, Any], value: float, where: str, wrong: Any) -> None:
    if value < rules.get("minimum", -math.inf):
        wrong(f"{where} is less than {rules['minimum']:g}")
    if value > rules.get("maximum", math.inf):
        wrong(f"{where} is more than {rules['maximum']:g}")
    step = rules.get("multipleOf")
    if step:
        try:
            quotient = value / step
            fits = abs(quotient - round(quotient)) <= 1e-9 * max(1.0, abs(quotient))
        except OverflowError:
            fits = False
        if not fits:
            wrong(f"{where} is no multiple of {step:g}")


def _array(rules: dict[str, Any], value: list[Any], where: str, problems: list[Problem]) -> None:
    if len(value) < rules.get("minItems", 0):
        problems.append(Problem(where=where, what=f"{where} has fewer than {rules['minItems']} items"))
    if len(value) > rules.get("maxItems", math.inf):
        problems.append(Problem(where=where, what=f"{where} has more than {rules['maxItems']} items"))
    if rules.get("uniqueItems") and len({_canonical(item) for item in value}) < len(value):
        problems.append(Problem(where=where, what=f"{where} holds a value twice"))
    if "items" in rules:
        for position, item in enumerate(value):
            _value(rules["items"], item, f"{where}[{position}]", problems)


_TYPE_WORDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for kinds, word in (((int, float), "a number"), ((str,), "a text"), ((list,), "an array"), ((dict,), "an object")):
        if isinstance(value, kinds):
            return word
    return type(value).__name__


def _is(wanted: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    checks = {
        "string": isinstance(value, str),
        "number": number,
        "integer": number and math.isfinite(value) and value == int(value),
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
        "null": value is None,
    }
    return checks.get(wanted, True)


def _type_hint(wanted: str, value: Any) -> str:
    if wanted in {"number", "integer", "boolean"} and isinstance(value, str):
        return "Write it without quotes."
    return ""


def _same(first: Any, second: Any) -> bool:
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _canonical(value: Any) -> str:
    """One text for each value: keys in any order, 1 and 1.0 alike, true and 1 apart."""
    if isinstance(value, list):
        return "[" + ",".join(_canonical(item) for item in cast("list[Any]", value)) + "]"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return "{" + ",".join(f"{name!r}:{_canonical(fields[name])}" for name in sorted(fields)) + "}"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def _has_format(name: str, value: str) -> bool:
    patterns = {
        "email": r"[^@\s]{1,64}@[^@\s.]{1,63}(?:\.[^@\s.]{1,63}){1,8}",
        "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "ipv4": r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}",
    }
    if name in patterns:
        return re.fullmatch(patterns[name], value) is not None
    try:
        if name == "uri":
            return bool(urlsplit(value).scheme) and not re.search(r"\s", value)
        {"date": date.fromisoformat, "date-time": datetime.fromisoformat, "time": time.fromisoformat}[name](value)
    except ValueError:
        return False
    return True
