"""The git side of an execution: clone, worktrees, commits, integration, publication."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from schemas.base import Failure, Json, Model
from schemas.commands import Repository
from schemas.events.base import Event

KeptKind = Literal[
    "branch",
    "head",
    "stash",
    "tag",
    "reset",
    "worktree",
    "unnamed",
    "staged",
    "hidden",
    "submodule",
    "attempt",
    "lost",
    "other",
]
"""What a kept commit was: a branch; what HEAD stood at; a stash; a tag; a commit that only a reflog names (one that was
reset away); what was in another worktree; one that nothing names; what was staged and is not in the commit; changes at
which git was told not to look; a commit of a submodule that nobody else has; what an attempt left that failed, or,
under a reference in `before-…`, what lay in the worktree before a task: of an attempt that was cut short (`name`), or
of none (`idle`); work of the session that did not become part of the result; another reference."""


class WorkspaceKept(Model, frozen=True, kw_only=True):
    """A commit that a ref of the workspace's repository keeps, because no branch of the execution holds it.

    `name` is what the agent called it; `subject` the first line of its message. `in_result`: all that it changed
    is part of the session's commit as well, so that nothing but the commit itself would be missed.
    """

    ref: str
    commit: str
    kind: KeptKind
    name: str = ""
    subject: str = ""
    in_result: bool = False


class WorkspaceLeftOut(Model, frozen=True, kw_only=True):
    """Something that an agent made and that is not part of the commit. `reason` is a sentence without its subject."""

    path: str
    kind: Literal["repository", "worktree", "submodule", "unreadable"]
    reason: str


class WorkspaceIgnored(Model, frozen=True, kw_only=True):
    """Files that ignore rules keep out of the commit and that the agent made. `files` are the first of `count`.

    `rules` are the ignore files that say so, such as `.gitignore`.
    """

    count: int
    files: list[str] = []
    rules: list[str] = []


class WorkspaceRequested(Event, frozen=True, kw_only=True):
    """An execution wants a clone of a repository (or an empty one) and a branch for its result."""

    TYPE: ClassVar[str] = "workspace.requested"
    WRITER: ClassVar[str] = "pattern_engine"

    repo: Repository | None = None
    spec: dict[str, Json] = {}


class WorkspaceSubmodule(Model, frozen=True, kw_only=True):
    """A submodule by its path, and where it stands. `held`: worktrees and clean checkouts have its files."""

    path: str
    commit: str
    held: bool | msgspec.UnsetType = msgspec.UNSET


class WorkspaceReady(Event, frozen=True, kw_only=True):
    """The clone exists, and the result branch at the base commit.

    `git_backend` is what does git for this execution from now on: the git program or dulwich, with its version.
    `submodules` are those of the base commit, filled where their commits are held; absent, there are none.
    """

    TYPE: ClassVar[str] = "workspace.ready"
    WRITER: ClassVar[str] = "workspace"

    workspace_id: str
    path: str
    branch: str
    base_branch: str
    base_commit: str
    url: str = ""
    git_backend: str = ""
    submodules: list[WorkspaceSubmodule] | msgspec.UnsetType = msgspec.UNSET


class WorkspaceFailed(Event, frozen=True, kw_only=True):
    """The repository could not be cloned, or its base branch does not exist."""

    TYPE: ClassVar[str] = "workspace.failed"
    WRITER: ClassVar[str] = "workspace"

    error: Failure


class WorkspacePrepareRequested(Event, frozen=True, kw_only=True):
    """Before an attempt: the session's worktree is to be made, and brought up to the result branch.

    `builds_on` are commits that the task goes on from and that the result does not hold yet; what else the session did
    is no part of its worktree. Absent (executions that began before it was known): the session's own branch.
    """

    TYPE: ClassVar[str] = "workspace.prepare_requested"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "attempt")
    WRITER: ClassVar[str] = "executor"

    task_id: str
    attempt: int
    role: str
    session: str
    builds_on: list[str] | msgspec.UnsetType = msgspec.UNSET


class WorkspacePrepared(Event, frozen=True, kw_only=True):
    """The session's worktree stands at `commit`, clean. `kept`: what was set aside to make it so."""

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
    kept: list[WorkspaceKept] | msgspec.UnsetType = msgspec.UNSET
    notes: list[str] | msgspec.UnsetType = msgspec.UNSET


class WorkspaceCommitted(Event, frozen=True, kw_only=True):
    """What a turn changed is committed on the session's branch. No change: `commit` equals `parent`.

    The rest says what the agent did that is not part of the commit: what is `kept` by refs, what was `left_out`, what
    is `ignored`; `notes` are sentences about what of the agent's repository could not be read. Absent: nothing.
    """

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
    kept: list[WorkspaceKept] | msgspec.UnsetType = msgspec.UNSET
    left_out: list[WorkspaceLeftOut] | msgspec.UnsetType = msgspec.UNSET
    ignored: WorkspaceIgnored | msgspec.UnsetType = msgspec.UNSET
    notes: list[str] | msgspec.UnsetType = msgspec.UNSET


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
