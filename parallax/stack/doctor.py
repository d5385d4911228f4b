"""Looks a Parallax over: programs, servers, durability, room on the disk, agents. Changes nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import subprocess
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from parallax.stack.binaries import find_program, server_account, wheel_version
from parallax.stack.errors import MissingProgramError
from parallax.stack.room import NEW_BYTES, lack_of_room, shown
from parallax.stack.stores import store_place, strays
from schemas.base import Model
from shared.config import Settings
from shared.paths import StackRecord, running_stack, supervisor_answers

AGENT_PROGRAMS = {"claude": "Claude Code", "codex": "Codex", "gemini": "Gemini CLI", "aider": "Aider"}
LEAST_GIT = (2, 38)
_SHOWN_LEAST_GIT = ".".join(map(str, LEAST_GIT))
_WAIT_S = 3.0


class Finding(Model, frozen=True, kw_only=True):
    """What was found about one thing. `state` is `ok`, `warning` (it works, but) or `problem`."""

    name: str
    state: str
    detail: str
    hint: str = ""


async def examine(
    data: Path, environ: Mapping[str, str], wanted: Mapping[str, Sequence[str]] | None = None
) -> list[Finding]:
    """All findings about this installation and the servers that `environ` names.

    `wanted` are the secrets that patterns refer to, each with the names of those patterns.
    """
    record = running_stack(data)
    findings = [_python(), *_programs(), _git(environ), _disk(data), *_stores(data), _stack(record, data)]
    settings = Settings.load({**environ, **(record.environ if record else {})})
    if record is not None or environ.get("PARALLAX_NATS_URL"):
        findings += await _nats(settings, record)
        findings.append(await _postgres(settings))
        findings.append(await asyncio.to_thread(_etcd, settings))
    return [*findings, *_agents(environ), *secrets(wanted or {}, environ, settings.secrets_file)]


def _python() -> Finding:
    from parallax import __version__

    return Finding(name="parallax", state="ok", detail=f"{__version__} on Python {platform.python_version()}")


def _programs() -> list[Finding]:
    found: list[Finding] = []
    for name in ("nats-server", "postgres", "etcd"):
        try:
            program = find_program(name)
            detail = " ".join(filter(None, [str(program), wheel_version(name) and f"(wheel {wheel_version(name)})"]))
            found.append(Finding(name=f"program {name}", state="ok", detail=detail))
        except MissingProgramError as error:
            hint = "needed for `parallax up` only; servers of your own do as well"
            found.append(Finding(name=f"program {name}", state="warning", detail=str(error), hint=hint))
    return found


def _disk(data: Path) -> Finding:
    place = data
    while not place.exists() and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        return Finding(
            name="disk", state="problem", detail=f"{place} cannot be written to", hint="choose another --data"
        )
    stores = store_place(data, server_account())
    if lack := lack_of_room(data, stores):
        return Finding(name="disk", state="problem", detail=lack)
    free = shutil.disk_usage(place).free
    detail = f"{shown(free)} free in {data}"
    if free < NEW_BYTES:
        return Finding(name="disk", state="warning", detail=detail, hint="the log and the worktrees need room")
    return Finding(name="disk", state="ok", detail=detail)


def _stores(data: Path) -> list[Finding]:
    """Where the servers' files are, if that is not in the data directory, and those that nobody leads to any more."""
    found: list[Finding] = []
    link = data / "stores"
    if link.is_symlink():
        state, detail = "ok", f"the stores of {data} are in {link.resolve()}"
        hint = "the servers' user could not enter the data directory; `parallax down --delete-data` deletes both"
        if not link.is_dir():
            state, detail, hint = "problem", f"{detail}, which is not there", "mount its volume, or put it back"
        found.append(Finding(name="stores", state=state, detail=detail, hint=hint))
    for place, origin in strays():
        found.append(
            Finding(
                name="stores",
                state="warning",
                detail=f"{place} holds the stores of {origin}, where no link leads to it any more",
                hint=f"if {origin} was moved, start it where it is; if it was deleted, `rm -r {place}` frees the room",
            )
        )
    return found


def _git(environ: Mapping[str, str]) -> Finding:
    """The git that workspaces use."""
    program = shutil.which("git", path=environ.get("PATH"))
    plain = "without it attributes, submodules, filters, sparse and partial clones are refused"
    if program is None:
        hint = f"install git {_SHOWN_LEAST_GIT} or newer: {plain}"
        return Finding(name="git", state="warning", detail="no git in PATH", hint=hint)
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=_WAIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name="git", state="warning", detail=f"{program} does not run: {error}", hint=plain)
    found = re.search(r"(\d+)\.(\d+)[.\d]*", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < LEAST_GIT:
        detail = f"{program} is {found[0] if found else 'of an unknown version'}, and {_SHOWN_LEAST_GIT} is needed"
        return Finding(name="git", state="warning", detail=detail, hint=f"it is not used; {plain}")
    return Finding(name="git", state="ok", detail=f"{program} {found[0]}")


def _stack(record: StackRecord | None, data: Path) -> Finding:
    if record is None:
        return Finding(name="stack", state="ok", detail=f"none runs in {data}", hint="`parallax up` starts one")
    late = [f"{part.name} is {part.state}{f' ({part.note})' if part.note else ''}" for part in record.parts]
    late = [text for text, part in zip(late, record.parts, strict=True) if part.state != "ready"]
    if not supervisor_answers(data):
        late.append(f"its supervisor (process {record.pid}) does not answer")
    if late:
        hint = f"its logs are in {data / 'logs'}"
        return Finding(name="stack", state="problem", detail="; ".join(late), hint=hint)
    return Finding(name="stack", state="ok", detail=f"{len(record.parts)} servers and services are ready in {data}")


async def _nats(settings: Settings, record: StackRecord | None) -> list[Finding]:
    from shared.bus import Bus, BusError

    try:
        bus = await Bus.connect(settings, name="doctor", timeout_s=_WAIT_S)
    except BusError as error:
        return [Finding(name="nats", state="problem", detail=str(error), hint="check PARALLAX_NATS_URL")]
    try:
        server = await asyncio.wait_for(bus.server(), _WAIT_S)
    except (BusError, TimeoutError) as error:
        return [Finding(name="nats", state="problem", detail=f"JetStream does not answer {error}".strip())]
    finally:
        await bus.close()
    detail = f"nats-server {server['version']}, JetStream API level {server['level']}, "
    detail += f"messages up to {server['max_payload']} bytes, {server['streams']} streams"
    return [Finding(name="nats", state="ok", detail=detail), await asyncio.to_thread(_durability, record)]


def _durability(record: StackRecord | None) -> Finding:
    hint = "set `sync_interval: always` in the jetstream block of nats.conf, or power loss costs acknowledged events"
    config = _jetstream_config(record) if record is not None else None
    if config is None:
        detail = "the server's monitoring port is not known here, so its flushing cannot be read"
        return Finding(name="durability", state="warning", detail=detail, hint=hint)
    if config.get("sync_always"):
        return Finding(name="durability", state="ok", detail="sync_interval always: flushed before acknowledged")
    return Finding(name="durability", state="warning", detail="flushed from time to time only", hint=hint)


def _jetstream_config(record: StackRecord) -> dict[str, Any] | None:
    try:
        ports = msgspec.json.decode((Path(record.data) / "run" / "ports.json").read_bytes(), type=dict[str, int])
        varz = msgspec.json.decode(_fetch(f"http://127.0.0.1:{ports['nats_monitor']}/varz"))
        return dict(varz["jetstream"]["config"])
    except (OSError, KeyError, TypeError, ValueError, msgspec.MsgspecError):
        return None


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_WAIT_S) as reply:  # noqa: S310 -- http(s) out of our own settings
        return reply.read()


async def _postgres(settings: Settings) -> Finding:
    from shared.postgres import Database, DatabaseAway

    database = Database(settings.database_url, size=1)
    try:
        async with asyncio.timeout(_WAIT_S), database.connection() as connection:
            version = await connection.fetchval("SHOW server_version")
            fsync = await connection.fetchval("SHOW fsync")
    except (DatabaseAway, TimeoutError, OSError) as error:
        hint = "executions go on without it, reads do not; check PARALLAX_DATABASE_URL"
        return Finding(name="postgres", state="problem", detail=f"does not answer: {error}".rstrip(": "), hint=hint)
    finally:
        await database.close()
    return Finding(name="postgres", state="ok", detail=f"Postgres {version}, fsync {fsync}")


def _etcd(settings: Settings) -> Finding:
    endpoint = settings.etcd_endpoints[0]
    try:
        version = msgspec.json.decode(_fetch(f"{endpoint}/version"), type=dict[str, str])["etcdserver"]
    except (OSError, KeyError, ValueError, urllib.error.URLError, msgspec.MsgspecError) as error:
        hint = "running executions go on without it, new placement waits; check PARALLAX_ETCD_ENDPOINTS"
        return Finding(name="etcd", state="problem", detail=f"{endpoint} does not answer: {error}", hint=hint)
    return Finding(name="etcd", state="ok", detail=f"etcd {version}")


def secrets(wanted: Mapping[str, Sequence[str]], environ: Mapping[str, str], file: Path | None) -> list[Finding]:
    """Whether each secret that patterns refer to is there, as far as this shell can tell. Values are never shown."""
    held: set[str] = set()
    if file is not None:
        try:
            held = {name for name, value in tomllib.loads(file.read_text(encoding="utf-8")).items() if value}
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            hint = 'It is TOML with one line for each: NAME = "value".'
            what = type(error).__name__ if isinstance(error, tomllib.TOMLDecodeError) else str(error)
            return [Finding(name="secrets", state="problem", detail=f"{file} cannot be read: {what}", hint=hint)]
    found: list[Finding] = []
    for name, patterns in sorted(wanted.items()):
        own = not name.startswith("PARALLAX_") and environ.get(name)
        place = (
            f"PARALLAX_SECRET_{name}"
            if environ.get(f"PARALLAX_SECRET_{name}")
            else f"in {file}"
            if name in held
            else f"the variable {name}"
            if own
            else ""
        )
        whose = f"wanted by {', '.join(patterns)}"
        if place:
            found.append(Finding(name=f"secret {name}", state="ok", detail=f"found: {place}; {whose}"))
            continue
        hint = f"set PARALLAX_SECRET_{name} before `parallax up`, or write it into the file PARALLAX_SECRETS_FILE names"
        detail = f"not found from this shell; {whose}"
        found.append(Finding(name=f"secret {name}", state="warning", detail=detail, hint=hint))
    return found


def _agents(environ: Mapping[str, str]) -> list[Finding]:
    found = [
        Finding(name=f"agent {program}", state="ok", detail=f"{title}: {where}")
        for program, title in AGENT_PROGRAMS.items()
        if (where := shutil.which(program, path=environ.get("PATH")))
    ]
    if found:
        return found
    return [Finding(name="agents", state="ok", detail="no agent CLI in PATH; `command` and `custom` agents need none")]
