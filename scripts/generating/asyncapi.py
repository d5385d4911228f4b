"""The bus as an AsyncAPI 3.0 document: channels, operations, messages with their headers, and the payloads.

What the standard has no word for stands in fields that begin with `x-`: the stream that keeps a channel's messages, the
only writer of an event, and the fields that make its id. Those also tell the channels that clients need no business
with (`x-internal`).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from schemas.events import Event
from scripts.generating.channels import PARAMETERS, Channel, Struct, channels
from scripts.generating.vocabulary import Schema, definitions, event_types
from shared.bus.headers import ERROR, REPLY_TO
from shared.bus.streams import STREAMS

_REF = "#/components/schemas/{name}"
_SECOND = 1_000_000_000

_TEXTS = {
    "ce-specversion": "The version of CloudEvents; always 1.0.",
    "ce-type": "The kind of message: an event's type, or the name of the payload.",
    "ce-source": "Who sent it.",
    "ce-id": "The id. An event's is deterministic, and a second copy of it may be dropped.",
    "ce-time": "When it was sent, RFC 3339 in UTC.",
    "ce-datacontenttype": "What the body is; always application/json.",
    "content-type": "The same, where other bindings of CloudEvents have it.",
    "ce-subject": "The id of the execution that it is about.",
    "ce-dataversion": "The version of the payload, where it is not 1.",
    "ce-correlationid": "The id of the execution that it belongs to.",
    "ce-causationid": "The id of the message that it was sent because of.",
    "traceparent": "The W3C trace context. Everything of one execution is one trace.",
}
_ALWAYS = [
    "ce-specversion",
    "ce-type",
    "ce-source",
    "ce-id",
    "ce-time",
    "ce-datacontenttype",
    "content-type",
    "traceparent",
]
_TRACEPARENT = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


def document(version: str) -> Schema:
    """The document, of this version of the product."""
    all_channels = channels(event_types())
    replies = _reply_channels(all_channels)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:parallax:bus",
        "info": {
            "title": "The bus of Parallax",
            "version": version,
            "description": (
                "Every subject of Parallax, for any NATS client. A plain subscription to `parallax.events.>` sees "
                "exactly what was stored, from now on; history is a consumer on the stream PARALLAX_EVENTS. "
                "Generated from schemas/ and shared/subjects.py by scripts/generate."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}:{port}",
                "protocol": "nats",
                "description": "nats-server 2.14 or later with JetStream; PARALLAX_NATS_URL.",
                "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}},
            }
        },
        "channels": {_key(each.name): _channel(each) for each in all_channels} | replies,
        "operations": {f"{each.action}_{_key(each.name)}": _operation(each) for each in all_channels},
        "components": {
            "messages": _messages(all_channels),
            "schemas": {"Headers": _headers([]), "SentHeaders": _headers(_ALWAYS)} | _payloads(all_channels),
        },
        "x-streams": {name: _stream(settings) for name, settings in STREAMS.items()},
    }


def _key(name: str) -> str:
    return name.replace(".", "_")


def _headers(required: list[str]) -> Schema:
    properties: Schema = {name: {"type": "string", "description": text} for name, text in _TEXTS.items()}
    properties["ce-specversion"]["const"] = "1.0"
    properties["ce-time"]["format"] = "date-time"
    properties["traceparent"]["pattern"] = _TRACEPARENT
    schema: Schema = {"type": "object", "properties": properties}
    return schema | ({"required": required} if required else {})


def _message_name(channel: Channel, struct: Struct | None) -> str:
    if struct is None:
        return f"{_key(channel.name)}_body"
    return struct.__name__


def _message_names(channel: Channel) -> list[str]:
    return [_message_name(channel, struct) for struct in channel.messages or (None,)]


def _channel(channel: Channel) -> Schema:
    made: Schema = {"address": channel.address, "title": channel.name, "summary": channel.summary}
    names = re.findall(r"\{(\w+)\}", channel.address)
    if names:
        made["parameters"] = {name: {"description": PARAMETERS[name]} for name in names}
    made["messages"] = {name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(channel)}
    if channel.stream:
        made["x-stream"] = channel.stream
    if channel.internal:
        made["x-internal"] = True
    return made


def _reply_key(kinds: tuple[Struct, ...]) -> str:
    return f"reply_{kinds[0].__name__}"


def _reply_channels(all_channels: list[Channel]) -> Schema:
    made: Schema = {}
    for channel in all_channels:
        if channel.replies:
            made[_reply_key(channel.replies)] = {
                "address": None,
                "title": f"answers: {', '.join(kind.__name__ for kind in channel.replies)}",
                "summary": "Where an answer goes; the asker chooses it.",
                "messages": {
                    kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in channel.replies
                },
            }
    return made


def _operation(channel: Channel) -> Schema:
    here = f"#/channels/{_key(channel.name)}"
    made: Schema = {
        "action": channel.action,
        "channel": {"$ref": here},
        "summary": channel.summary,
        "messages": [{"$ref": f"{here}/messages/{name}"} for name in _message_names(channel)],
    }
    if channel.replies:
        there = f"#/channels/{_reply_key(channel.replies)}"
        made["description"] = f"Answered at {channel.reply_by}."
        made["reply"] = {
            "channel": {"$ref": there},
            "messages": [{"$ref": f"{there}/messages/{kind.__name__}"} for kind in channel.replies],
        }
        if REPLY_TO in channel.reply_by:
            made["reply"]["address"] = {"location": f"$message.header#/{REPLY_TO}"}
        elif "reply_to" in channel.reply_by:
            made["reply"]["address"] = {"location": "$message.payload#/reply_to"}
    return made


def _messages(all_channels: list[Channel]) -> Schema:
    made: Schema = {}
    for channel in all_channels:
        for struct in channel.messages or (None,):
            name = _message_name(channel, struct)
            if name not in made:
                made[name] = _message(channel, struct)
        for struct in channel.replies:
            made.setdefault(struct.__name__, _reply(struct))
    return dict(sorted(made.items()))


def _summary(struct: Struct) -> str:
    return (struct.__doc__ or "").strip().partition("\n")[0]


def _message(channel: Channel, struct: Struct | None) -> Schema:
    name = _message_name(channel, struct)
    made: Schema = {"name": channel.type or name, "title": name, "contentType": "application/json"}
    made["summary"] = channel.summary if struct is None else _summary(struct)
    sent = channel.action == "send" or channel.internal
    own: Schema = {header: {"type": "string"} for header in channel.headers}
    if channel.type:
        own["ce-type"] = {"const": channel.type}
    elif REPLY_TO in channel.reply_by:
        own[REPLY_TO] = {"type": "string", "description": "The subject where the sender wants to be answered."}
    made["headers"] = _headers_with(own, "SentHeaders" if sent else "Headers")
    made["payload"] = {"$ref": _REF.format(name=struct.__name__)} if struct else {}
    made["correlationId"] = {"location": "$message.header#/ce-correlationid"}
    if struct is not None and issubclass(struct, Event):
        made |= {
            "x-type": struct.TYPE,
            "x-version": struct.VERSION,
            "x-writers": struct.WRITER.split("|"),
            "x-id": ["execution_id", "type", *struct.KEY],
        }
    return made


def _reply(struct: Struct) -> Schema:
    return {
        "name": struct.__name__,
        "title": struct.__name__,
        "summary": _summary(struct),
        "contentType": "application/json",
        "headers": _headers_with(
            {ERROR: {"type": "string", "description": "Why there is no other answer."}}, "Headers"
        ),
        "payload": {"$ref": _REF.format(name=struct.__name__)},
    }


def _headers_with(own: Schema, base: str) -> Schema:
    shared = {"$ref": f"#/components/schemas/{base}"}
    return {"type": "object", "allOf": [shared, {"properties": own}]} if own else shared


def _payloads(all_channels: list[Channel]) -> Schema:
    kinds: dict[str, type[msgspec.Struct]] = {}
    for channel in all_channels:
        for struct in (*channel.messages, *channel.replies):
            kinds[struct.__name__] = struct
    return definitions(list(kinds.values()), _REF)


def _stream(settings: dict[str, Any]) -> Schema:
    made: Schema = {
        "description": settings["description"],
        "subjects": settings["subjects"],
        "storage": "file",
        "keptForSeconds": settings.get("max_age", 0) // _SECOND or None,
        "maxBytes": settings.get("max_bytes"),
        "deletable": not settings.get("deny_delete", False),
        "duplicateWindowSeconds": settings["duplicate_window"] // _SECOND,
        "atomicBatches": settings.get("allow_atomic", False),
    }
    if "subject_transform" in settings:
        made["storedAs"] = settings["subject_transform"]["dest"]
    return made
