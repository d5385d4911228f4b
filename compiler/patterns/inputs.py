"""The schema of a pattern's input, read strictly. `compiler.input_check` enforces it."""

from __future__ import annotations

from typing import Any

from compiler.input_check import FORMATS, validate_input, validate_value
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.view import View, report_traps, to_json
from compiler.regular_expressions import BadExpression, Expression, compiled, is_nested_repetition

TYPES = ("string", "number", "integer", "boolean", "array", "object", "null", "any")
FIELD_KEYS = (
    "type", "description", "required", "default", "minLength", "maxLength", "pattern", "format", "enum", "minimum",
    "maximum", "multipleOf", "items", "minItems", "maxItems", "uniqueItems", "properties", "additionalProperties",
)  # fmt: skip
KEYS_OF_TYPES: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "multipleOf"),
    "integer": ("minimum", "maximum", "multipleOf"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "additionalProperties"),
}
"""The keywords that only values of one type have."""
_MAX_DEPTH = 20


def read_schema(node: Node, report: Report, what: str = "the input") -> dict[str, Any]:
    """The fields of an input schema, as JSON."""
    if node.kind != "map":
        report.error("wrong-type", node.line, node.column, f"{what} is a map from fields to their types")
        return {}
    entries = {key.raw: value for key, value in node.pairs}
    kind, properties = entries.get("type"), entries.get("properties")
    if kind is not None and kind.raw == "object" and properties is not None and properties.kind == "map":
        made = _field("input", node, report, 0)
        return made.get("properties", {})
    return {key.raw: _field(key.raw, value, report, 0) for key, value in node.pairs}


def is_no_input(node: Node) -> bool:
    """Whether a schema says in so many words that there are no fields."""
    return node.kind == "map" and not node.pairs


def read_value_schema(node: Node, report: Report, what: str) -> dict[str, Any]:
    """The schema of one value, as JSON."""
    return _field(what, node, report, 0)


def _field(name: str, node: Node, report: Report, depth: int) -> dict[str, Any]:
    if node.kind == "text":
        return {"type": _type(str(node.value), node, report)}
    if node.kind == "null":
        return {"type": "any"}
    view = View(node, report, f"field {name!r}", FIELD_KEYS)
    if not view.valid or depth > _MAX_DEPTH:
        return {"type": "any"}
    made: dict[str, Any] = {"type": "any"}
    place = view.get("type")
    if place is not None:
        made["type"] = _type(view.text("type"), place, report)
    if description := view.text("description"):
        made["description"] = description
    names = _required(view, made)
    _bounds(view, made)
    _words(view, made, report)
    _nested(name, view, made, report, depth)
    _require(view, made, names)
    for key in dict.fromkeys(word for words in KEYS_OF_TYPES.values() for word in words):
        if view.has(key) and made["type"] != "any" and key not in KEYS_OF_TYPES.get(made["type"], ()):
            spot = view.key(key)
            report.error(
                "bad-value", spot.line, spot.column, f"{key!r} has no effect on a field of type {made['type']}"
            )
    if (default := view.get("default")) is not None:
        _default(name, default, view, made, report)
    return made


def _required(view: View, made: dict[str, Any]) -> list[tuple[str, Node]]:
    """Whether a field is required; of an object, as JSON Schema has it, which of its fields are."""
    node = view.get("required")
    if node is not None and node.kind == "list":
        return view.texts("required")
    if (required := view.flag("required")) is not None:
        made["required"] = required
    return []


def _require(view: View, made: dict[str, Any], names: list[tuple[str, Node]]) -> None:
    properties: dict[str, Any] = made.get("properties", {})
    for name, node in names:
        if name not in properties:
            hint = did_you_mean(name, properties)
            message = f"{name!r} is required and is no property of {view.what}"
            view.report.error("unknown-field", node.line, node.column, message, hint)
        else:
            properties[name]["required"] = True


def _default(name: str, node: Node, view: View, made: dict[str, Any], report: Report) -> None:
    value = to_json(node)
    if node.trap and made["type"] == "boolean":
        made["default"] = view.flag("default")  # says what is wrong with it
        return
    report_traps(node, report)
    for problem in validate_input({name: made}, {name: value}):
        message = f"the default does not fit: {problem.what}"
        report.error("bad-default", node.line, node.column, message, problem.hint)
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
    if (pattern := view.text("pattern")) and read_expression(view, "pattern", pattern) is not None:
        made["pattern"] = pattern
    if view.has("format"):
        made["format"] = view.choice("format", FORMATS, FORMATS[0])
    if view.has("enum"):
        made["enum"] = view.json("enum")
        if not isinstance(made["enum"], list) or not made["enum"]:
            spot = view.get("enum") or view.node
            report.error("wrong-type", spot.line, spot.column, "'enum' is a list of values", "For example [low, high].")
            del made["enum"]
        _fitting_enum(view, made, report)


def read_expression(view: View, key: str, source: str) -> Expression | None:
    """A regular expression under a key. None: it cannot be used, which is reported."""
    place = view.get(key) or view.node
    try:
        made = compiled(source)
    except BadExpression as error:
        hint = "Write it without; docs/reference/org-chart.md says what expressions may hold." * (
            "linear" in error.message
        )
        view.report.error("bad-pattern", place.line, place.column, f"{key!r} cannot be used: {error}", hint)
        return None
    if is_nested_repetition(source):
        message = f"{key!r} repeats a repetition: here it takes linear time, elsewhere it may take exponential time"
        hint = "Have each round begin or end with something that the inner repetition cannot match."
        view.report.warning("slow-pattern", place.line, place.column, message, hint)
    return made


def _fitting_enum(view: View, made: dict[str, Any], report: Report) -> None:
    """Reports values that no value of the field's type can be."""
    node = view.get("enum")
    for item in node.items if node is not None and "enum" in made and made["type"] != "any" else []:
        for problem in validate_value({"type": made["type"]}, to_json(item), repr(item.raw)):
            message = f"no {made['type']} is one of this enum: {problem.what}"
            report.error("bad-value", item.line, item.column, message, problem.hint)


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
    extra = view.get("additionalProperties")
    if extra is not None and extra.kind in {"map", "text"} and not extra.trap:
        made["additionalProperties"] = _field(f"{name}.*", extra, report, depth + 1)
    elif (more := view.flag("additionalProperties")) is not None:
        made["additionalProperties"] = more
