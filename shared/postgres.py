"""Postgres: the only room that knows asyncpg. A pool that outlives the server's restarts, and forward-only migrations.

Nothing here retries a transaction: whoever owns one knows whether it may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import structlog

_log = structlog.get_logger(__name__)

Connection = Any
"""A connection of asyncpg: `fetch`, `fetchval`, `execute`, `transaction`, `cursor`. Its types are partly unknown."""

_CONNECT_S = 5.0
_MIGRATION_LOCK = 7_245_131_001

LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
    TimeoutError,
)
"""What asyncpg raises when the server is away or going away; the last but one when it went in a transaction."""


REFUSED = asyncpg.PostgresError
"""What the server answers to a statement that it cannot carry out; some of `LOST` are among them."""

_DOWN = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,
)


_NOT_NOW = ("08", "40", "53", "55", "57P", "58")
"""SQL states of a server in trouble: connections, conflicts, resources (a full disk, no memory), locks, files."""


def is_lost(connection: Connection, error: BaseException) -> bool:
    """Whether an error means that the server cannot do it now, and not that the statement was wrong."""
    state = getattr(error, "sqlstate", None) or ""
    return connection.is_closed() or isinstance(error, _DOWN) or state.startswith(_NOT_NOW)


class DatabaseAway(Exception):
    """Postgres cannot be reached now. What was asked may be asked again."""


class Database:
    """A pool of connections that is made when it is first needed and made anew when the server was away."""

    def __init__(self, url: str, *, size: int = 8) -> None:
        self._url = url
        self._size = size
        self._pool: asyncpg.Pool | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection from the pool. Raises DatabaseAway when there is none to be had, or it was lost on the way."""
        try:
            pool = await self._ready()
            async with pool.acquire(timeout=_CONNECT_S) as connection:
                yield connection
        except LOST as error:
            raise DatabaseAway(f"Postgres does not answer: {str(error) or type(error).__name__}") from error

    async def single(self) -> Connection:
        """A connection of one's own, for a lock that is held for long. Raises DatabaseAway."""
        try:
            return await asyncpg.connect(self._url, timeout=_CONNECT_S)
        except LOST as error:
            raise DatabaseAway(f"Postgres does not answer: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        """Closes every connection, waiting a moment for the ones in use."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), 2.0)
            except (TimeoutError, *LOST):
                pool.terminate()

    async def _ready(self) -> asyncpg.Pool:
        async with self._lock:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url, min_size=0, max_size=self._size, timeout=_CONNECT_S, command_timeout=60
                )
            return self._pool


async def migrate(connection: Connection, directory: Path, *, schema: str) -> list[str]:
    """Applies the migrations of a directory, in order of their names, that a schema has not had yet.

    Each `NNN_name.sql` runs in a transaction of its own with the schema first in the search path. Several processes may
    migrate at once. Returns the names of the files that ran; raises ValueError for a file that changed after it ran.
    """
    files = sorted(directory.glob("*.sql"))
    ran: list[str] = []
    await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
    try:
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        await connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{schema}".migrations (name text PRIMARY KEY, text text NOT NULL)'
        )
        query = f'SELECT name, text FROM "{schema}".migrations'  # noqa: S608 - the schema is one of ours
        done = {row["name"]: row["text"] for row in await connection.fetch(query)}
        keep = f'INSERT INTO "{schema}".migrations (name, text) VALUES ($1, $2)'  # noqa: S608 - the same
        for file in files:
            text = await asyncio.to_thread(file.read_text, encoding="utf-8")
            if file.name in done:
                if done[file.name] != text:
                    raise ValueError(f"the migration {file.name} has changed after it was applied; write a new one")
                continue
            async with connection.transaction():
                await connection.execute(f'SET LOCAL search_path TO "{schema}"')
                await connection.execute(text)
                await connection.execute(keep, file.name, text)
            ran.append(file.name)
            _log.info("migrated", schema=schema, file=file.name)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _MIGRATION_LOCK)
    return ran
