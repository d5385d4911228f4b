"""The end of a workspace: what the result amounts to, and the origin has it when that was asked for.

Publishing is intent, effect, observation: the intent is in the journal, the effect is a push that only ever adds, and
what is reported is what the origin says afterwards. After a crash the same three steps find the work done.
"""

from __future__ import annotations

from schemas.events import Event, WorkspaceFinalized, WorkspaceFinalizeRequested
from services.workspace.journal import INTENDED, Line
from services.workspace.origins import parse_origin
from services.workspace.problems import WorkspaceProblem
from services.workspace.workspace import Workspace, bounded


def finalize(workspace: Workspace, request: WorkspaceFinalizeRequested) -> Event:
    """Sums the result up and publishes it when asked.

    Raises:
        OriginUnavailable: the origin does not answer now.
    """
    said = workspace.state.said.get(f"{workspace.execution_id}:{WorkspaceFinalized.TYPE}")
    if said is not None:
        return said
    try:
        pushed = request.push and bool(workspace.ready.url) and _publish(workspace)
        return summed_up(workspace, pushed=pushed, problem=None)
    except WorkspaceProblem as problem:
        return summed_up(workspace, pushed=False, problem=problem)


def summed_up(workspace: Workspace, *, pushed: bool, problem: WorkspaceProblem | None) -> Event:
    """The last answer of a workspace, with what went wrong at the end, if anything did."""
    if workspace.state.ready is None:
        problem = problem or WorkspaceProblem("workspace_missing", "The execution has no workspace here.")
        finalized = WorkspaceFinalized(execution_id=workspace.execution_id, error=problem.failure())
        return workspace.answer(finalized, Line(type=""))
    found = workspace.git.difference(workspace.base, workspace.result, patch=False)
    finalized = WorkspaceFinalized(
        execution_id=workspace.execution_id,
        branch=workspace.branch,
        commit=workspace.result,
        base_commit=workspace.base,
        pushed=pushed,
        files=bounded(found.files),
        insertions=found.insertions,
        deletions=found.deletions,
        error=problem.failure() if problem else None,
    )
    return workspace.answer(finalized, Line(type=""))


def _publish(workspace: Workspace) -> bool:
    if not workspace.state.intended:
        workspace.note(Line(type=INTENDED, at=workspace.state.created_at))
    workspace.git.publish(parse_origin(workspace.state.location), workspace.branch, workspace.result)
    return True
