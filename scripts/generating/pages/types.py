"""A JSON Schema in a few words, as a reader of a table wants it."""

from __future__ import annotations

import json
from typing import Any, cast

from scripts.generating.vocabulary import Schema


def words(schema: Schema, link: str = "") -> str:
    """The type of a field. Structs are links to headings of `link` (empty: of the same page)."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}]({link}#{name.lower()})"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(words(each, link) for each in schema[key])
    match schema.get("type"):
        case "array":
            return f"list of {words(schema.get('items', {}), link)}"
        case "object" if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
            return f"map of {words(schema['additionalProperties'], link)}"
        case str() as kind:
            return f"{kind}{_bounds(schema)}"
        case list():
            return " or ".join(cast("list[str]", schema["type"]))
        case _:
            return "any JSON"


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}" if most < 10**6 else f" from {least:g} to {int(most)}"
    if least is not None:
        return f" from {least:g}"
    if "pattern" in schema:
        return f" matching `{schema['pattern']}`"
    return ""


def default(schema: Schema, *, required: bool) -> str:
    """What a field is when it is left out."""
    if required:
        return "required"
    if "default" not in schema and schema.get("type") in {"integer", "number", "string", "boolean", "object", "array"}:
        return "absent"
    value: Any = schema.get("default")
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def fields(schema: Schema, link: str = "") -> list[tuple[str, str, str]]:
    """Name, type and default of each field of a struct."""
    needed = schema.get("required", [])
    return [
        (f"`{name}`", words(value, link), default(value, required=name in needed))
        for name, value in schema.get("properties", {}).items()
    ]
