"""The tables: loading the rows that events touch, writing back what changed, and comparing whole projections.

Rows travel as one JSON document for each table and batch, so that a batch costs a handful of statements however many
events it holds. The types of the columns are read from the database, which has them from the migrations.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from schemas.events import Event
from services.projector.fold import Fact, Key, Row, Rows, apply, touched
from shared.bus import Recorded
from shared.postgres import Connection

TABLES = (
    "executions",
    "tasks",
    "verifications",
    "workspaces",
    "pull_requests",
    "agents",
    "agent_participations",
    "questions",
    "patterns",
    "pattern_versions",
    "confidence_points",
)
"""The tables of the fold. Their key column is `id`, except for patterns, whose key is the name."""

POSITION = "log"
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def key_column(table: str) -> str:
    """The name of a table's key column."""
    return "name" if table == "patterns" else "id"


class Store:
    """The projection in one schema of the database."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._columns: dict[str, dict[str, str]] = {}

    async def prepare(self, connection: Connection) -> None:
        """Reads the columns of the tables. Raises LookupError when the migrations have not run."""
        rows = await connection.fetch(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = $1 ORDER BY table_name, ordinal_position",
            self.schema,
        )
        columns: dict[str, dict[str, str]] = {}
        for row in rows:
            columns.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
        if not set(TABLES) <= set(columns):
            raise LookupError(f"the schema {self.schema} has no projections yet")
        self._columns = columns

    async def position(self, connection: Connection) -> int:
        """The sequence of the last event that is folded in."""
        value = await connection.fetchval(
            self._sql("SELECT position FROM {s}.projection_positions WHERE name = $1"), POSITION
        )
        return int(value or 0)

    async def fold(self, connection: Connection, batch: list[Recorded]) -> int:
        """Takes a batch in, with its position, in one transaction. Returns how many events were new."""
        async with connection.transaction():
            fresh = await self._new(connection, batch)
            await self._keep_events(connection, fresh)
            facts = [Fact(seq=one.seq, time=one.time, event=one.data) for one in fresh if isinstance(one.data, Event)]
            rows = Rows(await self._load(connection, {key for fact in facts for key in touched(fact)}))
            for fact in facts:
                apply(rows, fact)
            await self._save(connection, rows)
            await connection.execute(
                self._sql(
                    "INSERT INTO {s}.projection_positions (name, position) VALUES ($1, $2)"
                    " ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position"
                ),
                POSITION,
                batch[-1].seq,
            )
        return len(fresh)

    async def digest(self, connection: Connection) -> str:
        """The SHA-256 of every row of every table in order of the keys."""
        sha = hashlib.sha256()
        for table, order in (("execution_events", "stream_seq"), *((table, key_column(table)) for table in TABLES)):
            sha.update(table.encode())
            collation = "" if order == "stream_seq" else ' COLLATE "C"'
            query = self._sql("SELECT to_jsonb(t)::text AS row FROM {s}.{t} t ORDER BY ", table) + order + collation
            async with connection.transaction():
                async for row in connection.cursor(query, prefetch=1000):
                    sha.update(row["row"].encode())
        return sha.hexdigest()

    # -- a batch ----------------------------------------------------------------------------------------------------

    async def _new(self, connection: Connection, batch: list[Recorded]) -> list[Recorded]:
        """The events of a batch that are no second copies."""
        known = {
            row["event_id"]
            for row in await connection.fetch(
                self._sql("SELECT event_id FROM {s}.execution_events WHERE event_id = ANY($1::text[])"),
                [event_id(one) for one in batch],
            )
        }
        fresh: list[Recorded] = []
        for one in batch:
            identity = event_id(one)
            if identity not in known:
                known.add(identity)
                fresh.append(one)
        return fresh

    async def _keep_events(self, connection: Connection, batch: list[Recorded]) -> None:
        if not batch:
            return
        await connection.execute(
            self._sql(
                "INSERT INTO {s}.execution_events (stream_seq, execution_id, type, event_id, source, time, data)"
                " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],"
                " $7::jsonb[]) ON CONFLICT DO NOTHING"
            ),
            [one.seq for one in batch],
            [one.execution_id for one in batch],
            [one.type for one in batch],
            [event_id(one) for one in batch],
            [one.source for one in batch],
            [one.time for one in batch],
            [payload(one) for one in batch],
        )

    async def _load(self, connection: Connection, keys: set[Key]) -> dict[Key, Row]:
        loaded: dict[Key, Row] = {}
        by_table: dict[str, list[str]] = {}
        for table, key in keys:
            by_table.setdefault(table, []).append(key)
        for table, wanted in by_table.items():
            column = key_column(table)
            query = self._sql("SELECT * FROM {s}.{t} WHERE KEY = ANY($1::text[])", table).replace("KEY", column)
            for row in await connection.fetch(query, wanted):
                loaded[table, row[column]] = self._row(table, dict(row))
        return loaded

    def _row(self, table: str, row: Row) -> Row:
        types = self._columns[table]
        for name, value in row.items():
            if types[name] == "jsonb" and isinstance(value, str):
                row[name] = msgspec.json.decode(value)
        row["id"] = row[key_column(table)]
        return row

    async def _save(self, connection: Connection, rows: Rows) -> None:
        by_table: dict[str, list[Row]] = {}
        for (table, key), row in rows.changed.items():
            by_table.setdefault(table, []).append({**row, key_column(table): key})
        for table in TABLES:
            if table in by_table:
                await connection.execute(self._upsert(table), as_json(by_table[table]))

    def _upsert(self, table: str) -> str:
        types = self._columns[table]
        key = key_column(table)
        names = ", ".join(f'"{name}"' for name in types)
        typed = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
        update = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in types if name != key)
        text = (
            "INSERT INTO {s}.{t} (NAMES) SELECT NAMES FROM jsonb_to_recordset($1::jsonb) AS r(TYPED) ON CONFLICT (KEY)"
        )
        text = self._sql(text, table).replace("NAMES", names).replace("TYPED", typed).replace("KEY", f'"{key}"')
        return f"{text} DO UPDATE SET {update}"

    def _sql(self, text: str, table: str = "") -> str:
        """A statement with this store's schema and one of its own tables put in."""
        return text.replace("{s}", f'"{self.schema}"').replace("{t}", table)


def event_id(record: Recorded) -> str:
    """What tells an event from every other; a foreign one without an id is told by its place."""
    return record.id or f"seq:{record.seq}"


def payload(record: Recorded) -> str:
    """An event's payload as Postgres takes it."""
    data = record.data
    if isinstance(data, Event):
        return as_json(data)
    raw: bytes = data.payload
    try:
        return as_json(msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return as_json({"unreadable": raw.decode("utf-8", "replace")})


def as_json(value: Any) -> str:
    """JSON without the one character that Postgres cannot hold."""
    return _NUL.sub(rb"\1\\ufffd", msgspec.json.encode(value)).decode()
