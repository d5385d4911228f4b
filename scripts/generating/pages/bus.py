"""docs/reference/bus.md: every subject but the events, who says what on it, and the streams."""

from __future__ import annotations

from scripts.generating.channels import Channel, Struct, channels
from scripts.generating.pages import page, table
from scripts.generating.pages.types import fields
from scripts.generating.vocabulary import definitions, event_types
from shared.bus.streams import STREAMS

_DAY = 86_400 * 1_000_000_000


def _subject(channel: Channel) -> str:
    return f"`{channel.address.replace('{', '<').replace('}', '>')}`"


def _payload(kinds: tuple[Struct, ...]) -> str:
    return ", ".join(f"[{kind.__name__}](#{kind.__name__.lower()})" for kind in kinds)


def _row(channel: Channel) -> tuple[str, str, str, str, str]:
    body = _payload(channel.messages)
    answer = f"{_payload(channel.replies)}, at {channel.reply_by}" if channel.replies else ""
    return _subject(channel), channel.summary, body, answer, f"`{channel.stream}`" if channel.stream else ""


def _stream_rows() -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    for name, settings in STREAMS.items():
        days = settings.get("max_age", 0) // _DAY
        size = settings.get("max_bytes", 0) >> 20
        bounds = [f"{days} days" if days else "for ever", *([f"at most {size} MB"] if size else [])]
        captured = ", ".join(f"`{subject}`" for subject in settings["subjects"])
        rows.append((f"`{name}`", settings["description"], captured, ", ".join(bounds)))
    return rows


def render() -> str:
    """The page."""
    shown = [each for each in channels(event_types()) if not each.type and each.name != "append"]
    heads = ("subject", "what it is for", "body", "answer", "stream")
    found: dict[str, Struct] = {}
    for channel in shown:
        found |= {kind.__name__: kind for kind in (*channel.messages, *channel.replies)}
    lines = [
        "# The bus",
        "",
        "Any NATS client can take part: bodies are JSON, and whoever does not know a field ignores it. Events have"
        " [a page of their own](events.md). The whole of it as AsyncAPI 3:"
        " [`schemas/asyncapi.json`](../../schemas/asyncapi.json).",
        "",
        "## For clients and agents",
        "",
        *table(heads, (_row(each) for each in shown if not each.internal)),
        "",
        "## Among the services",
        "",
        "Not for clients, and not kept stable for them.",
        "",
        *table(heads, (_row(each) for each in shown if each.internal)),
        "",
        "## Streams",
        "",
        *table(("stream", "what it holds", "captures", "kept"), _stream_rows()),
        "",
        "# Bodies",
    ]
    for name, schema in definitions(list(found.values())).items():
        lines += ["", f"## {name}", "", schema.get("description", ""), ""]
        if schema.get("properties"):
            lines += table(("field", "type", "default"), fields(schema))
    return page(lines)
