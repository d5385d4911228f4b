"""The tables: loading the rows that events touch, writing back what changed, and comparing whole projections.

Rows travel as one JSON document for each table and batch, so that a batch costs a handful of statements however many
events it holds. The types of the columns are read from the database, which has them from the migrations.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import structlog

from schemas.events import Event
from services.projector.fold import FOLD, apply, begun, touched, touched_through
from services.projector.rows import Fact, Key, Row, Rows, unfit
from shared.bus import Recorded
from shared.postgres import Connection, DatabaseAway, is_lost

_log = structlog.get_logger(__name__)

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

POSITION, MADE_BY = "log", "fold"
"""The rows of `projection_positions`: how far the log is folded in, and the number of the fold that did it."""

_LONGEST_ID = 512
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def key_column(table: str) -> str:
    """The name of a table's key column."""
    return "name" if table == "patterns" else "id"


class Store:
    """The projection in one schema of the database."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.foreign: list[tuple[Recorded, str]] = []
        """Events that make no rows because nobody of the platform can have written them, and why."""
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
        """The sequence of the last event that is folded in; 0 where another fold than today's did it."""
        found = await connection.fetch(self._sql("SELECT name, position FROM {s}.projection_positions"))
        positions = {row["name"]: int(row["position"]) for row in found}
        return positions.get(POSITION, 0) if positions.get(MADE_BY) == FOLD else 0

    async def is_empty(self, connection: Connection) -> bool:
        """Whether nothing was ever folded in."""
        return not await connection.fetchval(self._sql("SELECT count(*) FROM {s}.projection_positions"))

    async def knows(self, connection: Connection, identity: str) -> bool:
        """Whether the event with this id is folded in."""
        query = self._sql("SELECT count(*) FROM {s}.execution_events WHERE event_id = $1")
        return bool(await connection.fetchval(query, identity))

    async def fold(self, connection: Connection, batch: list[Recorded]) -> int:
        """Takes a batch in, with its position. Returns how many events were new.

        An event that the tables cannot take is kept as it came, or passed over, and logged: it never stops the rest.
        Raises DatabaseAway when the connection goes.
        """
        try:
            return await self._fold(connection, batch)
        except Exception as error:
            if is_lost(connection, error):
                raise DatabaseAway(str(error) or type(error).__name__) from error
            if len(batch) == 1:
                return await self._set_aside(connection, batch[0], error)
        folded = 0
        for record in batch:
            folded += await self.fold(connection, [record])
        return folded

    async def digest(self, connection: Connection) -> str:
        """The SHA-256 of every row of every table in order of the keys."""
        sha = hashlib.sha256()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for table, order in (("execution_events", "stream_seq"), *((table, key_column(table)) for table in TABLES)):
                sha.update(table.encode())
                collation = "" if order == "stream_seq" else ' COLLATE "C"'
                query = self._sql("SELECT to_jsonb(t)::text AS row FROM {s}.{t} t ORDER BY ", table) + order + collation
                async for row in connection.cursor(query, prefetch=1000):
                    sha.update(row["row"].encode())
        return sha.hexdigest()

    # -- a batch ----------------------------------------------------------------------------------------------------

    async def _fold(self, connection: Connection, batch: list[Recorded]) -> int:
        async with connection.transaction():
            fresh = await self._new(connection, batch)
            await self._keep_events(connection, fresh)
            await self._change_rows(connection, fresh)
            await self._set_position(connection, batch[-1].seq)
        return len(fresh)

    async def _set_aside(self, connection: Connection, record: Recorded, error: Exception) -> int:
        """Keeps an event that cannot be folded, or at least passes it."""
        _log.error("event_not_folded", seq=record.seq, type=record.type[:200], error=str(error)[:500])
        try:
            async with connection.transaction():
                await self._keep_events(connection, await self._new(connection, [record]))
                await self._set_position(connection, record.seq)
                return 1
        except Exception as worse:
            if is_lost(connection, worse):
                raise DatabaseAway(str(worse) or type(worse).__name__) from worse
            _log.exception("event_not_kept", seq=record.seq, exc_info=worse)
        await self._set_position(connection, record.seq)
        return 0

    async def _change_rows(self, connection: Connection, batch: list[Recorded]) -> None:
        facts: list[Fact] = []
        for record in batch:
            if not isinstance(record.data, Event):
                self.foreign.append((record, f"it cannot be read: {record.data.reason}"))
                continue
            reason = unfit(record.data)
            if reason:
                _log.warning("event_not_folded", seq=record.seq, type=record.type, error=reason)
            else:
                facts.append(Fact(seq=record.seq, time=record.time, event=record.data))
        rows = Rows(await self._load(connection, {key for fact in facts for key in touched(fact)}))
        further = {key for fact in facts for key in touched_through(rows, fact)}
        missing = {(table, key) for table, key in further if not rows.has(table, key)}
        if missing:
            rows.add(await self._load(connection, missing))
        by_seq = {record.seq: record for record in batch}
        for fact in facts:
            if not begun(rows, fact):
                self.foreign.append((by_seq[fact.seq], "no engine has accepted or rejected an execution of this id"))
            apply(rows, fact)
        await self._save(connection, rows)

    async def _set_position(self, connection: Connection, position: int) -> None:
        await connection.execute(
            self._sql(
                "INSERT INTO {s}.projection_positions (name, position) VALUES ($1, $2), ($3, $4)"
                " ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position"
            ),
            POSITION,
            position,
            MADE_BY,
            FOLD,
        )

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
            [text(one.execution_id) for one in batch],
            [text(one.type) for one in batch],
            [event_id(one) for one in batch],
            [text(one.source) for one in batch],
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
                row[name] = msgspec.Raw(value.encode())  # the fold never looks inside, and so it comes back as it was
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
        statement = (
            "INSERT INTO {s}.{t} (NAMES) SELECT NAMES FROM jsonb_to_recordset($1::jsonb) AS r(TYPED) ON CONFLICT (KEY)"
        )
        statement = (
            self._sql(statement, table).replace("NAMES", names).replace("TYPED", typed).replace("KEY", f'"{key}"')
        )
        return f"{statement} DO UPDATE SET {update}"

    def _sql(self, statement: str, table: str = "") -> str:
        """A statement with this store's schema and one of its own tables put in."""
        return statement.replace("{s}", f'"{self.schema}"').replace("{t}", table)


def event_id(record: Recorded) -> str:
    """What tells an event from every other; a foreign one without an id is told by its place."""
    identity = record.id or f"seq:{record.seq}"
    if len(identity) > _LONGEST_ID:
        return f"sha256:{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()}"
    return text(identity)


def text(value: str) -> str:
    """A text as Postgres takes it in an index: without NUL and surrogates, and not endless."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:_LONGEST_ID]


def payload(record: Recorded) -> str:
    """An event's payload as Postgres takes it."""
    data = record.data
    if isinstance(data, Event):
        return as_json(data)
    raw: bytes = data.payload
    try:
        return as_json(msgspec.json.decode(raw))
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return as_json({"unreadable": raw.decode("utf-8", "replace")})


def as_json(value: Any) -> str:
    """JSON without the one character that Postgres cannot hold."""
    encoded = msgspec.json.encode(value)
    if b"\\u0000" in encoded:
        encoded = _NUL.sub(rb"\1\\ufffd", encoded)
    return encoded.decode()
