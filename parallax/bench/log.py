"""Appends to the log, as services make them: one at a time, pipelined, and grouped into atomic batches.

What a flush to disk costs is what an append costs. One at a time every event waits for its own flush; pipelined the
flushes queue up behind one another; grouped many events share one. The same writer, the same server, taking turns.
"""

from __future__ import annotations

import asyncio
import time

import click

from parallax.bench.durability import durability_of
from parallax.bench.fanout import percentile
from parallax.cli.common import emit_json, json_option, run_async
from parallax.stack import embedded
from schemas.base import Model
from schemas.events import TaskStarted
from shared.bus import Bus
from shared.bus.connection import Connection
from shared.bus.writer import MOST_EVENTS, Writer
from shared.ids import new_id

_NEVER_GROUPED = 1_000_000


class Appends(Model, frozen=True, kw_only=True):
    """What one way to append measured. Times in milliseconds from the call to the server's word, rates a second."""

    way: str
    in_flight: int
    events_per_s: float
    p50_ms: float
    p99_ms: float
    durability: str


async def measure(url: str, *, events: int, in_flight: list[int], durability: str) -> list[Appends]:
    """Appends so many events in each way."""
    connection = Connection(url, "bench")
    await connection.open(timeout_s=10)
    grouping = Bus(connection, "bench")
    never = Bus(connection, "bench", writer=Writer(connection, few_events=_NEVER_GROUPED))
    try:
        await grouping.ensure_streams()
        found = [await _run(never, "one by one", min(events, 500), 1, durability)]
        for hands in in_flight:
            found.append(await _run(never, "pipelined", events, hands, durability))
            found.append(await _run(grouping, "grouped", events, hands, durability))
        return found
    finally:
        await grouping.close()


async def _run(bus: Bus, way: str, events: int, hands: int, durability: str) -> Appends:
    await _append(bus, min(events, 100), hands)
    began = time.perf_counter()
    took = await _append(bus, events, hands)
    seconds = time.perf_counter() - began
    return Appends(
        way=way,
        in_flight=hands,
        events_per_s=round(events / seconds, 1),
        p50_ms=round(percentile(took, 0.50), 2),
        p99_ms=round(percentile(took, 0.99), 2),
        durability=durability,
    )


async def _append(bus: Bus, events: int, hands: int) -> list[float]:
    """Appends facts of executions of their own, `hands` at once; how long each took, in milliseconds."""
    waiting = iter(range(events))
    took: list[float] = []

    async def one_after_another() -> None:
        execution_id = new_id()
        for number in waiting:
            event = TaskStarted(
                execution_id=execution_id,
                task_id=f"{execution_id}-{number}",
                effect="1",
                role="bench",
                session="bench-1",
                agent_id="bench",
                attempt=1,
            )
            began = time.perf_counter()
            await bus.append(event)
            took.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(hands):
            group.create_task(one_after_another())
    return took


@click.command()
@click.option("--events", type=click.IntRange(1), default=5000, show_default=True, metavar="N")
@click.option(
    "--in-flight", type=click.IntRange(1, MOST_EVENTS), multiple=True, default=(4, 16, 64, 256), show_default=True
)
@json_option
def log(events: int, in_flight: tuple[int, ...], as_json: bool) -> int:
    """Measures appends to the log of a throwaway stack: one at a time, pipelined, and grouped."""

    async def run() -> list[Appends]:
        async with embedded(only=["nats"]) as stack:
            return await measure(
                stack.nats_url, events=events, in_flight=list(in_flight), durability=durability_of(stack.data)
            )

    for figures in run_async(run()):
        if as_json:
            emit_json(figures)
        else:
            click.echo(
                f"{figures.way:>10}, {figures.in_flight:>3} in flight: {figures.events_per_s:>8.0f} events/s, "
                f"p50 {figures.p50_ms:.2f} ms, p99 {figures.p99_ms:.2f} ms; durability {figures.durability}"
            )
    return 0
