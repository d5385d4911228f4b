"""`parallax demo`: the main job on a real git repository, on real servers, in a few seconds, without a key."""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import os
import signal
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from parallax.cli.card import print_card
from parallax.cli.common import (
    BadInputError,
    WorkFailedError,
    data_words,
    emit_json,
    json_option,
    program,
    run_async,
)
from parallax.cli.executions import end_document, exit_code, further
from parallax.cli.render import LiveView, console, print_commands, print_diff
from parallax.client import connect
from parallax.client_errors import ParallaxError
from parallax.client_events import Event
from parallax.demo import make_repository
from parallax.stack.binaries import find_program
from parallax.stack.control import start_detached, stop_stack
from parallax.stack.stores import remove_data
from schemas.commands import ReplayReport
from shared.ids import new_id
from shared.paths import StackRecord, absolute, data_dir, default_data_dir, running_stack

PATTERN = "demo-tidy"
_MARKER = "parallax-demo"
"""A file of this name says that a directory is the demo's own, to be emptied by the next one."""


@dataclass
class Story:
    """What a demonstration came to."""

    repository: Path
    view: LiveView
    ending: Event | None = None
    diff: str = ""
    replay: ReplayReport | None = None
    killed: list[int] = field(default_factory=list[int])


@click.command()
@click.option("--crash", is_flag=True, help="Kill the pattern engine with kill -9 in the middle.")
@click.option("--keep", is_flag=True, help="Leave the servers and services running, to look around.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the demo keeps its stack (default: a directory of its own, emptied each time).",
)
@json_option
def demo(crash: bool, keep: bool, data: Path | None, as_json: bool) -> int:
    """A team of agents mends a small repository before your eyes: real servers, real tools, no key.

    With --crash the pattern engine is killed in the middle, and the work is finished all the same.
    """
    out = Console(stderr=True, quiet=True) if as_json else console()
    began = time.monotonic()
    _check_tools()
    with _place(data) as place, _stack(place, own=data is None, keep=keep, out=out) as record:
        story = run_async(_play(record, place, crash=crash, out=out, quiet=as_json))
    seconds = time.monotonic() - began
    if as_json:
        emit_json(_document(story, place, seconds))
    else:
        _farewell(out, story, place, kept=running_stack(place) is not None, seconds=seconds)
    identical = story.replay is not None and story.replay.identical
    return 0 if story.ending is not None and exit_code(story.ending) == 0 and identical else 1


def _check_tools() -> None:
    """Raises MissingProgramError, or WorkFailedError where the demo's agents have nothing to work with."""
    for server in ("nats-server", "postgres", "etcd"):
        find_program(server)
    missing = [name for name in ("pytest", "ruff") if importlib.util.find_spec(name) is None]
    if missing:
        raise WorkFailedError(
            f"the agents of the demo work with pytest and ruff, and this Python has no {' and no '.join(missing)};"
            " `pip install 'parallax-orchestrator[demo]'` brings them"
        )


@contextmanager
def _place(data: Path | None) -> Generator[Path]:
    """A directory that no other demo is at work in: the one that is named, else the first of the demo's own."""
    with ExitStack() as held:
        if data is not None:
            place = data_dir(data)
            place.mkdir(parents=True, exist_ok=True)
            if not _locked(place / "demo.lock", held):
                raise BadInputError(f"another demo is at work in {place}; name another directory with --data, or none")
            yield place
            return
        parent = absolute(default_data_dir()).parent
        parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            place = parent / ("parallax-demo" if number == 1 else f"parallax-demo-{number}")
            if _locked(parent / f".{place.name}.lock", held):
                yield place
                return


def _locked(file: Path, held: ExitStack) -> bool:
    """Takes the lock of a demo until `held` is closed; False where another demo has it."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    held.callback(os.close, handle)
    return True


@contextmanager
def _stack(place: Path, *, own: bool, keep: bool, out: Console) -> Generator[StackRecord]:
    """The stack in `place`: the one that runs there, else a new one, which goes when the demo does."""
    record = running_stack(place)
    if record is not None:
        out.print(f"The stack in {place} is up already.", style="dim")
        yield record
        return
    if own:
        _empty(place)
    out.print("Starting nats-server, Postgres, etcd and the services …", style="dim")
    with ExitStack() as stack:
        lifeline: int | None = None
        if not keep:
            lifeline, ours = os.pipe()
            stack.callback(os.close, ours)
        record, seconds = start_detached(place, environ=_environ(), lifeline=lifeline)
        if lifeline is not None:
            os.close(lifeline)
            stack.callback(stop_stack, place)
        servers = sum(part.kind == "server" for part in record.parts)
        services = len(record.parts) - servers
        out.print(f"{servers} servers and {services} services are ready in {seconds:.1f} s.", style="dim")
        yield record


def _empty(place: Path) -> None:
    """Takes away what the last demo left, and nothing that is not a demo's."""
    if place.exists() and any(place.iterdir()) and not (place / _MARKER).exists():
        raise BadInputError(f"{place} is not the demo's; name another directory with --data")
    stop_stack(place)
    remove_data(place)
    place.mkdir(parents=True)
    (place / _MARKER).touch()


def _environ() -> dict[str, str]:
    """The caller's environment without settings: the demo has servers of its own."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PARALLAX_")}


async def _play(record: StackRecord, place: Path, *, crash: bool, out: Console, quiet: bool) -> Story:
    key = f"demo-{new_id()[:6]}"
    repository = place / "repositories" / key / "parcels"
    make_repository(repository)
    out.print(f"A small repository with lint faults, outdated idioms and a failing test: {repository}\n")
    story = Story(repository, LiveView(out))
    async with connect(record.environ["PARALLAX_NATS_URL"]) as client:
        execution = await client.request(PATTERN, {}, repo=repository, id=key)
        with story.view:
            async for event in execution.events():
                story.view.show(event)
                if crash and not story.killed and event.type == "task.started":
                    story.killed = _kill_engine(place)
                    pids = ", ".join(map(str, story.killed))
                    story.view.note(f"kill -9 {pids}: the pattern engine is gone; the log is not")
                story.ending = event
        assert story.ending is not None, "events() ends with the ending"
        try:
            if story.ending.data.get("branch"):
                story.diff = await execution.diff()
            story.replay = await execution.replay()
        except ParallaxError as error:
            out.print(Text(str(error), style="red"))
    if not quiet:
        _epilogue(out, story)
    return story


def _kill_engine(place: Path) -> list[int]:
    record = running_stack(place)
    parts = record.parts if record is not None else []
    pids = [part.pid for part in parts if part.name.startswith("pattern_engine") and part.pid is not None]
    if not pids:
        raise WorkFailedError("there is no pattern engine to kill; `parallax status` tells what runs")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def _epilogue(out: Console, story: Story) -> None:
    assert story.ending is not None, "the story is told to its end"
    if story.diff:
        out.print()
        print_diff(out, story.diff)
        out.print()
    print_card(out, story.view.progress, story.ending)
    if story.replay is not None:
        verdict = "identical" if story.replay.identical else f"differs: {story.replay.first_difference}"
        style = "green" if story.replay.identical else "red"
        effects = f" ({story.replay.effects} effects)"
        out.print(Text.assemble("Replay of the log: ", (verdict, f"bold {style}"), effects))
    if story.killed:
        engine = story.view.progress.engine
        out.print(f"The engine that began was killed; {engine} finished from the log.")


def _farewell(out: Console, story: Story, place: Path, *, kept: bool, seconds: float) -> None:
    assert story.ending is not None, "the story is told to its end"
    typed, where = program(), data_words(place)
    out.print(f"\nAll of it took {seconds:.1f} s. To look further:", style="dim")
    commands = further(story.view.progress, story.ending, place)
    start, end = f"{typed} up --detach{where}", f"{typed} down{where}"
    print_commands(out, [*commands, end] if kept else [start, *commands, end])


def _document(story: Story, place: Path, seconds: float) -> dict[str, Any]:
    assert story.ending is not None, "the story is told to its end"
    return {
        **end_document(story.view.progress, story.ending),
        "diff": story.diff,
        "replay": story.replay,
        "killed": story.killed,
        "engine": story.view.progress.engine,
        "repository": str(story.repository),
        "data": str(place),
        "total_seconds": round(seconds, 3),
    }
