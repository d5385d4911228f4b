"""The fan-out as a DBOS application: a workflow of K steps at once and one that puts the results together."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class DbosFanout:
    """The fan-out as a DBOS application on the given Postgres server, in a database of its own."""

    def __init__(self, database_url: str, agents: int) -> None:
        from dbos import DBOS

        self._dbos = DBOS
        # the scheme must name a driver that SQLAlchemy can use
        parts = urlsplit(database_url)
        url = urlunsplit(("postgresql+psycopg", parts.netloc, "/dbos_bench", parts.query, ""))
        DBOS(config={"name": "fanout", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})

        @DBOS.step()
        async def work(number: int) -> dict[str, Any]:
            return {"number": number, "result": "nothing"}

        @DBOS.step()
        async def merge(found: list[dict[str, Any]]) -> dict[str, Any]:
            return {"result": found}

        @DBOS.workflow()
        async def fan_out() -> dict[str, Any]:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work(number)) for number in range(agents)]
            return await merge([task.result() for task in tasks])

        self._fan_out = fan_out
        DBOS.launch()

    async def once(self) -> None:
        """One execution, to its result."""
        handle = await self._dbos.start_workflow_async(self._fan_out)
        await handle.get_result()

    async def close(self) -> None:
        """Stops it."""
        self._dbos.destroy()
        # it had made its own threads the loop's, which others of the program still need
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
