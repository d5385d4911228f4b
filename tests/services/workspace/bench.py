"""Builders for the tests of the workspace: repositories to clone, and a workspace to drive without a bus."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from schemas.commands import Repository
from schemas.events import (
    Event,
    TaskFinished,
    WorkspaceCommitted,
    WorkspaceContribution,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrationRequested,
    WorkspacePrepared,
    WorkspacePrepareRequested,
    WorkspaceReady,
    WorkspaceRequested,
)
from services.workspace.backends import Backends
from services.workspace.integration import integrate
from services.workspace.publishing import finalize
from services.workspace.turns import commit, prepare
from services.workspace.workspace import Workspace

_BENCHES: list[Bench] = []


def close_all() -> None:
    """Lets go of the files of every workspace that a test has opened."""
    while _BENCHES:
        _BENCHES.pop().workspace.close()


AT = 1_790_000_000
GIT = shutil.which("git")
_PATH = os.environ.get("PATH", "")
"""That of the tests themselves: the platform may be shown another one."""


def git(where: Path, *words: str) -> str:
    """What the real git says, free of anybody's settings."""
    assert GIT is not None
    environment = {"PATH": _PATH, "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    command = [GIT, "-c", "safe.directory=*", "-C", str(where), *words]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def repository(path: Path, files: Mapping[str, str | bytes], *, branch: str = "main", bare: bool = False) -> Repo:
    """A repository with one commit that holds `files`."""
    path.mkdir(parents=True)
    repo = Repo.init_bare(str(path)) if bare else Repo.init(str(path))
    repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(f"refs/heads/{branch}".encode()))
    add_commit(repo, files, branch=branch)
    return repo


def add_commit(repo: Repo, files: Mapping[str, str | bytes], *, branch: str = "main") -> bytes:
    """Another commit on a branch of a repository, holding exactly `files`."""
    nested: dict[str, Any] = {}
    for name, content in files.items():
        node = nested
        *above, last = name.split("/")
        for part in above:
            node = node.setdefault(part, {})
        node[last] = content.encode() if isinstance(content, str) else content
    made = Commit()
    made.tree = _tree(repo, nested)
    ref = Ref(f"refs/heads/{branch}".encode())
    made.parents = [repo.refs[ref]] if ref in repo.refs else []
    made.author = made.committer = b"Somebody <somebody@example.org>"
    made.author_time = made.commit_time = AT - 1000
    made.author_timezone = made.commit_timezone = 0
    made.message = b"A commit\n"
    repo.object_store.add_object(made)
    repo.refs[ref] = made.id
    return made.id


def commit_at(repo: Repo, where: str) -> Commit:
    """The commit with an id, or that a ref names."""
    found = repo[repo.refs[Ref(where.encode())] if where.startswith("refs/") else ObjectID(where.encode())]
    assert isinstance(found, Commit)
    return found


def with_tree(repo: Repo, tree: Tree, *, branch: str = "main") -> None:
    """Makes a branch name a commit that holds a tree that no git would make."""
    ref = f"refs/heads/{branch}"
    head = commit_at(repo, ref)
    head.tree = tree.id
    for made in (tree, head):
        repo.object_store.add_object(made)
    repo.refs[Ref(ref.encode())] = head.id


def _tree(repo: Repo, node: Mapping[str, Any]) -> ObjectID:
    tree = Tree()
    for name, content in node.items():
        if isinstance(content, dict):
            tree.add(name.encode(), 0o040000, _tree(repo, content))
            continue
        assert isinstance(content, bytes)
        blob = Blob.from_string(content)
        repo.object_store.add_object(blob)
        tree.add(name.encode(), 0o100644, blob.id)
    repo.object_store.add_object(tree)
    return tree.id


class Bench:
    """A workspace of one execution, driven step by step as the service drives it."""

    def __init__(self, root: Path, execution_id: str = "x1") -> None:
        self.root = root
        self.id = execution_id
        self.clock = AT
        self.workspace = Workspace(root / "executions" / self.id, self.id, Backends(root / "clones"))
        _BENCHES.append(self)

    def again(self) -> Bench:
        """Forgets all that is in memory, as a restart does."""
        self.workspace.close()
        backends = Backends(self.root / "clones")
        self.workspace = Workspace(self.root / "executions" / self.id, self.id, backends)
        return self

    def open(self, url: Path | str | None = None, base: str = "") -> Event:
        """Opens the workspace."""
        repo = Repository(url=str(url), base=base) if url is not None else None
        with self.workspace.locked(make=True):
            return self.workspace.open(WorkspaceRequested(execution_id=self.id, repo=repo), AT)

    def ready(self, url: Path | str | None = None, base: str = "") -> WorkspaceReady:
        """Opens the workspace, which must succeed."""
        event = self.open(url, base)
        assert isinstance(event, WorkspaceReady), event
        return event

    def prepare(
        self, session: str, task: str = "t1", attempt: int = 1, *, builds_on: list[str] | None = None
    ) -> WorkspacePrepared:
        """Prepares a session's worktree."""
        role = session.rpartition("-")[0] or session
        request = WorkspacePrepareRequested(
            execution_id=self.id,
            task_id=task,
            attempt=attempt,
            role=role,
            session=session,
            builds_on=msgspec.UNSET if builds_on is None else builds_on,
        )
        with self.workspace.locked():
            event = prepare(self.workspace, request, AT + 1)
        assert isinstance(event, WorkspacePrepared)
        return event

    def finish(self, session: str, task: str = "t1", attempt: int = 1, outcome: str = "ok") -> WorkspaceCommitted:
        """Ends an attempt."""
        finished = TaskFinished(
            execution_id=self.id,
            task_id=task,
            attempt=attempt,
            role=session.rpartition("-")[0] or session,
            session=session,
            agent_id=f"{self.id}-{session}",
            outcome=outcome,  # type: ignore[arg-type]  # one of the three words
        )
        with self.workspace.locked():
            event = commit(self.workspace, finished, AT + 2)
        assert isinstance(event, WorkspaceCommitted)
        return event

    def work(self, session: str, files: Mapping[str, str | None], task: str = "t1") -> WorkspaceCommitted:
        """One whole turn that writes (or removes) files."""
        prepared = self.prepare(session, task)
        assert prepared.error is None, prepared.error
        write(Path(prepared.path), files)
        done = self.finish(session, task)
        assert done.error is None, done.error
        return done

    def integrate(self, *commits: WorkspaceCommitted, effect: str = "1") -> Event:
        """Takes commits over."""
        contributions = [
            WorkspaceContribution(role=done.role, session=done.session, task_id=done.task_id, commit=done.commit)
            for done in commits
        ]
        request = WorkspaceIntegrationRequested(execution_id=self.id, effect=effect, digest="d", commits=contributions)
        with self.workspace.locked():
            return integrate(self.workspace, request, AT + 3)

    def finalize(self, *, push: bool = False) -> Event:
        """Ends the workspace."""
        with self.workspace.locked():
            return finalize(self.workspace, WorkspaceFinalizeRequested(execution_id=self.id, push=push))

    @property
    def repository(self) -> Repo:
        """The repository of the execution as any git client sees it."""
        return Repo(str(self.workspace.repository))

    def files(self, ref: str = "") -> dict[str, bytes]:
        """The files that a branch holds; the result's without a name."""
        with self.repository as repo:
            name = f"refs/heads/{ref or self.workspace.branch}"
            found = repo.object_store.iter_tree_contents(commit_at(repo, name).tree)
            return {entry.path.decode(): repo[entry.sha].as_raw_string() for entry in found}


def write(root: Path, files: Mapping[str, str | None]) -> None:
    """Writes files into a directory; None removes one."""
    for name, content in files.items():
        path = root / name
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                path.rmdir()
            path.write_text(content)
