"""The fan-out as a LangGraph graph with its Postgres checkpointer: K nodes at once, and one that merges."""

from __future__ import annotations

import itertools
import operator
from typing import Annotated, Any, TypedDict
from urllib.parse import urlsplit, urlunsplit

import psycopg

_NAME = "langgraph_bench"


class State(TypedDict):
    """What the nodes add to."""

    found: Annotated[list[dict[str, Any]], operator.add]
    result: list[dict[str, Any]]


class LangGraphFanout:
    """The fan-out as a compiled graph, each execution a thread of its own in a database of its own."""

    def __init__(self, database_url: str, agents: int) -> None:
        parts = urlsplit(database_url)
        self._admin = database_url
        self._url = urlunsplit((parts.scheme, parts.netloc, f"/{_NAME}", parts.query, ""))
        self._agents = agents
        self._numbers = itertools.count()
        self._pool: Any = None
        self._graph: Any = None

    async def open(self, connections: int) -> None:
        """Makes the database and its tables, and compiles the graph. Checkpoints are written before a step goes on."""
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from langgraph.graph import END, START, StateGraph
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool

        async with await psycopg.AsyncConnection.connect(self._admin, autocommit=True) as admin:
            await admin.execute(f"CREATE DATABASE {_NAME}")
        options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self._pool = AsyncConnectionPool(self._url, max_size=connections, open=False, kwargs=options)
        await self._pool.open()
        saver = AsyncPostgresSaver(self._pool)
        await saver.setup()
        graph = StateGraph(State)

        async def merge(state: State) -> dict[str, Any]:
            return {"result": state["found"]}

        graph.add_node("merge", merge)
        for number in range(self._agents):
            name = f"work{number}"

            async def work(_: State, number: int = number) -> dict[str, Any]:
                return {"found": [{"number": number, "result": "nothing"}]}

            graph.add_node(name, work)
            graph.add_edge(START, name)
        graph.add_edge([f"work{number}" for number in range(self._agents)], "merge")
        graph.add_edge("merge", END)
        self._graph = graph.compile(checkpointer=saver)

    async def once(self) -> None:
        """One execution, to its result."""
        thread = {"configurable": {"thread_id": str(next(self._numbers))}}
        await self._graph.ainvoke({"found": []}, thread, durability="sync")

    async def close(self) -> None:
        """Closes its connections."""
        await self._pool.close()
