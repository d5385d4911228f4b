"""The input of a pattern: its schema, read strictly, and its enforcement on every request."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time
from typing import Any, cast
from urllib.parse import urlsplit

from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.view import View, to_json
from schemas.base import Problem

TYPES = ("string", "number", "integer", "boolean", "array", "object", "null", "any")
_KEYS = (
    "type", "description", "required", "default", "minLength", "maxLength", "pattern", "format", "enum", "minimum",
    "maximum", "multipleOf", "items", "minItems", "maxItems", "uniqueItems", "properties", "additionalProperties",
)  # fmt: skip
_FOR: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "multipleOf"),
    "integer": ("minimum", "maximum", "multipleOf"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "additionalProperties"),
}
FORMATS = ("date", "date-time", "time", "email", "uri", "uuid", "ipv4")
_MAX_DEPTH = 20
_MOST = 50
_LONGEST_MATCHED = 10_000


def read_schema(node: Node, report: Report, what: str = "the input") -> dict[str, Any]:
    """The fields of an input schema, as JSON."""
    if node.kind != "map":
        report.error("wrong-type", node.line, node.column, f"{what} is a map from fields to their types")
        return {}
    return {key.raw: _field(key.raw, value, report, 0) for key, value in node.pairs}


def _field(name: str, node: Node, report: Report, depth: int) -> dict[str, Any]:
    if node.kind == "text":
        return {"type": _type(str(node.value), node, report)}
    if node.kind == "null":
        return {"type": "any"}
    view = View(node, report, f"field {name!r}", _KEYS)
    if not view.valid or depth > _MAX_DEPTH:
        return {"type": "any"}
    made: dict[str, Any] = {"type": "any"}
    place = view.get("type")
    if place is not None:
        made["type"] = _type(view.text("type"), place, report)
    if description := view.text("description"):
        made["description"] = description
    if (required := view.flag("required")) is not None:
        made["required"] = required
    _bounds(view, made)
    _words(view, made, report)
    _nested(name, view, made, report, depth)
    for key in dict.fromkeys(word for words in _FOR.values() for word in words):
        if view.has(key) and made["type"] != "any" and key not in _FOR.get(made["type"], ()):
            spot = view.key(key)
            report.error(
                "bad-value", spot.line, spot.column, f"{key!r} has no effect on a field of type {made['type']}"
            )
    if (default := view.get("default")) is not None:
        _default(name, default, view, made, report)
    return made


def _default(name: str, node: Node, view: View, made: dict[str, Any], report: Report) -> None:
    value = to_json(node)
    for problem in validate_input({name: made}, {name: value}):
        report.error("bad-default", node.line, node.column, f"the default does not fit: {problem.what}")
    made["default"] = value
    if made.get("required"):
        spot = view.key("required")
        report.warning("required-default", spot.line, spot.column, f"field {name!r} is required and has a default")


def _type(word: str, node: Node, report: Report) -> str:
    if word in TYPES or not word:
        return word or "any"
    hint = did_you_mean(word, TYPES, f"One of {', '.join(TYPES)}.")
    report.error("unknown-type", node.line, node.column, f"there is no type {word!r}", hint)
    return "any"


def _bounds(view: View, made: dict[str, Any]) -> None:
    for key in ("minLength", "maxLength", "minItems", "maxItems"):
        if (count := view.integer(key)) is not None:
            made[key] = count
    for key in ("minimum", "maximum"):
        if (bound := view.number(key, least=-1e308, most=1e308)) is not None:
            made[key] = bound
    if (step := view.number("multipleOf", least=0.0, most=1e308)) is not None:
        made["multipleOf"] = step
        if step == 0:
            spot = view.key("multipleOf")
            view.report.error("out-of-range", spot.line, spot.column, "'multipleOf' is more than 0")
    if (unique := view.flag("uniqueItems")) is not None:
        made["uniqueItems"] = unique
    for low, high in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum")):
        if low in made and high in made and made[low] > made[high]:
            spot = view.key(low)
            view.report.error("impossible-bounds", spot.line, spot.column, f"{low} is more than {high}")


def _words(view: View, made: dict[str, Any], report: Report) -> None:
    if pattern := view.text("pattern"):
        made["pattern"] = pattern
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            spot = view.get("pattern") or view.node
            report.error("bad-pattern", spot.line, spot.column, f"'pattern' cannot be read: {error}")
            del made["pattern"]
    if view.has("format"):
        made["format"] = view.choice("format", FORMATS, FORMATS[0])
    if view.has("enum"):
        made["enum"] = view.json("enum")
        if not isinstance(made["enum"], list) or not made["enum"]:
            spot = view.get("enum") or view.node
            report.error("wrong-type", spot.line, spot.column, "'enum' is a list of values")
            del made["enum"]


def _nested(name: str, view: View, made: dict[str, Any], report: Report, depth: int) -> None:
    if (items := view.get("items")) is not None:
        made["items"] = _field(f"{name}[]", items, report, depth + 1)
    if (properties := view.get("properties")) is not None:
        if properties.kind != "map":
            view.wrong("properties", properties, "a map from fields to their types")
            return
        made["properties"] = {
            key.raw: _field(f"{name}.{key.raw}", value, report, depth + 1) for key, value in properties.pairs
        }
    if (more := view.flag("additionalProperties")) is not None:
        made["additionalProperties"] = more


# -- enforcement ------------------------------------------------------------------------------------------------------


def validate_input(schema: dict[str, Any], value: Any) -> list[Problem]:
    """Everything that is wrong with a request's input. A schema without fields takes any object."""
    if not isinstance(value, dict):
        return [Problem(where="input", what=f"the input is {_kind(value)}, not an object", hint='"input": {…}')]
    problems: list[Problem] = []
    if schema:
        _object(schema, cast("dict[str, Any]", value), "input", problems, more=False)
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
    elif isinstance(value, dict) and ("properties" in rules or rules.get("additionalProperties") is False):
        more = rules.get("additionalProperties", True) is not False
        _object(rules.get("properties", {}), cast("dict[str, Any]", value), where, problems, more=more)


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
    if rules.get("uniqueItems") and len({repr(item) for item in value}) < len(value):
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
