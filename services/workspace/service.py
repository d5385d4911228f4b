"""The workspace service.

Hears: `workspace.requested`, `workspace.prepare_requested`, `task.finished`, `workspace.integration_requested`,
`workspace.finalize_requested` and the ends of executions (work, from the log); `parallax.queries.workspace`;
`parallax.queries.evidence`.

Says: `workspace.ready|failed`, `workspace.prepared`, `workspace.committed`, `workspace.integrated|conflicted`,
`workspace.finalized`, `workspace.cleaned`.

Owns: the directory of workspaces: cached clones, and for every execution a repository with its branches, a worktree
for each session, and the journal that makes every answer the same however often it is asked for.
"""

from __future__ import annotations

import errno
from functools import partial

import structlog

from schemas.base import Failure, Problem
from schemas.events import (
    ENDINGS,
    Event,
    TaskFinished,
    WorkspaceCommitted,
    WorkspaceConflicted,
    WorkspaceFailed,
    WorkspaceFinalized,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrationRequested,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceRequested,
)
from schemas.workspaces import (
    EvidenceAnswer,
    EvidenceQuery,
    WorkspaceAnswer,
    WorkspaceCleanup,
    WorkspaceQuery,
    WorkspaceView,
)
from services.workspace.cleaning import clean_up
from services.workspace.desk import Desk
from services.workspace.evidence import Evidence
from services.workspace.integration import integrate
from services.workspace.problems import OriginUnavailable, WorkspaceProblem
from services.workspace.publishing import finalize, summed_up
from services.workspace.turns import commit, prepare
from services.workspace.views import diff, view
from services.workspace.workspace import Workspace
from shared import subjects
from shared.bus import Bus, Delivery, Reject, Retry
from shared.config import Settings
from shared.service import Service

_log = structlog.get_logger(__name__)

Request = (
    WorkspaceRequested
    | WorkspacePrepareRequested
    | TaskFinished
    | WorkspaceIntegrationRequested
    | WorkspaceFinalizeRequested
)

_HEARD = (
    WorkspaceRequested,
    WorkspacePrepareRequested,
    TaskFinished,
    WorkspaceIntegrationRequested,
    WorkspaceFinalizeRequested,
)

_LONGEST_REASON = 2_000
_ORIGIN_ATTEMPTS = 6
_DISK_ATTEMPTS = 8
_LIST_LIMIT = 100
_REMEMBERED_FAILURES = 1000


class WorkspaceService(Service):
    """Does the git work of all executions. Several may run on one directory."""

    name = "workspace"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        self._desk = Desk(settings.workspaces_dir.resolve())
        self._failures: dict[int, int] = {}

    async def start(self) -> None:
        """Begins to take work and to answer questions."""
        self._desk.root.mkdir(parents=True, exist_ok=True)
        await self.bus.serve(subjects.QUERY_WORKSPACE, WorkspaceQuery, self._query, queue="workspace")
        await self.bus.serve(subjects.QUERY_EVIDENCE, EvidenceQuery, self._evidence, queue="workspace")
        self._worker = await self.bus.work(
            durable="workspace",
            stream="events",
            filters=[subjects.event_of_type("*", kind) for kind in (*(kind.TYPE for kind in _HEARD), *sorted(ENDINGS))],
            handler=self._work,
            concurrency=64,
            parked=self.parked,
        )

    async def stop(self) -> None:
        """Finishes the steps in hand."""
        await self._worker.stop()
        self._desk.close()

    # -- work -------------------------------------------------------------------------------------------------------

    async def _work(self, delivery: Delivery) -> None:
        request = delivery.data
        if isinstance(request, Event) and request.TYPE in ENDINGS:
            await self._desk.use(request.execution_id, partial(_ended, request.TYPE))
            return
        if not isinstance(request, _HEARD):
            raise Reject(f"not for the workspace service: {type(request).__name__}")
        answer = await self._answer(request, delivery)
        if answer is not None:
            await self.bus.append(answer, cause=delivery)
        if isinstance(answer, WorkspaceFinalized):
            await self._desk.use(request.execution_id, _swept)

    async def parked(self, delivery: Delivery, reason: str) -> None:
        """A request that could not be handled again and again is refused: somebody waits for the answer."""
        if isinstance(delivery.data, _HEARD):
            message = f"The workspace service cannot do it: {reason[:_LONGEST_REASON]}"
            await self.bus.append(refusal(delivery.data, Failure(code="not_handled", message=message)), cause=delivery)

    async def _answer(self, request: Request, delivery: Delivery) -> Event | None:
        """The answer to a request, after trying again what trying again may mend."""
        assert delivery.recorded is not None
        at = int(delivery.recorded.time.timestamp())
        network = isinstance(request, WorkspaceRequested | WorkspaceFinalizeRequested)
        try:
            answer = await self._desk.use(request.execution_id, partial(_step, request, at), network=network)
        except OriginUnavailable as error:
            failures = self._failed(delivery)
            if failures < _ORIGIN_ATTEMPTS:
                raise Retry(min(0.25 * 2**failures, 5.0)) from error
            problem = WorkspaceProblem("origin_unavailable", f"The repository cannot be reached: {error}", where="repo")
        except WorkspaceProblem as error:
            problem = error
        except OSError as error:
            failures = self._failed(delivery)
            _log.warning("disk_trouble", execution_id=request.execution_id, error=str(error), failures=failures)
            if failures < _DISK_ATTEMPTS:
                raise Retry(min(0.1 * 2**failures, 5.0)) from error
            code = "disk_full" if error.errno == errno.ENOSPC else "workspace_io"
            problem = WorkspaceProblem(code, f"The workspace cannot be written: {error}")
        else:
            return answer if answer is not None else await self._homeless(request)
        finally:
            self._forget_old_failures()
        return await self._give_up(request, problem)

    def _failed(self, delivery: Delivery) -> int:
        """How often this process has tried in vain. Deliveries that a crash cut short do not count."""
        self._failures[delivery.seq] = self._failures.get(delivery.seq, 0) + 1
        return self._failures[delivery.seq]

    def _forget_old_failures(self) -> None:
        while len(self._failures) > _REMEMBERED_FAILURES:
            del self._failures[next(iter(self._failures))]

    async def _homeless(self, request: Request) -> Event | None:
        """The answer where there is no workspace. An execution that never asked for one is told nothing."""
        known = [record async for record in self.bus.read(request.execution_id, types=[WorkspaceRequested.TYPE])]
        if not known and isinstance(request, TaskFinished):
            return None
        message = f"The execution {request.execution_id} has no workspace here."
        return refusal(request, Failure(code="workspace_missing", message=message))

    async def _give_up(self, request: Request, problem: WorkspaceProblem) -> Event:
        """The last word on a request that could not be met, written down if the disk allows it."""

        def last_word(workspace: Workspace) -> Event:
            with workspace.locked() as there:
                if there and isinstance(request, WorkspaceRequested):
                    return workspace.fail(problem)
                if there and isinstance(request, WorkspaceFinalizeRequested):
                    return summed_up(workspace, pushed=False, problem=problem)
            return refusal(request, problem.failure())

        try:
            return await self._desk.use(request.execution_id, last_word)
        except (OSError, WorkspaceProblem):
            return refusal(request, problem.failure())

    # -- questions --------------------------------------------------------------------------------------------------

    async def _query(self, query: WorkspaceQuery) -> WorkspaceAnswer:
        try:
            if query.query == "list":
                return await self._list(query)
            if query.execution_id is None:
                raise WorkspaceProblem("bad_query", "Which execution's workspace?", where="execution_id")
            if query.query == "cleanup":
                return WorkspaceAnswer(cleanup=await self._clean_up(query.execution_id, force=query.force))
            return await self._desk.use(query.execution_id, partial(_look, query))
        except WorkspaceProblem as problem:
            return WorkspaceAnswer(errors=[Problem(where=problem.where or problem.code, what=problem.message)])
        except OSError as error:
            return WorkspaceAnswer(errors=[Problem(where="workspace", what=f"The disk does not answer: {error}")])

    async def _evidence(self, query: EvidenceQuery) -> EvidenceAnswer:
        try:
            return await self._desk.use(query.execution_id, partial(_at_the_evidence, query))
        except WorkspaceProblem as problem:
            return EvidenceAnswer(error=problem.failure())
        except OSError as error:
            message = f"The place of evidence cannot be written: {error}"
            return EvidenceAnswer(
                error=Failure(code="disk_full" if error.errno == errno.ENOSPC else "workspace_io", message=message)
            )

    async def _list(self, query: WorkspaceQuery) -> WorkspaceAnswer:
        known = self._desk.known()
        limit = min(query.limit or _LIST_LIMIT, _LIST_LIMIT)
        views: list[WorkspaceView] = []
        for execution_id in known[query.offset : query.offset + limit]:
            found = await self._desk.use(execution_id, _summary)
            if found is not None:
                views.append(found)
        following = query.offset + limit
        return WorkspaceAnswer(workspaces=views, next_offset=following if following < len(known) else None)

    async def _clean_up(self, execution_id: str, *, force: bool) -> WorkspaceCleanup:
        ended = True
        async for record in self.bus.read(execution_id):
            ended = record.type in ENDINGS
            if ended:
                break
        at = int(self.clock.now().timestamp())

        def clean(workspace: Workspace) -> tuple[WorkspaceCleanup, Event]:
            with workspace.locked() as there:
                if not there:
                    raise _unknown(execution_id)
                return clean_up(workspace, at, ended=ended, force=force)

        outcome, event = await self._desk.use(execution_id, clean)
        await self.bus.append(event)
        return outcome


def _step(request: Request, at: int, workspace: Workspace) -> Event | None:
    """One step on a workspace. None: there is no workspace."""
    with workspace.locked(make=isinstance(request, WorkspaceRequested)) as there:
        if not there:
            return None
        match request:
            case WorkspaceRequested():
                return workspace.open(request, at)
            case WorkspacePrepareRequested():
                return prepare(workspace, request, at)
            case TaskFinished():
                return commit(workspace, request, at)
            case WorkspaceIntegrationRequested():
                return integrate(workspace, request, at)
            case WorkspaceFinalizeRequested():
                return finalize(workspace, request)


def refusal(request: Request, error: Failure) -> Event:
    """The answer that says that a request cannot be met."""
    execution_id = request.execution_id
    match request:
        case WorkspaceRequested():
            return WorkspaceFailed(execution_id=execution_id, error=error)
        case WorkspacePrepareRequested(task_id=task_id, attempt=attempt, role=role, session=session):
            return WorkspacePrepared(
                execution_id=execution_id, task_id=task_id, attempt=attempt, role=role, session=session, error=error
            )
        case TaskFinished(task_id=task_id, attempt=attempt, role=role, session=session):
            return WorkspaceCommitted(
                execution_id=execution_id, task_id=task_id, attempt=attempt, role=role, session=session, error=error
            )
        case WorkspaceIntegrationRequested(effect=effect):
            return WorkspaceConflicted(execution_id=execution_id, effect=effect, paths=[], message=error.message)
        case WorkspaceFinalizeRequested():
            return WorkspaceFinalized(execution_id=execution_id, error=error)


def _look(query: WorkspaceQuery, workspace: Workspace) -> WorkspaceAnswer:
    with workspace.locked() as there:
        if not there or workspace.state.ready is None:
            raise _unknown(workspace.execution_id)
        if query.query == "diff":
            return WorkspaceAnswer(diff=diff(workspace, query))
        return WorkspaceAnswer(workspace=view(workspace, sessions=True))


def _swept(workspace: Workspace) -> None:
    """Nothing is checked after the end: the place of evidence, which may hold many installed packages, is removed."""
    try:
        with workspace.locked() as there:
            if there:
                Evidence(workspace).remove()
                workspace.sweep()
    except (OSError, WorkspaceProblem) as error:  # a clean-up removes it later
        _log.warning("evidence_not_removed", execution_id=workspace.execution_id, error=str(error))


def _ended(kind: str, workspace: Workspace) -> None:
    """An execution that failed or was cancelled asks for nothing more: that is noted, and what nobody needs goes."""
    try:
        with workspace.locked() as there:
            if there and workspace.state.ready is not None:
                workspace.end(kind)
    except (OSError, WorkspaceProblem) as error:
        _log.warning("end_not_noted", execution_id=workspace.execution_id, error=str(error))
    _swept(workspace)


def _at_the_evidence(query: EvidenceQuery, workspace: Workspace) -> EvidenceAnswer:
    with workspace.locked() as there:
        if not there or workspace.state.ready is None:
            raise _unknown(workspace.execution_id)
        return Evidence(workspace).step(query)


def _summary(workspace: Workspace) -> WorkspaceView | None:
    with workspace.locked() as there:
        return view(workspace, sessions=False) if there and workspace.state.ready is not None else None


def _unknown(execution_id: str) -> WorkspaceProblem:
    return WorkspaceProblem(
        "unknown_workspace", f"The execution {execution_id} has no workspace here.", where="execution_id"
    )
