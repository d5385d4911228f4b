"""Before and after a turn: the worktree is brought to a commit, and what the agent changed becomes one.

A worktree is prepared for one attempt of one task. Only that attempt's end is taken from it, once; what is found there
without belonging to an attempt is set aside under `refs/parallax/kept/` and never becomes part of the work.
"""

from __future__ import annotations

import re

import msgspec

from schemas.events import Event, TaskFinished, WorkspaceCommitted, WorkspacePrepared, WorkspacePrepareRequested
from services.workspace.commit_text import PLATFORM, identity, message
from services.workspace.git_backend import Oid, Snapshot, Worktree
from services.workspace.journal import Line, Session
from services.workspace.problems import WorkspaceProblem
from services.workspace.workspace import Workspace


def prepare(workspace: Workspace, request: WorkspacePrepareRequested, at: int) -> Event:
    """Brings the session's worktree up to the result branch, clean, for one attempt."""
    said = workspace.state.said.get(_id(workspace, WorkspacePrepared.TYPE, request.task_id, request.attempt))
    if said is not None:
        return said
    answer = WorkspacePrepared(
        execution_id=workspace.execution_id,
        task_id=request.task_id,
        attempt=request.attempt,
        role=request.role,
        session=request.session,
    )
    try:
        session = workspace.session(request.role, request.session)
        return _prepare(workspace, session, request, at)
    except WorkspaceProblem as problem:
        return workspace.answer(msgspec.structs.replace(answer, error=problem.failure()), Line(type=""))


def _prepare(workspace: Workspace, session: Session, request: WorkspacePrepareRequested, at: int) -> Event:
    head = session.head
    worktree = workspace.worktree(session)
    target = _brought_up(workspace, session, head, at)
    wanted = workspace.git.tree_of(target)
    found = worktree.snapshot()
    kept = keep(workspace, session, found, at, known=wanted)
    worktree.bring_to(wanted, found=found, clean=request.attempt > 1 or session.task is not None)
    _refresh(workspace, session, worktree, target)
    prepared = WorkspacePrepared(
        execution_id=workspace.execution_id,
        task_id=request.task_id,
        attempt=request.attempt,
        role=session.role,
        session=session.session,
        path=str(worktree.path),
        branch=session.branch,
        commit=target,
    )
    return workspace.answer(prepared, _line(session, target, (request.task_id, request.attempt), kept))


def _brought_up(workspace: Workspace, session: Session, head: Oid, at: int) -> Oid:
    """The commit that holds the session's own work and the result."""
    result, git, base = workspace.result, workspace.git, workspace.base
    if git.holds(result, head, base):
        return result
    if git.holds(head, result, base):
        return head
    merged = git.merge(head, result, base)
    if merged.conflicts:
        raise WorkspaceProblem(
            "workspace_conflict",
            f"What {session.session} did and nobody took over is in conflict with the result in "
            f"{', '.join(merged.conflicts[:20])}.",
            paths=merged.conflicts,
        )
    return git.commit(
        tree=merged.tree,
        parents=[head, result],
        author=PLATFORM,
        at=at,
        message=message(f"Bring {session.session} up to the result", workspace.trailers(session=session.session)),
    )


def commit(workspace: Workspace, finished: TaskFinished, at: int) -> Event:
    """Commits what a turn changed; what a failed one changed is undone."""
    said = workspace.state.said.get(_id(workspace, WorkspaceCommitted.TYPE, finished.task_id, finished.attempt))
    if said is not None:
        return said
    answer = WorkspaceCommitted(
        execution_id=workspace.execution_id,
        task_id=finished.task_id,
        attempt=finished.attempt,
        role=finished.role,
        session=finished.session,
    )
    try:
        session = workspace.session(finished.role, finished.session)
    except WorkspaceProblem as problem:
        return workspace.answer(msgspec.structs.replace(answer, error=problem.failure()), Line(type=""))
    answer = msgspec.structs.replace(answer, branch=session.branch, commit=session.head, parent=session.head)
    if session.task != (finished.task_id, finished.attempt):
        problem = WorkspaceProblem(
            "stale_attempt",
            f"The worktree of {session.session} is not at attempt {finished.attempt} of {finished.task_id} (any more).",
        )
        return workspace.answer(msgspec.structs.replace(answer, error=problem.failure()), Line(type=""))
    if finished.outcome != "ok":
        return _undo(workspace, session, answer, at)
    try:
        return _commit(workspace, session, finished, answer, at)
    except WorkspaceProblem as problem:
        return _undo(workspace, session, msgspec.structs.replace(answer, error=problem.failure()), at)


def _commit(
    workspace: Workspace, session: Session, finished: TaskFinished, answer: WorkspaceCommitted, at: int
) -> Event:
    git, head = workspace.git, session.head
    tree = git.tree_of(head)
    worktree = workspace.worktree(session)
    found = worktree.snapshot()
    if found is None:
        raise WorkspaceProblem("worktree_missing", f"The worktree of {session.session} is gone, and the work with it.")
    if found.problems:
        raise found.problems[0]
    new = head
    if found.tree != tree:
        new = git.commit(
            tree=found.tree,
            parents=[head],
            author=identity(session.session, finished.agent_id or session.session),
            at=at,
            message=message(
                f"{session.session}: {finished.task_id}",
                workspace.trailers(
                    task=finished.task_id, attempt=str(finished.attempt), agent=finished.agent_id, role=session.role
                ),
            ),
        )
    git.flush()
    worktree.settle(found)
    _refresh(workspace, session, worktree, new)
    answer = msgspec.structs.replace(
        answer, commit=new, files=workspace.names_of_changes(head, new) if new != head else []
    )
    return workspace.answer(answer, _line(session, new, (finished.task_id, finished.attempt), {}))


def _undo(workspace: Workspace, session: Session, answer: WorkspaceCommitted, at: int) -> Event:
    """Brings the worktree back to the commit before the attempt. What was changed is kept, out of the way."""
    head = session.head
    tree = workspace.git.tree_of(head)
    worktree = workspace.worktree(session)
    found = worktree.snapshot()
    kept = keep(workspace, session, found, at, known=tree)
    worktree.bring_to(tree, found=found, clean=True)
    _refresh(workspace, session, worktree, head)
    return workspace.answer(answer, _line(session, head, (answer.task_id, answer.attempt), kept))


def keep(
    workspace: Workspace, session: Session, found: Snapshot | None, at: int, *, known: Oid | None = None
) -> dict[str, str]:
    """Keeps what is in a worktree and nowhere else in a commit of its own, and says under which ref.

    The commit carries no trailer of a task, and no branch holds it: it is nobody's effect. `known` is a tree that the
    platform itself was about to put there.
    """
    if found is None:
        return {}
    git, head = workspace.git, session.head
    if found.tree in (git.tree_of(head), known):
        return {}
    task = f"{session.task[0]}-{session.task[1]}" if session.task else "idle"
    commit = git.commit(
        tree=found.tree,
        parents=[head],
        author=PLATFORM,
        at=at,
        message=message(
            f"Set aside: {session.session} {task}",
            {"Parallax-Kept": f"{workspace.execution_id} {session.session} {task}"},
        ),
    )
    git.flush()
    name = re.sub(r"[^A-Za-z0-9_-]", "_", task)[:150]
    ref = f"refs/parallax/kept/{session.session}/{name}-{commit[:12]}"
    workspace.git.point(ref, commit)
    return {ref: commit}


def _refresh(workspace: Workspace, session: Session, worktree: Worktree, commit: Oid) -> None:
    workspace.git.flush()
    refs = {**workspace.git.visible_refs(), f"refs/heads/{workspace.branch}": workspace.result}
    base_branch = workspace.ready.base_branch
    if base_branch and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_/-]*", base_branch):
        refs[f"refs/remotes/origin/{base_branch}"] = workspace.base
    worktree.renew_git(branch=session.branch, commit=commit, refs=refs, name=session.session)


def _line(session: Session, head: Oid, task: tuple[str, int], kept: dict[str, str]) -> Line:
    return Line(
        type="",
        role=session.role,
        session=session.session,
        branch=session.branch,
        head=head,
        task=task,
        kept=kept,
    )


def _id(workspace: Workspace, kind: str, task_id: str, attempt: int) -> str:
    return f"{workspace.execution_id}:{kind}:{task_id}:{attempt}"
