"""What the gateway reads: rows of the projections, and the log itself where a row is not there yet."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from schemas.events import (
    ENDINGS,
    Event,
    ExecutionAccepted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionRejected,
    ExecutionResumed,
    ExecutionStarted,
    QuestionAnswered,
    QuestionAsked,
)
from schemas.gateway import ExecutionView
from schemas.secrets import masked
from services.gateway.context import Context
from shared.bus import Bus, Recorded
from shared.postgres import REFUSED, Database, DatabaseAway

JSON_COLUMNS = frozenset(
    {"input", "result", "error", "usage", "labels", "files", "oracles", "conflicts", "options", "who", "value"}
    | {"capabilities", "data", "evidence"}
)


def stamp(value: datetime | None) -> str:
    """A time as RFC 3339."""
    return "" if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain(row: Any) -> dict[str, Any]:
    """A row as JSON."""
    out: dict[str, Any] = {}
    for name, value in dict(row).items():
        if isinstance(value, datetime):
            out[name] = stamp(value)
        elif name in JSON_COLUMNS and isinstance(value, str):
            out[name] = msgspec.json.decode(value)
        else:
            out[name] = value
    return out


def view_of_row(row: Any) -> ExecutionView:
    """A row of `executions` as the gateway shows it."""
    known = {name: value for name, value in plain(row).items() if value is not None}
    return msgspec.convert({**known, "pattern_name": known.get("pattern_name", "")}, ExecutionView)


def view_of_log(execution_id: str, records: list[Recorded]) -> ExecutionView | None:
    """One execution folded from its own events. None: no engine has accepted or rejected it, whatever else is there."""
    fields: dict[str, Any] = {}
    asked: set[str] = set()
    for record in records:
        event = record.data
        if not fields and not isinstance(event, ExecutionAccepted | ExecutionRejected):
            continue
        if isinstance(event, Event) and record.type.startswith("execution.") and "ended_at" not in fields:
            fields |= _fields(event, stamp(record.time))
        elif isinstance(event, QuestionAsked):
            asked.add(event.question_id)
        elif isinstance(event, QuestionAnswered):
            asked.discard(event.question_id)
    if not fields:
        return None
    if asked and fields.get("status") == "running":
        fields["status"] = "waiting"
    return msgspec.convert({"id": execution_id, "pattern_name": "", "status": "pending", **fields}, ExecutionView)


def _fields(event: Event, at: str) -> dict[str, Any]:
    ended = {"status": event.TYPE.partition(".")[2], "ended_at": at} if event.TYPE in ENDINGS else {}
    match event:
        case ExecutionAccepted():
            repo = event.repo.url if event.repo else ""
            return {
                "pattern_name": event.pattern.partition("@")[0],
                "input": event.input,
                "repo": repo,
                "requested_at": at,
            }
        case ExecutionStarted():
            return {
                "status": "running",
                "pattern_name": event.pattern_name,
                "pattern_version": event.pattern_version,
                "pattern_digest": event.pattern_digest,
                "input": event.input,
                "started_at": at,
            }
        case ExecutionPaused():
            return {"status": "paused"}
        case ExecutionResumed():
            return {"status": "running"}
        case ExecutionCompleted():
            return ended | {
                "result": event.result,
                "confidence": event.confidence,
                "confidence_source": event.confidence_source,
                "branch": event.branch,
                "commit": event.commit,
                "pr_url": event.pr_url,
                **_gates(event),
            }
        case ExecutionFailed():
            error = msgspec.to_builtins(event.error)
            return ended | {"error": error, "branch": event.branch, "commit": event.commit, **_gates(event)}
        case ExecutionRejected():
            errors = msgspec.to_builtins(event.errors)
            return ended | {"error": {"code": "rejected", "errors": errors}, "pattern_name": event.pattern}
        case ExecutionCancelled():
            return ended | {"error": {"code": "cancelled", "message": event.reason}}
        case _:
            return {}


def _gates(event: ExecutionCompleted | ExecutionFailed) -> dict[str, Any]:
    """Whether the work passed its gates, and what is said about it."""
    approved = event.approved if isinstance(event, ExecutionCompleted) else UNSET if event.evidence is UNSET else False
    found = {"approved": approved, "evidence": event.evidence, "unpublished": event.unpublished}
    return {name: msgspec.to_builtins(value) for name, value in found.items() if value is not UNSET}


async def history(bus: Bus, execution_id: str) -> list[Recorded]:
    """The log of one execution."""
    return [record async for record in bus.read(execution_id)]


async def execution(context: Context, name: str) -> ExecutionView | None:
    """One execution as the log has it: its row where that is as current, else folded from its events. None: unknown."""
    row: Any = None
    with suppress(DatabaseAway, REFUSED):
        async with context.database.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM executions WHERE id = $1", name)
    if row is not None and row["ended_at"] is not None:
        return view_of_row(row)
    last = await context.last_seq_of(name)
    if row is not None and row["last_seq"] >= last:
        return view_of_row(row)
    from_log = view_of_log(name, await history(context.bus, name)) if last else None
    return from_log or context.pending(name)


async def page(
    database: Database, *, status: str | None, pattern: str | None, before: int | None, limit: int
) -> tuple[list[ExecutionView], int | None]:
    """Executions, newest first, and where the next page begins."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM executions WHERE ($1::text IS NULL OR status = $1)"
            " AND ($2::text IS NULL OR pattern_name = $2)"
            " AND ($3::bigint IS NULL OR first_seq < $3) ORDER BY first_seq DESC LIMIT $4",
            status,
            pattern,
            before,
            limit + 1,
        )
    following = rows[limit - 1]["first_seq"] if len(rows) > limit else None
    return [view_of_row(row) for row in rows[:limit]], following


async def rows(database: Database, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """The rows of a query as JSON."""
    async with database.connection() as connection:
        return [plain(row) for row in await connection.fetch(query, *arguments)]


def event_document(record: Recorded) -> dict[str, Any]:
    """One event as HTTP clients see it."""
    data: Any = record.data
    if isinstance(data, Event):
        payload: Any = msgspec.to_builtins(data)
    else:
        try:
            payload = msgspec.json.decode(data.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            payload = {"unreadable": data.payload.decode("utf-8", "replace")}
    return {
        "seq": record.seq,
        "id": record.id,
        "type": record.type,
        "execution_id": record.execution_id,
        "time": stamp(record.time),
        "source": record.source,
        "data": masked(payload),
    }
