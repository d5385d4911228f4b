"""An input for a simulated run, where none is given: the least that the pattern's input schema takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

_EXAMPLES = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "12:00:00",
    "email": "somebody@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def sample_input(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, and values for required fields that are missing.

    A text with a `pattern` cannot be made up: the schema's own check then says what is missing.
    """
    made = dict(given)
    for name, declared in schema.items():
        rules = cast("dict[str, Any]", declared) if isinstance(declared, dict) else {"type": declared}
        if name not in made and rules.get("required") and "default" not in rules:
            made[name] = _value(name, rules)
    return made


def _value(name: str, rules: Mapping[str, Any]) -> Any:
    if rules.get("enum"):
        return rules["enum"][0]
    match rules.get("type", "any"):
        case "number" | "integer":
            return _number(rules)
        case "boolean":
            return True
        case "array":
            count = max(int(rules.get("minItems", 1)), 1)
            item = cast("dict[str, Any]", rules.get("items") or {"type": "string"})
            unique = bool(rules.get("uniqueItems"))
            return [_item(name, number, item, unique=unique) for number in range(1, count + 1)]
        case "object":
            properties = cast("dict[str, Any]", rules.get("properties") or {})
            return sample_input(properties, {})
        case "null":
            return None
        case _:
            return _text(name, rules)


def _item(name: str, number: int, rules: Mapping[str, Any], *, unique: bool) -> Any:
    kind = rules.get("type", "string")
    if kind in ("number", "integer") and unique:
        return _number(rules) + number - 1
    return _value(f"{name} {number}", rules)


def _text(name: str, rules: Mapping[str, Any]) -> str:
    text = _EXAMPLES.get(str(rules.get("format"))) or f"a made-up {name.replace('_', ' ')}"
    text += "." * max(0, int(rules.get("minLength", 0)) - len(text))
    return text[: int(rules["maxLength"])] if "maxLength" in rules else text


def _number(rules: Mapping[str, Any]) -> float:
    step = rules.get("multipleOf") or (1 if rules.get("type") == "integer" else 0)
    least = rules.get("minimum", min(1, rules.get("maximum", 1)))
    if step:
        number = -(-least // step) * step
        return int(number) if rules.get("type") == "integer" else number
    return least
