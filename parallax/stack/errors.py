"""What can go wrong between a person and a stack; each message is a sentence that person can act on."""

from __future__ import annotations

import shlex


class StackError(Exception):
    """The stack cannot do what was asked."""


class MissingProgramError(StackError):
    """A server's program is not on this machine."""


class UnknownPartError(StackError):
    """A name or a port was asked for that cannot be had."""


class UnusableDataError(StackError):
    """The data directory that was named cannot be used."""


class AlreadyRunningError(StackError):
    """Another supervisor holds the data directory."""

    def __init__(self, data: str, pid: int) -> None:
        super().__init__(
            f"{data} is already up: process {pid} holds it; `parallax down --data {shlex.quote(data)}` stops it"
        )
        self.pid = pid


class UnreachableServerError(StackError):
    """A server that the settings name does not answer."""


class NotReadyError(StackError):
    """The stack did not come up in time."""


class MissingStoreError(UnusableDataError):
    """The servers' files of a data directory are not where they were made."""


class UnfitMachineError(StackError):
    """A server cannot run here as things are (the disk, the user); trying again changes nothing."""
