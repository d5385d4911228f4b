"""Where an embedded stack keeps its things, and how anybody finds the stack that runs.

DATA/run/stack.json    who supervises, every server and service, the settings they share (secrets: mode 0600)
DATA/run/lock          held by the supervisor for as long as it lives
DATA/stores/…          the servers' files (or a link to them, where their user could not enter DATA)
DATA/logs/NAME.log     what each server and service says
DATA/workspaces/…      clones and worktrees
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from schemas.base import Model
from shared.processes import is_same_process


class StackPart(Model, frozen=True, kw_only=True):
    """One server or service, as its supervisor sees it."""

    name: str
    kind: str
    """`server` or `service`."""
    pid: int | None
    identity: str = ""
    """What makes the pid this process; see shared.processes."""
    state: str = "starting"
    """`starting`, `ready`, `degraded`, `stopped` or `failed`."""
    address: str = ""
    restarts: int = 0
    note: str = ""
    """Why it is not ready."""


class StackRecord(Model, frozen=True, kw_only=True):
    """What the supervisor of an embedded stack writes down whenever it changes."""

    data: str
    pid: int
    identity: str
    ready: bool
    environ: dict[str, str]
    """The PARALLAX_* settings of its services, addresses of the servers included. Holds secrets: never print it."""
    parts: list[StackPart]


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The data directory meant when nobody names one: `parallax` below the user's data directory."""
    env = os.environ if environ is None else environ
    home = Path(env.get("HOME") or Path.home())
    if env.get("XDG_DATA_HOME"):
        return Path(env["XDG_DATA_HOME"]) / "parallax"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "parallax"
    return home / ".local" / "share" / "parallax"


def data_dir(data: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The data directory meant by `--data` or, without it, by PARALLAX_DATA or the default; absolute."""
    env = os.environ if environ is None else environ
    chosen = data or env.get("PARALLAX_DATA")
    return Path(chosen).expanduser().absolute() if chosen else default_data_dir(env).absolute()


def record_file(data: Path) -> Path:
    """Where the stack of this data directory is written down."""
    return data / "run" / "stack.json"


def read_record(data: Path) -> StackRecord | None:
    """What was last written down about the stack of this data directory, be it running or not; None when nothing is."""
    try:
        return msgspec.json.decode(record_file(data).read_bytes(), type=StackRecord)
    except (OSError, msgspec.DecodeError):
        return None


def running_stack(data: str | Path | None = None, environ: Mapping[str, str] | None = None) -> StackRecord | None:
    """The stack that runs in this data directory (see `data_dir`) now, or None."""
    record = read_record(data_dir(data, environ))
    return record if record is not None and is_same_process(record.pid, record.identity) else None
