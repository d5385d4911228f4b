"""All executions at a glance: from the gateway's tables where they are up to date, else from the log itself."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import aiohttp
import msgspec

from parallax.client import Client
from parallax.client_events import Event, event_of, still_asked
from schemas.events import ATTEMPT_ENDS
from schemas.gateway import ExecutionView
from shared import subjects
from shared.config import Settings

T = TypeVar("T")

_PAGE = 200
_KEPT = (
    *("result", "confidence", "confidence_source", "branch", "commit", "pr_url", "error"),
    *("approved", "evidence", "unpublished"),
)
_READ_TIMEOUT_S = 3.0
_CATCH_UP_S = 1.0
"""So long the tables may take to get to where the log is now, before the log itself is read."""


async def list_executions(
    client: Client, settings: Settings, *, status: str | None, pattern: str | None, limit: int
) -> list[dict[str, Any]]:
    """Executions with the fields of `schemas.gateway.ExecutionView`, the newest first."""
    found = await from_gateway(settings, status=status, pattern=pattern, limit=limit)
    if found is None:
        found = [
            view
            for view in reversed(await from_log(client))
            if status in (None, view.status) and pattern in (None, view.pattern_name)
        ]
    return [msgspec.to_builtins(view) for view in found[:limit]]


async def from_gateway(
    settings: Settings, *, status: str | None, pattern: str | None, limit: int
) -> list[ExecutionView] | None:
    """What the gateway lists; None when it cannot be asked or its tables cannot be read now."""
    wanted = {key: value for key, value in (("status", status), ("pattern", pattern)) if value}
    key = settings.api_key.partition(",")[0].strip()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{settings.api_url.rstrip('/')}/api/"
    found: list[ExecutionView] = []
    cursor: int | None = None
    try:
        async with aiohttp.ClientSession(url, headers=headers, timeout=aiohttp.ClientTimeout(_READ_TIMEOUT_S)) as http:
            if not await _caught_up(http):
                return None
            while len(found) < limit:
                query = wanted | {"limit": str(min(_PAGE, limit - len(found)))}
                query |= {} if cursor is None else {"cursor": str(cursor)}
                page = await _get(http, "executions", _Page, query)
                found += page.executions
                cursor = page.cursor
                if cursor is None:
                    break
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, ValueError):
        return None
    return found


async def _caught_up(http: aiohttp.ClientSession) -> bool:
    """Whether the tables hold all that is in the log now; waits a moment for them."""
    stats = await _get(http, "stats", _Stats)
    goal = stats.log.last_seq
    for _ in range(round(_CATCH_UP_S / 0.05)):
        if stats.log.projected >= goal:
            return True
        await asyncio.sleep(0.05)
        stats = await _get(http, "stats", _Stats)
    return stats.log.projected >= goal


async def _get(http: aiohttp.ClientSession, path: str, kind: type[T], query: dict[str, str] | None = None) -> T:
    async with http.get(path, params=query) as response:
        response.raise_for_status()
        return msgspec.json.decode(await response.read(), type=kind)


class _Log(msgspec.Struct):
    last_seq: int
    projected: int


class _Stats(msgspec.Struct):
    log: _Log


class _Page(msgspec.Struct):
    executions: list[ExecutionView]
    cursor: int | None


async def from_log(client: Client) -> list[ExecutionView]:
    """Every execution in the log, the oldest first."""
    views: dict[str, dict[str, Any]] = {}
    asked: dict[str, dict[str, str]] = {}
    ends = [subjects.event_of_type("*", kind) for kind in ATTEMPT_ENDS]
    filters = [*(subjects.event("*", entity, "*") for entity in ("execution", "question")), *ends]
    async for record in client.bus.stored(filters):
        event = event_of(record)
        if event.type == "question.asked":
            asked.setdefault(event.execution_id, {})[event.data["question_id"]] = event.data.get("task_id", "")
        elif event.type == "question.answered":
            asked.get(event.execution_id, {}).pop(event.data["question_id"], None)
        elif event.type in ATTEMPT_ENDS:
            if open_ones := asked.get(event.execution_id):
                asked[event.execution_id] = still_asked(open_ones, event)
        else:
            _fold(views.setdefault(event.execution_id, {"id": event.execution_id}), event)
    for name, questions in asked.items():
        if questions and name in views and views[name].get("status") == "running":
            views[name]["status"] = "waiting"
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
            view |= {key: data[key] for key in _KEPT if data.get(key) is not None}
            if verb == "failed" and data.get("evidence"):
                view["approved"] = False
            view.setdefault("requested_at", time)
        case _:
            return
