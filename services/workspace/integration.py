"""Taking over: the commits of a step are merged onto the result branch, in the order the step declares."""

from __future__ import annotations

from schemas.events import (
    Event,
    WorkspaceConflicted,
    WorkspaceContribution,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
)
from services.workspace.commit_text import PLATFORM, message
from services.workspace.git_backend import Oid, object_id
from services.workspace.journal import Line
from services.workspace.problems import WorkspaceProblem
from services.workspace.workspace import Workspace, bounded


def integrate(workspace: Workspace, request: WorkspaceIntegrationRequested, at: int) -> Event:
    """Merges every contribution, or none: with a conflict the result branch stays as it was."""
    for kind in (WorkspaceIntegrated.TYPE, WorkspaceConflicted.TYPE):
        said = workspace.state.said.get(f"{workspace.execution_id}:{kind}:{request.effect}")
        if said is not None:
            return said
    contribution: WorkspaceContribution | None = None
    try:
        before = head = workspace.result
        for contribution in request.commits:
            head = _taken_over(workspace, head, contribution, request, at)
    except WorkspaceProblem as problem:
        return workspace.answer(_conflicted(workspace, request, contribution, problem), Line(type=""))
    integrated = WorkspaceIntegrated(
        execution_id=workspace.execution_id,
        effect=request.effect,
        commit=head,
        files=workspace.names_of_changes(before, head) if head != before else [],
    )
    return workspace.answer(integrated, Line(type="", result=head))


def _taken_over(
    workspace: Workspace,
    head: Oid,
    contribution: WorkspaceContribution,
    request: WorkspaceIntegrationRequested,
    at: int,
) -> Oid:
    """The result with one more contribution in it."""
    if not contribution.commit:
        return head
    commit = object_id(contribution.commit)
    git, base = workspace.git, workspace.base
    if commit is None or not git.ours(commit, base):
        raise WorkspaceProblem("unknown_commit", f"{contribution.commit[:80]!r} is no commit of this workspace.")
    if git.holds(head, commit, base):
        return head
    if git.holds(commit, head, base):
        return commit
    merged = git.merge(head, commit, base)
    if merged.conflicts:
        shown = ", ".join(merged.conflicts[:20])
        raise WorkspaceProblem(
            "workspace_conflict",
            f"The work of {contribution.session} cannot be merged: others changed {shown} differently.",
            paths=merged.conflicts,
        )
    step = f"step {request.step}" if request.step else f"effect {request.effect}"
    return git.commit(
        tree=merged.tree,
        parents=[head, commit],
        author=PLATFORM,
        at=at,
        message=message(
            f"Take over the work of {contribution.session} in {step}",
            workspace.trailers(effect=request.effect, session=contribution.session),
        ),
    )


def _conflicted(
    workspace: Workspace,
    request: WorkspaceIntegrationRequested,
    contribution: WorkspaceContribution | None,
    problem: WorkspaceProblem,
) -> WorkspaceConflicted:
    return WorkspaceConflicted(
        execution_id=workspace.execution_id,
        effect=request.effect,
        paths=bounded(problem.paths),
        role=contribution.role if contribution else "",
        session=contribution.session if contribution else "",
        task_id=contribution.task_id if contribution else "",
        commit=contribution.commit if contribution else "",
        message=problem.message,
    )
