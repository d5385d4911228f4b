"""What the runtime writes down about its programs, so that the next runtime finds what this one left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from schemas.agents import TaskOffer
from schemas.base import Model

Kept = TypeVar("Kept", bound=Model)


class NotWrittenError(OSError):
    """A record cannot be written: the disk is full, or not ours. The message is a sentence for people."""


class ProgramRecord(Model, frozen=True, kw_only=True):
    """A running program: its keeper, the mark in its environment, and the turn it was started for (if for one)."""

    mark: str
    pid: int = 0
    identity: str = ""
    offer: TaskOffer | None = None


class SessionRecord(Model, frozen=True, kw_only=True):
    """A session that this runtime fills."""

    agent_id: str
    execution_id: str
    life: int = 1


class Records:
    """A directory with one small file for each running program and each session."""

    def __init__(self, root: Path) -> None:
        self._programs = root / "programs"
        self._sessions = root / "sessions"

    def prepare(self) -> None:
        """Makes the directories, for the eyes of this user alone."""
        for place in (self._programs, self._sessions):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep_program(self, record: ProgramRecord) -> None:
        """Writes a program down; again with its pid once there is one."""
        _write(self._programs / record.mark, record)

    def drop_program(self, mark: str) -> None:
        """Forgets a program that has ended."""
        (self._programs / mark).unlink(missing_ok=True)

    def keep_session(self, record: SessionRecord) -> None:
        """Writes a session down."""
        _write(self._sessions / record.agent_id, record)

    def drop_session(self, agent_id: str) -> None:
        """Forgets a session that has ended."""
        (self._sessions / agent_id).unlink(missing_ok=True)

    def programs(self) -> Iterator[ProgramRecord]:
        """The programs that a former runtime did not see end."""
        for name, record in _read_all(self._programs, ProgramRecord):
            yield record or ProgramRecord(mark=name)

    def sessions(self) -> Iterator[SessionRecord]:
        """The sessions that a former runtime had."""
        for name, record in _read_all(self._sessions, SessionRecord):
            if record is None:
                self.drop_session(name)
            else:
                yield record


def _write(file: Path, record: Model) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_bytes(msgspec.json.encode(record))
        draft.chmod(0o600)
        draft.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise NotWrittenError(
            f"The runtime cannot write to {file.parent} ({error.strerror or error}), and starts nothing that it could "
            f"not find again. Make room there."
        ) from error


def _read_all(place: Path, kind: type[Kept]) -> Iterator[tuple[str, Kept | None]]:
    """Each file's name with its record; None for one that cannot be read, as after a power cut."""
    for file in sorted(place.iterdir()):
        if file.name.startswith("."):
            file.unlink(missing_ok=True)
            continue
        record: Kept | None = None
        with contextlib.suppress(msgspec.MsgspecError, OSError, UnicodeDecodeError):
            record = msgspec.json.decode(file.read_bytes(), type=kind)
        yield file.name, record
