"""The generated documents are current, whole, and well-formed by the rules of their standards."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import asyncpg
import click
import pytest

from parallax.cli.main import root
from schemas.events import EVENT_TYPES, Event
from scripts.generating import __main__ as generate
from scripts.generating.__main__ import ROOT, documents, stale
from scripts.generating.channels import channels
from scripts.generating.pages.commands import commands
from scripts.generating.pages.data_model import MEANINGS, current, tables
from scripts.generating.pages.examples import EXAMPLES
from scripts.generating.vocabulary import event_types, structs
from services.projector.service import MIGRATIONS
from shared import subjects
from shared.bus.headers import Stamp
from shared.bus.streams import STREAMS
from shared.config import FIELDS
from shared.postgres import migrate

ASYNCAPI: dict[str, Any] = json.loads((ROOT / "schemas" / "asyncapi.json").read_text(encoding="utf-8"))
JSON_SCHEMA: dict[str, Any] = json.loads((ROOT / "schemas" / "json_schema.json").read_text(encoding="utf-8"))


def test_the_documents_are_current() -> None:
    """What is in the checkout is what the source gives. If not: scripts/generate."""
    assert stale(documents()) == [], "run scripts/generate and commit what it writes"


def test_the_documents_are_the_same_on_every_run() -> None:
    """Nothing in them depends on the order of sets, on the time or on the machine."""
    made = [
        subprocess.run(
            [sys.executable, "-c", "from scripts.generating.__main__ import documents; print(documents())"],
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PATH": "/usr/bin:/bin"},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    ]
    assert made[0] == made[1]


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def at(document: Any, pointer: str) -> Any:
    """What a local reference points at. Raises KeyError."""
    assert pointer.startswith("#/")
    for part in pointer[2:].split("/"):
        document = document[part]
    return document


@pytest.mark.parametrize("document", [ASYNCAPI, JSON_SCHEMA], ids=["asyncapi", "json_schema"])
def test_every_reference_points_at_something(document: dict[str, Any]) -> None:
    """A tool that follows references never ends in nothing."""
    found = set(references(document))
    assert len(found) > 10
    for pointer in found:
        assert at(document, pointer) is not None


def test_every_struct_and_every_event_has_its_schema() -> None:
    """The JSON Schema document is the whole vocabulary, and says which definition an event has."""
    assert set(JSON_SCHEMA["$defs"]) >= set(structs())
    assert set(JSON_SCHEMA["x-events"]) == set(EVENT_TYPES)
    for kind, pointer in JSON_SCHEMA["x-events"].items():
        assert at(JSON_SCHEMA, pointer)["title"] == EVENT_TYPES[kind].__name__


def test_every_event_has_a_channel_of_its_own() -> None:
    """The whole table of events is in the AsyncAPI document: subject, payload, writer, and what makes the id."""
    by_address = {channel["address"]: channel for channel in ASYNCAPI["channels"].values()}
    for kind, struct in EVENT_TYPES.items():
        channel = by_address[subjects.event_of_type("{execution_id}", kind)]
        assert channel["x-stream"] == subjects.STREAM_EVENTS
        message = at(ASYNCAPI, channel["messages"][struct.__name__]["$ref"])
        assert message["payload"]["$ref"].endswith(f"/{struct.__name__}")
        assert (message["x-type"], message["x-writers"]) == (kind, struct.WRITER.split("|"))
        assert message["x-id"] == ["execution_id", "type", *struct.KEY]
        assert message["headers"]["allOf"][1]["properties"]["ce-type"] == {"const": kind}


FILTERS = {"events_of", "fence_of", "event", "event_parts", "command_parts", "is_execution_id", "is_token"}
"""Functions of shared.subjects that make filters or read subjects."""


def test_every_subject_has_a_channel() -> None:
    """No subject of shared/subjects.py is missing from the AsyncAPI document, and none is made up."""
    addresses = {re.sub(r"\{\w+\}", "*", each.address) for each in channels(event_types())}
    events = {subjects.event_of_type("*", kind) for kind in EVENT_TYPES}
    declared = {subjects.command("*", verb) for verb in subjects.COMMAND_VERBS} | events
    declared |= {subjects.fleet("*", verb) for verb in ("registered", "deregistered", "lost")}
    declared.add(subjects.append("*", "*.*"))
    spelled = {"command", "fleet", "append", "event_of_type"} | FILTERS
    for name, function in inspect.getmembers(subjects, inspect.isfunction):
        if name not in spelled:
            declared.add(function(*["*" for _ in inspect.signature(function).parameters]))
    for name, value in vars(subjects).items():
        if isinstance(value, str) and value.startswith("parallax.") and not name.startswith("_") and ">" not in value:
            declared.add(value)
    assert addresses == declared


def test_every_channel_that_a_stream_keeps_says_so() -> None:
    """`x-stream` is what the streams capture, no more and no less."""

    def captured(address: str) -> str | None:
        subject = re.sub(r"\{\w+\}", "x", address or "")
        for name, settings in STREAMS.items():
            stored = [*settings["subjects"], settings.get("subject_transform", {}).get("dest", "")]
            for pattern in filter(None, stored):
                regex = re.escape(pattern).replace(r"\*", "[^.]+").replace(">", ".+")
                if re.fullmatch(regex, subject):
                    return name
        return None

    for channel in ASYNCAPI["channels"].values():
        assert channel.get("x-stream") == captured(channel["address"]), channel["address"]
    assert set(ASYNCAPI["x-streams"]) == set(STREAMS)


def test_the_document_has_the_shape_of_asyncapi_3() -> None:
    """The required parts are there, and operations, channels and messages refer to one another as the standard asks."""
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(ASYNCAPI["info"])
    for server in ASYNCAPI["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for name, channel in ASYNCAPI["channels"].items():
        assert re.fullmatch(r"[\w.-]+", name)
        used = re.findall(r"\{(\w+)\}", channel["address"] or "")
        assert set(channel.get("parameters", {})) == set(used), name
        assert channel["messages"], name
        assert all(set(message) == {"$ref"} for message in channel["messages"].values())
    for name, operation in ASYNCAPI["operations"].items():
        assert operation["action"] in {"send", "receive"}
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/"), name
        for message in operation.get("reply", {}).get("messages", []):
            assert message["$ref"].startswith(f"{operation['reply']['channel']['$ref']}/messages/"), name
    for name, message in ASYNCAPI["components"]["messages"].items():
        assert {"name", "title", "summary", "contentType", "headers", "payload"} <= set(message), name
        assert message["summary"].strip(), name


def test_the_documented_headers_are_those_that_are_sent() -> None:
    """Every header that the platform writes is in the document, and the required ones are always there."""
    documented = ASYNCAPI["components"]["schemas"]["SentHeaders"]
    most = Stamp("engine").block(
        "task.completed", identity="a", subject="b", correlation="c", causation="d", traceparent="", version=2
    )
    assert set(most) == set(documented["properties"])
    least = Stamp("engine").block("task.completed")
    assert set(least) == set(documented["required"])
    assert re.fullmatch(documented["properties"]["traceparent"]["pattern"], most["traceparent"])


def test_every_setting_is_on_its_page() -> None:
    """The page of settings has a row for each, with what is expected and what it is for."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    for name, field in FIELDS.items():
        assert f"| `{name}` | {field.expected} | " in page
        assert field.meaning.endswith(".")


def test_every_command_is_on_its_page_and_its_examples_parse() -> None:
    """Examples use the commands and options that there are; the page leaves no command out."""
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    found = {" ".join(words): command for words, command in commands()}
    assert len(found) > 30
    for words, command in found.items():
        assert f"# parallax {words}\n" in page
        assert command.help, words
        for line in EXAMPLES.get(words, ()):
            program, *arguments = shlex.split(line)
            assert program == "parallax"
            assert line.removeprefix("parallax ").startswith(words)
            context = click.Context(command, info_name=words)
            command.make_parser(context).parse_args(arguments[len(words.split()) :])
    known = {name for name in EXAMPLES if name.split()[0] in root.list_commands(click.Context(root))}
    assert known <= set(found)


async def test_the_data_model_is_the_database(postgres_url: str) -> None:
    """The page's tables, columns and types are those that Postgres has after the migrations."""
    connection = await asyncpg.connect(postgres_url)
    try:
        await migrate(connection, MIGRATIONS, schema="public")
        rows = await connection.fetch(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name <> 'migrations' ORDER BY table_name, ordinal_position"
        )
    finally:
        await connection.close()
    real: dict[str, list[tuple[str, str, bool]]] = {}
    for row in rows:
        kind = str(row["data_type"]).replace("timestamp with time zone", "timestamptz")
        real.setdefault(row["table_name"], []).append((row["column_name"], kind, row["is_nullable"] == "NO"))
    documented = {
        name: [
            (column, kind, "NOT NULL" in rest or "PRIMARY KEY" in rest or any(column in key for key in made.keys))
            for column, (kind, rest) in made.columns.items()
        ]
        for name, made in current(ROOT).items()
    }
    assert documented == real
    assert set(documented) <= set(MEANINGS)


def test_a_migration_that_is_not_understood_is_no_silent_gap() -> None:
    """A line that the page cannot show fails instead of being left out."""
    with pytest.raises(ValueError, match="not understood"):
        tables(["CREATE TABLE a (\n    id text PRIMARY KEY,\n    EXCLUDE USING gist (c WITH &&)\n);\n"])
    made = tables(["CREATE TABLE a (\n    id text PRIMARY KEY\n);\n", "ALTER TABLE a ADD COLUMN b bigint NOT NULL;"])
    assert made["a"].columns == {"id": ("text", "PRIMARY KEY"), "b": ("bigint", "NOT NULL")}


def test_events_are_listed_with_their_headings() -> None:
    """Each event has a chapter with a row for every field."""
    page = (ROOT / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
    for kind, struct in EVENT_TYPES.items():
        assert issubclass(struct, Event)
        chapter = page.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        for field in struct.__struct_encode_fields__:
            assert f"| `{field}` |" in chapter, (kind, field)


def test_every_subject_is_on_the_page_of_the_bus() -> None:
    """Each subject but the events has a row, and each stream too."""
    page = (ROOT / "docs" / "reference" / "bus.md").read_text(encoding="utf-8")
    for channel in channels(event_types()):
        if not channel.type and channel.name != "append":
            assert f"| `{channel.address.replace('{', '<').replace('}', '>')}` | {channel.summary} | " in page
    for name in STREAMS:
        assert f"| `{name}` | " in page


def test_the_generator_refuses_a_wire_that_breaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written while a reader would be broken; a sentence names the field, and the exit code is 1."""
    old = generate.recorded()
    before = {path: (ROOT / path).read_text(encoding="utf-8") for path in documents()}
    lost = old | {"TaskStarted": old["TaskStarted"] | {"fields": old["TaskStarted"]["fields"] | {"was_here": {}}}}
    monkeypatch.setattr(generate, "recorded", lambda: lost)
    assert generate.main([]) == 1
    assert "TaskStarted.was_here is gone" in capsys.readouterr().err
    assert {path: (ROOT / path).read_text(encoding="utf-8") for path in before} == before


def test_the_generator_names_what_is_not_current(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` writes nothing, names the stale file and ends with 1."""
    monkeypatch.setattr(generate, "documents", lambda: {"docs/reference/settings.md": "other"})
    assert generate.main(["--check"]) == 1
    assert "docs/reference/settings.md is not current" in capsys.readouterr().out
    assert (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8") != "other"
