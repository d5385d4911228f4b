"""Where an embedded stack keeps its things, and how anybody finds the stack that runs.

DATA/run/stack.json    who supervises, every server and service, the settings they share (secrets: mode 0600)
DATA/run/lock          held by the supervisor for as long as it lives
DATA/stores/…          the servers' files (or a link to them, where their user could not enter DATA)
DATA/logs/NAME.log     what each server and service says
DATA/workspaces/…      clones and worktrees
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from schemas.base import Model
from shared.config import CONFIG_FILE, load
from shared.processes import is_same_process

ALIVE_EVERY_S = 1.0
"""How often a supervisor leaves a sign that it is at work."""

_BLOCK_BYTES = 16 * 1024
_READINGS = 5


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
    directories: dict[str, str] = {}
    """Where things are: `data`, `logs`, `workspaces`, `stores`, `patterns` (yours) and `shipped_patterns`; absolute."""


class NoPlace(Exception):
    """There is no directory to mean: no home, or no current directory."""


class NotYours(Exception):
    """The stack of this data directory belongs to another user, whose files are closed to us."""


def home_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The user's home directory. Raises NoPlace where there is none: no HOME, and no entry for the user."""
    env = os.environ if environ is None else environ
    if env.get("HOME"):
        return Path(env["HOME"])
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise NoPlace(
            f"there is no home directory: HOME is not set, and user {os.getuid()} has no entry in /etc/passwd; name a"
            " data directory with --data or PARALLAX_DATA, or set HOME"
        ) from None


def absolute(path: Path) -> Path:
    """The path from the root. Raises NoPlace for a relative one where the current directory has been deleted."""
    try:
        return path.absolute()
    except FileNotFoundError:
        raise NoPlace(
            f"the directory that this was started in has been deleted, so {path} means nothing; go to another one, or"
            " name an absolute path"
        ) from None


def current_dir() -> Path | None:
    """The current directory; None where it has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The data directory meant when nobody names one: `parallax` below the user's data directory."""
    env = os.environ if environ is None else environ
    if env.get("XDG_DATA_HOME"):
        return Path(env["XDG_DATA_HOME"]) / "parallax"
    home = home_dir(env)
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "parallax"
    return home / ".local" / "share" / "parallax"


def data_dir(data: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The data directory meant by `--data` or, without it, by PARALLAX_DATA or the default; absolute.

    A file that PARALLAX_CONFIG names may say so too. Raises NoPlace, BadSettings.
    """
    env = os.environ if environ is None else environ
    chosen = str(data or env.get("PARALLAX_DATA") or "")
    if not chosen and env.get(CONFIG_FILE):
        chosen = str(load(env).data or "")
    if not chosen:
        return absolute(default_data_dir(env))
    if chosen == "~" or chosen.startswith("~/"):
        return absolute(home_dir(env) / chosen[2:])
    with suppress(RuntimeError):  # ~NAME of nobody is a directory of that name
        return absolute(Path(chosen).expanduser())
    return absolute(Path(chosen))


def record_file(data: Path) -> Path:
    """Where the stack of this data directory is written down."""
    return data / "run" / "stack.json"


def read_record(data: Path) -> StackRecord | None:
    """What was last written down about the stack of this data directory, be it running or not; None when nothing is.

    Raises NotYours where it may not be read.
    """
    for _ in range(_READINGS):
        try:
            return msgspec.json.decode(record_file(data).read_bytes(), type=StackRecord)
        except PermissionError:
            raise NotYours(closed(data)) from None
        except msgspec.DecodeError:
            time.sleep(0.01)  # it is just being written over, on a full disk
        except OSError:
            return None
    return None


def closed(data: Path) -> str:
    """Why the stack of this data directory is none of ours, as a sentence."""
    me = f"you are {user_name(os.geteuid())}"
    for place in (data / "run", data):
        with suppress(OSError):
            owner = place.stat().st_uid
            if owner != os.geteuid():
                return (
                    f"the stack in {data} is not yours: it belongs to {user_name(owner)}, and {me}; ask as that user,"
                    " or name a data directory of your own with --data"
                )
    return f"{data} cannot be entered ({me}); name a data directory of your own with --data or PARALLAX_DATA"


def user_name(uid: int) -> str:
    """A user as a person knows them: `ada (uid 1000)`."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def write_record(data: Path, record: StackRecord) -> None:
    """Writes down how the stack of this data directory is. Raises OSError.

    Whole or not at all; where the disk is full, over what is there, which needs no new room.
    """
    text = msgspec.json.encode(record)
    text += b" " * (-len(text) % _BLOCK_BYTES)
    place = record_file(data)
    fresh = place.with_suffix(".new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(text)
        fresh.replace(place)
    except OSError:
        handle = os.open(place, os.O_WRONLY)
        with os.fdopen(handle, "wb") as out:
            out.write(text)


def mark_alive(data: Path) -> None:
    """Leaves a sign that the supervisor of this data directory is at work."""
    os.utime(record_file(data))


def supervisor_answers(data: Path) -> bool:
    """Whether the supervisor of the stack that runs here has left a sign lately; waits for one where it has not."""
    place = record_file(data)
    seen = place.stat().st_mtime_ns
    if abs(time.time_ns() - seen) < 3 * ALIVE_EVERY_S * 1e9:
        return True
    deadline = time.monotonic() + 3 * ALIVE_EVERY_S  # the clock may have been set
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if place.stat().st_mtime_ns != seen:
            return True
    return False


def running_stack(data: str | Path | None = None, environ: Mapping[str, str] | None = None) -> StackRecord | None:
    """The stack that runs in this data directory (see `data_dir`) now, or None. Raises NoPlace, NotYours."""
    record = read_record(data_dir(data, environ))
    return record if record is not None and is_same_process(record.pid, record.identity) else None
