"""Odd users, homes, directories and settings: each works, or is said in a sentence."""

from __future__ import annotations

import json
import os
import resource
import shutil
import site
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from parallax.stack import plan
from parallax.stack.binaries import can_reach, server_account
from parallax.stack.control import start_detached, stop_stack
from parallax.stack.plan import Plan, make_plan
from shared.config import BadSettings
from shared.paths import NoPlace, data_dir, read_record
from tests.stack.test_stack import parallax

ROOT = Path(__file__).parents[2]
STRANGER = 64123
"""A uid that nobody is called."""


@pytest.fixture
def place(server_dir: Path, request: pytest.FixtureRequest) -> Generator[Path]:
    """A data directory that is stopped afterwards."""
    data = server_dir / request.node.name[:40]
    yield data
    for place in (data, data / "data"):
        stop_stack(place)


def as_stranger(*arguments: str, cwd: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user without a name; skips where we cannot become one."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    candidates = [sys.executable, "/usr/bin/python3"]
    account = server_account()
    python = next((one for one in candidates if Path(one).exists() and can_reach(Path(one), account)), None)
    if python is None or not can_reach(ROOT / "shared", account):
        pytest.skip("no Python, or no checkout, that another user can reach")
    version = subprocess.run([python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, check=True)
    if version.stdout.decode().strip() != str(sys.version_info[:2]):
        pytest.skip("no Python of this version that another user can reach")
    path = os.pathsep.join([str(ROOT), *site.getsitepackages()])
    return subprocess.run(
        [python, "-P", "-m", "parallax", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        cwd=cwd,
        user=STRANGER,
        group=STRANGER,
        extra_groups=[],
        env={"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "PYTHONPATH": path, **environ},
    )


def test_a_user_without_a_name_and_without_a_home(place: Path) -> None:
    """Postgres asks for the user's name: it is lent one, or the reason is said at once. No HOME breaks nothing."""
    place.mkdir()
    os.chown(place, STRANGER, STRANGER) if os.geteuid() == 0 else None
    lost = as_stranger("status", cwd=place, environ={})
    assert lost.returncode == 2
    assert "HOME is not set" in lost.stderr
    data = ["--data", str(place / "data")]
    began = time.monotonic()
    started = as_stranger("up", "--detach", "--only", "postgres,nats", *data, cwd=place, environ={})
    if started.returncode:
        assert "has no entry in /etc/passwd" in started.stderr
        assert time.monotonic() - began < 20
        return
    assert as_stranger("status", "--json", *data, cwd=place, environ={}).returncode == 0
    assert as_stranger("down", *data, cwd=place, environ={}).returncode == 0


def test_the_stack_of_another_user_is_not_yours(place: Path) -> None:
    """It is not said that none is running."""
    start_detached(place, options=["--only", "etcd"])
    for command in (["status"], ["ps"], ["up", "--detach"], ["down"]):
        refused = as_stranger(*command, "--data", str(place), cwd=Path("/"), environ={"HOME": "/tmp"})
        assert refused.returncode == 2, refused.stderr
        assert "not yours: it belongs to root" in refused.stderr


def test_started_from_a_directory_that_has_been_deleted(place: Path) -> None:
    """An absolute data directory works from nowhere, a relative one is refused with a sentence."""
    script = f'mkdir "{place}-g"; cd "{place}-g"; rmdir "{place}-g"; exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-P", "-m", "parallax", "up", "--detach", "--only", "etcd"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    environ["PYTHONPATH"] = str(ROOT)
    for data, code in ((str(place), 0), ("here", 2)):
        done = subprocess.run(
            [*command, "--data", data], capture_output=True, text=True, check=False, timeout=60, env=environ
        )
        assert done.returncode == code, done.stderr
    assert "has been deleted" in done.stderr


def test_a_home_that_is_not_there_is_a_sentence() -> None:
    """Relative and home-relative directories need something to be relative to."""
    assert data_dir("~/x", {"HOME": "/h"}) == Path("/h/x")
    assert data_dir(None, {"HOME": "/h"}) == Path("/h/.local/share/parallax")
    assert data_dir(None, {"XDG_DATA_HOME": "/x"}) == Path("/x/parallax")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pwd.getpwuid", lambda _uid: (_ for _ in ()).throw(KeyError()))
        with pytest.raises(NoPlace, match="name a data directory"):
            data_dir(None, {})


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that plans are made for."""
    monkeypatch.setattr(plan, "check_room", lambda *_: None)
    monkeypatch.setattr(plan, "open_stores", lambda data, *_: data / "stores")
    return tmp_path / "data"


def made(data: Path, environ: Mapping[str, str], **ports: int) -> Plan:
    """The plan of a stack with these settings."""
    return make_plan(data, environ, ports=ports)


def test_what_is_named_is_meant_also_where_it_is_the_default(planned: Path, tmp_path: Path) -> None:
    """By the environment and by a file alike."""
    external = made(planned, {"PARALLAX_NATS_URL": "nats://127.0.0.1:4222"}).external
    assert external == {"nats": "nats://127.0.0.1:4222"}
    file = tmp_path / "parallax.toml"
    file.write_text('nats_url = "nats://127.0.0.1:4222"\npatterns_dir = "patterns"\n')
    from_file = made(planned, {"PARALLAX_CONFIG": str(file)})
    assert from_file.external == {"nats": "nats://127.0.0.1:4222"}
    assert from_file.environ["PARALLAX_PATTERNS_DIR"] == str(Path.cwd() / "patterns")
    assert made(planned, {}).external == {}


@pytest.mark.parametrize(
    ("given", "port", "listens", "called"),
    [
        ({"PARALLAX_API_URL": "http://127.0.0.1:18080"}, 0, "127.0.0.1:18080", "http://127.0.0.1:18080"),
        ({"PARALLAX_API_URL": "http://127.0.0.1:18080"}, 18081, "127.0.0.1:18081", "http://127.0.0.1:18080"),
        ({"PARALLAX_API_LISTEN": "18082"}, 0, "127.0.0.1:18082", "http://127.0.0.1:18082"),
        ({"PARALLAX_API_LISTEN": "[::1]:18082"}, 0, "[::1]:18082", "http://[::1]:18082"),
        (
            {"PARALLAX_API_LISTEN": "0.0.0.0:18083", "PARALLAX_API_KEY": "k"},
            0,
            "0.0.0.0:18083",
            "http://127.0.0.1:18083",
        ),
        (
            {"PARALLAX_API_URL": "https://parallax.example.org"},
            18084,
            "127.0.0.1:18084",
            "https://parallax.example.org",
        ),
        ({}, 18085, "127.0.0.1:18085", "http://127.0.0.1:18085"),
    ],
)
def test_where_the_gateway_listens_and_what_it_is_called(
    planned: Path, given: dict[str, str], port: int, listens: str, called: str
) -> None:
    """Two settings; `--port gateway=` is the last word on the port, and no https name is bound."""
    settings = made(planned, given, **({"gateway": port} if port else {})).environ
    assert (settings["PARALLAX_API_LISTEN"], settings["PARALLAX_API_URL"]) == (listens, called)


def test_the_default_named_is_the_default_taken(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PARALLAX_API_URL=http://127.0.0.1:8080 is no free port."""
    monkeypatch.setattr(plan, "is_free", lambda _port: True)
    settings = made(planned, {"PARALLAX_API_URL": "http://127.0.0.1:8080"}).environ
    assert settings["PARALLAX_API_LISTEN"] == "127.0.0.1:8080"


@pytest.mark.parametrize(
    "given",
    [
        {"PARALLAX_API_URL": "http://0.0.0.0:18080"},
        {"PARALLAX_API_LISTEN": "0.0.0.0:18080"},
        {"PARALLAX_API_LISTEN": "[::]:18080", "PARALLAX_API_KEY": " , "},
        {"PARALLAX_API_LISTEN": "192.0.2.1:18080"},
        {"PARALLAX_API_LISTEN": "some.host:18080"},
    ],
)
def test_without_a_key_no_other_machine_is_listened_to(planned: Path, given: dict[str, str]) -> None:
    """The gateway runs programs for whoever may ask it."""
    with pytest.raises(BadSettings, match="PARALLAX_API_KEY is not set"):
        made(planned, given)


def test_up_says_so(tmp_path: Path) -> None:
    """With the sentence and exit code 2, before anything is started."""
    refused = parallax("up", data=tmp_path / "data", environ={"PARALLAX_API_URL": "http://0.0.0.0:18080"})
    assert (refused.returncode, "PARALLAX_API_KEY is not set" in refused.stderr) == (2, True)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_umask_opens_and_closes_nothing(server_dir: Path, umask: int) -> None:
    """Whatever the umask, the servers' user gets to its files and nobody else writes there."""
    data = server_dir / f"umask-{umask:03o}" / "data"
    before = os.umask(umask)
    try:
        start_detached(data, options=["--only", "nats"])
    finally:
        os.umask(before)
        stop_stack(data)
    assert not (data / "stores").is_symlink()
    assert [place for place in (data, *data.rglob("*")) if _is_open(place, data)] == []
    assert all((data / name).stat().st_mode & 0o077 == 0 for name in ("run", "logs"))
    shutil.rmtree(data)


def test_a_low_limit_of_open_files_is_raised_as_far_as_it_may_be(place: Path) -> None:
    """A shell's soft limit of 256 is not the servers'."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    command = ["sh", "-c", 'ulimit -S -n 200; exec "$@"', "sh", sys.executable, "-P", "-m", "parallax"]
    command += ["up", "--detach", "--only", "etcd", "--data", str(place)]
    subprocess.run(command, check=True, timeout=60, env=environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "POSIX"})
    record = read_record(place)
    assert record is not None
    limits = Path(f"/proc/{record.parts[0].pid}/limits")
    if not limits.exists():
        pytest.skip("this system does not show limits")
    (line,) = [line for line in limits.read_text().splitlines() if line.startswith("Max open files")]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert int(line.split()[3]) == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))


def _is_open(place: Path, data: Path) -> bool:
    """Whether somebody else can write there: it is writable, and no directory above it in `data` is closed."""
    above = [parent for parent in place.parents if parent.is_relative_to(data)]
    closed = any(parent.stat().st_mode & 0o011 == 0 for parent in above)
    return not closed and not place.is_symlink() and bool(place.stat().st_mode & 0o022)


@pytest.mark.parametrize("what", ["file", "read-only", "dangling", "long", "relative"])
def test_odd_data_directories(server_dir: Path, what: str) -> None:
    """Each works, or is refused with its name."""
    home = server_dir / f"odd-{what}"
    home.mkdir()
    data, works = home / "data", what in {"long", "relative"}
    match what:
        case "file":
            data.touch()
        case "read-only":
            subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", home], check=False, capture_output=True)
            if os.access(home, os.W_OK):
                pytest.skip("only root may mount")
        case "dangling":
            data.symlink_to(home / "nowhere")
        case "long":
            data = home.joinpath(*["d" * 60] * 4, "ü ö")
        case _:
            data = Path(os.path.relpath(data))
    try:
        done = parallax("up", "--detach", "--only", "nats,postgres", data=data)
        assert done.returncode == (0 if works else 2), done.stderr
        if works:
            status = parallax("status", "--json", data=data.absolute())
            assert {part["state"] for part in json.loads(status.stdout)["servers"]} == {"ready"}
        else:
            assert str(data) in done.stderr
    finally:
        stop_stack(data.absolute())
        subprocess.run(["umount", "--lazy", home], check=False, capture_output=True)
