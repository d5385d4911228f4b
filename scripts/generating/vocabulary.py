"""Every struct of the vocabulary, and its JSON Schema as msgspec derives it."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import msgspec

import schemas
from schemas.events import EVENT_TYPES

Schema = dict[str, Any]

_BASES = frozenset({"Model", "Event", "Effect", "TaskMessage"})
"""Structs that are never sent by themselves."""


@cache
def structs() -> dict[str, type[msgspec.Struct]]:
    """Every struct that can be on the wire by its name. Raises ValueError when two have the same name."""
    found: dict[str, type[msgspec.Struct]] = {}
    for info in sorted(pkgutil.walk_packages(schemas.__path__, "schemas."), key=lambda each: each.name):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if not isinstance(value, type) or not issubclass(value, msgspec.Struct):
                continue
            if value.__module__ != info.name or name in _BASES:
                continue
            if name in found:
                raise ValueError(f"{name} is in {found[name].__module__} and in {info.name}")
            found[name] = value
    return found


def definitions(kinds: list[type[msgspec.Struct]], ref_template: str = "#/$defs/{name}") -> dict[str, Schema]:
    """The JSON Schema of these structs and of all that they hold, by name, in the order of the alphabet."""
    _, found = msgspec.json.schema_components(kinds, ref_template=ref_template)
    return dict(sorted(found.items()))


def event_types() -> dict[str, type[msgspec.Struct]]:
    """Every kind of event by its type, in the order of the alphabet."""
    return dict(sorted(EVENT_TYPES.items()))


def json_schema() -> Schema:
    """The whole vocabulary as one document of JSON Schema 2020-12; `x-events` says which definition an event has."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:parallax:vocabulary",
        "title": "The vocabulary of Parallax",
        "description": (
            "Every payload on the bus, in the log and over HTTP. Fields that a reader does not know are to be ignored. "
            "Generated from schemas/ by scripts/generate."
        ),
        "x-events": {kind: f"#/$defs/{struct.__name__}" for kind, struct in event_types().items()},
        "$defs": definitions(list(structs().values())),
    }
