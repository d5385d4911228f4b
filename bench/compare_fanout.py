"""Parallax beside DBOS: the same fan-out, on the same machine, on the same Postgres server, in one run.

    pip install dbos            # needed by this script alone
    python bench/compare_fanout.py --executions 400 --in-flight 1 --in-flight 16

Both do executions of K tasks at once that do nothing, and put the results together. Parallax runs as the whole embedded
stack: eight processes, agents in a process of their own, every acked event flushed to the disk. DBOS is a library: its
workflow, its steps and the measuring loop share one process, and its Postgres commits are flushed as well. What is
compared is therefore what an execution costs a user, not two ways to do the same work. The two take turns, so that
neither has the machine to itself for longer than the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from parallax.bench.durability import durability_of
from parallax.bench.fanout import measure, percentile, write_pattern
from parallax.stack import embedded


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

    async def _once(self) -> float:
        began = time.perf_counter()
        handle = await self._dbos.start_workflow_async(self._fan_out)
        await handle.get_result()
        return (time.perf_counter() - began) * 1000

    async def measure(self, *, executions: int, in_flight: int, warm_up: int = 30) -> dict[str, Any]:
        """Runs so many, so many at once."""
        await self._run(warm_up, in_flight)
        began = time.perf_counter()
        took = await self._run(executions, in_flight)
        seconds = time.perf_counter() - began
        return {
            "executions_per_s": round(executions / seconds, 1),
            "p50_ms": round(percentile(took, 0.5), 2),
            "p99_ms": round(percentile(took, 0.99), 2),
        }

    async def _run(self, executions: int, in_flight: int) -> list[float]:
        waiting = iter(range(executions))
        took: list[float] = []

        async def one_after_another() -> None:
            took.extend([await self._once() for _ in waiting])

        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(one_after_another())
        return took

    def close(self) -> None:
        """Stops it."""
        self._dbos.destroy()


async def run(arguments: argparse.Namespace) -> None:
    """Starts the stack and compares on it."""
    with tempfile.TemporaryDirectory() as patterns:
        write_pattern(Path(patterns), arguments.agents)
        async with embedded(env={"PARALLAX_PATTERNS_DIR": patterns}) as stack:
            await compare(arguments, stack.nats_url, stack.database_url, durability_of(stack.data))


async def compare(arguments: argparse.Namespace, nats_url: str, database_url: str, durability: str) -> None:
    """Measures both at each level of concurrency, turn by turn, and prints a line of JSON for each."""
    other = DbosFanout(database_url, arguments.agents)
    try:
        for in_flight in arguments.in_flight:
            ours = await measure(
                nats_url,
                executions=arguments.executions,
                in_flight=in_flight,
                agents=arguments.agents,
                durability=durability,
            )
            theirs = await other.measure(executions=arguments.executions, in_flight=in_flight)
            print(json.dumps({"in_flight": in_flight, "system": "parallax", **_short(ours)}), flush=True)
            print(json.dumps({"in_flight": in_flight, "system": "dbos", **theirs}), flush=True)
    finally:
        other.close()


def _short(figures: Any) -> dict[str, Any]:
    names = ("executions_per_s", "p50_ms", "p99_ms", "events_per_s", "durability")
    return {name: getattr(figures, name) for name in names}


def main() -> int:
    """Reads the arguments and runs the comparison."""
    parser = argparse.ArgumentParser(description="Parallax beside DBOS on one Postgres server")
    parser.add_argument("--executions", type=int, default=400)
    parser.add_argument("--in-flight", type=int, action="append")
    parser.add_argument("--agents", type=int, default=3)
    arguments = parser.parse_args()
    arguments.in_flight = arguments.in_flight or [1, 16]
    try:
        import dbos  # noqa: F401 - only to say early that it is missing
    except ImportError:
        print("This comparison needs dbos, which nothing else does: pip install dbos", file=sys.stderr)
        return 2
    logging.getLogger("dbos").setLevel(logging.ERROR)
    asyncio.run(run(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
