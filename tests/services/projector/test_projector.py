"""The projector on a real log and a real Postgres: it follows, rebuilds to the same rows, and leaves no gap."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from parallax.stack.binaries import server_account
from parallax.stack.servers import Postgres, free_ports, spawn
from schemas.projections import ProjectorAnswer, ProjectorQuery
from services.projector.service import Projector
from shared import subjects
from shared.bus import Bus, BusError
from shared.config import load
from shared.testing import eventually
from tests.services.projector.stories import story


@asynccontextmanager
async def projecting(nats_url: str, postgres_url: str) -> AsyncGenerator[tuple[Projector, Bus]]:
    """A projector at work."""
    settings = load({"PARALLAX_NATS_URL": nats_url, "PARALLAX_DATABASE_URL": postgres_url})
    bus = await Bus.connect(settings, name="projector")
    await bus.ensure_streams()
    projector = Projector(settings, bus)
    await projector.begin()
    try:
        yield projector, bus
    finally:
        await projector.halt()
        await bus.close()


async def ask(bus: Bus, action: str, **more: object) -> ProjectorAnswer:
    """Asks the projector that leads, waiting while none does."""
    async with asyncio.timeout(20):
        while True:
            try:
                query = {"action": action, **more}
                return await bus.request(subjects.QUERY_PROJECTOR, query, ProjectorAnswer, timeout_s=20)
            except BusError:
                await asyncio.sleep(0.1)  # nobody leads yet; the projector may be another process


async def row_of(url: str, query: str, *arguments: object) -> asyncpg.Record:
    """One row."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(query, *arguments)
    finally:
        await connection.close()
    assert row is not None
    return row


def fresh() -> str:
    """An execution id of this test's own."""
    return f"p{uuid.uuid4().hex[:8]}"


async def test_rows_say_what_the_log_says(nats_url: str, postgres_url: str) -> None:
    """An execution's row has its status, result and confidence; its task has its attempt."""
    name = f"p{uuid.uuid4().hex[:8]}"
    async with projecting(nats_url, postgres_url) as (_, bus):
        for event in story(name):
            await bus.append(event)
        answer = await ask(bus, "digest")
        assert not answer.error
        row = await row_of(postgres_url, "SELECT * FROM executions WHERE id = $1", name)
        assert (row["status"], row["pattern_name"], row["confidence"], row["effects"]) == ("completed", "team", 0.5, 2)
        assert row["ended_at"] is not None
        task = await row_of(postgres_url, "SELECT * FROM tasks WHERE id = $1", f"{name}-1")
        assert (task["status"], task["attempt"]) == ("completed", 2)
        part = await row_of(postgres_url, "SELECT * FROM agent_participations WHERE execution_id = $1", name)
        assert part["tasks_completed"] == 1
        for question_id, status in ((f"{name}-q", "answered"), (f"{name}-asked", "withdrawn")):
            question = await row_of(postgres_url, "SELECT * FROM questions WHERE id = $1", question_id)
            assert question["status"] == status


async def test_a_rebuild_gives_the_same_rows(nats_url: str, postgres_url: str) -> None:
    """The digest over every row is the same after dropping everything and folding the log from its beginning."""
    async with projecting(nats_url, postgres_url) as (_, bus):
        for number in range(30):
            for event in story(f"p{uuid.uuid4().hex[:8]}-{number}"):
                await bus.append(event)
        live = await ask(bus, "digest")
        rebuilt = await ask(bus, "rebuild")
        assert rebuilt.events >= 30 * 23
        again = await ask(bus, "digest")
        assert live.digest == again.digest
        assert len(live.digest) == 64


async def test_a_projector_goes_on_where_another_one_died(nats_url: str, postgres_url: str) -> None:
    """The position is stored with the rows: nothing is folded twice and nothing is missed."""
    name = f"p{uuid.uuid4().hex[:8]}"
    events = story(name)
    async with projecting(nats_url, postgres_url) as (_, bus):
        for event in events[:7]:
            await bus.append(event)
        await ask(bus, "digest")
    async with projecting(nats_url, postgres_url) as (_, bus):
        for event in events[7:]:
            await bus.append(event)
        live = await ask(bus, "digest")
        await ask(bus, "rebuild")
        assert (await ask(bus, "digest")).digest == live.digest
        row = await row_of(postgres_url, "SELECT count(*) AS n FROM execution_events WHERE execution_id = $1", name)
        assert row["n"] == len(events)


async def test_only_one_projector_writes(nats_url: str, postgres_url: str) -> None:
    """A second one waits for the lead and takes it when the first is gone."""
    async with projecting(nats_url, postgres_url) as (first, bus):
        await ask(bus, "status")
        async with projecting(nats_url, postgres_url) as (_, other):
            await first.halt()
            await bus.close()
            answer = await ask(other, "digest")
            assert answer.digest


@pytest.mark.parametrize("action", ["nonsense", 7])
async def test_a_bad_query_is_answered(nats_url: str, postgres_url: str, action: object) -> None:
    """What cannot be read is said, and the projector goes on."""
    async with projecting(nats_url, postgres_url) as (_, bus):
        await ask(bus, "status")
        with pytest.raises(Exception, match="cannot be read"):
            await bus.request(subjects.QUERY_PROJECTOR, {"action": action}, ProjectorAnswer)
        assert ProjectorQuery().action == "status"
        assert (await ask(bus, "status")).position >= 0


async def test_a_rebuild_says_whether_the_rows_are_the_same(nats_url: str, postgres_url: str) -> None:
    """`compare` finds a row that somebody has changed by hand, and the rebuild mends it and keeps what was there."""
    name = fresh()
    async with projecting(nats_url, postgres_url) as (_, bus):
        for event in story(name):
            await bus.append(event)
        await ask(bus, "wait")
        assert (await ask(bus, "rebuild", compare=True)).identical is True
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("UPDATE tasks SET attempt = 99 WHERE id = $1", f"{name}-1")
        await connection.close()
        assert (await ask(bus, "rebuild", compare=True)).identical is False
        kept = await row_of(postgres_url, "SELECT attempt FROM parallax_former.tasks WHERE id = $1", f"{name}-1")
        assert kept["attempt"] == 99
        assert (await ask(bus, "rebuild", compare=True)).identical is True
        row = await row_of(postgres_url, "SELECT attempt FROM tasks WHERE id = $1", f"{name}-1")
        assert row["attempt"] == 2


async def test_readers_see_whole_tables_during_a_rebuild(nats_url: str, postgres_url: str) -> None:
    """A reader that asks again and again never finds fewer rows than there were."""
    async with projecting(nats_url, postgres_url) as (_, bus):
        for _ in range(10):
            for event in story(fresh()):
                await bus.append(event)
        await ask(bus, "wait")
        connection = await asyncpg.connect(postgres_url)
        count = "SELECT count(*) FROM tasks"
        before = await connection.fetchval(count)
        rebuilding = asyncio.create_task(ask(bus, "rebuild"))
        seen = [before]
        while not rebuilding.done():
            seen.append(await connection.fetchval(count))
        await connection.close()
        assert min(seen) == before
        assert len(seen) > 2


HOSTILE = [
    ("question.asked", {"question_id": "q", "question": "?", "deadline_at": 10**18}),
    ("question.asked", {"question_id": "q" * 9000, "question": "?"}),
    ("execution.completed", {"effects": 2**80}),
    ("task.started", {"task_id": "t\x00", "attempt": 1, "effect": "", "role": "", "session": "", "agent_id": ""}),
    ("task.completed", {"task_id": 7}),
    ("nobody.knows", {"\x00": ["\x00", 1e22, 10**60]}),
    ("signal.received", {"number": 1, "name": "n", "data": {"\x00\x00": 10**200}}),
]


async def test_no_event_stops_the_projector(nats_url: str, postgres_url: str) -> None:
    """What the tables cannot take is kept as it came, the rest of the log is folded, and a rebuild does the same."""
    name = fresh()
    raw = [(subjects.append(name, kind), json.dumps({"execution_id": name, **body})) for kind, body in HOSTILE]
    raw += [
        (subjects.append(name, "task.completed"), "{"),
        (subjects.append(name, "task.completed"), "[" * 10_000),
        (subjects.append(name, "task.completed"), '"\\ud800"'),
        (subjects.append(name, "a.b.c.d"), "1e400"),
        (subjects.append("e" * 3000, "execution.started"), "{}"),
    ]
    async with projecting(nats_url, postgres_url) as (_, bus):
        for subject, body in raw:
            headers = {"ce-id": "i" * 4000, "ce-source": "s" * 4000} if "a.b" in subject else None
            await bus.connection.request(subject, body.encode(), headers)
        for event in story(name):
            await bus.append(event)
        live = await ask(bus, "digest")
        assert not live.error
        row = await row_of(postgres_url, "SELECT count(*) AS n FROM execution_events WHERE execution_id = $1", name)
        assert row["n"] == len(raw) - 1 + len(story(name))
        row = await row_of(postgres_url, "SELECT status, result FROM executions WHERE id = $1", name)
        assert (row["status"], row["result"]) == ("completed", "[1]")
        rebuilt = await ask(bus, "rebuild", compare=True)
        assert rebuilt.identical


@pytest.mark.parametrize(("what", "value"), [("log", 10**12), ("fold", 0)])
async def test_tables_that_are_not_of_this_log_are_made_anew(
    nats_url: str, postgres_url: str, what: str, value: int
) -> None:
    """A position that the log has not come to, or tables of another fold: rebuilt, and the old ones are kept beside."""
    name = fresh()
    async with projecting(nats_url, postgres_url) as (_, bus):
        for event in story(name):
            await bus.append(event)
        live = await ask(bus, "digest")
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("UPDATE projection_positions SET position = $2 WHERE name = $1", what, value)
    await connection.execute("DELETE FROM tasks")
    await connection.close()
    async with projecting(nats_url, postgres_url) as (_, bus):
        assert (await ask(bus, "digest")).digest == live.digest
    row = await row_of(postgres_url, "SELECT count(*) AS n FROM parallax_former.executions")
    assert row["n"] >= 1


async def _process(nats_url: str, postgres_url: str) -> asyncio.subprocess.Process:
    """The projector as a process of its own, ready."""
    reading, writing = os.pipe()
    environ = {
        **os.environ,
        "PARALLAX_NATS_URL": nats_url,
        "PARALLAX_DATABASE_URL": postgres_url,
        "PARALLAX_NOTIFY_FD": str(writing),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    arguments = [sys.executable, "-m", "services.projector"]
    process = await asyncio.create_subprocess_exec(
        *arguments, env=environ, pass_fds=[writing], stderr=asyncio.subprocess.DEVNULL
    )
    os.close(writing)
    with os.fdopen(reading) as words:
        while json.loads(await asyncio.to_thread(words.readline))["state"] != "ready":  # first it says that it starts
            pass
    return process


async def test_kill_9_in_the_middle_leaves_no_trace(nats_url: str, postgres_url: str) -> None:
    """Killed three times while events are appended: every event is folded once, and a rebuild gives the same rows."""
    names = [fresh() for _ in range(60)]
    bus = await Bus.connect(nats_url)
    await bus.ensure_streams()

    async def write() -> None:
        for name in names:
            for event in story(name):
                await bus.append(event)

    writing = asyncio.create_task(write())
    try:
        for _ in range(3):
            process = await _process(nats_url, postgres_url)
            await asyncio.sleep(0.3)  # the kill is to come at no particular moment
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await writing
        process = await _process(nats_url, postgres_url)
        answer = await ask(bus, "rebuild", compare=True)
        live = await ask(bus, "digest")
        assert answer.identical
        assert live.position == await bus.last_seq()
        row = await row_of(
            postgres_url, "SELECT count(*) AS n FROM execution_events WHERE execution_id = ANY($1::text[])", names
        )
        assert row["n"] == len(names) * len(story("x"))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        writing.cancel()
        await bus.close()


async def test_postgres_may_be_killed(nats_url: str, server_dir: Path) -> None:
    """The projector waits while Postgres is away, at its start and later, and goes on where the tables stand."""
    (port,) = free_ports(1)
    account = server_account()
    server = Postgres(server_dir / f"postgres-{port}", account, port=port)
    server.prepare()
    log = server_dir / f"postgres-{port}.log"
    environ = {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"}
    name = fresh()
    events = story(name)
    async with projecting(nats_url, server.url) as (projector, bus):
        for event in events[:9]:
            await bus.append(event)
        process = spawn(server, account, log=log, environ=environ)
        try:
            assert not (await ask(bus, "digest")).error
            process.kill()
            process.wait()
            for event in events[9:]:
                await bus.append(event)
            await eventually(lambda: projector._connection is None, timeout_s=10)
            process = spawn(server, account, log=log, environ=environ)
            await eventually(lambda: projector._connection is not None, timeout_s=10)
            assert (await ask(bus, "wait")).position == await bus.last_seq()
            assert (await ask(bus, "rebuild", compare=True)).identical
            row = await row_of(server.url, "SELECT status FROM executions WHERE id = $1", name)
            assert row["status"] == "completed"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


async def test_a_projector_that_is_ready_has_made_its_tables(nats_url: str, postgres_url: str) -> None:
    """Whoever reads as soon as the service is ready finds tables, also behind a second projector that does not lead."""
    async with projecting(nats_url, postgres_url), projecting(nats_url, postgres_url):
        assert (await row_of(postgres_url, "SELECT count(*) AS n FROM executions"))["n"] >= 0


@pytest.mark.parametrize("state", ["53100", "40001", "58030"])
async def test_a_database_in_trouble_is_waited_for(nats_url: str, postgres_url: str, state: str) -> None:
    """A full disk, a conflict or a failing file is no fault of the event: it is folded once the trouble is over."""
    name = fresh()
    refuse = (
        "CREATE SEQUENCE tries; CREATE FUNCTION trouble() RETURNS trigger AS $$ BEGIN PERFORM nextval('tries');"
        f" RAISE EXCEPTION 'trouble' USING ERRCODE = '{state}'; END $$ LANGUAGE plpgsql;"
        " CREATE TRIGGER trouble BEFORE INSERT ON tasks FOR EACH STATEMENT EXECUTE FUNCTION trouble()"
    )
    async with projecting(nats_url, postgres_url) as (_, bus):
        await ask(bus, "wait")
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(refuse)
        for event in story(name):
            await bus.append(event)

        async def tried_again() -> bool:
            return (await connection.fetchval("SELECT last_value FROM tries")) >= 3

        await eventually(tried_again, timeout_s=20)
        position = await connection.fetchval("SELECT coalesce(max(position), 0) FROM projection_positions")
        assert position < await bus.last_seq()
        await connection.execute("DROP FUNCTION trouble() CASCADE")
        await connection.close()
        await ask(bus, "wait")
        row = await row_of(postgres_url, "SELECT status FROM tasks WHERE id = $1", f"{name}-1")
        assert row["status"] == "completed"
        assert (await ask(bus, "rebuild", compare=True)).identical is True
