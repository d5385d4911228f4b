"""`parallax up | down | status | doctor`: the embedded stack."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from parallax.cli.common import BadInputError, UnreachableError, data_option, data_words, emit_json, json_option
from shared.paths import StackPart, StackRecord, data_dir, running_stack, supervisor_answers
from shared.processes import is_same_process


def _names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[str] | None:
    return [name.strip() for name in value.split(",") if name.strip()] if value else None


def _ports(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for value in values:
        name, _, number = value.partition("=")
        if not number.isdigit() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{value!r} is not NAME=PORT, as in gateway=8080")
        ports[name] = int(number)
    return ports


@click.command()
@click.option("--detach", is_flag=True, help="Start in the background; return when everything is ready.")
@data_option
@click.option("--only", callback=_names, metavar="NAMES", help="Only these services (or servers), comma-separated.")
@click.option("--port", "ports", multiple=True, callback=_ports, metavar="NAME=PORT", help="A port of your choice.")
@click.option("--report-fd", type=int, default=None, hidden=True)
@click.option("--lifeline-fd", type=int, default=None, hidden=True)
def up(
    detach: bool,
    data: Path | None,
    only: list[str] | None,
    ports: dict[str, int],
    report_fd: int | None,
    lifeline_fd: int | None,
) -> None:
    """Start nats-server, Postgres, etcd and every service on this machine; Ctrl-C stops them in order.

    Servers that the settings name (PARALLAX_NATS_URL, PARALLAX_DATABASE_URL, PARALLAX_ETCD_ENDPOINTS) are used instead
    of embedded ones. Ports are free ones, kept for the next start; --port gateway=8080 chooses one (nats, nats_monitor,
    postgres, etcd, etcd_peer, gateway).
    """
    place = data_dir(data)
    if detach:
        from parallax.stack.control import start_detached

        options = ["--only", ",".join(only)] if only else []
        options += [part for name, port in ports.items() for part in ("--port", f"{name}={port}")]
        record, seconds = start_detached(place, options=options)
        click.echo(_ready_line(record, seconds))
        return
    if asyncio.run(_run(place, only, ports, report_fd, lifeline_fd)):
        raise click.exceptions.Exit(130)


async def _run(
    place: Path, only: list[str] | None, ports: dict[str, int], report_fd: int | None, lifeline_fd: int | None
) -> bool:
    import msgspec

    from parallax.stack.control import Report, run_stack
    from parallax.stack.errors import UnknownPartError, UnreachableServerError, UnusableDataError
    from shared.config import BadSettings
    from shared.paths import NoPlace, NotYours

    waiting = [] if report_fd is None else [report_fd]

    def report(outcome: Report) -> None:
        while waiting:  # once: afterwards the number may belong to another file
            with contextlib.suppress(OSError), os.fdopen(waiting.pop(), "wb") as pipe:
                pipe.write(msgspec.json.encode(outcome) + b"\n")

    def ready(record: StackRecord, seconds: float) -> None:
        click.echo(_ready_line(record, seconds))
        report(Report(seconds=seconds))

    try:
        return await run_stack(
            place,
            os.environ,
            only=only,
            ports=ports,
            say=lambda line: click.echo(line, err=True),
            on_ready=ready,
            lifeline=lifeline_fd,
        )
    except Exception as error:
        report(
            Report(
                error=str(error) or type(error).__name__,
                bad_input=isinstance(error, UnknownPartError | UnusableDataError | BadSettings | NotYours | NoPlace),
                unreachable=isinstance(error, UnreachableServerError),
            )
        )
        raise


def _ready_line(record: StackRecord, seconds: float) -> str:
    addresses = {part.name: _without_password(part.address) for part in record.parts}
    if "gateway" in addresses:
        addresses["gateway"] = gateway_words(record.environ)
    order = ["gateway", "nats", "postgres", "etcd"]
    shown = ", ".join(f"{name} {addresses[name]}" for name in order if addresses.get(name))
    return f"Parallax is ready in {seconds:.1f} s: {shown} (data in {record.data})"


def gateway_words(environ: Mapping[str, str]) -> str:
    """Where clients reach the gateway, and where it listens where that is another place: behind a proxy."""
    url, listens = environ["PARALLAX_API_URL"], environ.get("PARALLAX_API_LISTEN", "")
    port = listens.rpartition(":")[2]
    same = not listens or (url.startswith("http://") and url.rstrip("/").endswith(f":{port}"))
    return url if same else f"{url} (listens on {listens})"


def _without_password(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{mark}{user.partition(':')[0]}{at}{host}"


@click.command()
@click.option("--delete-data", is_flag=True, help="Delete the data directory afterwards, with stores kept elsewhere.")
@data_option
def down(delete_data: bool, data: Path | None) -> None:
    """Stop the embedded stack: services first, then servers."""
    from parallax.stack.control import stop_stack

    place = data_dir(data)
    if stop_stack(place):
        click.echo(f"Stopped the stack in {place}.")
    else:
        click.echo(f"No stack is running in {place}.")
    if delete_data:
        from parallax.stack.stores import is_data_directory, remove_data

        if not is_data_directory(place):
            raise BadInputError(f"{place} is no data directory of a stack; nothing was deleted")
        remove_data(place)
        click.echo(f"Deleted {place}.")


@click.command()
@data_option
@json_option
def status(data: Path | None, as_json: bool) -> None:
    """Every server and service of the running stack: name, pid, state, address."""
    place = data_dir(data)
    record = running_stack(place)
    if record is None:
        if as_json:
            emit_json({"servers": [], "services": []})
        raise UnreachableError(f"no stack is running in {place}; `parallax up{data_words(data)}` starts one")
    parts = [_as_is(part) for part in record.parts]
    answers = supervisor_answers(place)
    if as_json:
        rows = {f"{kind}s": [_row(p) for p in parts if p.kind == kind] for kind in ("server", "service")}
        emit_json({**rows, "directories": record.directories})
    else:
        _print_status(parts, record)
    if not answers:
        raise UnreachableError(
            f"the supervisor of {place} (process {record.pid}) does not answer, so this is how things were; `kill -CONT"
            f" {record.pid}` wakes it if it was stopped, `parallax down{data_words(data)}` ends it"
        )


def _print_status(parts: list[StackPart], record: StackRecord) -> None:
    widths = [max(len(str(_row(p)[key] or "-")) for p in parts) for key in ("name", "pid", "state")]
    for part in parts:
        cells = [part.name, part.pid or "-", part.state]
        line = "  ".join(str(cell).ljust(width) for cell, width in zip(cells, widths, strict=True))
        times = "once" if part.restarts == 1 else f"{part.restarts} times"
        extra = "; ".join(filter(None, [f"restarted {times}" if part.restarts else "", part.note]))
        click.echo(f"{line}  {_without_password(part.address)}{f'  ({extra})' if extra else ''}".rstrip())
    click.echo()
    width = max((len(name) for name in record.directories), default=0)
    for name, directory in record.directories.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {directory}")


def _as_is(part: StackPart) -> StackPart:
    """The part as it is this moment: a process that has just died is not shown with its old pid."""
    if part.pid is None or is_same_process(part.pid, part.identity):
        return part
    import msgspec

    return msgspec.structs.replace(part, pid=None, state="failed", note="has just ended")


def _row(part: StackPart) -> dict[str, object]:
    return {"name": part.name, "pid": part.pid, "state": part.state, "address": part.address}


def _wanted_secrets(data: Path | None) -> dict[str, list[str]]:
    """The secrets that the patterns at hand refer to, each with the names of those patterns."""
    from parallax.cli.pattern_library import library_for

    wanted: dict[str, list[str]] = {}
    try:
        patterns = library_for(None, data).all()
    except (OSError, ValueError):  # what is wrong with the patterns is for `patterns list` to say
        return {}
    for pattern in patterns:
        for role in pattern.roles.values():
            config = role.get("agentConfig")
            env = cast("dict[str, Any]", config).get("env") if isinstance(config, dict) else None
            for value in cast("dict[str, Any]", env).values() if isinstance(env, dict) else ():
                name = cast("dict[str, Any]", value).get("secret") if isinstance(value, dict) else None
                if isinstance(name, str) and pattern.name not in wanted.setdefault(name, []):
                    wanted[name].append(pattern.name)
    return wanted


@click.command()
@data_option
@json_option
def doctor(data: Path | None, as_json: bool) -> None:
    """Look over versions, API level, durability, room on the disk, and the agents found. Changes nothing."""
    from parallax.stack.doctor import examine

    findings = asyncio.run(examine(data_dir(data), os.environ, _wanted_secrets(data)))
    healthy = all(finding.state != "problem" for finding in findings)
    if as_json:
        emit_json({"ok": healthy, "checks": findings})
    else:
        signs = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
        for finding in findings:
            click.echo(f"{signs[finding.state]} {finding.name}: {finding.detail}")
            if finding.hint:
                click.echo(f"           {finding.hint}")
    if not healthy:
        raise click.exceptions.Exit(1)
