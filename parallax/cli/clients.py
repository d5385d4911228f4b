"""How a command talks to the servers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from parallax.cli.common import UnreachableError, run_async, settings_for
from parallax.client import Client, connect
from parallax.client_execution import Execution

T = TypeVar("T")

_CONNECT_WITHIN_S = 5.0
_STREAMS_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.5
_OUTAGE_TOLD_AFTER_S = 3.0
"""A service that is restarted is back within so long, and nobody needs to hear of it."""


def talk(data: Path | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Runs `work` with a client of the stack that `data` means.

    Errors go on to the root of the command line, which makes a sentence and an exit code of each, and with `--json` a
    document.
    """

    async def main() -> T:
        url = settings_for(data).nats_url
        async with connect(url, timeout_s=_CONNECT_WITHIN_S) as client, outages_told(client, url):
            await streams_there(client, url)
            return await work(client)

    return run_async(main())


async def streams_there(client: Client, url: str) -> None:
    """Waits a moment for the streams, which services make when they start. Raises UnreachableError without them."""
    until = asyncio.get_running_loop().time() + _STREAMS_WITHIN_S
    while not (await client.bus.server())["streams"]:
        if asyncio.get_running_loop().time() > until:
            raise UnreachableError(
                f"{_place(url)} holds nothing of Parallax: no service has made its streams there. "
                "`parallax status` tells what runs, `parallax up` starts what is missing"
            )
        await asyncio.sleep(_LOOK_EVERY_S)


@asynccontextmanager
async def outages_told(client: Client, url: str) -> AsyncGenerator[None]:
    """Says so when the server goes away while a command waits, and when it is back: nobody waits in silence."""

    async def watch() -> None:
        away_s, told = 0.0, False
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            away_s = 0.0 if client.bus.connected else away_s + _LOOK_EVERY_S
            if away_s >= _OUTAGE_TOLD_AFTER_S and not told:
                say(f"{_place(url)} does not answer; waiting for it to come back. `parallax status` tells more.")
                told = True
            elif not away_s and told:
                say("The server is back.")
                told = False

    watching = asyncio.create_task(watch(), name="outages")
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _place(url: str) -> str:
    """The server of an address, without what is secret about it."""
    found = urlsplit(url)
    return f"The server at {found.hostname}:{found.port}" if found.hostname else "The server"


async def known(client: Client, execution_id: str) -> Execution:
    """The execution of this id. Raises UnknownExecution when the log has nothing under it."""
    execution = client.execution(execution_id)
    await execution.status()
    return execution


def say(text: str) -> None:
    """A word for the person at the terminal that is not the command's output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
