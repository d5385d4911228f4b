"""The JSON Schema that editors use: it takes every file that compiles, and objects to what it can see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from compiler.patterns.view import to_json

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
    """Whether a value fits, for the keywords that the schema uses."""
    if "$ref" in schema:
        return fits(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], value)
    if "if" in schema:
        return fits(schema["then"] if fits(schema["if"], value) else schema["else"], value)
    if "anyOf" in schema:
        return any(fits(one, value) for one in schema["anyOf"])
    if "oneOf" in schema:
        return sum(fits(one, value) for one in schema["oneOf"]) == 1
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema.get("type", list(KINDS))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    right = any(isinstance(value, KINDS[kind]) and (kind == "boolean" or value is not True) for kind in kinds)
    return right and _inside(schema, value)


def _inside(schema: dict[str, Any], value: Any) -> bool:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        known: dict[str, Any] = schema.get("properties", {})
        more = schema.get("additionalProperties", True)
        return all(name in fields for name in schema.get("required", [])) and all(
            fits(known[name], one) if name in known else more is True or (more is not False and fits(more, one))
            for name, one in fields.items()
        )
    if isinstance(value, list):
        return all(fits(schema.get("items", {}), one) for one in cast("list[Any]", value))
    if isinstance(value, int | float):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


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
