"""The embedded stack as a user meets it: up, status, killed in every part, down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import nats
import nats.errors
import psutil
import pytest
import pytest_asyncio

from parallax.stack import Stack, embedded
from parallax.stack.binaries import find_program
from parallax.stack.child import Child
from parallax.stack.control import start_detached, stop_stack
from parallax.stack.errors import MissingProgramError, StackError
from parallax.stack.plan import existing_services
from parallax.stack.stores import remove_data, strays
from shared.paths import read_record
from shared.processes import is_same_process
from shared.testing import eventually
from tests.conftest import missing

SERVERS = ["nats", "postgres", "etcd"]


@pytest.fixture(autouse=True)
def _programs() -> None:
    """Without the servers' programs there is nothing to test."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))


@pytest.fixture
def place(server_dir: Path, request: pytest.FixtureRequest) -> Generator[Path]:
    """A data directory of this test's own; whatever still runs in it at the end is stopped."""
    data = server_dir / f"stack-{request.node.name}"
    yield data
    stop_stack(data)


@pytest_asyncio.fixture
async def stack(place: Path) -> AsyncGenerator[Stack]:
    """The three servers under their supervisor, without services."""
    async with embedded(data=place, only=SERVERS) as running:
        yield running


def parallax(
    *arguments: str, data: Path, timeout_s: float = 60.0, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user does."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    ours["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-P", "-m", "parallax", *arguments, "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=ours | dict(environ or {}),
    )


async def test_everything_comes_up_and_status_lists_it(place: Path) -> None:
    """`status --json` names every server and service with its real pid, state and address, and exits 0."""
    async with embedded(data=place) as whole:
        done = await asyncio.to_thread(parallax, "status", "--json", data=place)
        assert done.returncode == 0, done.stderr
        status: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
        assert [part["name"] for part in status["servers"]] == SERVERS
        assert {part["name"] for part in status["services"]} == set(existing_services())
        for part in [*status["servers"], *status["services"]]:
            assert set(part) == {"name", "pid", "state", "address"}
            assert part["state"] == "ready", part
            assert part["address"], part
            os.kill(part["pid"], 0)
        checked = await whole.command("doctor", "--json")
        assert checked["ok"], checked
        assert {"nats", "durability", "postgres", "etcd"} <= {check["name"] for check in checked["checks"]}
        await whole.kill("executor")

        async def is_back() -> bool:
            return (await whole.part("executor")).restarts == 1 and await whole.healthy()

        await eventually(is_back, timeout_s=15)


async def test_servers_run_as_somebody_unprivileged(stack: Stack) -> None:
    """Where we are root, no server is."""
    for part in (await stack.status()).servers:
        owner = Path(f"/proc/{part.pid}").stat().st_uid
        assert owner != 0 if os.geteuid() == 0 else owner == os.geteuid()


@pytest.mark.parametrize("name", SERVERS)
async def test_a_killed_server_comes_back_where_it_was(stack: Stack, name: str) -> None:
    """After kill -9 a server is healthy again, on the same port, within seconds."""
    before = await stack.part(name)
    await stack.kill(name)

    async def is_back() -> bool:
        now = await stack.part(name)
        return now.state == "ready" and now.pid != before.pid

    await eventually(is_back, timeout_s=10)
    after = await stack.part(name)
    assert (after.address, after.restarts) == (before.address, 1)


async def test_what_was_acknowledged_survives_kill_9(stack: Stack) -> None:
    """Messages and rows that were acknowledged before a kill -9 of their server are there after it."""
    client = await nats.connect(stack.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="KEPT", subjects=["kept"])
    for _ in range(20):
        await jetstream.publish("kept", b"x")
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 20) AS n")
    await stack.kill("nats")
    await stack.kill("postgres")

    async def count() -> int:
        try:
            return (await jetstream.stream_info("KEPT")).state.messages
        except (nats.errors.Error, TimeoutError):
            return 0

    assert await eventually(count, timeout_s=10) == 20
    await client.close()
    await connection.close()
    await eventually(stack.healthy, timeout_s=10)
    connection = await asyncpg.connect(stack.database_url)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 20
    await connection.close()


async def test_a_hung_server_is_shown_as_degraded(stack: Stack) -> None:
    """A server that is there and does not answer is neither called ready nor shot."""
    await stack.kill("nats", signal.SIGSTOP)

    async def state() -> str:
        return (await stack.part("nats")).state

    async def is_degraded() -> bool:
        return await state() == "degraded"

    await eventually(is_degraded, timeout_s=10)
    await stack.kill("nats", signal.SIGCONT)
    await eventually(stack.healthy, timeout_s=10)
    assert (await stack.part("nats")).restarts == 0


async def test_a_second_up_is_refused_with_the_pid_that_holds_it(stack: Stack) -> None:
    """Two supervisors never share a data directory; the message names the one that is there."""
    done = await asyncio.to_thread(parallax, "up", data=stack.data)
    assert done.returncode == 1
    assert str(stack.supervisor) in done.stderr
    detached = await asyncio.to_thread(parallax, "up", "--detach", data=stack.data)
    assert detached.returncode == 1
    assert str(stack.supervisor) in detached.stderr
    assert await stack.healthy()


def test_a_killed_supervisor_blocks_nothing(place: Path) -> None:
    """After kill -9 of the supervisor the next `up` finds its orphans, ends them, and keeps ports and data."""
    options = ["--only", ",".join(SERVERS)]
    first, _ = start_detached(place, options=options)
    os.kill(first.pid, signal.SIGKILL)
    second, _ = start_detached(place, options=options)
    assert second.pid != first.pid
    assert [part.address for part in second.parts] == [part.address for part in first.parts]
    assert not any(is_same_process(part.pid or 0, part.identity) for part in first.parts)
    assert stop_stack(place)
    assert not any(is_same_process(part.pid or 0, part.identity) for part in second.parts)


def test_a_taken_port_is_replaced(place: Path) -> None:
    """When another program sits on a port of last time, the stack takes a new one and comes up."""
    options = ["--only", "etcd"]
    first, _ = start_detached(place, options=options)
    stop_stack(place)
    host, _, port = first.parts[0].address.rpartition(":")
    with socket.create_server((host, int(port))):
        second, _ = start_detached(place, options=options)
        assert second.parts[0].address != first.parts[0].address
        refused = parallax("up", "--detach", "--port", f"nats={port}", data=place.with_name("another"))
        assert refused.returncode == 2
        assert port in refused.stderr


def test_ctrl_c_stops_services_before_servers(place: Path) -> None:
    """Ctrl-C on `parallax up` ends everything, services first, and the exit code is that of an interruption."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    ours["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-P", "-m", "parallax", "up", "--data", str(place), "--only", "registry"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ours) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "nats://127.0.0.1:" in line
        record = read_record(place)
        assert record is not None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    last = read_record(place)
    assert last is not None
    assert {part.state for part in last.parts} == {"stopped"}
    assert not any(is_same_process(part.pid or 0, part.identity) for part in record.parts)
    complaints = [
        row for row in _log_rows(place / "logs" / "registry.log") if row.get("level") in {"error", "critical"}
    ]
    assert complaints == []


def _log_rows(log: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.MsgspecError:
            rows.append({"level": "error", "event": line})
    return rows


def test_what_is_not_ready_in_time_is_named(place: Path) -> None:
    """A start in the background that takes too long ends with the names of those that are late, and leaves nothing."""
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(StackError, match="registry is starting"):
            start_detached(
                place,
                options=["--only", "registry"],
                environ=os.environ | {"PARALLAX_NATS_URL": f"nats://{address}", "PARALLAX_ETCD_ENDPOINTS": address},
                within_s=8.0,
            )
    assert time.monotonic() - began < 25
    assert parallax("status", data=place).returncode == 3


def test_a_server_of_the_settings_that_does_not_answer_is_said(place: Path) -> None:
    """Nothing is started that would wait for it: the setting is named, without its password, and the exit code is 3."""
    for options in ([], ["--detach"]):
        ended = parallax(
            *("up", *options, "--only", "registry"),
            data=place,
            environ={"PARALLAX_NATS_URL": "nats://me:secret@127.0.0.1:1", "PARALLAX_ETCD_ENDPOINTS": "127.0.0.1:1"},
        )
        assert ended.returncode == 3
        assert "nats does not answer at nats://127.0.0.1:1, which PARALLAX_NATS_URL names" in ended.stderr
        assert "secret" not in ended.stderr
        assert parallax("status", data=place).returncode == 3


async def test_what_keeps_dying_is_tried_again_and_named() -> None:
    """A process that cannot live is started again with growing pauses and called failed; its last words are kept."""
    said: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        child = Child(
            "short",
            "service",
            command=lambda: [sys.executable, "-c", "raise SystemExit('I cannot')"],
            environ=dict(os.environ),
            log=Path(home) / "short.log",
            changed=lambda _child, what: said.append(what),
            directory=Path(home),
        )
        keeping = asyncio.create_task(child.supervise())
        await eventually(lambda: child.restarts >= 4, timeout_s=15)
        assert (child.state, child.note) == ("failed", "ended with exit code 1: I cannot")
        await eventually(lambda: child.hopeless, timeout_s=15)
        assert child.hopeless == "short cannot run: it ended with exit code 1: I cannot"
        await child.stop(grace_s=1)
        await asyncio.wait_for(keeping, 3)
    assert any("I cannot" in line for line in said)
    assert child.part.pid is None


async def test_a_stop_in_the_first_moments_is_an_ordered_one(tmp_path: Path) -> None:
    """A process that still imports, and so is ended by SIGTERM instead of leaving with 0, is stopped and not restarted.

    The same goes for one that is stopped before it is there at all.
    """
    said: list[str] = []

    def child(name: str) -> Child:
        return Child(
            name,
            "service",
            command=lambda: [sys.executable, "-c", "import time; time.sleep(300)"],
            environ=dict(os.environ),
            log=tmp_path / f"{name}.log",
            changed=lambda _child, what: said.append(what),
            directory=tmp_path,
        )

    early, never = child("early"), child("never")
    keeping = asyncio.create_task(early.supervise())
    await eventually(lambda: early.part.pid is not None)
    pid = early.part.pid
    await early.stop(grace_s=5)
    await asyncio.wait_for(keeping, 5)
    assert not psutil.pid_exists(pid or 0)
    await never.stop(grace_s=5)
    await asyncio.wait_for(never.supervise(), 5)
    for one in (early, never):
        assert (one.state, one.restarts, one.part.pid) == ("stopped", 0, None)
    assert [line for line in said if line] == []


def test_bad_settings_and_names_are_sentences(place: Path) -> None:
    """A setting or a name that does not exist ends with exit code 2 and says what there is."""
    unknown = parallax("up", "--only", "nonsense", data=place)
    assert (unknown.returncode, "pattern_engine" in unknown.stderr) == (2, True)
    port = parallax("up", "--port", "gateway", data=place)
    assert (port.returncode, "NAME=PORT" in port.stderr) == (2, True)
    environ = os.environ | {"PARALLAX_NATS_ULR": "x", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-P", "-m", "parallax", "up", "--detach", "--data", str(place)]
    misspelt = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=30)
    assert misspelt.returncode == 2
    assert "PARALLAX_NATS_ULR" in misspelt.stderr


def test_without_a_stack_commands_say_so(place: Path) -> None:
    """`status` exits 3 where nothing runs, `down` has nothing to do, `doctor` still looks at the rest."""
    nothing = parallax("status", "--json", data=place)
    assert nothing.returncode == 3
    assert json.loads(nothing.stdout) == {"servers": [], "services": []}
    assert "parallax up" in nothing.stderr
    assert parallax("down", data=place).returncode == 0
    looked = parallax("doctor", "--json", data=place)
    assert looked.returncode == 0, looked.stderr
    assert json.loads(looked.stdout)["ok"]


async def test_a_stack_goes_with_whoever_started_it(place: Path) -> None:
    """A stack for a block ends when its starter dies, even by kill -9."""
    lifeline, ours = os.pipe()
    record, _ = await asyncio.to_thread(start_detached, place, options=["--only", "nats"], lifeline=lifeline)
    os.close(lifeline)
    os.close(ours)

    def is_gone() -> bool:
        return not any(is_same_process(part.pid or 0, part.identity) for part in record.parts)

    await eventually(is_gone, timeout_s=10)


def test_root_keeps_stores_where_their_user_can_go(tmp_path: Path) -> None:
    """A data directory that only root can enter still gets servers of an unprivileged user."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    _record, _ = start_detached(closed / "data", options=["--only", "nats,postgres"])
    try:
        stores = closed / "data" / "stores"
        assert stores.is_dir()
        assert stores.is_symlink() == (os.geteuid() == 0)
    finally:
        stop_stack(closed / "data")
        remove_data(closed / "data")
    assert not any(str(closed) in origin for _, origin in strays())
