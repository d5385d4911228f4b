"""What may be seen of a workspace from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from msgspec import UnsetType

from schemas.events import WorkspaceCleaned, WorkspaceCommitted, WorkspaceFinalized, WorkspaceKept, WorkspacePrepared
from schemas.workspaces import WorkspaceDiff, WorkspaceQuery, WorkspaceSession, WorkspaceView
from services.workspace.git_backend import object_id
from services.workspace.journal import Session
from services.workspace.problems import WorkspaceProblem
from services.workspace.workspace import Workspace, bounded

PAGE_BYTES = 400_000
"""So much text of a diff goes into one message; escaped as JSON it may double."""

MAX_DESCRIBED = 1_000
"""So many kept refs are described in one answer; `kept_refs` has the names of all."""


def view(workspace: Workspace, *, sessions: bool) -> WorkspaceView:
    """A workspace as it stands."""
    ready, state = workspace.ready, workspace.state
    finalized = state.said.get(f"{workspace.execution_id}:{WorkspaceFinalized.TYPE}")
    pushed = isinstance(finalized, WorkspaceFinalized) and finalized.pushed
    status: Literal["open", "finalized", "cleaned"] = "open" if finalized is None else "finalized"
    if state.last == WorkspaceCleaned.TYPE:
        status = "cleaned"
    ended = state.ended.removeprefix("execution.")
    stands = "ended" if ended else status
    return WorkspaceView(
        workspace_id=ready.workspace_id,
        execution_id=workspace.execution_id,
        path=ready.path,
        branch=ready.branch,
        base_branch=ready.base_branch,
        base_commit=ready.base_commit,
        commit=workspace.result,
        url=ready.url,
        git_backend=ready.git_backend,
        status=status,
        ended=ended,
        aside=_aside(workspace) if sessions else [],
        pushed=pushed,
        created_at=datetime.fromtimestamp(state.created_at, UTC).isoformat().replace("+00:00", "Z"),
        tasks=state.tasks,
        sessions=[_session(workspace, session, stands) for session in state.sessions.values()] if sessions else [],
        kept_refs=sorted(state.kept),
        kept=_described(workspace)[:MAX_DESCRIBED] if sessions else [],
    )


def _aside(workspace: Workspace) -> list[str]:
    """What was moved aside, also by a step that was killed before it could say so."""
    place = workspace.root / "aside"
    return bounded(sorted(str(one) for one in place.iterdir())) if place.is_dir() else []


def _described(workspace: Workspace) -> list[WorkspaceKept]:
    """What kept refs are: as it was found, and as it was said when it was known what became of the work."""
    state = workspace.state
    known = {one.ref: one for found in state.found.values() for one in found}
    for event in state.said.values():
        if isinstance(event, WorkspacePrepared | WorkspaceCommitted) and not isinstance(event.kept, UnsetType):
            known |= {one.ref: one for one in event.kept}
    return list(known.values())


def _session(workspace: Workspace, session: Session, status: str) -> WorkspaceSession:
    """A session as it stands. After the end nobody is at work, also where a worktree was last made for a check."""
    task = session.task if status == "open" else None
    worktree = workspace.worktree(session)
    there = worktree.exists()
    return WorkspaceSession(
        role=session.role,
        session=session.session,
        branch=session.branch,
        commit=session.head,
        path=str(worktree.path) if there else "",
        state="cleaned" if not there else "busy" if task else "idle",
        task_id=task[0] if task else "",
        unintegrated=workspace.git.only_in(session.head, workspace.result, workspace.base),
    )


def diff(workspace: Workspace, query: WorkspaceQuery) -> WorkspaceDiff:
    """A page of the difference between the base and the result, or a session's branch.

    Raises:
        WorkspaceProblem: there is no such session or commit.
    """
    head, session, offset = workspace.result, query.session, query.offset
    if session:
        known = workspace.state.sessions.get(session)
        if known is None:
            names = ", ".join(sorted(workspace.state.sessions)) or "none"
            raise WorkspaceProblem("unknown_session", f"There is no session {session[:80]!r}. There are: {names}.")
        head = known.head
    if query.commit:
        wanted = object_id(query.commit)
        if wanted is None or not workspace.git.ours(wanted, workspace.base):
            raise WorkspaceProblem("unknown_commit", f"{query.commit[:80]!r} is no commit of this workspace.")
        head = wanted
    found = workspace.git.difference(workspace.base, head, patch=True)
    text = found.patch
    end = max(_boundary(text, offset + min(query.limit or PAGE_BYTES, PAGE_BYTES)), min(offset + 1, len(text)))
    page = text[offset:end]
    return WorkspaceDiff(
        execution_id=workspace.execution_id,
        base_commit=workspace.base,
        commit=head,
        session=session,
        text=page.decode("utf-8", "replace"),
        data=b"" if _is_text(page) else page,
        files=bounded(found.files),
        insertions=found.insertions,
        deletions=found.deletions,
        offset=offset,
        next_offset=end if end < len(text) else None,
    )


def _boundary(text: bytes, at: int) -> int:
    """The nearest place at or before `at` where no letter is cut in two."""
    if at >= len(text):
        return len(text)
    for back in range(min(4, at)):
        if text[at - back] & 0xC0 != 0x80:
            return at - back
    return at


def _is_text(page: bytes) -> bool:
    try:
        page.decode()
    except UnicodeDecodeError:
        return False
    return True
