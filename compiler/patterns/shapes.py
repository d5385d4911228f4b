"""What a reference can be: enough about the values of a program to find mistakes before it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["any", "null", "boolean", "number", "text", "list", "record"]

WORDS: dict[str, str] = {
    "any": "anything",
    "null": "null",
    "boolean": "true or false",
    "number": "a number",
    "text": "a text",
    "list": "a list",
    "record": "an object",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of value. `items` are the elements of a list of known length, `item` of any other list.

    A record without `fields` may have any. `nullable` values may be null, `missing` ones may not be there at all.
    """

    kind: Kind = "any"
    fields: dict[str, Shape] | None = None
    items: tuple[Shape, ...] | None = None
    item: Shape | None = None
    nullable: bool = False
    missing: bool = False


ANY = Shape()
TEXT = Shape("text")
NUMBER = Shape("number")
FLAG = Shape("boolean")
NULL = Shape("null")
SCORE = Shape("number", nullable=True)


def record(**fields: Shape) -> Shape:
    """A record with these fields and no others."""
    return Shape("record", fields=fields)


def optional(shape: Shape) -> Shape:
    """The same, or null."""
    return replace(shape, nullable=True)


_FAILED = Shape("record", fields={"code": TEXT, "message": TEXT}, nullable=True, missing=True)
_EVIDENCE = Shape("record", fields={"score": SCORE, "passed": FLAG, "critique": TEXT}, nullable=True, missing=True)

TASK = record(
    result=ANY, confidence=SCORE, confidence_source=TEXT, role=TEXT, session=TEXT, task_id=TEXT, commit=TEXT,
    files=Shape("list", item=TEXT), tasks=NUMBER, escalated=FLAG, warning=TEXT, verification=_EVIDENCE, error=_FAILED,
)  # fmt: skip
"""What an assign step leaves."""

_JUDGED = {
    "approved": FLAG, "verdict": TEXT, "critique": TEXT, "confidence": SCORE, "confidence_source": TEXT, "role": TEXT,
    "session": TEXT, "verification": _EVIDENCE, "error": _FAILED,
}  # fmt: skip
REVIEW = Shape("record", fields={**_JUDGED, "iterations": NUMBER})
"""What a review leaves."""

APPROVAL = Shape("record", fields=_JUDGED)
"""What a gate leaves."""

AGGREGATE = record(
    result=ANY, confidence=SCORE, confidence_source=TEXT, sources=Shape("list"), method=TEXT,
    agreed=Shape("boolean", nullable=True, missing=True), votes=Shape("number", nullable=True, missing=True),
    voters=Shape("number", nullable=True, missing=True), share=Shape("number", nullable=True, missing=True),
    agreement=Shape("number", nullable=True, missing=True), disputed=Shape("list", nullable=True, missing=True),
    conflicts=Shape("list", nullable=True, missing=True), chosen=Shape("number", nullable=True, missing=True),
    error=_FAILED,
)  # fmt: skip
"""What an aggregate leaves."""

SELECTION = record(session=TEXT, role=TEXT, error=_FAILED)
"""What a select leaves."""

SIGNALLED = record(received=FLAG, data=ANY)
"""What a wait leaves."""

VERIFIED = record(
    passed=Shape("boolean", missing=True, nullable=True), score=Shape("number", missing=True, nullable=True),
    confidence=SCORE, confidence_source=TEXT, critique=Shape("text", missing=True, nullable=True),
    oracles=Shape("list", missing=True, nullable=True), error=_FAILED,
)  # fmt: skip
"""What a verify step leaves."""

WORKSPACE = Shape("record", fields={"path": TEXT, "branch": TEXT, "base": ANY}, nullable=True)
CONTEXT = Shape("record", fields={"executionId": TEXT, "pattern": TEXT})

BY_TYPE: dict[str, Shape] = {
    "assign": TASK,
    "review": REVIEW,
    "approve": APPROVAL,
    "aggregate": AGGREGATE,
    "select": SELECTION,
    "wait": SIGNALLED,
    "verify": VERIFIED,
}


def of_schema(field_schema: dict[str, Any]) -> Shape:
    """The shape of an input field."""
    kinds: dict[str, Kind] = {
        "string": "text",
        "number": "number",
        "integer": "number",
        "boolean": "boolean",
        "array": "list",
        "object": "record",
        "null": "null",
    }
    kind = kinds.get(field_schema.get("type", "any"), "any")
    given = bool(field_schema.get("required")) or "default" in field_schema
    fields = None
    if kind == "record" and field_schema.get("additionalProperties") is False:
        fields = {name: of_schema(inner) for name, inner in field_schema.get("properties", {}).items()}
    item = of_schema(field_schema["items"]) if kind == "list" and "items" in field_schema else None
    return Shape(kind, fields=fields, item=item, nullable=not given, missing=not given)


@dataclass(slots=True)
class Symbol:
    """A name that a reference can begin with: how the program calls it, and what it is."""

    code: str
    shape: Shape
    defaults: dict[str, Any] = field(default_factory=dict[str, Any])
