"""docs/reference/events.md: every kind of event, and what it holds."""

from __future__ import annotations

import inspect
from typing import cast

from schemas.events import ENDINGS, Event
from scripts.generating.pages import page, table
from scripts.generating.pages.types import fields
from scripts.generating.vocabulary import definitions, event_types
from shared import subjects


def _writers(kind: type[Event]) -> str:
    return ", ".join(f"`{name}`" for name in kind.WRITER.split("|"))


def render() -> str:
    """The page."""
    kinds = cast("dict[str, type[Event]]", event_types())
    found = definitions(list(kinds.values()))
    names = {struct.__name__ for struct in kinds.values()}
    lines = [
        "# Events",
        "",
        "The log is the public stream of events. An event is one message, stored in the stream"
        f" `{subjects.STREAM_EVENTS}` under `{subjects.event('<execution_id>', '<entity>', '<verb>')}`.",
        f"`{subjects.event_of_type('*', 'execution.completed')}` is everybody's endings, and"
        f" `{subjects.events_of('<execution_id>')}` is one execution.",
        "",
        "The headers are those of CloudEvents 1.0: `ce-type` is the type below, `ce-id` the id, `ce-subject` the"
        " execution, `ce-time`, `ce-source`; beside them `ce-correlationid`, `ce-causationid` and a W3C `traceparent`."
        " The id is made of the execution, the type and the fields named below, so the same fact always has the same"
        " id and is stored once.",
        "",
        "Readers ignore fields that they do not know. Fields are added, never removed or retyped."
        " Every execution ends with exactly one of "
        + ", ".join(f"[`{kind}`](#{_anchor(kind)})" for kind in sorted(ENDINGS))
        + ".",
        "",
        "The same in JSON: [`schemas/json_schema.json`](../../schemas/json_schema.json) and, with every other subject,"
        " [`schemas/asyncapi.json`](../../schemas/asyncapi.json) (AsyncAPI 3).",
        "",
        *table(
            ("type", "written by", "id is made of", "what happened"),
            (
                (
                    f"[`{kind}`](#{_anchor(kind)})",
                    _writers(struct),
                    ", ".join(("execution", "type", *(f"`{name}`" for name in struct.KEY))),
                    _text(struct).partition("\n")[0],
                )
                for kind, struct in kinds.items()
            ),
        ),
    ]
    for kind, struct in kinds.items():
        lines += ["", f"## {kind}", "", _text(struct), ""]
        lines += [f"Subject: `{subjects.event_of_type('<execution_id>', kind)}`. Version {struct.VERSION}.", ""]
        lines += table(("field", "type", "default"), fields(found[struct.__name__]))
    lines += ["", "# What events hold"]
    for name, schema in found.items():
        if name not in names:
            lines += ["", f"## {name}", "", schema.get("description", ""), ""]
            lines += table(("field", "type", "default"), fields(schema))
    return page(lines)


def _text(struct: type[Event]) -> str:
    return inspect.getdoc(struct) or ""


def _anchor(kind: str) -> str:
    return kind.replace(".", "")
