"""A data directory as the previous version left it: recorded once, kept beside the histories, unpacked by a test.

`python -m tests.histories.previous` made it, with the code of that version. It is not made again: that today's stack
goes on with it is the point. It holds the log, the agents' records, the workspaces and the origin they were cloned
from. Postgres and etcd are left out, because both are filled from the log and by living agents.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parallax.stack import embedded
from parallax.stack.binaries import server_account
from schemas.events import QuestionAsked
from shared import subjects
from shared.bus import Bus
from tests.chaos.killing import make_repository
from tests.histories.record import say, start
from tests.histories.scenarios import BAD, GATE, NO_WORKSPACE, ROLE_GATE, VERIFY, WORK, chart, role

HOME = Path(tempfile.gettempdir()) / "parallax-previous"
"""Always the same: a log holds the paths of the worktrees, the origin and the agents' program."""

ARCHIVE = Path(__file__).with_name("previous.tar.xz")
DATA, ORIGIN, PATTERNS, ACTOR = HOME / "data", HOME / "origin", HOME / "patterns", HOME / "actor.py"
GO = HOME / "go"
"""The file that the agent of `running` waits for."""

KEPT = ("data/stores/nats/jetstream", "data/agents", "data/workspaces", "origin", "patterns", "actor.py")


def _here(text: str) -> str:
    return text.replace("/tmp/parallax-histories/actor.py", str(ACTOR))


_GOOD = role("write", "note.txt", "good")
_HOLD = {"type": "assign", "id": "hold", "role": "holder", "task": "Wait until you may go on."}
_WAIT = {"type": "wait", "id": "word", "signal": "go", "timeoutMs": 86_400_000}
_REJECTED = {"type": "review", "id": "reading", "reviewer": "judge", "subject": "${work}"}
_AGAIN = {"type": "assign", "id": "again", "role": "worker", "task": "Once more."}

CHARTS: dict[str, str] = {
    "running": chart("running", {"worker": _GOOD, "holder": role("wait", str(GO))}, [WORK, _HOLD, _AGAIN]),
    "asking": chart("asking", {"worker": role("ask", "Which colour?")}, [WORK], more=NO_WORKSPACE),
    "gated": chart("gated", {"worker": _GOOD}, [WORK, GATE, _AGAIN]),
    "denied-later": chart("denied-later", {"worker": _GOOD}, [WORK, GATE]),
    "timer": chart(
        "timer", {"worker": role("say", "done")}, [{"type": "wait", "timeoutMs": 20_000}, WORK], more=NO_WORKSPACE
    ),
    "rejected-later": chart(
        "rejected-later", {"worker": _GOOD, "judge": role("judge", "reject")}, [WORK, _WAIT, _REJECTED]
    ),
    "checked-later": chart("checked-later", {"worker": BAD}, [WORK, _WAIT, {**VERIFY, "onError": "continue"}, _AGAIN]),
    "paused": chart("paused", {"worker": role("say", "done")}, [_WAIT, WORK], more=NO_WORKSPACE),
    "done": chart("done", {"worker": _GOOD, "judge": role("judge", "reject")}, [WORK, _REJECTED]),
    "failed": chart("failed", {"worker": _GOOD, "judge": role("judge", "reject")}, [WORK, ROLE_GATE]),
    "cancelled": chart("cancelled", {"worker": role("say", "done")}, [_WAIT, WORK], more=NO_WORKSPACE),
}
"""By the name of the pattern and of its one execution."""

ENDED = {"done": "execution.completed", "failed": "execution.failed", "cancelled": "execution.cancelled"}
"""Those that were over, and how they ended."""

OPEN = tuple(name for name in CHARTS if name not in ENDED)
"""Those that were at work, or waited for a person, a signal or a time."""


@contextmanager
def unpacked() -> Generator[Path]:
    """The kept data directory in its place, for one test at a time; gone afterwards."""
    with (HOME.parent / "parallax-previous.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(mode=0o711)
        try:
            with tarfile.open(ARCHIVE) as archive:
                archive.extractall(HOME, filter="fully_trusted")  # our own file, with links that git made
            _give_to_servers(DATA / "stores")
            yield DATA
        finally:
            shutil.rmtree(HOME, ignore_errors=True)


def _give_to_servers(stores: Path) -> None:
    account = server_account()
    if account.uid is None or account.gid is None:
        return
    for place, _, files in os.walk(stores / "nats"):
        for path in (Path(place), *(Path(place) / name for name in files)):
            os.chown(path, account.uid, account.gid)


async def _record() -> None:
    HOME.mkdir(mode=0o711)
    PATTERNS.mkdir()
    for name, text in CHARTS.items():
        (PATTERNS / f"{name}.yaml").write_text(_here(text), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("actor.py"), ACTOR)
    make_repository(ORIGIN)
    async with embedded(data=DATA, env={"PARALLAX_PATTERNS_DIR": str(PATTERNS)}) as stack:
        bus = await Bus.connect(stack.nats_url, "recorder")
        try:
            for name, text in CHARTS.items():
                repo = {} if NO_WORKSPACE in text else {"repo": str(ORIGIN)}
                await start(bus, name, name, **repo)
            await _settled(bus)
        finally:
            await bus.close()
    _pack()


async def _settled(bus: Bus) -> None:
    """Until every open execution stands where it is to stand, and the others are over."""
    await _heard(bus, "cancelled", "timer.set")
    await say(bus, "cancelled", "cancel", {"reason": "not needed"})
    await _heard(bus, "paused", "timer.set")
    await say(bus, "paused", "pause", {"reason": "lunch"})
    for name, kind in ENDED.items():
        await _heard(bus, name, kind)
    for name in ("asking", "gated", "denied-later"):
        asked = await _heard(bus, name, "question.asked")
        assert isinstance(asked, QuestionAsked)
    for name in ("timer", "rejected-later", "checked-later"):
        await _heard(bus, name, "timer.set")
    await _heard(bus, "running", "task.started", 2)


async def _heard(bus: Bus, name: str, kind: str, count: int = 1) -> Any:
    async with asyncio.timeout(60):
        async for record in bus.follow([subjects.event_of_type(name, kind)], after=0):
            count -= 1
            if not count:
                return record.data
    raise AssertionError(kind)


def _pack() -> None:
    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9) as archive:
        for name in KEPT:
            archive.add(HOME / name, arcname=name, filter=plain)
    ARCHIVE.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    try:
        asyncio.run(_record())
    finally:
        shutil.rmtree(HOME)
