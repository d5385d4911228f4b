"""The workspace of one execution: its repository, its branches, its worktrees, and what was answered so far.

    <workspaces>/clones/<origin>.git             cached clone, shared, only ever grows
    <workspaces>/executions/<id>/repository.git  branches and objects of the execution; borrows from the clone
                                /worktrees/<session>/   where an agent works; its `.git` is the agent's to break
                                /memory/<session>       what the platform knows of the files there
                                /journal.jsonl          every answer, before it is given

Every step is: write objects, write the journal, move branches. A crash at any point leaves either no line, and the
step is done again with the same outcome, or a line, and the branches are moved to where it says.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import UNSET, UnsetType

from schemas.events import Event, WorkspaceFailed, WorkspaceReady, WorkspaceRequested, WorkspaceSubmodule
from schemas.patterns import WorkspaceSpec
from services.workspace import files
from services.workspace.backends import Backends
from services.workspace.bringing import Tracked, check_brought
from services.workspace.commit_text import PLATFORM, message
from services.workspace.git_backend import Base, GitBackend, Oid, Repository, Worktree
from services.workspace.journal import ENDED, Journal, Line, Session, State
from services.workspace.locking import exclusive
from services.workspace.names import show
from services.workspace.origins import Origin, parse_origin
from services.workspace.problems import WorkspaceProblem

RESULT = "result"
"""Reserved: git allows no branch `a` beside `a/b`, so no role may have this name."""

_PART = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_MAX_NAMES = 1000
_MAX_NAMED_CHARACTERS = 100_000


def bounded(names: list[str]) -> list[str]:
    """As many names of files as fit into a message."""
    room = _MAX_NAMED_CHARACTERS
    for number, name in enumerate(names[:_MAX_NAMES]):
        room -= len(name)
        if room < 0:
            return names[:number]
    return names[:_MAX_NAMES]


def _said_of(submodules: dict[bytes, Oid], fillable: set[bytes]) -> list[WorkspaceSubmodule] | UnsetType:
    found = [
        WorkspaceSubmodule(path=show(path), commit=commit, held=True if path in fillable else UNSET)
        for path, commit in submodules.items()
    ]
    return found[:_MAX_NAMES] or UNSET


def _check_brought(request: WorkspaceRequested, git: Repository, commit: Oid, origin: Origin | None) -> None:
    """Says now what would be found wrong with `copy` and `keep` when a check is to run, after all the work."""
    spec = msgspec.convert(request.spec, WorkspaceSpec)
    if not (spec.copy or spec.keep):
        return
    tracked = Tracked(git.changed_paths(git.empty_tree(), commit))
    if spec.copy and origin is not None and origin.kind == "path":
        check_brought(Path(origin.location), spec.copy, tracked, what="copy", whose="the origin")
    check_brought(None, spec.keep or [], tracked, what="keep", whose="the agent's worktree")


class Workspace:
    """One execution's directory, `root`. Every method needs the lock; `locked` gives it."""

    def __init__(self, root: Path, execution_id: str, backends: Backends) -> None:
        self.root = root
        self.execution_id = execution_id
        self._backends = backends
        self._journal = Journal(root / "journal.jsonl")
        self._git: Repository | None = None

    @contextmanager
    def locked(self, *, make: bool = False) -> Generator[bool]:
        """Holds the workspace for one step and brings its state up to the disk. False: there is no workspace."""
        if make:
            self.root.mkdir(parents=True, exist_ok=True)
        elif not self.root.is_dir():
            yield False
            return
        with exclusive(self.root / "lock"):
            if self._journal.catch_up():
                self._mirror()
            try:
                yield True
            except BaseException:
                if self._git is not None:
                    self._git.forget()
                raise

    def close(self) -> None:
        """Lets go of open files."""
        if self._git is not None:
            self._git.close()
        self._git = None

    # -- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the journal adds up to."""
        return self._journal.state

    @property
    def branch(self) -> str:
        """The result branch."""
        return f"parallax/{self.execution_id}/{RESULT}"

    @property
    def repository(self) -> Path:
        """The bare repository with the branches."""
        return self.root / "repository.git"

    @property
    def backend(self) -> GitBackend:
        """The way of doing git that the execution was opened with, or will be.

        Raises:
            WorkspaceProblem: it is not here any more.
        """
        if self.state.ready is None:
            return self._backends.preferred
        return self._backends.named(self.state.backend)

    @property
    def git(self) -> Repository:
        """The repository with the branches."""
        if self._git is None:
            origin = parse_origin(self.state.location) if self.state.location else None
            self._git = self.backend.open(self.repository, origin)
            self.sweep()
        return self._git

    @property
    def ready(self) -> WorkspaceReady:
        """How the workspace was opened.

        Raises:
            WorkspaceProblem: it was not, or its directory was lost.
        """
        if self.state.ready is None:
            raise WorkspaceProblem("workspace_missing", f"The execution {self.execution_id} has no workspace here.")
        return self.state.ready

    @property
    def base(self) -> Oid:
        """The commit that the work began with."""
        return self.ready.base_commit

    @property
    def result(self) -> Oid:
        """The head of the result branch."""
        return self.state.result or self.ready.base_commit

    def worktree(self, session: Session) -> Worktree:
        """A session's worktree."""
        memory, scratch = self.root / "memory", self.root / "scratch"
        for directory in (memory, scratch, self.root / "worktrees"):
            directory.mkdir(exist_ok=True)
        place = self.root / "worktrees" / session.session
        return self.git.worktree(place, memory=memory / session.session, scratch=scratch)

    def session(self, role: str, name: str) -> Session:
        """A session, as the journal has it or new.

        Raises:
            WorkspaceProblem: `role` or `name` cannot be part of a branch and a path.
        """
        for part in (role, name):
            if not _PART.fullmatch(part) or part.lower() == RESULT:
                raise WorkspaceProblem(
                    "bad_session",
                    f"{part[:80]!r} cannot name a role or session of a workspace: it takes a letter, then letters, "
                    f"digits, - and _, and {RESULT!r} is reserved.",
                )
        known = self.state.sessions.get(name)
        if known is not None:
            return known
        number = name.removeprefix(f"{role}-")
        slug = number if number != name and number.isdigit() else name
        return Session(role, name, f"parallax/{self.execution_id}/{role}/{slug}", self.result)

    def names_of_changes(self, old: Oid, new: Oid) -> list[str]:
        """The files that differ between two commits, as many as fit into a message."""
        return bounded([show(path) for path in self.git.changed_paths(old, new)])

    def trailers(self, **more: str) -> dict[str, str]:
        """The trailers of a commit of this execution."""
        return {"Parallax-Execution": self.execution_id, **{f"Parallax-{key.title()}": more[key] for key in more}}

    # -- steps ------------------------------------------------------------------------------------------------------

    def answer(self, event: Event, line: Line) -> Event:
        """Writes an answer down, moves the branches, and gives it."""
        if self._git is not None:
            self._git.flush()
        self._journal.write(
            msgspec.structs.replace(line, type=event.TYPE, event=msgspec.Raw(msgspec.json.encode(event)))
        )
        self._mirror(line)
        return event

    def sweep(self) -> None:
        """Removes what a step that was killed has left half made. To be called between two steps.

        A git that still runs holds the lock of the workspace, so nothing of it is in use by whoever has the lock.
        """
        for scratch in (self.root / "scratch", self.root / "evidence/scratch"):
            if scratch.is_dir() and not scratch.is_symlink():
                for left in scratch.iterdir():
                    files.remove_tree(left)

    def end(self, kind: str) -> None:
        """Takes in how the execution ended."""
        if self.state.ended != kind:
            self.note(Line(type=ENDED, ended=kind))
        self.sweep()

    def note(self, line: Line) -> None:
        """Writes down what is about to happen."""
        self._journal.write(line)

    def open(self, request: WorkspaceRequested, at: int) -> Event:
        """Makes the repository and the result branch.

        Raises:
            OriginUnavailable: the origin does not answer.
        """
        for known in (WorkspaceReady.TYPE, WorkspaceFailed.TYPE):
            said = self.state.said.get(f"{self.execution_id}:{known}")
            if said is not None:
                return said
        try:
            return self._open(request, at)
        except WorkspaceProblem as problem:
            return self.fail(problem)

    def fail(self, problem: WorkspaceProblem) -> Event:
        """Says that there will be no workspace."""
        failed = WorkspaceFailed(execution_id=self.execution_id, error=problem.failure())
        return self.answer(failed, Line(type=""))

    def _open(self, request: WorkspaceRequested, at: int) -> Event:
        origin = parse_origin(request.repo.url) if request.repo is not None and request.repo.url else None
        backend = self.backend
        base = backend.bring(origin, request.repo.base) if origin and request.repo else Base(None, "main")
        if base.commit is None and request.repo is not None and request.repo.base not in ("", base.branch):
            raise WorkspaceProblem("base_not_found", "The repository is empty: it has no branch to start from.")
        self.close()
        backend.make(self.repository, origin, self.branch)
        self._git = git = backend.open(self.repository, origin)
        commit = base.commit
        if commit is None:
            commit = git.commit(
                tree=git.empty_tree(),
                parents=[],
                author=PLATFORM,
                at=at,
                message=message("An empty repository", self.trailers()),
            )
        git.check(commit)
        _check_brought(request, git, commit, origin)
        submodules = git.submodules(commit)
        ready = WorkspaceReady(
            execution_id=self.execution_id,
            workspace_id=self.execution_id,
            path=str(self.root),
            branch=self.branch,
            base_branch=base.branch,
            base_commit=commit,
            url=origin.shown if origin else "",
            git_backend=backend.shown,
            submodules=_said_of(submodules, git.fillable(commit) if submodules else set()),
        )
        location = origin.location if origin else ""
        return self.answer(ready, Line(type="", result=commit, location=location, backend=backend.name, at=at))

    # -- branches ---------------------------------------------------------------------------------------------------

    def _mirror(self, line: Line | None = None) -> None:
        """Moves the branches to where the journal says: those of one line, or all."""
        if self.state.ready is None:
            return
        if line is None or line.result:
            self.git.point(f"refs/heads/{self.branch}", self.state.result)
        for session in self.state.sessions.values():
            if line is None or line.session == session.session:
                self.git.point(f"refs/heads/{session.branch}", session.head)
        for ref, commit in (self.state.kept if line is None else line.kept).items():
            self.git.point(ref, commit)
