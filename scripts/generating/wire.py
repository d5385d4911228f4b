"""What is on the wire, boiled down to what a reader depends on, and which changes of it break one.

The snapshot leaves out words (titles, descriptions) and defaults. What remains of a struct is the name, the type and
the presence of each field, and for an event its type, its version and the fields that make its id.
"""

from __future__ import annotations

from typing import Any, cast

from schemas.events import Event
from scripts.generating.vocabulary import Schema, definitions, structs

Snapshot = dict[str, dict[str, Any]]

_WORDS = frozenset({"title", "description", "default", "examples"})


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in cast("Schema", schema).items() if key not in _WORDS}
    if isinstance(schema, list):
        return [_bare(each) for each in cast("list[Any]", schema)]
    return schema


def snapshot() -> Snapshot:
    """Every struct of the vocabulary as it is now."""
    kinds = structs()
    found: Snapshot = {}
    for name, schema in definitions(list(kinds.values())).items():
        entry: dict[str, Any] = {}
        kind = kinds[name]
        if issubclass(kind, Event):
            entry |= {"type": kind.TYPE, "version": kind.VERSION, "id": list(kind.KEY)}
        fields: dict[str, Schema] = schema.get("properties", {})
        entry["required"] = list(schema.get("required", []))
        entry["fields"] = {field: _bare(value) for field, value in fields.items()}
        found[name] = entry
    return found


def breaks(old: Snapshot, new: Snapshot) -> list[str]:
    """What a reader or a stored message of the old wire cannot live with in the new one; a sentence for each."""
    problems: list[str] = []
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            problems.append(f"{name} is gone. Messages of that kind are stored and sent: keep the struct.")
            continue
        problems += [
            f"{name}: its {part} was {before[part]!r} and is {after.get(part)!r}. Stored events are found by it."
            for part in ("type", "id")
            if part in before and before[part] != after.get(part)
        ]
        problems += _field_breaks(name, before, after)
    return problems


def _field_breaks(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    for field, was in before["fields"].items():
        now = after["fields"].get(field)
        if now is None:
            problems.append(
                f"{name}.{field} is gone. Readers rely on it: keep the field, and say that it is out of use."
            )
        elif now != was:
            problems.append(f"{name}.{field} was {was} and is {now}. Add a field of the new type beside it instead.")
    return problems + [
        f"{name}.{field} is now required, and stored messages do not have it: give it a default."
        for field in after["required"]
        if field not in before["required"]
    ]


def additions(old: Snapshot, new: Snapshot) -> list[str]:
    """What the new wire has that the snapshot does not hold yet."""
    found = [name for name in new if name not in old]
    for name in old.keys() & new.keys():
        found += [f"{name}.{field}" for field in new[name]["fields"] if field not in old[name]["fields"]]
    return sorted(found)
