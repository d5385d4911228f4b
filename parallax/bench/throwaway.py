"""A stack for one measurement: started in a directory of its own, gone with everything in it afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from parallax.stack.control import start_detached, stop_stack
from shared.paths import StackRecord

_DEFAULT_SYNC_S = 120


@contextmanager
def throwaway_stack(patterns: Path | None = None) -> Iterator[StackRecord]:
    """The whole embedded stack with the shipped patterns, or those of `patterns`.

    It also goes when this process is killed: it holds the other end of a pipe of ours.
    """
    place = Path(tempfile.mkdtemp(prefix="parallax-bench-"))
    place.chmod(0o711)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PARALLAX_")}
    if patterns is not None:
        environ["PARALLAX_PATTERNS_DIR"] = str(patterns)
    lifeline, ours = os.pipe()
    try:
        try:
            record, _ = start_detached(place / "data", environ=environ, lifeline=lifeline)
        finally:
            os.close(lifeline)
        yield record
    finally:
        os.close(ours)
        stop_stack(place / "data")
        shutil.rmtree(place, ignore_errors=True)


def durability_of(record: StackRecord) -> str:
    """What the server itself says about flushing: `fsync` for every acked write, `interval 120 s`, or `unknown`."""
    try:
        ports = msgspec.json.decode((Path(record.data) / "run" / "ports.json").read_bytes(), type=dict[str, int])
        url = f"http://127.0.0.1:{ports['nats_monitor']}/varz"
        with urllib.request.urlopen(url, timeout=2.0) as answer:
            found = msgspec.json.decode(answer.read(), type=_Varz).jetstream.config
    except (OSError, KeyError, urllib.error.URLError, msgspec.MsgspecError):
        return "unknown"
    return "fsync" if found.sync_always else f"interval {found.sync_interval // 1_000_000_000 or _DEFAULT_SYNC_S} s"


class _Config(msgspec.Struct):
    sync_always: bool = False
    sync_interval: int = 0


class _JetStream(msgspec.Struct):
    config: _Config


class _Varz(msgspec.Struct):
    jetstream: _JetStream
