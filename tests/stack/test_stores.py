"""The servers' files: never deleted because a path is gone, never made anew because they are not where they were."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import nats
import pytest

from parallax.stack import binaries, stores
from parallax.stack.binaries import Account, server_account
from parallax.stack.control import start_detached, stop_stack
from parallax.stack.errors import MissingStoreError, UnusableDataError
from parallax.stack.stores import open_stores, remove_data, strays
from parallax.stack.volumes import check_volume
from tests.stack.test_stack import parallax

PARTS = ["nats", "postgres"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory as the supervisor prepares it."""
    (tmp_path / "a" / "run").mkdir(parents=True)
    return tmp_path / "a"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's directory, for stores whose user cannot enter the data directory."""
    place = tmp_path / "system"
    monkeypatch.setattr(stores, "SYSTEM_STATE", place)
    monkeypatch.setattr(binaries, "SYSTEM_STATE", place)
    monkeypatch.setattr(stores, "can_reach", lambda _path, _account: False)
    return place


def fill(place: Path) -> None:
    """Something that must not be lost."""
    (place / "nats" / "log").write_text("everything")


def test_a_store_is_found_again_also_after_its_directory_was_moved(data: Path) -> None:
    """The id goes with the directory."""
    fill(open_stores(data, Account(), PARTS))
    moved = data.rename(data.with_name("b"))
    assert (open_stores(moved, Account(), PARTS) / "nats" / "log").read_text() == "everything"


@pytest.mark.parametrize("lost", ["stores", "stores/nats", "stores/postgres"])
def test_a_store_that_is_not_there_is_refused_and_not_made_anew(data: Path, lost: str) -> None:
    """The sentence has the place, and what to do; nothing is made there."""
    fill(open_stores(data, Account(), PARTS))
    (data / lost).rename(data / "away")
    with pytest.raises(MissingStoreError) as refused:
        open_stores(data, Account(), PARTS)
    assert str(data / "stores") in str(refused.value)
    assert "Mount it or put" in str(refused.value)
    assert not (data / lost).exists()
    (data / "away").rename(data / lost)
    assert (open_stores(data, Account(), PARTS) / "nats" / "log").read_text() == "everything"


def test_an_empty_directory_and_a_foreign_store_are_refused_too(data: Path, tmp_path: Path) -> None:
    """A mount point without its volume is an empty directory; a store of another stack has another id."""
    place = open_stores(data, Account(), PARTS) / "nats"
    place.rename(tmp_path / "volume")
    place.mkdir()
    with pytest.raises(MissingStoreError, match="a volume may not be mounted"):
        open_stores(data, Account(), PARTS)
    (tmp_path / "other" / "run").mkdir(parents=True)
    place.rmdir()
    shutil.copytree(open_stores(tmp_path / "other", Account(), PARTS) / "nats", place)
    with pytest.raises(MissingStoreError, match="another stack"):
        open_stores(data, Account(), PARTS)


def test_a_store_from_before_there_were_ids_is_taken_as_it_is(data: Path) -> None:
    """A data directory of an earlier version goes on."""
    (data / "stores" / "nats").mkdir(parents=True)
    fill(data / "stores")
    assert (open_stores(data, Account(), PARTS) / "nats" / "log").read_text() == "everything"


def test_no_start_deletes_the_store_of_a_directory_that_was_moved(data: Path, elsewhere: Path) -> None:
    """A moved directory, another that starts, and the first again: all is there. A store that is gone is refused."""
    fill(open_stores(data, Account(), PARTS))
    target = (data / "stores").resolve()
    assert target.parent == elsewhere / "stores"
    moved = data.rename(data.with_name("b"))
    assert strays() == [(target, str(data))]
    (data.with_name("c") / "run").mkdir(parents=True)
    open_stores(data.with_name("c"), Account(), PARTS)
    assert (open_stores(moved, Account(), PARTS) / "nats" / "log").read_text() == "everything"
    assert strays() == []
    target.rename(elsewhere / "unmounted")
    with pytest.raises(MissingStoreError, match="point the link"):
        open_stores(moved, Account(), PARTS)
    assert (moved / "stores").is_symlink()


def test_a_copy_does_not_share_the_stores_of_the_original(data: Path, elsewhere: Path) -> None:
    """`cp -a` copies the link: two stacks would write into one log."""
    open_stores(data, Account(), PARTS)
    copy = shutil.copytree(data, data.with_name("copy"), symlinks=True)
    with pytest.raises(UnusableDataError, match="is a copy of"):
        open_stores(copy, Account(), PARTS)
    remove_data(copy)
    assert (data / "stores" / "nats").is_dir()  # not the copy's to delete
    remove_data(data)
    assert list((elsewhere / "stores").iterdir()) == []


async def _stored(url: str, *, add: bool) -> int:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    if add:
        await jetstream.add_stream(name="KEPT", subjects=["kept"])
        await jetstream.publish("kept", b"x")
    count = (await jetstream.stream_info("KEPT")).state.messages
    await client.close()
    return count


def test_a_moved_stack_goes_on_with_its_log(tmp_path: Path) -> None:
    """As root in a closed directory, with another stack started in between: the log is where it was."""
    options = ["--only", "nats,postgres"]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    first, _ = start_detached(closed / "a", options=options)
    try:
        assert asyncio.run(_stored(first.environ["PARALLAX_NATS_URL"], add=True)) == 1
        stop_stack(closed / "a")
        (closed / "a").rename(closed / "b")
        start_detached(closed / "c", options=["--only", "nats"])
        stop_stack(closed / "c")
        again, _ = start_detached(closed / "b", options=options)
        assert asyncio.run(_stored(again.environ["PARALLAX_NATS_URL"], add=False)) == 1
        assert parallax("down", "--delete-data", data=closed / "b").returncode == 0
        assert not (closed / "b").exists()
        assert not any(str(closed) in origin for _, origin in strays())
    finally:
        for name in ("a", "b", "c"):
            stop_stack(closed / name)
            remove_data(closed / name)


@pytest.fixture
def volume(tmp_path: Path) -> Generator[Path]:
    """A volume of its own, which can be unmounted."""
    place = tmp_path / "volume"
    place.mkdir()
    tmp_path.chmod(0o711)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3g", "none", place], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a volume")
    yield place
    subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def test_a_volume_that_is_not_mounted_is_no_new_stack(volume: Path, tmp_path: Path) -> None:
    """Without its volume a data directory looks as if it had never been: it is refused until the volume is back."""
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    aside = tmp_path / "aside"
    aside.mkdir()
    place = volume / "data"
    assert parallax("up", "--detach", "--only", "etcd", data=place, environ=state).returncode == 0
    assert parallax("down", data=place).returncode == 0
    subprocess.run(["mount", "--bind", volume, aside], check=True)
    subprocess.run(["umount", volume], check=True)
    refused = parallax("up", "--detach", "--only", "etcd", data=place, environ=state)
    assert (refused.returncode, "Mount it" in refused.stderr) == (2, True)
    assert str(volume) in refused.stderr
    assert list(volume.iterdir()) == []
    subprocess.run(["mount", "--bind", aside, volume], check=True)
    subprocess.run(["umount", aside], check=True)
    assert parallax("up", "--detach", "--only", "etcd", data=place, environ=state).returncode == 0
    assert parallax("down", "--delete-data", data=place).returncode == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", state["XDG_STATE_HOME"])
        check_volume(place)  # deleted while the volume was there: a new one may be made


def test_servers_of_root_are_those_of_nobody() -> None:
    """Where we are root, the account of the servers is another."""
    assert server_account().is_other == (os.geteuid() == 0)
