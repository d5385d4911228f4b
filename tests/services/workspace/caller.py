"""Whoever asks the workspace service: the engine and the executor, played by a test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.commands import Repository
from schemas.events import (
    Event,
    TaskFinished,
    WorkspaceCommitted,
    WorkspaceConflicted,
    WorkspaceContribution,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceReady,
    WorkspaceRequested,
)
from schemas.workspaces import WorkspaceAnswer, WorkspaceQuery
from services.workspace.service import WorkspaceService
from shared import subjects
from shared.bus import Bus
from shared.config import Settings
from shared.ids import new_id
from shared.testing import eventually


class Caller:
    """Asks as the engine and the executor do, and waits for the answers in the log."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.id = new_id()

    async def answers(self, kind: type[Event]) -> list[Event]:
        """All events of a kind of this execution."""
        return [record.data async for record in self.bus.read(self.id, types=[kind.TYPE])]

    async def answer(self, kind: type[Event], fits: Callable[[Event], bool] = lambda _: True) -> Event:
        """The first event of a kind that fits."""

        async def found() -> Event | None:
            return next((event for event in await self.answers(kind) if fits(event)), None)

        event = await eventually(found, timeout_s=30)
        assert event is not None
        return event

    async def open(self, url: str = "", base: str = "") -> Event:
        repo = Repository(url=url, base=base) if url else None
        await self.bus.append(WorkspaceRequested(execution_id=self.id, repo=repo))
        return await self.answer(WorkspaceReady)

    async def prepare(self, session: str, task: str, attempt: int = 1) -> WorkspacePrepared:
        role = session.rpartition("-")[0]
        request = WorkspacePrepareRequested(
            execution_id=self.id, task_id=task, attempt=attempt, role=role, session=session
        )
        await self.bus.append(request)
        event = await self.answer(
            WorkspacePrepared, lambda e: (getattr(e, "task_id", ""), getattr(e, "attempt", 0)) == (task, attempt)
        )
        assert isinstance(event, WorkspacePrepared)
        return event

    async def finish(self, session: str, task: str, attempt: int = 1) -> WorkspaceCommitted:
        finished = TaskFinished(
            execution_id=self.id,
            task_id=task,
            attempt=attempt,
            role=session.rpartition("-")[0],
            session=session,
            agent_id=f"{self.id}-{session}",
            outcome="ok",
        )
        await self.bus.append(finished)
        event = await self.answer(
            WorkspaceCommitted, lambda e: (getattr(e, "task_id", ""), getattr(e, "attempt", 0)) == (task, attempt)
        )
        assert isinstance(event, WorkspaceCommitted)
        return event

    async def integrate(self, *commits: WorkspaceCommitted, effect: str = "1") -> Event:
        contributions = [
            WorkspaceContribution(role=done.role, session=done.session, task_id=done.task_id, commit=done.commit)
            for done in commits
        ]
        request = WorkspaceIntegrationRequested(execution_id=self.id, effect=effect, digest="d", commits=contributions)
        await self.bus.append(request)

        async def found() -> Event | None:
            events = [*await self.answers(WorkspaceIntegrated), *await self.answers(WorkspaceConflicted)]
            return next((event for event in events if getattr(event, "effect", "") == effect), None)

        event = await eventually(found, timeout_s=30)
        assert event is not None
        return event

    async def finalize(self, *, push: bool = False) -> WorkspaceFinalized:
        await self.bus.append(WorkspaceFinalizeRequested(execution_id=self.id, push=push))
        event = await self.answer(WorkspaceFinalized)
        assert isinstance(event, WorkspaceFinalized)
        return event

    async def ask(self, query: WorkspaceQuery) -> WorkspaceAnswer:
        """Asks a question."""
        return await self.bus.request(subjects.QUERY_WORKSPACE, query, WorkspaceAnswer, timeout_s=10)


@asynccontextmanager
async def bus_at(url: str) -> AsyncGenerator[Bus]:
    bus = await Bus.connect(url, name="test")
    await bus.ensure_streams()
    yield bus
    await bus.close()


@asynccontextmanager
async def service_at(url: str, root: Path) -> AsyncGenerator[WorkspaceService]:
    bus = await Bus.connect(url, name="workspace")
    await bus.ensure_streams()
    service = WorkspaceService(Settings(nats_url=url, workspaces_dir=root), bus)
    await service.begin()
    yield service
    await service.halt()
    await bus.close()
