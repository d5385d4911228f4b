"""What a workspace has done, one line for each answer, written before anything else is told.

The journal decides: an answer that is in it is given again, word for word, however often the question comes, and one
that is not was never given. Branches mirror it. A line is either whole or (cut off by a crash) not there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from schemas.events import EVENT_TYPES, Event, WorkspaceKept, WorkspacePrepared, WorkspaceReady

INTENDED = "push.intended"
"""The line that says: the result is about to be published. What became of it, the origin knows."""


KEPT = "kept"
"""The line that says: these refs are about to keep what an agent did beside its work."""


ENDED = "ended"
"""The line that says: the execution has ended, so nobody is at work in the workspace any more."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: the answer (an event of the log), and which heads moved with it."""

    type: str
    event: msgspec.Raw = msgspec.Raw(b"{}")
    role: str = ""
    session: str = ""
    branch: str = ""
    head: str = ""
    result: str = ""
    task: tuple[str, int] | None = None
    kept: dict[str, str] = {}
    found: tuple[str, list[WorkspaceKept]] | None = None
    location: str = ""
    backend: str = ""
    ended: str = ""
    at: int = 0


@dataclass(slots=True)
class Session:
    """A session's branch. `task` is the attempt its worktree was last prepared for and that has not finished."""

    role: str
    session: str
    branch: str
    head: str
    task: tuple[str, int] | None = None


@dataclass(slots=True)
class State:
    """What the journal adds up to."""

    said: dict[str, Event] = field(default_factory=dict[str, Event])
    ready: WorkspaceReady | None = None
    created_at: int = 0
    location: str = ""
    backend: str = ""
    result: str = ""
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    kept: dict[str, str] = field(default_factory=dict[str, str])
    found: dict[tuple[str, str], list[WorkspaceKept]] = field(
        default_factory=dict[tuple[str, str], list[WorkspaceKept]]
    )
    """What was kept beside the work, by session and the attempt that it was found after."""
    tasks: int = 0
    intended: bool = False
    last: str = ""
    ended: str = ""
    """How the execution ended, as the type of its last event; empty until then."""

    def apply(self, line: Line) -> None:
        """Takes a line in."""
        kind = EVENT_TYPES.get(line.type)
        if kind is not None:
            event = msgspec.json.decode(line.event, type=kind)
            self.said[event.event_id] = event
            if isinstance(event, WorkspaceReady):
                self.ready, self.created_at, self.location = event, line.at, line.location
                self.backend = line.backend or "dulwich"
        self.intended = self.intended or line.type == INTENDED
        self.ended = line.ended or ("" if line.type == WorkspacePrepared.TYPE else self.ended)
        self.last = self.last if line.type == ENDED else line.type
        self.result = line.result or self.result
        self.kept.update(line.kept)
        if line.found is not None:
            known = {one.ref: one for one in (*self.found.get((line.session, line.found[0]), []), *line.found[1])}
            self.found[line.session, line.found[0]] = list(known.values())
        if not line.session:
            return
        known = self.sessions.get(line.session)
        if known is None:
            known = self.sessions[line.session] = Session(line.role, line.session, line.branch, line.head)
        known.head = line.head or known.head
        if line.type == WorkspacePrepared.TYPE:
            known.task = line.task
        elif line.task is not None:
            self.tasks += 1
            known.task = None


class Journal:
    """The file of a journal and its state. Used under the lock of its execution only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.state = State()

    def catch_up(self) -> bool:
        """Reads what another process, or this one before a crash, wrote. Says whether there was anything."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            if self._read:
                self._read, self.state = 0, State()
            return False
        if size == self._read:
            return False
        if size < self._read:
            self._read, self.state = 0, State()
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) != len(data):
            os.truncate(self._path, self._read + len(whole))
        for line in whole.splitlines():
            self.state.apply(msgspec.json.decode(line, type=Line))
        self._read += len(whole)
        return bool(whole)

    def write(self, line: Line) -> None:
        """Adds a line, on the disk when this returns."""
        data = msgspec.json.encode(line) + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(descriptor, data)
            if written != len(data):
                raise OSError(28, "The disk is full", str(self._path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._read += len(data)
        self.state.apply(line)
