"""Whether the gateway lives, whether it can serve, and numbers for a monitoring system."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from litestar import MediaType, Response, get
from litestar.datastructures import State

from services.gateway.context import Context, context_of
from shared.bus import BusError
from shared.postgres import DatabaseAway

_PATIENCE_S = 2.0


@get("/health/live", summary="The process answers", tags=["health"])
async def live() -> dict[str, str]:
    """Always, while the process is there."""
    return {"status": "live"}


async def _parts(context: Context) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await context.bus.last_seq()
        found["nats"] = "ready"
    except (TimeoutError, BusError):
        found["nats"] = "away"
    try:
        async with asyncio.timeout(_PATIENCE_S), context.database.connection() as connection:
            await connection.fetchval("SELECT 1")
        found["postgres"] = "ready"
    except (TimeoutError, DatabaseAway):
        found["postgres"] = "away"
    return found


@get("/health/ready", summary="The servers behind it answer", tags=["health"])
async def ready(state: State) -> Response[dict[str, Any]]:
    """200 when the bus and Postgres answer, 503 with the one that does not."""
    parts = await _parts(context_of(state))
    good = all(value == "ready" for value in parts.values())
    return Response({"status": "ready" if good else "degraded", **parts}, status_code=200 if good else 503)


@get("/metrics", media_type=MediaType.TEXT, summary="Numbers in the Prometheus text format", tags=["health"])
async def metrics(state: State) -> str:
    """Executions by status, the end of the log, and how far the projections are."""
    context = context_of(state)
    lines = ["# HELP parallax_executions Executions by status.", "# TYPE parallax_executions gauge"]
    async with context.database.connection() as connection:
        counts = await connection.fetch("SELECT status, count(*) AS n FROM executions GROUP BY status ORDER BY status")
        position = await connection.fetchval("SELECT position FROM projection_positions WHERE name = 'log'")
    lines += [
        f"parallax_executions{{status={msgspec.json.encode(row['status']).decode()}}} {row['n']}" for row in counts
    ]
    last = await context.bus.last_seq()
    lines += [
        "# HELP parallax_log_last_sequence The sequence of the last event of the log.",
        "# TYPE parallax_log_last_sequence counter",
        f"parallax_log_last_sequence {last}",
        "# HELP parallax_projection_position The sequence of the last event that the tables hold.",
        "# TYPE parallax_projection_position counter",
        f"parallax_projection_position {position or 0}",
    ]
    return "\n".join(lines) + "\n"
