"""HEAD at the place of evidence: whether a check looked at the commit that it vouches for, and at no other one.

A check may go to another commit and come back: the files are then as they were, but git notes in the log of HEAD where
it has been. Git writes that log wherever there is one, so the platform begins it. What is read here belongs to the
check, so no link is followed, and what cannot be read proves nothing.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import msgspec

from services.workspace import files
from services.workspace.agent_repository.opening import Directory, Unreadable
from services.workspace.agent_repository.refs import read_head
from services.workspace.commit_text import PLATFORM
from services.workspace.git_backend import Oid

_FILE = 0o100644
_MAX_LOG_BYTES = 16 << 20
_ENTRY = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) [^\n]*")


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where HEAD stood before a check, and what its log held then. No commit: that cannot be told."""

    commit: Oid = ""
    log_bytes: int = 0
    log_digest: str = ""


def begin_log(tree: Path, commit: Oid, at: int) -> Mark:
    """Begins the log of HEAD in the `.git` of a place that was checked out just now."""
    line = f"{'0' * len(commit)} {commit} {PLATFORM} {at} +0000\tcheckout: {commit}\n"
    with files.opened(tree) as root:
        places = files.Places(root)
        try:
            files.write(places.make((b".git", b"logs")), b"HEAD", _FILE, line.encode())
        finally:
            places.close()
    return mark(tree)


def mark(tree: Path) -> Mark:
    """Where HEAD stands now."""
    try:
        commit, log = _read(tree)
    except (Unreadable, OSError):
        return Mark()
    return Mark(commit, len(log), _digest(log))


def moved_since(tree: Path, before: Mark) -> str:
    """A sentence about how HEAD is not where it was, or was elsewhere in between. Empty: it stood still."""
    if not before.commit:
        return ""
    try:
        commit, log = _read(tree)
    except (Unreadable, OSError) as error:
        return f"The check left a HEAD that cannot be read, so nobody knows which commit it judged: {error}."
    if _digest(log[: before.log_bytes]) != before.log_digest:
        return "The check rewrote the log of HEAD, so nobody knows which commit it judged."
    visited = [found.group(1).decode() for found in _ENTRY.finditer(log, before.log_bytes)]
    for at in (*visited, commit):
        if at != before.commit:
            return f"The check moved HEAD to {at or 'no commit'}: it judged another commit."
    return ""


def _read(tree: Path) -> tuple[Oid, bytes]:
    """The commit at which HEAD stands, and its log."""
    with files.opened(tree) as root:
        git = Directory(root, "").directory(b".git")
        if git is None:
            raise Unreadable("missing", ".git", "there is no .git any more")
        with git:
            return read_head(git).decode(), git.read(b"logs", b"HEAD", limit=_MAX_LOG_BYTES) or b""


def _digest(log: bytes) -> str:
    return sha256(log).hexdigest()
