"""The git side of an execution: clone, worktrees, commits, integration, publication."""

from __future__ import annotations

from typing import ClassVar

from schemas.base import Failure, Json, Model
from schemas.commands import Repository
from schemas.events.base import Event


class WorkspaceRequested(Event, frozen=True, kw_only=True):
    """An execution wants a clone of a repository (or an empty one) and a branch for its result."""

    TYPE: ClassVar[str] = "workspace.requested"
    WRITER: ClassVar[str] = "pattern_engine"

    repo: Repository | None = None
    spec: dict[str, Json] = {}


class WorkspaceReady(Event, frozen=True, kw_only=True):
    """The clone exists, and the result branch at the base commit."""

    TYPE: ClassVar[str] = "workspace.ready"
    WRITER: ClassVar[str] = "workspace"

    workspace_id: str
    path: str
    branch: str
    base_branch: str
    base_commit: str
    url: str = ""


class WorkspaceFailed(Event, frozen=True, kw_only=True):
    """The repository could not be cloned, or its base branch does not exist."""

    TYPE: ClassVar[str] = "workspace.failed"
    WRITER: ClassVar[str] = "workspace"

    error: Failure


class WorkspacePrepareRequested(Event, frozen=True, kw_only=True):
    """Before an attempt: the session's worktree is to be made, and brought up to the result branch.

    `from_commit` set: the worktree is to stand at that commit (the commit before a failed attempt).
    """

    TYPE: ClassVar[str] = "workspace.prepare_requested"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "executor"

    task_id: str
    attempt: int
    role: str
    session: str


class WorkspacePrepared(Event, frozen=True, kw_only=True):
    """The session's worktree stands at `commit`, clean."""

    TYPE: ClassVar[str] = "workspace.prepared"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "workspace"

    task_id: str
    attempt: int
    role: str
    session: str
    path: str = ""
    branch: str = ""
    commit: str = ""
    error: Failure | None = None


class WorkspaceCommitted(Event, frozen=True, kw_only=True):
    """What a turn changed is committed on the session's branch. No change: `commit` equals `parent`."""

    TYPE: ClassVar[str] = "workspace.committed"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "workspace"

    task_id: str
    attempt: int
    role: str
    session: str
    branch: str = ""
    commit: str = ""
    parent: str = ""
    files: list[str] = []
    error: Failure | None = None


class WorkspaceContribution(Model, frozen=True, kw_only=True):
    """One session's commit that is to become part of the result."""

    role: str
    session: str
    task_id: str
    commit: str


class WorkspaceIntegrationRequested(Event, frozen=True, kw_only=True):
    """A step is over: the commits of its tasks are to be merged onto the result branch, in this order."""

    TYPE: ClassVar[str] = "workspace.integration_requested"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str
    digest: str
    commits: list[WorkspaceContribution]
    step: str = ""


class WorkspaceIntegrated(Event, frozen=True, kw_only=True):
    """The result branch stands at `commit` and holds every contribution of the step."""

    TYPE: ClassVar[str] = "workspace.integrated"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "workspace"

    effect: str
    commit: str
    files: list[str] = []


class WorkspaceConflicted(Event, frozen=True, kw_only=True):
    """A contribution cannot be merged without losing something. The result branch is as it was before the step."""

    TYPE: ClassVar[str] = "workspace.conflicted"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "workspace"

    effect: str
    paths: list[str]
    role: str = ""
    session: str = ""
    task_id: str = ""
    commit: str = ""
    message: str = ""


class WorkspaceFinalizeRequested(Event, frozen=True, kw_only=True):
    """The program is done: the result is to be published as the request and the pattern say."""

    TYPE: ClassVar[str] = "workspace.finalize_requested"
    WRITER: ClassVar[str] = "pattern_engine"

    push: bool = False
    message: str = ""


class WorkspaceFinalized(Event, frozen=True, kw_only=True):
    """The result branch is where it should be. `pushed` tells whether the origin has it."""

    TYPE: ClassVar[str] = "workspace.finalized"
    WRITER: ClassVar[str] = "workspace"

    branch: str = ""
    commit: str = ""
    base_commit: str = ""
    pushed: bool = False
    files: list[str] = []
    insertions: int = 0
    deletions: int = 0
    pr_url: str = ""
    error: Failure | None = None


class WorkspaceCleaned(Event, frozen=True, kw_only=True):
    """The worktrees are gone. `kept_refs` are the refs that keep what was in them."""

    TYPE: ClassVar[str] = "workspace.cleaned"
    WRITER: ClassVar[str] = "workspace"

    workspace_id: str
    kept_refs: list[str] = []
