"""The projector.

Hears: all of `parallax.events.>` (following, from the position stored in Postgres); `parallax.queries.projector`.

Says: nothing on the log.

Owns: the tables of the data model. Whoever holds an advisory lock of the database is the one projector that writes; it
folds on the very connection that holds the lock, so that a second one can never write beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

import structlog

from schemas.projections import ProjectorAnswer, ProjectorQuery
from services.projector.rebuilding import Rebuilt, rebuild
from services.projector.store import Store, event_id
from shared import subjects
from shared.bus import Bus, BusClosed, BusError, Recorded
from shared.bus.messages import recorded_from_server
from shared.bus.reader import message_at
from shared.config import Settings
from shared.postgres import LOST, REFUSED, Connection, Database, DatabaseAway, migrate
from shared.service import Service

_log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
LIVE = "public"
_LEADER_LOCK = 7_245_131_002
_AGAIN_S = 0.5
_AGAIN_AT_FIRST_S = 0.05
_SETTLE_S = 3.0
_LOOK_EVERY_S = 3.0
_FINISH_S = 3.0
_FEW = 100
_WORKER = "projector-log"
"""The worker's name on dead letters of the log."""

_GATHER_S = 0.02


class LogReplaced(Exception):
    """The log is not the one that the tables were made from."""


class Projector(Service):
    """Folds the log into Postgres."""

    name = "projector"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        self._database = Database(settings.database_url)
        self._store = Store(LIVE)
        self._aside: set[int] | None = None
        self._connection: Connection | None = None
        self._position = 0
        self._moved = asyncio.Condition()
        self._waiting = 0
        self._folding = asyncio.Lock()
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Begins to try for the lead, and waits a moment for the tables: who reads early shall find them.

        Postgres need not be there: after that moment the projector waits for it in the background.
        """
        self.spawn(self._lead_for_ever(), name="projector")
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await self._settled.wait()

    async def stop(self) -> None:
        """Gives up the lead, when the batch in hand is folded in."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S), self._folding:
                self._drop_connection()
        self._drop_connection()
        await self._database.close()

    # -- leading ----------------------------------------------------------------------------------------------------

    async def _lead_for_ever(self) -> None:
        said, again = "", _AGAIN_AT_FIRST_S
        while True:
            try:
                connection = await self._database.single()
                self._connection = connection
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK):
                    await self._lead(connection)
                self._settled.set()  # another one leads, and makes the tables
            except BusClosed:
                raise
            except LogReplaced as error:
                _log.error("log_replaced", error=str(error))
            except (DatabaseAway, BusError, REFUSED, *LOST) as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("projector_waits", error=said or type(error).__name__)
            finally:
                self._drop_connection()
            await asyncio.sleep(_AGAIN_S if self._settled.is_set() else again)
            again = min(2 * again, _AGAIN_S)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _lead(self, connection: Connection) -> None:
        await migrate(connection, MIGRATIONS, schema=LIVE)
        await self._store.prepare(connection)
        self._settled.set()
        self._position = await self._store.position(connection)
        queries = await self.bus.serve(subjects.QUERY_PROJECTOR, ProjectorQuery, self._query)
        try:
            async with self._folding:  # queries are answered from here on, over the same connection
                if not await self._is_current(connection):
                    await self._rebuild(connection, keep_former=True)
            _log.info("projector_leads", position=self._position)
            async with aclosing(self.bus.follow_batches([subjects.EVENTS_ALL], after=self._position)) as batches:
                await self._follow(connection, batches)
        finally:
            await queries.stop()

    async def _follow(self, connection: Connection, batches: AsyncGenerator[list[Recorded]]) -> None:
        coming = asyncio.create_task(anext(batches))
        try:
            while True:
                await asyncio.wait({coming}, timeout=_LOOK_EVERY_S)
                if not coming.done():
                    await self._look(connection)
                    continue
                batch = coming.result()
                many = len(batch) >= _FEW
                if many:
                    coming = asyncio.create_task(anext(batches))  # is read while this one is folded
                async with self._folding:
                    fresh = [record for record in batch if record.seq > self._position]
                    if fresh:
                        await self._store.fold(connection, fresh)
                        await self._move(fresh[-1].seq)
                await self._set_foreign_aside()
                if not many:
                    if not self._waiting:
                        await asyncio.sleep(_GATHER_S)  # a fold costs much the same for one event and for fifty
                    coming = asyncio.create_task(anext(batches))
        finally:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, BusError):
                await coming

    async def _set_foreign_aside(self) -> None:
        """Makes dead letters of the events that nobody can use, so that somebody hears of them."""
        foreign, self._store.foreign = self._store.foreign, []
        if not foreign:
            return
        try:
            if self._aside is None:
                letters = [letter async for letter in self.bus.dead_letters() if letter.worker == _WORKER]
                self._aside = {letter.sequence for letter in letters}
            for record, reason in foreign:
                if record.seq not in self._aside:
                    await self.bus.set_aside(record, _WORKER, f"{record.type}: {reason}")
                    self._aside.add(record.seq)
                    _log.warning("foreign_event", seq=record.seq, type=record.type[:200], reason=reason)
        except (BusError, TimeoutError) as error:
            _log.warning("foreign_events_not_kept", count=len(foreign), error=str(error))

    async def _look(self, connection: Connection) -> None:
        """Whether Postgres and the log are still the ones that this projector leads with."""
        async with self._folding:
            await connection.fetchval("SELECT 1")
            if self._position > await self.bus.last_seq():
                raise LogReplaced(f"the tables are at {self._position}, where the log has not come to")

    async def _is_current(self, connection: Connection) -> bool:
        """Whether the tables can be gone on with; if not, they are to be made anew from the log."""
        if self._position == 0:
            return await self._store.is_empty(connection)
        if self._position > await self.bus.last_seq():
            _log.error("log_is_shorter_than_projections", position=self._position)
            return False
        message = await message_at(self.bus.connection, subjects.STREAM_EVENTS, self._position)
        if message is None:
            return True
        record = recorded_from_server(subjects.STREAM_EVENTS, message)
        if await self._store.knows(connection, event_id(record)):
            return True
        _log.error("log_is_another_one", position=self._position)
        return False

    async def _move(self, position: int) -> None:
        async with self._moved:
            self._position = position
            self._moved.notify_all()

    # -- queries ----------------------------------------------------------------------------------------------------

    async def _query(self, query: ProjectorQuery) -> ProjectorAnswer:
        began = time.monotonic()
        last = await self.bus.last_seq()
        position, digest, error, made = self._position, "", "", Rebuilt()
        wanted = last if query.position is None else query.position
        try:
            match query.action:
                case "rebuild":
                    async with self._folding:
                        made = await self._rebuild(self._leading(), compare=query.compare)
                        position = self._position
                case "wait" | "digest":
                    await self._reach(wanted, query.timeout_ms / 1000)
                    position = self._position
                    if query.action == "digest":
                        async with self._folding:
                            position = self._position
                            digest = await self._store.digest(self._leading())
                case _:
                    pass
        except TimeoutError:
            error = f"the projections did not reach {wanted} within {query.timeout_ms / 1000:g} s"
        except (DatabaseAway, REFUSED, *LOST) as away:
            error = str(away) or type(away).__name__
        return ProjectorAnswer(
            position=position,
            last_seq=last,
            digest=digest,
            events=made.events,
            identical=made.identical,
            duration_ms=round((time.monotonic() - began) * 1000),
            error=error,
        )

    def _leading(self) -> Connection:
        if self._connection is None:
            raise DatabaseAway("Postgres does not answer now")
        return self._connection

    async def _reach(self, position: int, within_s: float) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s), self._moved:
                await self._moved.wait_for(lambda: self._position >= position)
        finally:
            self._waiting -= 1

    async def _rebuild(self, connection: Connection, *, compare: bool = False, keep_former: bool = False) -> Rebuilt:
        target = min(self._position, await self.bus.last_seq()) if compare else await self.bus.last_seq()
        made = await rebuild(
            connection,
            self.bus,
            MIGRATIONS,
            self._store if compare else None,
            live=LIVE,
            target=target,
            keep_former=keep_former,
        )
        await self._move(made.position)
        return made
