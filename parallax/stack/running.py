"""A stack for the length of a block: what tests, the demo and the benchmark start, look at and shoot at."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parallax.stack.control import start_detached, stop_stack
from parallax.stack.errors import StackError
from shared.paths import StackPart, read_record
from shared.processes import is_same_process, kill_recorded


@dataclass(frozen=True, slots=True)
class Status:
    """Every part of a stack at one moment; a part whose process has just ended has no pid."""

    servers: list[StackPart]
    services: list[StackPart]


class Stack:
    """A running embedded stack."""

    def __init__(self, data: Path, environ: Mapping[str, str], seconds: float) -> None:
        self.data = data
        self.environ = dict(environ)
        """The PARALLAX_* settings of its services."""
        self.seconds = seconds
        """How long it took from the supervisor's start until everything was ready."""

    @property
    def nats_url(self) -> str:
        """Where clients find NATS."""
        return self.environ["PARALLAX_NATS_URL"]

    @property
    def database_url(self) -> str:
        """Where clients find Postgres, password included."""
        return self.environ["PARALLAX_DATABASE_URL"]

    @property
    def etcd_endpoints(self) -> str:
        """Where clients find etcd."""
        return self.environ["PARALLAX_ETCD_ENDPOINTS"]

    @property
    def api_url(self) -> str:
        """Where the gateway listens."""
        return self.environ["PARALLAX_API_URL"]

    @property
    def supervisor(self) -> int:
        """The pid of the supervisor."""
        record = read_record(self.data)
        return record.pid if record else 0

    async def status(self) -> Status:
        """How every part is now."""
        record = await asyncio.to_thread(read_record, self.data)
        parts = [_fresh(part) for part in record.parts] if record else []
        return Status([p for p in parts if p.kind == "server"], [p for p in parts if p.kind == "service"])

    async def part(self, name: str) -> StackPart:
        """The part of this name. Raises KeyError when the stack has none."""
        status = await self.status()
        for part in [*status.servers, *status.services]:
            if part.name == name:
                return part
        raise KeyError(name)

    async def healthy(self) -> bool:
        """Whether every part is ready."""
        status = await self.status()
        return all(part.state == "ready" for part in [*status.servers, *status.services])

    async def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal to the process of this name; the pid that got it, or 0 when it was not running."""
        part = await self.part(name)
        return part.pid if part.pid and kill_recorded(part.pid, part.identity, how) else 0

    async def command(self, *arguments: str, timeout_s: float = 120.0) -> Any:
        """Runs `parallax …` against this stack. The decoded JSON of what it wrote, or the text when it is not JSON.

        Raises StackError with what it said when its exit code is not 0.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "parallax", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.command_environ(),
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), timeout_s)
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode:
            said = (err or out).decode(errors="replace").strip()
            raise StackError(f"parallax {' '.join(arguments)} ended with {process.returncode}: {said}")
        try:
            return json.loads(out)
        except ValueError:
            return out.decode(errors="replace")

    def command_environ(self) -> dict[str, str]:
        """The environment in which a `parallax` command means this stack."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), ours.get("PYTHONPATH")]))
        return ours | {"PARALLAX_DATA": str(self.data), "PYTHONPATH": path}


def _fresh(part: StackPart) -> StackPart:
    if part.pid is None or is_same_process(part.pid, part.identity):
        return part
    return StackPart(
        name=part.name, kind=part.kind, pid=None, state="failed", address=part.address, restarts=part.restarts
    )


@asynccontextmanager
async def embedded(
    *,
    data: Path | None = None,
    only: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    within_s: float = 60.0,
) -> AsyncGenerator[Stack]:
    """Starts a stack of its own, gives it, and stops it at the end of the block (or with this process).

    `data` is its data directory, kept afterwards; without one a temporary directory is used and removed. `only` is as
    for `parallax up --only`; `env` holds PARALLAX_* settings, and those of the caller's environment do not count.
    Raises StackError when it does not come up within `within_s` seconds.
    """
    home = Path(tempfile.mkdtemp(prefix="parallax-stack-")) if data is None else None
    if home is not None:
        home.chmod(0o711)  # the servers' user must be able to pass
    place = (home / "data" if home is not None else Path(data or "")).absolute()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")} | dict(env or {})
    options = ["--only", ",".join(only)] if only else []
    lifeline, ours = os.pipe()
    try:
        try:
            record, seconds = await asyncio.to_thread(
                start_detached, place, options=options, environ=environ, within_s=within_s, lifeline=lifeline
            )
        finally:
            os.close(lifeline)
        yield Stack(place, record.environ, seconds)
    finally:
        os.close(ours)
        await asyncio.to_thread(stop_stack, place)
        if home is not None:
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
