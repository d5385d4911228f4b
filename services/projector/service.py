"""The projector.

Hears: all of `parallax.events.>` (following, from the position stored in Postgres); `parallax.queries.projector`.

Says: nothing on the log.

Owns: the tables of the data model. Whoever holds an advisory lock of the database is the one projector that writes; it
folds on the very connection that holds the lock, so that a second one can never write beside it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import structlog

from schemas.projections import ProjectorAnswer, ProjectorQuery
from services.projector.store import TABLES, Store
from shared import subjects
from shared.bus import Bus
from shared.config import Settings
from shared.postgres import LOST, Connection, Database, DatabaseAway, migrate
from shared.service import Service

_log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
LIVE, SHADOW = "public", "parallax_rebuild"
_LEADER_LOCK = 7_245_131_002
_AGAIN_S = 0.5
_CATCH_UP_S = 60.0


class Projector(Service):
    """Folds the log into Postgres."""

    name = "projector"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        self._database = Database(settings.database_url)
        self._store = Store(LIVE)
        self._connection: Connection | None = None
        self._position = 0
        self._moved = asyncio.Condition()
        self._folding = asyncio.Lock()

    async def start(self) -> None:
        """Begins to try for the lead. Postgres need not be there."""
        self.spawn(self._lead_for_ever(), name="projector")

    async def stop(self) -> None:
        """Gives up the lead."""
        await self._drop_connection()
        await self._database.close()

    # -- leading ----------------------------------------------------------------------------------------------------

    async def _lead_for_ever(self) -> None:
        while True:
            try:
                if await self._become_leader():
                    await self._lead()
            except (DatabaseAway, *LOST) as error:
                _log.warning("postgres_away", error=str(error))
            finally:
                await self._drop_connection()
            await asyncio.sleep(_AGAIN_S)

    async def _become_leader(self) -> bool:
        connection = await self._database.single()
        self._connection = connection
        return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK))

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _lead(self) -> None:
        connection = self._connection
        await migrate(connection, MIGRATIONS, schema=LIVE)
        await self._store.prepare(connection)
        self._position = await self._store.position(connection)
        if self._position > await self.bus.last_seq():
            _log.warning("log_is_shorter_than_projection", position=self._position)
            await self._rebuild()
        queries = await self.bus.serve(subjects.QUERY_PROJECTOR, ProjectorQuery, self._query)
        _log.info("projector_leads", position=self._position)
        try:
            async with aclosing(self.bus.follow_batches([subjects.EVENTS_ALL], after=self._position)) as batches:
                async for batch in batches:
                    async with self._folding:
                        fresh = [record for record in batch if record.seq > self._position]
                        if fresh:
                            await self._store.fold(connection, fresh)
                            await self._move(fresh[-1].seq)
        finally:
            await queries.stop()

    async def _move(self, position: int) -> None:
        async with self._moved:
            self._position = position
            self._moved.notify_all()

    # -- queries ----------------------------------------------------------------------------------------------------

    async def _query(self, query: ProjectorQuery) -> ProjectorAnswer:
        began = time.monotonic()
        digest, events, error = "", 0, ""
        last = await self.bus.last_seq()
        try:
            if query.action == "rebuild":
                async with self._folding:
                    events = await self._rebuild()
            elif query.action == "digest":
                async with asyncio.timeout(_CATCH_UP_S):
                    await self._reach(last)
                async with self._folding:
                    digest = await self._store.digest(self._connection)
        except TimeoutError:
            error = f"the projections did not reach {last} within {_CATCH_UP_S:.0f} s"
        except (DatabaseAway, *LOST) as away:
            error = str(away) or type(away).__name__
        return ProjectorAnswer(
            position=self._position,
            last_seq=last,
            digest=digest,
            events=events,
            duration_ms=round((time.monotonic() - began) * 1000),
            error=error,
        )

    async def _reach(self, position: int) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._position >= position)

    # -- from zero --------------------------------------------------------------------------------------------------

    async def _rebuild(self) -> int:
        """Folds the log from its beginning and swaps the tables. Readers see the old ones until the swap."""
        connection = self._connection
        target = await self.bus.last_seq()
        await connection.execute(f'DROP SCHEMA IF EXISTS "{SHADOW}" CASCADE')
        await migrate(connection, MIGRATIONS, schema=SHADOW)
        store = Store(SHADOW)
        await store.prepare(connection)
        position = 0
        events = 0
        if target:
            async with aclosing(self.bus.follow_batches([subjects.EVENTS_ALL], after=0)) as batches:
                async for batch in batches:
                    events += await store.fold(connection, batch)
                    position = batch[-1].seq
                    if position >= target:
                        break
        async with connection.transaction():
            for table in (*TABLES, "execution_events", "projection_positions"):
                await connection.execute(f'DROP TABLE IF EXISTS "{LIVE}".{table}')
                await connection.execute(f'ALTER TABLE "{SHADOW}".{table} SET SCHEMA "{LIVE}"')
            await connection.execute(f'DROP SCHEMA "{SHADOW}" CASCADE')
        await self._move(position)
        _log.info("projections_rebuilt", events=events, position=position)
        return events
