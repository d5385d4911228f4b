"""Where a stack lives and what it uses: odd directories, chosen ports, servers that somebody else runs."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from parallax.stack import embedded
from parallax.stack.control import start_detached, stop_stack
from parallax.stack.errors import UnusableDataError
from shared.paths import running_stack
from shared.processes import is_same_process
from tests.stack.test_stack import SERVERS, parallax


@pytest.fixture
def place(server_dir: Path, request: pytest.FixtureRequest) -> Generator[Path]:
    """A data directory with a name that shells and URLs trip over; what runs in it at the end is stopped."""
    data = server_dir / f"place of {request.node.name[:30]} ü & 'quoted' $HOME"
    yield data
    stop_stack(data)


def free_port() -> int:
    """A port that nobody listens on this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_servers_that_the_settings_name_are_used_and_left_alone(place: Path) -> None:
    """No server of its own is started; status shows theirs without a pid; `down` does not end them."""
    async with embedded(only=SERVERS) as theirs:
        before = await theirs.status()
        named = {
            "PARALLAX_NATS_URL": theirs.nats_url,
            "PARALLAX_DATABASE_URL": theirs.database_url,
            "PARALLAX_ETCD_ENDPOINTS": next(part.address for part in before.servers if part.name == "etcd"),
        }
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
        record, _ = start_detached(place, options=["--only", "registry,projector"], environ=ours | named)
        status = json.loads(parallax("status", "--json", data=place).stdout)
        assert [(part["name"], part["pid"], part["state"]) for part in status["servers"]] == [
            (name, None, "ready") for name in SERVERS
        ]
        assert {part["address"] for part in status["servers"]} == set(named.values())
        assert {part["name"]: part["state"] for part in status["services"]} == {
            "registry": "ready",
            "projector": "ready",
        }
        assert {record.environ[name] for name in named} == set(named.values())
        assert not (place / "stores").exists()
        listed = parallax("ps", "--json", data=place)
        assert (listed.returncode, json.loads(listed.stdout)) == (0, {"executions": []})
        assert stop_stack(place)
        assert [part.pid for part in (await theirs.status()).servers] == [part.pid for part in before.servers]


def test_a_chosen_port_is_taken_and_a_data_directory_may_have_any_name(place: Path) -> None:
    """`--port nats=N` is where the server listens; blanks, quotes and other scripts in the path do no harm."""
    port = free_port()
    started = parallax("up", "--detach", "--only", "nats,postgres", "--port", f"nats={port}", data=place)
    assert started.returncode == 0, started.stderr
    assert f"nats://127.0.0.1:{port}" in started.stdout
    status = json.loads(parallax("status", "--json", data=place).stdout)
    assert [(part["name"], part["state"]) for part in status["servers"]] == [("nats", "ready"), ("postgres", "ready")]
    again = parallax("up", data=place)
    assert (again.returncode, "parallax down --data" in again.stderr) == (1, True)
    record = running_stack(place)
    assert record is not None
    assert parallax("down", data=place).returncode == 0
    assert not any(is_same_process(part.pid or 0, part.identity) for part in record.parts)


def test_a_data_directory_that_cannot_be_is_bad_input(tmp_path: Path) -> None:
    """A file in the way is named, and nothing is started."""
    (tmp_path / "file").touch()
    with pytest.raises(UnusableDataError, match="cannot be made"):
        start_detached(tmp_path / "file" / "data")
    refused = parallax("up", data=tmp_path / "file" / "data")
    assert (refused.returncode, str(tmp_path / "file") in refused.stderr) == (2, True)


async def test_a_part_that_was_killed_is_never_shown_with_its_old_pid(place: Path) -> None:
    """Between a death and the restart `status` says that it has ended, and exits 0."""
    async with embedded(data=place, only=["etcd"]) as stack:
        part = await stack.part("etcd")
        assert part.pid is not None
        await stack.kill("etcd")
        shown = json.loads(parallax("status", "--json", data=place).stdout)["servers"][0]
        assert shown["pid"] != part.pid
        assert shown["state"] in {"failed", "starting", "ready"}
