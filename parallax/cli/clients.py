"""How a command talks to the servers, and how it says no in the form it was asked to speak."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from parallax.cli.common import UnreachableError, emit_json, run_async, settings_for
from parallax.client import Client, connect
from parallax.client_errors import ParallaxError, Refused
from parallax.client_execution import Execution

T = TypeVar("T")

_CONNECT_WITHIN_S = 5.0


def talk(data: Path | None, work: Callable[[Client], Awaitable[T]], *, as_json: bool = False) -> T:
    """Runs `work` with a client of the stack that `data` means.

    Errors go on to the root of the command line, which makes a sentence and an exit code of each; with `as_json`
    their document is written first, so that standard output is never empty for a program that reads it.
    """

    async def main() -> T:
        async with connect(settings_for(data).nats_url, timeout_s=_CONNECT_WITHIN_S) as client:
            return await work(client)

    try:
        return run_async(main())
    except* (ParallaxError, UnreachableError) as group:
        error = _first(group)
        if as_json:
            emit_json({"error": describe(error)})
        raise error from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(cast("BaseExceptionGroup[BaseException]", first)) if isinstance(first, BaseExceptionGroup) else first


def describe(error: BaseException) -> dict[str, object]:
    """An error as a document."""
    document: dict[str, object] = {"code": _code(error), "message": str(error)}
    if hint := getattr(error, "hint", ""):
        document["hint"] = hint
    if isinstance(error, Refused):
        document["errors"] = msgspec.to_builtins(error.errors)
    return document


def _code(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


async def known(client: Client, execution_id: str) -> Execution:
    """The execution of this id. Raises UnknownExecution when the log has nothing under it."""
    execution = client.execution(execution_id)
    await execution.status()
    return execution


def say(text: str) -> None:
    """A word for the person at the terminal that is not the command's output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
