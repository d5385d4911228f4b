"""All executions at a glance: from the gateway's tables where it answers, else from the log itself."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from parallax.client import Client
from parallax.client_events import Event, event_of
from schemas.gateway import ExecutionView
from shared import subjects
from shared.config import Settings

_PAGE = 200
_READ_TIMEOUT_S = 3.0


async def list_executions(
    client: Client, settings: Settings, *, status: str | None, pattern: str | None, limit: int
) -> list[dict[str, Any]]:
    """Executions with the fields of `schemas.gateway.ExecutionView`, the newest first."""
    found = await _from_gateway(settings, status=status, pattern=pattern, limit=limit)
    if found is None:
        found = [
            view
            for view in reversed(await from_log(client))
            if status in (None, view.status) and pattern in (None, view.pattern_name)
        ]
    return [msgspec.to_builtins(view) for view in found[:limit]]


async def _from_gateway(
    settings: Settings, *, status: str | None, pattern: str | None, limit: int
) -> list[ExecutionView] | None:
    """What the gateway lists; None when it cannot be asked or its tables cannot be read now."""
    wanted = {key: value for key, value in (("status", status), ("pattern", pattern)) if value}
    headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    url = f"{settings.api_url.rstrip('/')}/api/executions"
    found: list[ExecutionView] = []
    cursor = ""
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(_READ_TIMEOUT_S)) as session:
            while len(found) < limit:
                query = wanted | {"limit": str(min(_PAGE, limit - len(found)))} | ({"cursor": cursor} if cursor else {})
                async with session.get(url, params=query) as response:
                    if response.status != 200:
                        return None
                    page = msgspec.json.decode(await response.read(), type=_Page)
                found += page.items
                cursor = page.next_cursor or ""
                if not cursor:
                    break
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
        return None
    return found


class _Page(msgspec.Struct):
    items: list[ExecutionView]
    next_cursor: str | None = None


async def from_log(client: Client) -> list[ExecutionView]:
    """Every execution in the log, the oldest first."""
    views: dict[str, dict[str, Any]] = {}
    async for record in client.bus.stored([subjects.event("*", "execution", "*")]):
        _fold(views.setdefault(record.execution_id, {"id": record.execution_id}), event_of(record))
    return [
        msgspec.convert({"pattern_name": "", "status": "pending"} | view, ExecutionView, strict=False)
        for view in views.values()
    ]


def _fold(view: dict[str, Any], event: Event) -> None:
    data = event.data
    verb = event.type.partition(".")[2]
    time = event.time.isoformat()
    match verb:
        case "accepted":
            repo: dict[str, Any] = data.get("repo") or {}
            view |= {"pattern_name": data["pattern"], "input": data.get("input"), "requested_at": time}
            view |= {"repo": repo.get("url", ""), "status": "pending"}
        case "started":
            view |= {key: data.get(key, "") for key in ("pattern_name", "pattern_version", "pattern_digest")}
            view |= {"status": "running", "started_at": time}
        case "paused":
            view["status"] = "paused"
        case "resumed":
            view["status"] = "running"
        case "completed" | "failed" | "cancelled" | "rejected":
            view |= {"status": verb, "ended_at": time}
            view["pattern_name"] = view.get("pattern_name") or data.get("pattern", "")
            kept = ("result", "confidence", "confidence_source", "branch", "commit", "pr_url", "error")
            view |= {key: data[key] for key in kept if data.get(key) is not None}
            view.setdefault("requested_at", time)
        case _:
            return
