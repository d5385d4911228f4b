"""Whether a value fits an input schema: enforced on every request, and on what one pattern hands to another.

`semantics` is that of the execution whose program checks something; without one the current meaning of the keywords
holds, as for every new request. `compiler.input_rules` has the meanings.
"""

from __future__ import annotations

import math
from typing import Any, cast

from compiler.formats import FORMATS
from compiler.input_rules import Rules, canonical, rules_of
from compiler.nearest import did_you_mean
from schemas.base import Problem

__all__ = ["FORMATS", "validate_input", "validate_value"]

_MOST = 50


def validate_input(schema: dict[str, Any], value: Any, semantics: int | None = None) -> list[Problem]:
    """Everything that is wrong with a request's input. A schema without fields takes any object."""
    if not isinstance(value, dict):
        return [Problem(where="input", what=f"the input is {_kind(value)}, not an object", hint='"input": {…}')]
    check = _Check(rules_of(semantics))
    if schema:
        check.object(schema, cast("dict[str, Any]", value), "input", more=False)
    return check.problems[:_MOST]


def validate_value(rules: dict[str, Any], value: Any, where: str, semantics: int | None = None) -> list[Problem]:
    """Everything that is wrong with one value, called `where` in the messages."""
    check = _Check(rules_of(semantics))
    check.value(rules, value, where)
    return check.problems[:_MOST]


class _Check:
    """One walk over a value, which collects what is wrong with it."""

    def __init__(self, meaning: Rules) -> None:
        self.problems: list[Problem] = []
        self._meaning = meaning

    def _wrong(self, where: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(where=where, what=f"{where} {what}", hint=hint))

    def object(self, schema: dict[str, Any], value: dict[str, Any], where: str, *, more: bool) -> None:
        """The fields of an object, and whether there are others."""
        for name, field in schema.items():
            rules = cast("dict[str, Any]", field)
            if name not in value or (value[name] is None and rules.get("type") not in {"null", "any"}):
                if rules.get("required") and "default" not in rules:
                    hint = str(rules.get("description") or f"Give a value of type {rules.get('type', 'any')}.")
                    self.problems.append(Problem(where=f"{where}.{name}", what=f"{name!r} is missing", hint=hint))
            else:
                self.value(rules, value[name], f"{where}.{name}")
        for name in value:
            if name not in schema and not more:
                what = f"there is no input field {str(name)[:100]!r}"
                self.problems.append(Problem(where=where, what=what, hint=did_you_mean(str(name)[:100], schema)))

    def value(self, rules: dict[str, Any], value: Any, where: str) -> None:
        """One value against the schema of one field."""
        if len(self.problems) > _MOST:
            return
        wanted = rules.get("type", "any")
        if wanted != "any" and not _is(wanted, value):
            self._wrong(where, f"is {_kind(value)}, not {_TYPE_WORDS.get(wanted, wanted)}", _type_hint(wanted, value))
            return
        if "enum" in rules and not any(self._meaning.same(value, one) for one in rules["enum"]):
            choices = ", ".join(str(one) for one in rules["enum"][:20])
            self._wrong(where, "is not one of the values it may have", f"One of {choices}.")
        if isinstance(value, str):
            self._text(rules, value, where)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._number(rules, value, where)
        elif isinstance(value, list):
            self._array(rules, cast("list[Any]", value), where)
        elif isinstance(value, dict) and ("properties" in rules or rules.get("additionalProperties", True) is not True):
            self._fields(rules, cast("dict[str, Any]", value), where)

    def _fields(self, rules: dict[str, Any], value: dict[str, Any], where: str) -> None:
        """The properties of an object, and those that are not named: none, any, or such as one schema describes."""
        known, extra = rules.get("properties", {}), rules.get("additionalProperties", True)
        self.object(known, value, where, more=extra is not False)
        if isinstance(extra, dict):
            for name, item in value.items():
                if name not in known:
                    self.value(cast("dict[str, Any]", extra), item, f"{where}.{str(name)[:100]}")

    def _text(self, rules: dict[str, Any], value: str, where: str) -> None:
        if len(value) < rules.get("minLength", 0):
            self._wrong(where, f"is shorter than {rules['minLength']} characters")
        if len(value) > rules.get("maxLength", math.inf):
            self._wrong(where, f"is longer than {rules['maxLength']} characters")
        if "pattern" in rules:
            what, hint = self._meaning.mismatch(rules["pattern"], value)
            if what:
                self._wrong(where, what, hint)
        if "format" in rules and not self._meaning.has_format(rules["format"], value):
            self._wrong(where, f"is no {rules['format']}")

    def _number(self, rules: dict[str, Any], value: float, where: str) -> None:
        if value < rules.get("minimum", -math.inf):
            self._wrong(where, f"is less than {rules['minimum']:g}")
        if value > rules.get("maximum", math.inf):
            self._wrong(where, f"is more than {rules['maximum']:g}")
        step = rules.get("multipleOf")
        if step and not self._meaning.is_multiple(value, step):
            self._wrong(where, f"is no multiple of {step:g}")

    def _array(self, rules: dict[str, Any], value: list[Any], where: str) -> None:
        if len(value) < rules.get("minItems", 0):
            self._wrong(where, f"has fewer than {rules['minItems']} items")
        if len(value) > rules.get("maxItems", math.inf):
            self._wrong(where, f"has more than {rules['maxItems']} items")
        if rules.get("uniqueItems") and len({canonical(item) for item in value}) < len(value):
            self._wrong(where, "holds a value twice")
        if "items" in rules:
            for position, item in enumerate(value):
                self.value(rules["items"], item, f"{where}[{position}]")


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
        return "Write it without quotes." if value.strip() else "It is empty."
    return ""
