"""Parallax beside DBOS and LangGraph: the same fan-out, on one machine and one Postgres server, in one run.

    pip install dbos langgraph langgraph-checkpoint-postgres "psycopg[binary,pool]"     # needed by this script alone
    python bench/compare_fanout.py --executions 400 --in-flight 1 --in-flight 16 --in-flight 64

All do executions of K tasks at once that do nothing, and put the results together. Parallax runs as the whole embedded
stack: a process for each server and service, agents in a process of their own, every acked event flushed to the disk.
The others are libraries: workflow, steps and the measuring loop share one process, and their Postgres commits are
flushed as well. What is compared is therefore what an execution costs a user, not three ways to do the same work. They
take turns, so that none has the machine to itself for longer than another.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.dbos_fanout import DbosFanout
from bench.langgraph_fanout import LangGraphFanout
from parallax.bench.durability import durability_of
from parallax.bench.fanout import measure, percentile, write_pattern
from parallax.stack import embedded

_INSTALL = '`pip install dbos langgraph langgraph-checkpoint-postgres "psycopg[binary,pool]"` brings all.'


async def run(arguments: argparse.Namespace) -> None:
    """Starts the stack and compares on it."""
    with tempfile.TemporaryDirectory() as patterns:
        write_pattern(Path(patterns), arguments.agents)
        async with embedded(env={"PARALLAX_PATTERNS_DIR": patterns}) as stack:
            await compare(arguments, stack.nats_url, stack.database_url, durability_of(stack.data))


async def compare(arguments: argparse.Namespace, nats_url: str, database_url: str, durability: str) -> None:
    """Measures all at each level of concurrency, turn by turn, and prints a line of JSON for each."""
    most = max(arguments.in_flight)
    others: dict[str, Any] = {}
    if importlib.util.find_spec("dbos"):
        others["dbos"] = DbosFanout(database_url, arguments.agents)
    if importlib.util.find_spec("langgraph"):
        others["langgraph"] = LangGraphFanout(database_url, arguments.agents)
        await others["langgraph"].open(min(most, 32))
    try:
        for in_flight in arguments.in_flight:
            ours = await measure(
                nats_url,
                executions=arguments.executions,
                in_flight=in_flight,
                agents=arguments.agents,
                durability=durability,
            )
            _say(in_flight, "parallax", _short(ours))
            for name, other in others.items():
                await _run(other.once, min(30, arguments.executions), in_flight)
                began = time.perf_counter()
                took = await _run(other.once, arguments.executions, in_flight)
                seconds = time.perf_counter() - began
                _say(in_flight, name, _figures(took, seconds))
    finally:
        for other in others.values():
            await other.close()


async def _run(once: Callable[[], Awaitable[None]], executions: int, in_flight: int) -> list[float]:
    """Runs so many, so many at once; how long each took, in milliseconds."""
    waiting = iter(range(executions))
    took: list[float] = []

    async def one_after_another() -> None:
        for _ in waiting:
            began = time.perf_counter()
            await once()
            took.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one_after_another())
    return took


def _say(in_flight: int, system: str, figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"in_flight": in_flight, "system": system, **figures}) + "\n")
    sys.stdout.flush()


def _figures(took: list[float], seconds: float) -> dict[str, Any]:
    return {
        "executions_per_s": round(len(took) / seconds, 1),
        "p50_ms": round(percentile(took, 0.5), 2),
        "p99_ms": round(percentile(took, 0.99), 2),
    }


def _short(figures: Any) -> dict[str, Any]:
    names = ("executions_per_s", "p50_ms", "p99_ms", "events_per_s", "durability")
    return {name: getattr(figures, name) for name in names}


def main() -> int:
    """Reads the arguments and runs the comparison."""
    parser = argparse.ArgumentParser(description="Parallax beside DBOS and LangGraph on one Postgres server")
    parser.add_argument("--executions", type=int, default=400)
    parser.add_argument("--in-flight", type=int, action="append")
    parser.add_argument("--agents", type=int, default=3)
    arguments = parser.parse_args()
    arguments.in_flight = arguments.in_flight or [1, 16]
    missing = [name for name in ("dbos", "langgraph", "psycopg_pool") if not importlib.util.find_spec(name)]
    if "dbos" in missing and "langgraph" in missing:
        sys.stderr.write(f"There is nothing to compare with. {_INSTALL}\n")
        return 2
    if missing:
        sys.stderr.write(f"Not installed and therefore not measured: {', '.join(missing)}. {_INSTALL}\n")
    logging.getLogger("dbos").setLevel(logging.ERROR)
    asyncio.run(run(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
