"""Whether the gateway lives, whether it can serve, and numbers for a monitoring system."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from litestar import MediaType, Response, get
from litestar.datastructures import State

from services.gateway.context import Context, context_of
from shared.bus import BusError
from shared.postgres import REFUSED, DatabaseAway

_PATIENCE_S = 2.0


@get(["/health/live", "/api/health/live"], summary="The process answers", tags=["health"])
async def live() -> dict[str, str]:
    """Always, while the process is there."""
    return {"status": "live"}


async def _nats(context: Context) -> int | None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await context.bus.last_seq()
    except (TimeoutError, BusError):
        return None


async def _postgres(context: Context) -> tuple[dict[str, int], int] | None:
    """Executions by status and the projector's position. None: Postgres is away, or has no tables yet."""
    try:
        async with asyncio.timeout(_PATIENCE_S), context.database.connection() as connection:
            found = await connection.fetch("SELECT status, count(*) AS n FROM executions GROUP BY status ORDER BY 1")
            position = await connection.fetchval("SELECT position FROM projection_positions WHERE name = 'log'")
    except (TimeoutError, DatabaseAway, REFUSED):
        return None
    return {row["status"]: row["n"] for row in found}, position or 0


async def _tables(context: Context) -> str:
    """`ready`, `preparing` while the projector has not made the tables yet, or `away`."""
    try:
        async with asyncio.timeout(_PATIENCE_S), context.database.connection() as connection:
            there = await connection.fetchval("SELECT to_regclass('projection_positions') IS NOT NULL")
    except (TimeoutError, DatabaseAway, REFUSED):
        return "away"
    return "ready" if there else "preparing"


@get(["/health/ready", "/api/health/ready"], summary="The servers behind it answer", tags=["health"])
async def ready(state: State) -> Response[dict[str, str]]:
    """200 when the bus and Postgres can be read from, 503 with the one that cannot."""
    context = context_of(state)
    nats = "away" if await _nats(context) is None else "ready"
    postgres = await _tables(context)
    good = nats == postgres == "ready"
    parts = {"nats": nats, "postgres": postgres}
    return Response({"status": "ready" if good else "degraded", **parts}, status_code=200 if good else 503)


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[str, int]]) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in samples)]


@get(
    ["/metrics", "/api/metrics"], media_type=MediaType.TEXT, summary="Numbers in the Prometheus format", tags=["health"]
)
async def metrics(state: State) -> Response[str]:
    """What can be counted now; a server that is away leaves its numbers out, and says `parallax_up 0`."""
    context = context_of(state)
    last, tables = await _nats(context), await _postgres(context)
    up = [('{server="nats"}', int(last is not None)), ('{server="postgres"}', int(tables is not None))]
    lines = _family("parallax_up", "gauge", "Whether a server answers the gateway.", up)
    if tables is not None:
        counts, position = tables
        samples = [(f'{{status="{status}"}}', count) for status, count in counts.items()]
        lines += _family("parallax_executions", "gauge", "Executions by status.", samples)
        lines += _family(
            "parallax_projection_position", "gauge", "The last event that the tables hold.", [("", position)]
        )
    if last is not None:
        lines += _family("parallax_log_last_sequence", "counter", "The last event of the log.", [("", last)])
    counters = context.counters
    asked = [
        (f'{{method="{method}",status="{status}"}}', count)
        for (method, status), count in sorted(counters.requests.items())
    ]
    lines += _family("parallax_http_requests_total", "counter", "Requests that were answered.", asked)
    lines += _family("parallax_http_streams", "gauge", "Streams that are open.", [("", counters.streams)])
    lines += _family("parallax_http_events_sent_total", "counter", "Messages of streams.", [("", counters.events_sent)])
    return Response("\n".join(lines) + "\n", headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})
