"""HOME and TMPDIR of agents: private, short enough for sockets, and gone when nobody needs them."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from schemas.agents import TaskResult
from services.runtime_local.places import LONGEST_BASE, Places, candidates, left_behind
from shared.testing import eventually
from tests.services.runtime_local.stage import stage


async def test_a_socket_has_room_whatever_the_ids_and_the_data_directory(nats_url: str, tmp_path: Path) -> None:
    """`multiprocessing.Manager` makes one below TMPDIR, and a socket below HOME can be made as well."""
    data = tmp_path / ("deep" * 20) / ("deeper" * 20)
    data.mkdir(parents=True)
    async with stage(nats_url, data) as scene:
        agent = await scene.program(
            "import multiprocessing, socket",
            "manager = multiprocessing.Manager()",
            "made = manager.list([1]); manager.shutdown()",
            "place = os.path.join(os.environ['HOME'], '.config', 'some-tool', 'a-long-name-of-a-socket.sock')",
            "os.makedirs(os.path.dirname(place))",
            "socket.socket(socket.AF_UNIX).bind(place)",
            "say(type='result', result=[os.environ['HOME'], os.environ['TMPDIR']])",
            execution_id="e" * 64,
        )
        ended = await scene.ended(await scene.offer(agent))
        assert isinstance(ended, TaskResult), ended
        home, tmp = (Path(place) for place in ended.result)
        for place in (home, tmp, home.parent, home.parent.parent):
            assert stat.S_IMODE(place.stat().st_mode) == 0o700 if place != home.parent else True
            assert place.stat().st_uid == os.geteuid()
        assert len(str(tmp)) <= LONGEST_BASE + 20
        base = home.parent.parent
        assert scene.runtime is not None
        await scene.runtime.sessions[agent].close("over")
        await eventually(lambda: not home.parent.exists())
        assert base.exists()
    assert not base.exists()


def test_what_a_killed_runtime_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    """What one that lives has is left alone, and so is what is nobody's of ours."""
    environ = {"TMPDIR": str(tmp_path)} if len(str(tmp_path)) <= LONGEST_BASE else {}
    roots = candidates(environ)
    living, killed = Places(environ, tmp_path), Places(environ, tmp_path)
    kept = living.make()
    gone = killed.make()
    os.close(killed._lock)  # what the kernel does when a process is killed
    killed._lock = -1
    foreign = Path(roots[0] / f"px-foreign-{os.getpid()}")
    foreign.mkdir()
    try:
        following = Places(environ, tmp_path)
        following.prepare()
        assert not gone.exists()
        assert kept.exists()
        assert foreign.exists()
        following.close()
    finally:
        foreign.rmdir()
        living.close()
    assert not kept.exists()


def test_a_directory_that_is_locked_is_in_use(tmp_path: Path) -> None:
    """And one without the mark was made by somebody else."""
    for name in ("px-a", "px-b", "px-c", "other"):
        (tmp_path / name).mkdir()
        if name != "px-c":
            (tmp_path / name / ".parallax-agents").touch()
    handle = os.open(tmp_path / "px-b", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert [place.name for place in left_behind(tmp_path, but=tmp_path / "none")] == ["px-a"]
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    ("tmp", "first"), [("", "/tmp"), ("relative", "/tmp"), ("/" + "x" * 60, "/tmp"), ("/var/tmp", "/var/tmp")]
)
def test_the_directory_that_the_user_says_is_taken_where_it_is_short(tmp: str, first: str) -> None:
    """A relative one and a long one are passed over."""
    assert str(candidates({"TMPDIR": tmp})[0]) == first
