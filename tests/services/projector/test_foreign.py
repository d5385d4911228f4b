"""What a foreign writer puts into the log: rows are the same live and rebuilt, and no execution is pending for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import msgspec
import nats

from shared.bus import DeadLetter
from shared.testing import eventually
from tests.services.projector.stories import story
from tests.services.projector.test_projector import ask, fresh, projecting, row_of

JUNK: list[tuple[str, bytes]] = [
    ("execution.started", b'{"execution_id": "NAME"}'),
    ("execution.completed", b'{"execution_id": "NAME", "result": 1}'),
    ("execution.claimed", b'{"execution_id": "NAME", "engine": "nobody", "epoch": 1}'),
    ("task.cancel_requested", b'{"execution_id": "NAME", "task_id": "t", "effect": "1"}'),
    ("question.asked", b'{"execution_id": "NAME", "question_id": "q", "question": "?"}'),
    ("task.completed", b"{"),
    ("task.completed", b"\xff\xfe"),
    ("execution.accepted", b'{"execution_id": "somebody-else"}'),
    ("execution.exploded", b'{"execution_id": "NAME"}'),
    ("zz", b"null"),
    ("zz.zz.zz", b""),
]


async def append_raw(url: str, name: str, *, with_headers: bool) -> None:
    """Appends every kind of junk for one execution, as any client may that the broker lets."""
    client = await nats.connect(url)
    try:
        for number, (kind, body) in enumerate(JUNK):
            junk = {"ce-id": f"x {number} {name}", "ce-time": "yesterday", "ce-type": "%zz", "traceparent": "0-0"}
            headers = junk if with_headers else None
            subject = f"parallax.append.{name}.{kind}"
            await client.jetstream().publish(subject, body.replace(b"NAME", name.encode()), headers=headers)
    finally:
        await client.close()


async def test_junk_makes_no_execution_and_is_a_dead_letter(nats_url: str, postgres_url: str) -> None:
    """Of whatever kind, with headers or without: no row, no pending, a letter with the reason, the same rebuilt."""
    name, good = fresh(), fresh()
    async with projecting(nats_url, postgres_url) as (_, bus):
        await ask(bus, "wait")

        async def letters() -> list[DeadLetter]:
            return [one async for one in bus.dead_letters() if f".{name}." in one.subject]

        await append_raw(nats_url, name, with_headers=False)
        await append_raw(nats_url, name, with_headers=True)
        for event in story(good):
            await bus.append(event)
        live = await ask(bus, "digest")
        await eventually(lambda: _count(letters, 2 * len(JUNK)), timeout_s=15)
        found = await letters()
        assert {one.worker for one in found} == {"projector-log"}
        assert any("no engine has accepted" in one.reason for one in found)
        assert any("unknown type" in one.reason for one in found)
        for table in ("executions", "tasks", "questions", "workspaces"):
            column = "id" if table in {"executions", "workspaces"} else "execution_id"
            row = await row_of(postgres_url, f"SELECT count(*) AS n FROM {table} WHERE {column} = $1", name)
            assert row["n"] == 0, table
        assert (await row_of(postgres_url, "SELECT status FROM executions WHERE id = $1", good))[
            "status"
        ] == "completed"
        assert (await ask(bus, "rebuild", compare=True)).identical is True
        assert (await ask(bus, "digest")).digest == live.digest
        assert len(await letters()) == 2 * len(JUNK)


async def _count(letters: Callable[[], Awaitable[list[DeadLetter]]], wanted: int) -> bool:
    return len(await letters()) >= wanted


async def test_an_event_without_a_time_has_the_time_it_was_stored(nats_url: str, postgres_url: str) -> None:
    """The same one for who follows, who reads, and who rebuilds."""
    name = fresh()
    events = story(name)
    async with projecting(nats_url, postgres_url) as (_, bus):
        await ask(bus, "wait")
        client = await nats.connect(nats_url)
        try:
            for event in events:
                body = msgspec.json.encode(event)
                await client.jetstream().publish(f"parallax.append.{name}.{event.TYPE}", body)
        finally:
            await client.close()
        live = await ask(bus, "digest")
        connection = await asyncpg.connect(postgres_url)
        rows = await connection.fetch(
            "SELECT stream_seq, time FROM execution_events WHERE execution_id = $1 ORDER BY 1", name
        )
        await connection.close()
        assert len(rows) == len(events)
        assert all(row["time"].year > 2000 for row in rows)
        read = [record async for record in bus.read(name)]
        assert [(one.seq, one.time) for one in read] == [(row["stream_seq"], row["time"]) for row in rows]
        assert (await ask(bus, "rebuild", compare=True)).identical is True
        assert (await ask(bus, "digest")).digest == live.digest
