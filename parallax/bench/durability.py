"""What a running server itself says about flushing what it acknowledges."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import msgspec

_NANOSECONDS = 1_000_000_000


def durability_of(data: Path) -> str:
    """`fsync` where every acked write is flushed, `interval N s`, or `unknown`, for the stack that runs in `data`."""
    try:
        ports = msgspec.json.decode((data / "run" / "ports.json").read_bytes(), type=dict[str, int])
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['nats_monitor']}/varz", timeout=2.0) as answer:
            found = msgspec.json.decode(answer.read(), type=_Varz).jetstream.config
    except (OSError, KeyError, urllib.error.URLError, msgspec.MsgspecError):
        return "unknown"
    return "fsync" if found.sync_always else f"interval {found.sync_interval // _NANOSECONDS} s"


class _Config(msgspec.Struct):
    sync_always: bool = False
    sync_interval: int = 0


class _JetStream(msgspec.Struct):
    config: _Config


class _Varz(msgspec.Struct):
    jetstream: _JetStream
