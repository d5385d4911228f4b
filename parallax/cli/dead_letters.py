"""What could not be handled: look at it, have it handled again, drop it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.table import Table
from rich.text import Text

from parallax.cli.common import (
    LAST_POSITION,
    BadInputError,
    UnreachableError,
    console,
    data_option,
    emit_json,
    json_option,
    run_async,
    settings_for,
)
from shared.bus import Bus, DeadLetter, NoResponder, Unreachable
from shared.log import redacted

T = TypeVar("T")

_CONNECT_S = 3.0
_SHOWN_BODY = 4000


def _with_bus(data: Path | None, work: Callable[[Bus], Awaitable[T]]) -> T:
    """Does something on the bus of the stack that is meant. Raises UnreachableError."""

    async def main() -> T:
        settings = settings_for(data)
        try:
            bus = await Bus.connect(settings, "cli", timeout_s=_CONNECT_S)
        except Unreachable as error:
            raise UnreachableError(str(error)) from error
        try:
            return await work(bus)
        except (NoResponder, TimeoutError) as error:
            raise UnreachableError(f"The server keeps no dead letters: {error}") from error
        finally:
            await bus.close()

    return run_async(main())


def _missing(number: int) -> BadInputError:
    return BadInputError(f"there is no dead letter {number}; `parallax dead-letters list` shows what there is")


def _plain(letter: DeadLetter) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(letter)
    try:
        body: object = json.loads(letter.body)
    except (ValueError, RecursionError):
        body = letter.body
    return document | {"body": redacted(body)}


@click.group()
def dead_letters() -> None:
    """Messages that could not be handled, each with the reason."""


@dead_letters.command("list")
@click.option("--service", default="", metavar="NAME", help="Only those of one service.")
@json_option
@data_option
def list_letters(service: str, as_json: bool, data: Path | None) -> int:
    """Lists dead letters, oldest first."""

    async def work(bus: Bus) -> list[DeadLetter]:
        return [letter async for letter in bus.dead_letters() if not service or letter.service == service]

    letters = _with_bus(data, work)
    if as_json:
        emit_json([_plain(letter) for letter in letters])
        return 0
    if not letters:
        console().print("There are no dead letters.")
        return 0
    table = Table("number", "at", "service", "worker", "attempts", "subject", "reason", box=None)
    for letter in letters:
        row = (letter.id, letter.at[:19], letter.service, letter.worker, letter.attempts, letter.subject, letter.reason)
        table.add_row(*(Text(str(cell)) for cell in row))
    console().print(table)
    return 0


@dead_letters.command("show")
@click.argument("number", type=click.IntRange(1, LAST_POSITION))
@json_option
@data_option
def show_letter(number: int, as_json: bool, data: Path | None) -> int:
    """Shows one dead letter with headers and body."""
    letter = _with_bus(data, lambda bus: bus.dead_letter(number))
    if letter is None:
        raise _missing(number)
    document = _plain(letter)
    if as_json:
        emit_json(document)
        return 0
    out = console()
    for name in ("id", "at", "service", "worker", "attempts", "stream", "subject", "sequence", "reason"):
        out.print(Text(f"{name:10}{document[name]}"))
    for name, text in letter.headers.items():
        out.print(Text(f"  {name}: {text}"))
    body = json.dumps(document["body"], indent=2, ensure_ascii=False)
    out.print(Text(body if len(body) <= _SHOWN_BODY else f"{body[:_SHOWN_BODY]}\n… ({letter.size} bytes)"))
    return 0


def _for_each(
    numbers: tuple[int, ...], everything: bool, data: Path | None, one: Callable[[Bus, int], Awaitable[bool]]
) -> list[int]:
    if everything == bool(numbers):
        raise BadInputError("name the numbers of the dead letters that are meant, or say --all")

    async def work(bus: Bus) -> list[int]:
        chosen = [letter.id async for letter in bus.dead_letters()] if everything else list(dict.fromkeys(numbers))
        for number in chosen:
            if not await one(bus, number) and not everything:
                raise _missing(number)
        return chosen

    return _with_bus(data, work)


@dead_letters.command("requeue")
@click.argument("numbers", nargs=-1, type=click.IntRange(1, LAST_POSITION))
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
@data_option
def requeue_letters(numbers: tuple[int, ...], everything: bool, as_json: bool, data: Path | None) -> int:
    """Hands dead letters back to the workers that could not handle them."""
    done = _for_each(numbers, everything, data, lambda bus, number: bus.requeue(number))
    if as_json:
        emit_json({"requeued": done})
    else:
        console().print(f"Handed back: {len(done)}.")
    return 0


@dead_letters.command("drop")
@click.argument("numbers", nargs=-1, type=click.IntRange(1, LAST_POSITION))
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
@data_option
def drop_letters(numbers: tuple[int, ...], everything: bool, as_json: bool, data: Path | None) -> int:
    """Takes dead letters off the list for good."""
    done = _for_each(numbers, everything, data, lambda bus, number: bus.drop(number))
    if as_json:
        emit_json({"dropped": done})
    else:
        console().print(f"Dropped: {len(done)}.")
    return 0
