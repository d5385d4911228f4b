"""From outside: run a stack here, start one in the background, stop it, read how it is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from parallax.stack.errors import (
    NotReadyError,
    StackError,
    UnknownPartError,
    UnreachableServerError,
    UnusableDataError,
)
from parallax.stack.lock import check_owner, end_orphans, held
from parallax.stack.plan import Plan, make_plan
from parallax.stack.reaching import reach
from parallax.stack.supervisor import Supervisor
from parallax.stack.volumes import check_volume, note_volume
from schemas.base import Model
from shared.paths import StackRecord, current_dir, read_record, running_stack
from shared.processes import is_same_process

READY_WITHIN_S = 60.0
OPEN_FILES = 65_536
REACHED_WITHIN_S = 10.0
"""So long servers that the settings name may take to answer."""


class Report(Model, frozen=True, kw_only=True):
    """What a background supervisor tells the one who started it, as one JSON line."""

    seconds: float = 0.0
    error: str = ""
    bad_input: bool = False
    """Whether it was what was asked for that is wrong, rather than the machine."""
    unreachable: bool = False
    """Whether a server that the settings name does not answer."""


async def run_stack(
    data: Path,
    environ: Mapping[str, str],
    *,
    only: Sequence[str] | None = None,
    ports: Mapping[str, int] | None = None,
    say: Callable[[str], None],
    on_ready: Callable[[StackRecord, float], None],
    lifeline: int | None = None,
) -> bool:
    """Runs the stack of `data` in this process until a signal, or until `lifeline` (a pipe's end) is closed.

    Returns whether it was Ctrl-C that ended it. Raises StackError when it cannot be started (AlreadyRunningError and
    UnreachableServerError among them).
    """
    _make_private(data)
    _allow_open_files()
    with held(data):
        plan = await asyncio.to_thread(_plan, data, environ, only, ports, say)
        os.chdir(data)  # whoever started this may delete the directory that they are in
        await reach(plan.external, within_s=REACHED_WITHIN_S, say=say)
        supervisor = Supervisor(plan, say=say, on_ready=on_ready)
        if lifeline is not None:
            asyncio.get_running_loop().add_reader(lifeline, _cut, lifeline, supervisor)
        await supervisor.run()
        return supervisor.interrupted


def _allow_open_files() -> None:
    """Raises our own limit of open files as far as we may: servers and services have a connection for each client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _plan(
    data: Path,
    environ: Mapping[str, str],
    only: Sequence[str] | None,
    ports: Mapping[str, int] | None,
    say: Callable[[str], None],
) -> Plan:
    for name in end_orphans(data):  # before ports are looked at: an orphan sits on its own
        say(f"ended {name}, left over from a supervisor that was killed")
    return make_plan(data, environ, only=only, ports=ports)


def _cut(lifeline: int, supervisor: Supervisor) -> None:
    asyncio.get_running_loop().remove_reader(lifeline)
    supervisor.leave()


def _make_private(data: Path) -> None:
    """Makes the data directory where there is none. Raises UnusableDataError, and NotYours for another user's."""
    check_volume(data)
    missing = [place for place in (data, *data.parents) if not place.exists() and not place.is_symlink()]
    try:
        for place in reversed(missing):
            place.mkdir(exist_ok=True)
            # whatever the umask: nobody else writes there, and the servers' user can pass where it is not ours
            place.chmod((0o711 if os.geteuid() == 0 else 0o700) if place == data else 0o755)
        if not data.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no directory")
    except OSError as error:
        raise UnusableDataError(
            f"the data directory {data} cannot be made: {error.strerror}; choose another with --data"
        ) from None
    check_owner(data)
    if not os.access(data, os.W_OK | os.X_OK) or _is_read_only(data):
        raise UnusableDataError(f"the data directory {data} cannot be written to; choose another with --data")
    note_volume(data)


def _is_read_only(data: Path) -> bool:
    return bool(os.statvfs(data).f_flag & os.ST_RDONLY)


def _first_line(process: subprocess.Popen[bytes], reading: int, within_s: float) -> bytes:
    """What the supervisor says first on its pipe; nothing when it says nothing in time."""
    try:
        with os.fdopen(reading, "rb") as pipe:
            return pipe.readline() if select.select([pipe], [], [], within_s)[0] else b""
    except KeyboardInterrupt:  # whoever does not want to wait does not want the stack either
        process.terminate()
        process.wait()
        raise


def start_detached(
    data: Path,
    *,
    options: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    within_s: float = READY_WITHIN_S,
    lifeline: int | None = None,
) -> tuple[StackRecord, float]:
    """Starts the stack of `data` in the background and waits until it is ready; its record, and the seconds it took.

    `options` are those of `parallax up`. With `lifeline`, the stack goes when the other end of that pipe is closed.
    Raises StackError when it could not be started, NotReadyError when it is not ready in time (it is then stopped).
    """
    _make_private(data)
    (data / "logs").mkdir(exist_ok=True, mode=0o700)
    reading, writing = os.pipe()
    passed = [writing] if lifeline is None else [writing, lifeline]
    command = [sys.executable, "-P", "-m", "parallax", "up", "--data", str(data), "--report-fd", str(writing), *options]
    if lifeline is not None:
        command += ["--lifeline-fd", str(lifeline)]
    ours = dict(os.environ if environ is None else environ)
    ours["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), ours.get("PYTHONPATH")]))
    with (data / "logs" / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=passed,
            env=ours,
            cwd=None if current_dir() is not None else "/",
        )
    os.close(writing)
    line = _first_line(process, reading, within_s)
    if not line:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(0.5)
            raise StackError(f"the supervisor {_how_it_ended(code)} before all was ready{_last_words(data)}")
        why = _why_not_ready(data)
        process.terminate()
        process.wait()
        raise NotReadyError(f"the stack was not ready within {within_s:.0f} s{why}; its logs are in {data / 'logs'}")
    report = msgspec.json.decode(line, type=Report)
    record = read_record(data)
    if report.error or record is None:
        process.wait()
        if report.bad_input:
            raise UnknownPartError(report.error)
        if report.unreachable:
            raise UnreachableServerError(report.error)
        raise StackError(report.error or "the stack wrote no record")
    process.returncode = 0  # it is on its own from here; the collector must not warn about it
    return record, report.seconds


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _last_words(data: Path) -> str:
    log = data / "logs" / "supervisor.log"
    with contextlib.suppress(OSError):
        lines = [line for line in log.read_text(errors="replace").splitlines()[-50:] if line.strip()]
        return f": {lines[-1][-500:]} (the whole of it is in {log})" if lines else ""
    return ""


def _why_not_ready(data: Path) -> str:
    record = read_record(data)
    late = [part for part in record.parts if part.state != "ready"] if record else []
    return "".join(f"; {part.name} is {part.state}{f' ({part.note})' if part.note else ''}" for part in late)


def stop_stack(data: Path, *, within_s: float = 30.0) -> bool:
    """Stops the stack that runs in `data` and waits for its end; False when none ran. Leftovers go even then."""
    record = running_stack(data)
    if record is None:
        if not (data / "run").is_dir():
            return False
        with held(data):
            return bool(end_orphans(data))
    os.kill(record.pid, signal.SIGTERM)
    os.kill(record.pid, signal.SIGCONT)  # a stopped one could not hear us
    deadline = time.monotonic() + within_s
    while is_same_process(record.pid, record.identity):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            break
        time.sleep(0.02)  # it is no child of ours: its end can only be looked for
    while True:  # the lock is free once the kernel has closed the last of its files
        with contextlib.suppress(StackError), held(data):
            end_orphans(data)
            return True
        if time.monotonic() > deadline + 5:
            raise StackError(f"process {record.pid} does not let go of {data}")
        time.sleep(0.02)  # the kernel tells nobody that a lock is free
