"""Making the tables anew: the log folded from its beginning into tables beside the live ones, which take their place.

Readers see the old tables until one transaction swaps them for the new ones. A rebuild that is broken off leaves the
live tables as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec
import structlog

from services.projector.store import TABLES, Store
from shared import subjects
from shared.bus import Bus, BusError, Recorded
from shared.postgres import Connection, migrate

_log = structlog.get_logger(__name__)

SHADOW, FORMER = "parallax_rebuild", "parallax_former"
_SWAPPED = (*TABLES, "execution_events", "projection_positions")


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild did. `identical`: whether the rows are those of the live tables (None: nobody asked)."""

    events: int = 0
    position: int = 0
    identical: bool | None = None


async def rebuild(
    connection: Connection,
    bus: Bus,
    migrations: Path,
    against: Store | None,
    *,
    live: str,
    target: int,
    keep_former: bool = False,
) -> Rebuilt:
    """Folds the log up to the sequence `target` into new tables and puts them in the place of the live ones.

    `against` is the live store where the rows are to be compared. `keep_former` moves the old tables into a schema of
    their own instead of dropping them, for when the log that they were made from is gone; tables with other rows than
    the new ones are kept there as well, so that somebody can find out which.
    """
    await connection.execute(f'DROP SCHEMA IF EXISTS "{SHADOW}" CASCADE')
    await migrate(connection, migrations, schema=SHADOW)
    store = Store(SHADOW)
    await store.prepare(connection)
    events, position = 0, 0
    if target:
        async with aclosing(_ahead(bus.follow_batches([subjects.EVENTS_ALL], after=0))) as batches:
            async for batch in batches:
                wanted = [record for record in batch if record.seq <= target]
                if wanted:
                    events += await store.fold(connection, wanted)
                    position = wanted[-1].seq
                if batch[-1].seq >= target:
                    break
    identical = None if against is None else await store.digest(connection) == await against.digest(connection)
    await _swap(connection, live, keep_former=keep_former or identical is False)
    _log.info("projections_rebuilt", events=events, position=position, identical=identical)
    return Rebuilt(events=events, position=position, identical=identical)


async def _ahead(batches: AsyncGenerator[list[Recorded]]) -> AsyncGenerator[list[Recorded]]:
    """The same batches; the next one is read while one is worked on."""
    coming = asyncio.create_task(anext(batches))
    try:
        while True:
            batch = await coming
            coming = asyncio.create_task(anext(batches))
            yield batch
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, BusError):
            await coming
        await batches.aclose()


async def _swap(connection: Connection, live: str, *, keep_former: bool) -> None:
    async with connection.transaction():
        if keep_former:
            await connection.execute(f'DROP SCHEMA IF EXISTS "{FORMER}" CASCADE')
            await connection.execute(f'CREATE SCHEMA "{FORMER}"')
        for table in _SWAPPED:
            if keep_former:
                await connection.execute(f'ALTER TABLE IF EXISTS "{live}".{table} SET SCHEMA "{FORMER}"')
            else:
                await connection.execute(f'DROP TABLE IF EXISTS "{live}".{table}')
            await connection.execute(f'ALTER TABLE "{SHADOW}".{table} SET SCHEMA "{live}"')
        await connection.execute(f'DROP SCHEMA "{SHADOW}" CASCADE')
