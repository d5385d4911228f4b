"""The JSON Schema that editors use: it takes every file that compiles, and objects to what it can see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from compiler.patterns import load_pattern
from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from compiler.patterns.view import to_json
from compiler.regular_expressions import compiled

ROOT = Path(__file__).parents[3]
SCHEMA: dict[str, Any] = json.loads((ROOT / "schemas" / "pattern.schema.json").read_text("utf-8"))
GOOD = [
    path
    for folder in ("patterns", "tests/compiler/patterns/golden", "tests/compiler/patterns/older")
    for path in sorted((ROOT / folder).glob("*.yaml"))
    if path.name != "refused.yaml"
]
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "integer": (int,),
    "number": (int, float), "null": (type(None),),
}  # fmt: skip


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value fits, for the keywords that the schema uses; another one is a mistake of this test."""
    assert set(schema) <= KEYWORDS, set(schema) - KEYWORDS
    return all(CHECKS[key](schema, value) for key in schema if key in CHECKS)


def _kind(schema: dict[str, Any], value: Any) -> bool:
    kind = schema["type"]
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _same(first: Any, second: Any) -> bool:
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _condition(schema: dict[str, Any], value: Any) -> bool:
    return fits(schema["then"] if fits(schema["if"], value) else schema.get("else", {}), value)


def _names(schema: dict[str, Any], value: Any) -> bool:
    return not isinstance(value, dict) or all(
        fits(schema["propertyNames"], name) for name in cast("dict[str, Any]", value)
    )


def _more(schema: dict[str, Any], value: Any) -> bool:
    known, more = schema.get("properties", {}), schema["additionalProperties"]
    return not isinstance(value, dict) or all(
        name in known or more is True or (more is not False and fits(more, one))
        for name, one in cast("dict[str, Any]", value).items()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


CHECKS: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "$ref": lambda schema, value: fits(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], value),
    "if": _condition,
    "anyOf": lambda schema, value: any(fits(one, value) for one in schema["anyOf"]),
    "oneOf": lambda schema, value: sum(fits(one, value) for one in schema["oneOf"]) == 1,
    "allOf": lambda schema, value: all(fits(one, value) for one in schema["allOf"]),
    "not": lambda schema, value: not fits(schema["not"], value),
    "const": lambda schema, value: _same(value, schema["const"]),
    "enum": lambda schema, value: any(_same(value, one) for one in schema["enum"]),
    "type": _kind,
    "required": lambda schema, value: not isinstance(value, dict) or set(schema["required"]) <= set(value),
    "minProperties": lambda schema, value: not isinstance(value, dict) or len(value) >= schema["minProperties"],
    "propertyNames": _names,
    "additionalProperties": _more,
    "properties": lambda schema, value: not isinstance(value, dict) or all(
        fits(one, value[name]) for name, one in schema["properties"].items() if name in value
    ),
    "items": lambda schema, value: not isinstance(value, list) or all(fits(schema["items"], one) for one in value),
    "minItems": lambda schema, value: not isinstance(value, list) or len(value) >= schema["minItems"],
    "uniqueItems": lambda schema, value: not isinstance(value, list) or len(set(map(repr, value))) == len(value),
    "pattern": lambda schema, value: not isinstance(value, str) or compiled(schema["pattern"]).found_in(value),
    "maxLength": lambda schema, value: not isinstance(value, str) or len(value) <= schema["maxLength"],
    "minimum": lambda schema, value: not _is_number(value) or value >= schema["minimum"],
    "maximum": lambda schema, value: not _is_number(value) or value <= schema["maximum"],
    "exclusiveMinimum": lambda schema, value: not _is_number(value) or value > schema["exclusiveMinimum"],
}  # fmt: skip
KEYWORDS = {*CHECKS, "then", "else", "$schema", "$defs", "title"}
TYPED = {
    "required": "object", "properties": "object", "additionalProperties": "object", "propertyNames": "object",
    "minProperties": "object", "items": "array", "minItems": "array", "uniqueItems": "array", "pattern": "string",
    "maxLength": "string", "minimum": "number", "maximum": "number", "exclusiveMinimum": "number",
}  # fmt: skip


def tree(text: str) -> Any:
    node = read_yaml(text, Report("x.yaml", text))
    return None if node is None else to_json(node)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_what_compiles_fits(path: Path) -> None:
    """An editor underlines nothing in a good file."""
    assert fits(SCHEMA, tree(path.read_text("utf-8")))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("type: review", "type: reviw"),
        ("reviewer: reviewer", "reviewr: reviewer"),
        ("agentType: command", "agentType: comand"),
        ("singleton: true", "singleton: 1"),
        ("maxConcurrency: 2", "maxConcurrency: two"),
        ("method: all", "method: every"),
        ("name: demo-tidy", "nam: demo-tidy"),
        ("steps:\n    - type: parallel", "step:\n    - type: parallel"),
    ],
)
def test_what_an_editor_can_see_is_underlined(good: str, bad: str) -> None:
    """Unknown keys and words, wrong types, missing keys."""
    text = (ROOT / "patterns" / "demo-tidy.yaml").read_text("utf-8")
    assert good in text
    assert not fits(SCHEMA, tree(text.replace(good, bad, 1)))


def test_shipped_patterns_name_the_schema() -> None:
    """In their first line, where the YAML language server looks."""
    for path in sorted((ROOT / "patterns").glob("*.yaml")):
        first = path.read_text("utf-8").split("\n", 1)[0]
        assert first == "# yaml-language-server: $schema=../schemas/pattern.schema.json"


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and every schema in it."""
    if isinstance(schema, list):
        for one in cast("list[Any]", schema):
            yield from parts(one)
    elif isinstance(schema, dict):
        fields = cast("dict[str, Any]", schema)
        yield fields
        for key, inner in fields.items():
            if key in {"properties", "$defs"}:
                for one in inner.values():
                    yield from parts(one)
            elif key not in {"enum", "const", "required"}:
                yield from parts(inner)


def test_strict_validators_compile_it() -> None:
    """What the strict mode of ajv asks: keywords beside their type, one type, no key required that is not named."""
    found = list(parts(SCHEMA))
    assert len(found) > 300
    for one in found:
        assert set(one) <= KEYWORDS
        assert isinstance(one.get("type", ""), str)
        for key, kind in TYPED.items():
            if key in one and one.get("type") != kind:
                typed_outside = key == "pattern" and list(one) == ["pattern"]  # below a `not` beside the type
                assert typed_outside or (kind == "number" and one.get("type") == "integer"), one
        assert set(one.get("required", [])) <= set(one.get("properties", {})), one
        for pattern in [one["pattern"]] if "pattern" in one else []:
            compiled(pattern)


CHART: dict[str, Any] = {
    "name": "team",
    "structure": {"name": "Team", "roles": {"dev": {"agentType": "claude", "capabilities": ["code"]}}},
    "workflow": {"name": "w", "steps": [{"type": "assign", "role": "dev", "task": "x"}]},
}
DEV = ("structure", "roles", "dev")
STEP = ("workflow", "steps", 0)
SPOILT: list[tuple[tuple[str | int, ...], Any]] = [
    (("workflow", "steps"), []),
    (("version",), "one"),
    (("version",), "1.0.0-"),
    (("name",), "a/b"),
    (("name",), ""),
    (("structure", "roles"), {}),
    (("structure", "escalation"), {"defaultBehavior": "panic"}),
    (("structure", "escalation"), {"onMaxDepth": "panic"}),
    (("structure", "escalation"), {"timeoutMs": 0}),
    (("structure", "escalation"), {"maxDepth": -1}),
    (("structure", "routing"), [{"from": "dev"}]),
    (("structure", "routing"), [{"from": "dev", "to": "dev", "messageTypes": ["shout"]}]),
    ((*DEV, "agentType"), []),
    ((*DEV, "agentType"), "command"),
    ((*DEV, "type"), "claude"),
    ((*DEV, "minInstances"), -1),
    ((*DEV, "maxInstances"), 0),
    ((*DEV, "agentConfig"), {"command": []}),
    ((*DEV, "agentConfig"), {"interactive": "yes"}),
    ((*DEV, "confidence"), {"accept": 1.5}),
    ((*DEV, "verify"), []),
    ((*DEV, "verify"), {"type": "command"}),
    ((*DEV, "verify"), {"type": "command", "run": "x", "timeoutMs": 0}),
    ((*DEV, "verify"), {"type": "command", "run": "x", "cwd": "../up"}),
    ((*DEV, "verify"), {"type": "human"}),
    ((*DEV, "verify"), {"type": "checklist", "criteria": []}),
    ((*DEV, "verify"), {"type": "checklist", "criteria": [{"text": "x"}]}),
    ((*STEP, "task"), " "),
    ((*STEP, "id"), "input"),
    ((*STEP, "id"), "a b"),
    ((*STEP, "timeoutMs"), 0),
    ((*STEP, "timeout"), "30s"),
    ((*STEP, "onError"), "panic"),
    (STEP, {"type": "parallel", "steps": []}),
    (STEP, {"type": "parallel", "steps": [CHART["workflow"]["steps"][0]], "minResults": 1}),
    (STEP, {"type": "condition", "check": "a", "then": []}),
    (STEP, {"type": "aggregate", "method": "custom"}),
    (STEP, {"type": "aggregate", "method": "merge", "weights": {"dev": 1}}),
    (STEP, {"type": "wait"}),
    (STEP, {"type": "wait", "condition": "a", "signal": "b"}),
    (STEP, {"type": "pattern", "pattern": "p", "input": "x"}),
    (("workflow", "input"), {"a": {"type": "string", "enum": []}}),
    (("workflow", "input"), {"a": {"type": "number", "multipleOf": 0}}),
    (("workflow", "input"), {"a": {"type": "string", "minimum": 1}}),
    (("workflow", "input"), {"a": {"type": "string", "format": "colour"}}),
    (("workspace",), {"createPr": True}),
    (("workspace",), {"branchStrategy": "trunk"}),
]


def spoilt(place: tuple[str | int, ...], value: Any) -> Any:
    """The chart with one value replaced or added."""
    made: Any = json.loads(json.dumps(CHART))
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


@pytest.mark.parametrize(("place", "value"), SPOILT)
def test_what_lint_refuses_and_a_schema_can_say_does_not_fit(place: tuple[str | int, ...], value: Any) -> None:
    """Both say no, to the same file."""
    assert fits(SCHEMA, CHART)
    assert load_pattern(json.dumps(CHART), filename="team.yaml").pattern is not None
    made = spoilt(place, value)
    assert load_pattern(json.dumps(made), filename="team.yaml").pattern is None
    assert not fits(SCHEMA, made)
