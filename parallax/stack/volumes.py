"""Which volume a data directory was on: without its volume it looks as if it had never been there.

A note of it is kept in the user's state directory (XDG_STATE_HOME, else ~/.local/state), outside of the volume. It only
ever leads to a refusal, and only while nothing is mounted where the volume was.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from parallax.stack.errors import MissingStoreError
from shared.paths import NoPlace, home_dir

_MOST = 200


def check_volume(data: Path) -> None:
    """Raises MissingStoreError where a stack was in `data` on a volume that is not mounted now."""
    mount = _read().get(str(data))
    if mount is None or (data / "run").exists() or os.path.ismount(mount):
        return
    raise MissingStoreError(
        f"the stack in {data} was on the volume of {mount}, and nothing is mounted there now. Mount it; to begin a new"
        f" stack without what was there, delete the line of {data} in {_place()}"
    )


def note_volume(data: Path) -> None:
    """Notes the volume of `data`, where it is not the one of the root directory."""
    mount = data.resolve()
    while not mount.is_mount():
        mount = mount.parent
    known = _read()
    kept = {place: where for place, where in known.items() if not _is_over(place, where)}
    kept.pop(str(data), None)
    if mount != Path("/"):
        kept = dict(list(kept.items())[-_MOST:]) | {str(data): str(mount)}
    if kept != known:
        with suppress(OSError, NoPlace):  # a note; nothing rests on it but a better sentence
            place = _place()
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = place.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
            fresh.replace(place)


def _is_over(data: str, mount: str) -> bool:
    """Whether a data directory is gone from a volume that is there: somebody deleted it."""
    return os.path.ismount(mount) and not Path(data).exists()


def _place() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else home_dir() / ".local" / "state") / "parallax" / "volumes.json"


def _read() -> dict[str, str]:
    try:
        return msgspec.json.decode(_place().read_bytes(), type=dict[str, str])
    except (OSError, NoPlace, msgspec.DecodeError):
        return {}
