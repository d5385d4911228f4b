"""What may be asked of the workspace service, and its answers: the bodies of `parallax.queries.workspace`.

One question, one answer, both small enough for a message: a long list or diff comes in pages (`offset`, `next_offset`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.agents import EvidenceOrder
from schemas.base import ExecutionId, Failure, Model, Problem
from schemas.events import WorkspaceKept


class WorkspaceQuery(Model, frozen=True, kw_only=True):
    """A question about workspaces. `execution_id` is needed by all but `list`.

    `session` narrows `diff` to one session's branch; empty means the result branch. `commit` keeps further pages to the
    commit that the first page was of, should the branch have moved. `offset` and `limit` count
    workspaces for `list` and bytes of UTF-8 text for `diff`. `force` lets `cleanup` take worktrees of an execution
    that has not ended; what they hold is kept by refs all the same.
    """

    query: Literal["list", "show", "diff", "cleanup"]
    execution_id: ExecutionId | None = None
    session: str = ""
    commit: str = ""
    offset: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    force: bool = False


class EvidenceQuery(Model, frozen=True, kw_only=True):
    """One step at the place of evidence of an execution: the body of `parallax.queries.evidence`.

    `check_out`: the place is to hold `order.commit` and what was set up, copied and kept for it, nothing else.
    `settle`: the set-up has been run. `look`: which tracked files differ from the commit. `number` grows from step to
    step: a step that comes late, after a younger one, is refused. `session` is whose worktree `order.keep` is of.
    """

    execution_id: ExecutionId
    step: Literal["check_out", "settle", "look"]
    number: int
    order: EvidenceOrder
    session: str = ""


class EvidenceAlone(Model, frozen=True, kw_only=True):
    """A submodule that stands at a commit which only an agent made: nobody else has it, `ref` keeps it here."""

    path: str
    commit: str
    ref: str


class EvidenceCheckout(Model, frozen=True, kw_only=True):
    """The place after a step. `set_up`: what a set-up made there is valid for the commit. `home` is the HOME that the
    set-up and the checks share. `changed` are the tracked files that are no longer those of the commit, `unfilled` the
    submodules of which no file is there, `moved` says in a sentence that the check went to another commit; the step
    `look` looks for all three. `alone` says of some that are unfilled why nothing but a push can change that.
    """

    path: str
    home: str
    set_up: bool = False
    copied: list[str] = []
    kept: list[str] = []
    changed: list[str] = []
    unfilled: list[str] = []
    moved: str = ""
    alone: list[EvidenceAlone] = []


class EvidenceAnswer(Model, frozen=True, kw_only=True):
    """The place, or why the step could not be done. `number` is that of the youngest step, where one came late."""

    place: EvidenceCheckout | None = None
    error: Failure | None = None
    number: int = 0


class WorkspaceSession(Model, frozen=True, kw_only=True):
    """One session of a workspace. `state` says whether a task is at work in its worktree.

    `unintegrated` counts the commits of the session that the result branch does not hold.
    """

    role: str
    session: str
    branch: str
    commit: str
    path: str = ""
    state: Literal["idle", "busy", "cleaned"] = "idle"
    task_id: str = ""
    unintegrated: int = 0


class WorkspaceView(Model, frozen=True, kw_only=True):
    """One workspace. `commit` is the head of the result branch; times are RFC 3339.

    `git_backend` is what does git here: the git program or dulwich, with its version. `ended` is how the execution
    ended; one that failed or was cancelled is never finalized, so its workspace stays open. `aside` are places to
    which something of an agent was moved as it is; nothing removes them.
    `kept_refs` are all refs that keep what no branch holds, `kept` what some of them are.
    """

    workspace_id: str
    execution_id: str
    path: str
    branch: str
    base_commit: str
    commit: str
    url: str = ""
    base_branch: str = ""
    status: Literal["open", "finalized", "cleaned"] = "open"
    pushed: bool = False
    created_at: str = ""
    tasks: int = 0
    sessions: list[WorkspaceSession] = []
    kept_refs: list[str] = []
    git_backend: str = ""
    kept: list[WorkspaceKept] = []
    ended: str = ""
    aside: list[str] = []


class WorkspaceDiff(Model, frozen=True, kw_only=True):
    """A page of a unified diff from the base commit to `commit`. `next_offset` None: this was the last page.

    `offset` and `next_offset` count bytes. Where the page is not UTF-8, `data` holds its bytes exactly (`git apply`
    takes all of them together), and `text` shows them with replacement characters.
    """

    execution_id: str
    base_commit: str
    commit: str
    text: str
    data: bytes = b""
    files: list[str] = []
    insertions: int = 0
    deletions: int = 0
    session: str = ""
    offset: int = 0
    next_offset: int | None = None


class WorkspaceCleanup(Model, frozen=True, kw_only=True):
    """What a clean-up did: the worktrees it removed, and the refs that keep what was nowhere else."""

    execution_id: str
    removed: list[str] = []
    kept_refs: list[str] = []


class WorkspaceAnswer(Model, frozen=True, kw_only=True):
    """The answer to a query: the field that fits the question, or `errors`."""

    errors: list[Problem] = []
    workspaces: list[WorkspaceView] = []
    next_offset: int | None = None
    workspace: WorkspaceView | None = None
    diff: WorkspaceDiff | None = None
    cleanup: WorkspaceCleanup | None = None
