"""Whether there is room on the disk for a stack, asked before anything is started that would fail without.

JetStream sets aside what its bounded streams may come to (agents' output, the fleet's history, buckets: 1.4 GiB), etcd
and Postgres write ahead. With less than this a new stack would come to a halt in the middle of somebody's work.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from parallax.stack.errors import UnfitMachineError

NEW_BYTES = 9 << 28  # 2.25 GiB
"""What a new data directory needs."""
AGAIN_BYTES = 1 << 28  # 256 MiB
"""What one needs that has its stores already."""


def lack_of_room(data: Path, stores: Path) -> str:
    """A sentence where the disk of the data directory, or of its stores, is too full to start on; else ""."""
    is_new = not (stores / "nats").is_dir()
    for place, needed, what in (
        (stores, NEW_BYTES if is_new else AGAIN_BYTES, "the log, the database and the registry"),
        (data, AGAIN_BYTES, "logs and worktrees"),
    ):
        free = _free_bytes(place)
        if free < needed:
            return (
                f"the disk of {place} has {shown(free)} free, and {what} of {'a new' if is_new else 'a'} stack need"
                f" {shown(needed)}; free some, or choose a data directory on a larger disk with --data"
            )
    return ""


def _free_bytes(place: Path) -> int:
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def check_room(data: Path, stores: Path) -> None:
    """Raises UnfitMachineError where the disk of the data directory, or of its stores, is too full."""
    if lack := lack_of_room(data, stores):
        raise UnfitMachineError(lack)


def shown(size: int) -> str:
    """A number of bytes as a person reads it."""
    return f"{size / (1 << 30):.2f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
