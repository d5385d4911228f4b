"""What an agent meant with what it staged: its index compared with what the platform put there."""

from __future__ import annotations

import os
from collections.abc import Collection

from services.workspace.agent_repository.index import DIRECTORY, GITLINK, Index
from services.workspace.agent_repository.opening import Directory, Finding, Unreadable
from services.workspace.agent_repository.repository import AgentRepository
from services.workspace.git_backend import NO_INTENT, Intent


def read_intent(repository: AgentRepository, worktree: int, tracked: Collection[bytes]) -> tuple[Intent, list[Finding]]:
    """The intent of an agent whose worktree (a descriptor) the platform filled with the paths `tracked`.

    An index that is gone or cannot be read means nothing: then ignore rules alone decide.
    """
    index = repository.index
    if index is None:
        return NO_INTENT, []
    before = frozenset(tracked)
    submodules, findings = _submodules(repository, worktree, index)
    folded = tuple(entry.path for entry in index.entries if entry.mode == DIRECTORY)
    staged = {entry.path for entry in index.entries if entry.mode != DIRECTORY}
    absent = {entry.path for entry in index.entries if entry.hidden} & before
    if folded:
        absent |= {path for path in before - staged if path.startswith(folded)}
    added = {entry.path for entry in index.entries if entry.mode not in {DIRECTORY, GITLINK}} - before
    root = Directory(worktree, "")
    intent = Intent(
        forced=frozenset(path for path in added if exists(root, path)),
        untracked=before - staged - absent,
        absent=frozenset(absent),
        submodules=submodules,
    )
    return intent, findings


def _submodules(repository: AgentRepository, worktree: int, index: Index) -> tuple[dict[bytes, str], list[Finding]]:
    found: dict[bytes, str] = {}
    findings: list[Finding] = []
    for entry in index.entries:
        if entry.mode != GITLINK or entry.stage or entry.hidden:
            continue
        head = b""
        try:
            head = repository.gitlink_head(worktree, entry.path)
        except Unreadable as error:
            findings.append(error.finding)
        found[entry.path] = (head or entry.sha).decode()
    return found, findings


def exists(root: Directory, path: bytes) -> bool:
    """Whether something is at a path below a directory, without following a link on the way."""
    *above, name = path.split(b"/")
    try:
        directory = root.directory(*above)
    except Unreadable:
        return False
    if directory is None:
        return False
    with directory:
        try:
            os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True
