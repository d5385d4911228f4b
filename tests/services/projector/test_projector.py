"""The projector on a real log and a real Postgres: it follows, rebuilds to the same rows, and leaves no gap."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from schemas.base import Failure
from schemas.commands import Repository
from schemas.events import (
    Event,
    ExecutionAccepted,
    ExecutionCompleted,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    QuestionAnswered,
    QuestionAsked,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskRetrying,
    TaskStarted,
    WorkspaceReady,
    WorkspaceRequested,
)
from schemas.agents import AgentSpec
from schemas.projections import ProjectorAnswer, ProjectorQuery
from services.projector.service import Projector
from shared import subjects
from shared.bus import Bus
from shared.config import load


def story(execution_id: str) -> list[Event]:
    """The events of one execution with a bit of everything."""
    task = f"{execution_id}-1"
    failing = f"{execution_id}-2"
    spec = AgentSpec(capabilities=["work"])
    return [
        ExecutionAccepted(
            execution_id=execution_id, pattern="team@1.x", request_digest="d", repo=Repository(url="/r"), engine="e"
        ),
        ExecutionStarted(
            execution_id=execution_id,
            engine="e",
            epoch=1,
            pattern_name="team",
            pattern_version="1.0.0",
            pattern_format="prism",
            pattern_digest="abc",
            program="1",
            program_digest="p",
            input={"task": "nul \x00 here"},
        ),
        WorkspaceRequested(execution_id=execution_id, repo=Repository(url="/r")),
        WorkspaceReady(
            execution_id=execution_id,
            workspace_id=execution_id,
            path="/w",
            branch="b",
            base_branch="m",
            base_commit="c",
        ),
        TaskRequested(execution_id=execution_id, task_id=task, effect="1", digest="x", role="r", text="t", agent=spec),
        TaskRequested(
            execution_id=execution_id, task_id=failing, effect="2", digest="x", role="r", text="t", agent=spec
        ),
        TaskStarted(
            execution_id=execution_id,
            task_id=task,
            attempt=1,
            effect="1",
            role="r",
            session="r-1",
            agent_id=f"{execution_id}-r-1",
        ),
        TaskRetrying(
            execution_id=execution_id, task_id=task, attempt=1, error=Failure(code="x", message="y"), delay_ms=1
        ),
        ExecutionPaused(execution_id=execution_id, number=1),
        ExecutionResumed(execution_id=execution_id, number=2),
        QuestionAsked(execution_id=execution_id, question_id=f"{execution_id}-q", question="?", deadline_at=1_000),
        QuestionAnswered(execution_id=execution_id, question_id=f"{execution_id}-q", value={"a": [1, None]}, by="me"),
        TaskCompleted(
            execution_id=execution_id,
            task_id=task,
            effect="1",
            role="r",
            session="r-1",
            agent_id=f"{execution_id}-r-1",
            attempt=2,
            result={"text": "\\u0000 and \x00"},
            confidence=0.5,
            confidence_source="self_report",
        ),
        TaskFailed(
            execution_id=execution_id,
            task_id=failing,
            effect="2",
            role="r",
            error=Failure(code="task_failed", message="no"),
            attempts=3,
        ),
        ExecutionCompleted(execution_id=execution_id, result=[1], confidence=0.5, effects=2),
    ]


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


async def ask(bus: Bus, action: str) -> ProjectorAnswer:
    """Asks the projector that leads, waiting while none does."""
    async with asyncio.timeout(20):
        while True:
            try:
                query = {"action": action}
                return await bus.request(subjects.QUERY_PROJECTOR, query, ProjectorAnswer, timeout_s=20)
            except Exception:
                await asyncio.sleep(0.1)


async def row_of(url: str, query: str, *arguments: object) -> asyncpg.Record:
    """One row."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchrow(query, *arguments)
    finally:
        await connection.close()


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
        question = await row_of(postgres_url, "SELECT * FROM questions WHERE execution_id = $1", name)
        assert question["status"] == "answered"


async def test_a_rebuild_gives_the_same_rows(nats_url: str, postgres_url: str) -> None:
    """The digest over every row is the same after dropping everything and folding the log from its beginning."""
    async with projecting(nats_url, postgres_url) as (_, bus):
        for number in range(30):
            for event in story(f"p{uuid.uuid4().hex[:8]}-{number}"):
                await bus.append(event)
        live = await ask(bus, "digest")
        rebuilt = await ask(bus, "rebuild")
        assert rebuilt.events >= 30 * 15
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
