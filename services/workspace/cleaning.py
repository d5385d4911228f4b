"""Removing worktrees, after everything in them that is nowhere else has a ref of its own."""

from __future__ import annotations

from schemas.events import WorkspaceCleaned, WorkspaceFinalized
from schemas.workspaces import WorkspaceCleanup
from services.workspace import agent_git
from services.workspace.evidence import Evidence
from services.workspace.journal import Line, Session
from services.workspace.keeping import keeper_of
from services.workspace.problems import WorkspaceProblem
from services.workspace.submodules import empty
from services.workspace.workspace import Workspace


def clean_up(workspace: Workspace, at: int, *, ended: bool, force: bool) -> tuple[WorkspaceCleanup, WorkspaceCleaned]:
    """Removes the worktrees. Commits stay in the repository of the workspace; refs keep what no branch holds.

    Raises:
        WorkspaceProblem: the execution still works in them and `force` is not given.
    """
    _ = workspace.ready
    if not ended and not force:
        raise WorkspaceProblem(
            "execution_running",
            f"The execution {workspace.execution_id} has not ended. Cancel it first, or force the clean-up.",
        )
    Evidence(workspace).remove()
    for session in list(workspace.state.sessions.values()):
        _keep_session(workspace, session, at)
    kept = _keep_result(workspace)
    removed: list[str] = []
    for session in workspace.state.sessions.values():
        worktree = workspace.worktree(session)
        if worktree.exists():
            removed.append(str(worktree.path))
        worktree.remove()
    refs = sorted({**workspace.state.kept, **kept})
    cleaned = WorkspaceCleaned(
        execution_id=workspace.execution_id, workspace_id=workspace.ready.workspace_id, kept_refs=refs
    )
    workspace.answer(cleaned, Line(type="", kept=kept))
    return WorkspaceCleanup(execution_id=workspace.execution_id, removed=removed, kept_refs=refs), cleaned


def _keep_session(workspace: Workspace, session: Session, at: int) -> None:
    with keeper_of(workspace, session, "cleanup", at) as keeper:
        keeper.keep_attempt(workspace.worktree(session).snapshot(keeper.intent))
        if not workspace.git.holds(workspace.result, session.head, workspace.base):
            keeper.keep_commit(session.head, "lost", session.branch, f"The branch of {session.session}")
        kept = keeper.finish(None)
    if kept.aside is not None:
        agent_git.set_aside(workspace.worktree(session).path, kept.aside)
    if kept.filled:
        empty(workspace.worktree(session).path, kept.filled)


def _keep_result(workspace: Workspace) -> dict[str, str]:
    """The result has its branch; a ref more, until the origin has it, says that nobody else does."""
    finalized = workspace.state.said.get(f"{workspace.execution_id}:{WorkspaceFinalized.TYPE}")
    pushed = isinstance(finalized, WorkspaceFinalized) and finalized.pushed
    if pushed or workspace.result == workspace.base:
        return {}
    ref = f"refs/parallax/kept/{workspace.execution_id}/result"
    workspace.git.point(ref, workspace.result)
    return {ref: workspace.result}
