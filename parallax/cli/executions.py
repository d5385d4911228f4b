"""Asking for an execution and interrupting it: run, cancel, pause, resume, signal, replay."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from parallax.cli.card import print_card
from parallax.cli.clients import known, say, talk
from parallax.cli.common import (
    LONGEST_TIMEOUT_S,
    BadInputError,
    FiniteRange,
    data_option,
    data_words,
    describe,
    emit_json,
    json_option,
    program,
    settings_for,
)
from parallax.cli.inputs import check_repository, has_uncommitted_changes, read_inputs
from parallax.cli.pattern_files import is_pattern_file, read_pattern_file
from parallax.cli.progress import Progress
from parallax.cli.render import LiveView, console
from parallax.cli.streams import outlive_reader
from parallax.cli.waiting import telling_why
from parallax.client import Client
from parallax.client_errors import ParallaxError, RequestRejected
from parallax.client_events import Event
from parallax.client_execution import Execution, outcome_of
from shared.ids import new_id

_INPUT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*=")


def push_of(_ctx: click.Context, _param: click.Parameter, value: str | None) -> bool | str:
    """`--push` without a value is true: pushed if the work passed."""
    return "always" if value == "always" else value is not None


def _not_empty(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """An idempotency key. An empty one, as of an unset variable, would make each request another execution."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; leave the option out, and an id is made.")
    return value


class _Run(click.Command):
    """Takes `--push` alone and `--push=always`, and never the next word as its value; `--input` takes several."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        told: list[str] = []
        inputs = 0  # the words since `--input`
        for one in args[:end]:
            inputs = 1 if one == "--input" else 0 if one.startswith("-") else inputs and inputs + 1
            further = inputs > 2 and _INPUT.match(one) is not None
            inputs = inputs if inputs <= 2 or further else 0
            told += ["--input", one] if further else ["--push=passed"] if one == "--push" else [one]
        return super().parse_args(ctx, [*told, *args[end:]])


@click.command(cls=_Run)
@click.argument("pattern")
@click.option("--input", "inputs", multiple=True, metavar="K=V|@FILE", help="An input, or a file of them (JSON, YAML).")
@click.option("--repo", metavar="PATH|URL", help="The git repository to work on (default: an empty one).")
@click.option("--base", default="", metavar="BRANCH", help="The branch to start from (default: the repository's own).")
@click.option(
    "--id",
    "key",
    metavar="KEY",
    callback=_not_empty,
    help="The idempotency key: the same request is the same execution.",
)
@click.option("--timeout", type=FiniteRange(LONGEST_TIMEOUT_S), metavar="SECONDS", help="Fails when over.")
@click.option(
    "--push",
    type=click.Choice(["passed", "always"]),
    metavar="[=always]",
    callback=push_of,
    help="Push the result branch to the repository it came from, if the work passed; --push=always: in any case.",
)
@click.option("--watch", is_flag=True, help="With --json: write every event as a line of JSON before the last one.")
@click.option("--detach", is_flag=True, help="Return as soon as the request is accepted.")
@json_option
@data_option
def run(
    pattern: str,
    inputs: tuple[str, ...],
    repo: str | None,
    base: str,
    key: str | None,
    timeout: float | None,
    push: bool | str,
    watch: bool,
    detach: bool,
    as_json: bool,
    data: Path | None,
) -> int:
    """Requests an execution of PATTERN, waits for its end and says what came of it.

    PATTERN is a name, a name@1.x, or a file: its text goes along with the request, with what it uses beside it. Ctrl-C
    stops the waiting, not the work.
    """
    if base and repo is None:
        raise BadInputError("--base names a branch of --repo, which is missing")
    if repo is not None:
        check_repository(repo)
        if not detach and has_uncommitted_changes(repo):
            say(f"{repo} has changes that are not committed. The agents work on what is committed.")
    options: dict[str, Any] = {"push": push} if push else {}
    if timeout is not None:
        options["timeout_ms"] = max(1, round(timeout * 1000))

    source = None
    if is_pattern_file(pattern):
        source, compiled = read_pattern_file(pattern, data)
        pattern = compiled.name
        values = read_inputs(inputs, lambda: compiled.input)
    else:
        values = read_inputs(inputs, lambda: _input_schema(pattern, data))

    execution_id = new_id() if key is None else key
    settings_for(data)  # where no stack runs, there will be no execution of this id
    if not sys.stderr.isatty() or detach:
        say(f"execution {execution_id}")  # whatever becomes of this process, the work can be found again

    async def work(client: Client) -> int:
        asking = client.request(pattern, values, repo=repo, base=base, id=execution_id, options=options, source=source)
        execution = await telling_why(asking, data)
        if detach:
            emit_json({"execution_id": execution.id, "status": "accepted"}) if as_json else click.echo(execution.id)
            return 0
        return await follow_to_end(execution, as_json=as_json, stream=watch, data=data)

    return talk(data, work)


def _input_schema(pattern: str, data: Path | None) -> Mapping[str, Any] | None:
    """The input fields of a pattern, None where the directory of patterns cannot be read from here."""
    from parallax.cli.pattern_library import library_for  # brings the compiler with it

    found = library_for(None, data).find(pattern)
    return None if isinstance(found, list) else found.input


async def follow_to_end(execution: Execution, *, as_json: bool, stream: bool, data: Path | None = None) -> int:
    """Shows an execution until it ends. Returns the exit code that its end deserves."""
    outlive_reader()  # the exit code is the work's, whoever reads
    out = console()
    view = LiveView(out)
    ending: Event | None = None
    try:
        if as_json:
            async for event in execution.events():
                view.progress.apply(event)
                if stream:
                    emit_json(event_document(event))
                ending = event
        else:
            with view:
                async with listening(execution, view):
                    async for event in execution.events():
                        view.show(event)
                        ending = event
    except asyncio.CancelledError:
        typed = f"{program()} {{}} {execution.id}{data_words(data)}"
        say(f"Still running: {execution.id}. `{typed.format('events --follow')}` goes on watching,")
        say(f"`{typed.format('cancel')}` ends it.")
        raise
    assert ending is not None, "events() ends with the ending"
    if as_json:
        emit_json(end_document(view.progress, ending))
    else:
        print_card(out, view.progress, ending, further(view.progress, ending, data))
    return exit_code(ending)


def exit_code(ending: Event) -> int:
    """What a command that waited for this end exits with: 0 only for work that nothing stands against."""
    if ending.type == "execution.completed":
        return 1 if ending.data.get("approved") is False else 0
    return 2 if ending.type == "execution.rejected" else 1


@asynccontextmanager
async def listening(execution: Execution, view: LiveView) -> AsyncGenerator[None]:
    """Shows what the agents of an execution say while they work, as long as the context is open."""

    async def listen() -> None:
        async for line in execution.progress():
            view.hear(line.task_id, line.text)

    hearing = asyncio.create_task(listen(), name=f"progress-{execution.id}")
    try:
        yield
    finally:
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await hearing


def further(progress: Progress, ending: Event, data: Path | None = None) -> list[str]:
    """Commands that show more of an execution that has ended; they work as they stand, from this directory."""
    if ending.type == "execution.rejected":
        return []
    name = progress.execution_id
    lost = list(dict.fromkeys(conflict.session for conflict in progress.conflicts if conflict.session))
    diffs = [f"workspaces diff {name} --session {shlex.quote(session)}" for session in lost]
    if progress.files and ending.data.get("branch"):
        diffs.insert(0, f"workspaces diff {name}")
    return [
        f"{program()} {words}{data_words(data)}"
        for words in (f"show {name}", f"events {name}", *diffs, f"replay {name}")
    ]


def event_document(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "seq": event.seq,
        "type": event.type,
        "execution_id": event.execution_id,
        "time": event.time.isoformat(),
        "id": event.id,
        "source": event.source,
        "data": dict(event.data),
    }


def end_document(progress: Progress, ending: Event) -> dict[str, Any]:
    """How an execution ended, as JSON."""
    data = ending.data
    document: dict[str, Any] = {
        "execution_id": progress.execution_id,
        "pattern": progress.pattern,
        "status": progress.status,
        "result": data.get("result"),
        "confidence": data.get("confidence"),
        "confidence_source": data.get("confidence_source", ""),
        "branch": data.get("branch", ""),
        "commit": data.get("commit", ""),
        "pr_url": data.get("pr_url", ""),
        "approved": approved_in(data),
        "evidence": data.get("evidence") or [],
        "unpublished": data.get("unpublished", ""),
        "files": progress.files,
        "seconds": round(progress.seconds(ending.time), 3),
    }
    try:
        outcome_of(ending)
    except RequestRejected as error:
        document["error"] = describe(error)
    except ParallaxError:
        document["error"] = data.get("error") or {"code": progress.status, "message": data.get("reason", "")}
    return document


def approved_in(data: Mapping[str, Any]) -> bool | None:
    """Whether the work of an ended execution passed its gates; None where there was none, or it failed otherwise."""
    return False if data.get("evidence") else data.get("approved")


def _interrupt(
    data: Path | None, execution_id: str, done: str, act: Callable[[Execution], Awaitable[None]], *, as_json: bool
) -> int:
    """Carries out one command on an execution that is known, and says so."""

    async def work(client: Client) -> int:
        execution = await known(client, execution_id)
        await act(execution)
        emit_json({"execution_id": execution_id, "status": done}) if as_json else click.echo(f"{execution_id} {done}")
        return 0

    return talk(data, work)


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option("--reason", default="", help="Why; it stands in the log.")
@json_option
@data_option
def cancel(execution_id: str, reason: str, as_json: bool, data: Path | None) -> int:
    """Ends execution ID and stops its agents. What was committed stays on its branches."""
    return _interrupt(data, execution_id, "cancelled", lambda execution: execution.cancel(reason), as_json=as_json)


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option("--reason", default="", help="Why; it stands in the log.")
@json_option
@data_option
def pause(execution_id: str, reason: str, as_json: bool, data: Path | None) -> int:
    """Freezes the agents of execution ID; nothing new starts until `parallax resume`."""
    return _interrupt(data, execution_id, "paused", lambda execution: execution.pause(reason), as_json=as_json)


@click.command()
@click.argument("execution_id", metavar="ID")
@json_option
@data_option
def resume(execution_id: str, as_json: bool, data: Path | None) -> int:
    """Lets execution ID go on after a pause."""
    return _interrupt(data, execution_id, "resumed", lambda execution: execution.resume(), as_json=as_json)


@click.command()
@click.argument("execution_id", metavar="ID")
@click.argument("name")
@click.option("--value", default="null", help="What goes with it: JSON, or text.")
@json_option
@data_option
def signal(execution_id: str, name: str, value: str, as_json: bool, data: Path | None) -> int:
    """Sends signal NAME to execution ID, for a step that waits for it."""
    payload = read_inputs([f"value={value}"])["value"]
    return _interrupt(data, execution_id, "signalled", lambda found: found.signal(name, payload), as_json=as_json)


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option("--id", "key", metavar="KEY", callback=_not_empty, help="The idempotency key of the new execution.")
@click.option("--detach", is_flag=True, help="Return as soon as the request is accepted.")
@json_option
@data_option
def retry(execution_id: str, key: str | None, detach: bool, as_json: bool, data: Path | None) -> int:
    """Requests the work of execution ID again, once it has ended: same pattern, input, repository and options.

    It is an execution of its own, from the beginning; the old one stays as it is.
    """

    async def work(client: Client) -> int:
        execution = await telling_why((await known(client, execution_id)).retry(id=key), data)
        if not detach:
            return await follow_to_end(execution, as_json=as_json, stream=False, data=data)
        accepted = {"execution_id": execution.id, "retry_of": execution_id, "status": "accepted"}
        emit_json(accepted) if as_json else click.echo(execution.id)
        return 0

    return talk(data, work)


@click.command()
@click.argument("execution_id", metavar="ID")
@json_option
@data_option
def replay(execution_id: str, as_json: bool, data: Path | None) -> int:
    """Runs the program of execution ID again against its log and says whether it decides the same.

    Nothing is written and no agent is asked. Exits with 1 when a decision differs.
    """

    async def work(client: Client) -> int:
        report = await (await known(client, execution_id)).replay()
        if as_json:
            emit_json(report)
        elif report.error:
            click.echo(f"{execution_id}: {report.error}")
        elif report.identical:
            click.echo(f"{execution_id}: identical ({report.effects} effects)")
        else:
            click.echo(f"{execution_id}: differs: {msgspec.json.encode(report.first_difference).decode()}")
        return 0 if report.identical else 1

    return talk(data, work)
