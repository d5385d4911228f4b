"""Before and after a turn: the worktree is brought to a commit, and what the agent changed becomes one.

A worktree is prepared for one attempt of one task. Only that attempt's end is taken from it, once; what is found there
without belonging to an attempt is set aside under `refs/parallax/kept/` and never becomes part of the work.
"""

from __future__ import annotations

import os
import re

import msgspec

from schemas.events import Event, TaskFinished, WorkspaceCommitted, WorkspacePrepared, WorkspacePrepareRequested
from services.workspace.commit_text import PLATFORM, identity, message
from services.workspace.git_backend import NO_INTENT, Filled, Oid, Worktree, object_id
from services.workspace.ignored_files import made_ignored
from services.workspace.journal import Line, Session
from services.workspace.keeping import Kept, keeper_of
from services.workspace.problems import WorkspaceProblem
from services.workspace.submodules import empty
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
    worktree = workspace.worktree(session)
    target = _start(workspace, session, request, at)
    wanted = workspace.git.tree_of(target)
    with keeper_of(workspace, session, f"before-{request.task_id}-{request.attempt}", at) as keeper:
        found = worktree.snapshot(keeper.intent)
        keeper.keep_attempt(found, wanted)
        if not workspace.git.holds(target, session.head, workspace.base):
            subject = f"Work of {session.session} that is not part of the result"
            keeper.keep_commit(session.head, "lost", session.branch, subject)
        kept = keeper.finish(None, found.tree if found is not None else None)
        found = worktree.snapshot() if keeper.intent != NO_INTENT else found
    anew = request.attempt > 1 or session.task is not None
    _make_room(workspace, worktree, kept, target)
    worktree.bring_to(wanted, found=found, clean=anew)
    _refresh(workspace, session, worktree, target, kept, anew=anew)
    prepared = WorkspacePrepared(
        execution_id=workspace.execution_id,
        task_id=request.task_id,
        attempt=request.attempt,
        role=session.role,
        session=session.session,
        path=str(worktree.path),
        branch=session.branch,
        commit=target,
        kept=kept.refs or msgspec.UNSET,
        notes=kept.notes or msgspec.UNSET,
    )
    return workspace.answer(prepared, _line(session, target, (request.task_id, request.attempt)))


def _start(workspace: Workspace, session: Session, request: WorkspacePrepareRequested, at: int) -> Oid:
    """The commit that a task starts from: the result, and what the request says that the task goes on from.

    A request that says nothing of it is of an execution that began before it could be said: then it is what the
    session did, unless that does not fit the result any more.
    """
    if isinstance(request.builds_on, msgspec.UnsetType):
        try:
            return _brought_up(workspace, session, session.head, workspace.result, at)
        except WorkspaceProblem as problem:
            if problem.code != "workspace_conflict":
                raise
            return workspace.result
    target = workspace.result
    for text in request.builds_on:
        commit = object_id(text)
        if commit is None or not workspace.git.ours(commit, workspace.base):
            raise WorkspaceProblem("unknown_commit", f"{text[:80]!r} is no commit of this workspace.")
        target = _brought_up(workspace, session, commit, target, at)
    return target


def _brought_up(workspace: Workspace, session: Session, head: Oid, result: Oid, at: int) -> Oid:
    """The commit that holds the work in `head` and the result."""
    git, base = workspace.git, workspace.base
    if git.holds(result, head, base):
        return result
    if git.holds(head, result, base):
        return head
    merged = git.merge(head, result, base)
    if merged.conflicts:
        raise WorkspaceProblem(
            "workspace_conflict",
            f"What {session.session} goes on from is in conflict with the result in "
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
    worktree = workspace.worktree(session)
    with keeper_of(workspace, session, f"{finished.task_id}-{finished.attempt}", at) as keeper:
        found = worktree.snapshot(keeper.intent)
        if found is None:
            gone = f"The worktree of {session.session} is gone, and the work with it."
            raise WorkspaceProblem("worktree_missing", gone)
        if found.problems:
            raise found.problems[0]
        new = head if found.tree == git.tree_of(head) else _made(workspace, session, finished, found.tree, at)
        keeper.name_repositories(found)
        whole = worktree.snapshot() if keeper.intent.absent else None
        if whole is not None:
            keeper.keep_hidden(found, whole)
        kept = keeper.finish(found.tree)
    ignored = made_ignored(workspace, session, worktree, found, (finished.task_id, finished.attempt))
    if whole is None:
        worktree.settle(found)
    else:
        worktree.bring_to(found.tree, found=whole, clean=False)
    _refresh(workspace, session, worktree, new, kept)
    answer = msgspec.structs.replace(
        answer,
        commit=new,
        files=workspace.names_of_changes(head, new) if new != head else [],
        kept=kept.refs or msgspec.UNSET,
        left_out=kept.left_out or msgspec.UNSET,
        notes=kept.notes or msgspec.UNSET,
        ignored=ignored or msgspec.UNSET,
    )
    return workspace.answer(answer, _line(session, new, (finished.task_id, finished.attempt)))


def _made(workspace: Workspace, session: Session, finished: TaskFinished, tree: Oid, at: int) -> Oid:
    """The commit of what a turn changed."""
    return workspace.git.commit(
        tree=tree,
        parents=[session.head],
        author=identity(session.session, finished.agent_id or session.session),
        at=at,
        message=message(
            f"{session.session}: {finished.task_id}",
            workspace.trailers(
                task=finished.task_id, attempt=str(finished.attempt), agent=finished.agent_id, role=session.role
            ),
        ),
    )


def _undo(workspace: Workspace, session: Session, answer: WorkspaceCommitted, at: int) -> Event:
    """Brings the worktree back to the commit before the attempt. What was changed is kept, out of the way."""
    head = session.head
    tree = workspace.git.tree_of(head)
    worktree = workspace.worktree(session)
    with keeper_of(workspace, session, f"{answer.task_id}-{answer.attempt}", at) as keeper:
        found = worktree.snapshot(keeper.intent)
        keeper.keep_attempt(found)
        keeper.name_repositories(found)
        kept = keeper.finish(None, found.tree if found is not None else None)
        found = worktree.snapshot() if keeper.intent != NO_INTENT else found
    _make_room(workspace, worktree, kept, head)
    worktree.bring_to(tree, found=found, clean=True)
    _refresh(workspace, session, worktree, head, kept, anew=True)
    answer = msgspec.structs.replace(
        answer,
        kept=kept.refs or msgspec.UNSET,
        left_out=kept.left_out or msgspec.UNSET,
        notes=kept.notes or msgspec.UNSET,
    )
    return workspace.answer(answer, _line(session, head, (answer.task_id, answer.attempt)))


def _make_room(workspace: Workspace, worktree: Worktree, kept: Kept, commit: Oid) -> None:
    """Empties the submodules that `commit` has not, before its files come: some of those may have their places."""
    if kept.filled:
        wanted = workspace.git.submodules(commit)
        going = {path: to for path, to in kept.filled.items() if path not in wanted}
        empty(worktree.path, going)
        for path in going:
            del kept.filled[path]


def _refresh(
    workspace: Workspace, session: Session, worktree: Worktree, commit: Oid, kept: Kept, *, anew: bool = False
) -> None:
    """Makes the agent's `.git` anew. Its submodules stand where the commit says then, filled where that is held.

    `anew`: nothing that is ignored stays in them.
    """
    workspace.git.flush()
    refs = {**workspace.git.visible_refs(), f"refs/heads/{workspace.branch}": workspace.result}
    base_branch = workspace.ready.base_branch
    if base_branch and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_/-]*", base_branch):
        refs[f"refs/remotes/origin/{base_branch}"] = workspace.base
    location = workspace.state.location
    intact = [] if anew else kept.intact
    worktree.renew_git(
        branch=session.branch,
        commit=commit,
        refs=refs,
        name=session.session,
        aside=kept.aside,
        submodules=Filled(kept.filled, intact, os.fsencode(location)),
    )


def _line(session: Session, head: Oid, task: tuple[str, int]) -> Line:
    return Line(
        type="",
        role=session.role,
        session=session.session,
        branch=session.branch,
        head=head,
        task=task,
    )


def _id(workspace: Workspace, kind: str, task_id: str, attempt: int) -> str:
    return f"{workspace.execution_id}:{kind}:{task_id}:{attempt}"
