"""How a command talks to the servers."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from parallax.cli.common import run_async, settings_for
from parallax.client import Client, connect
from parallax.client_execution import Execution

T = TypeVar("T")

_CONNECT_WITHIN_S = 5.0


def talk(data: Path | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Runs `work` with a client of the stack that `data` means.

    Errors go on to the root of the command line, which makes a sentence and an exit code of each, and with `--json` a
    document.
    """

    async def main() -> T:
        async with connect(settings_for(data).nats_url, timeout_s=_CONNECT_WITHIN_S) as client:
            return await work(client)

    return run_async(main())


async def known(client: Client, execution_id: str) -> Execution:
    """The execution of this id. Raises UnknownExecution when the log has nothing under it."""
    execution = client.execution(execution_id)
    await execution.status()
    return execution


def say(text: str) -> None:
    """A word for the person at the terminal that is not the command's output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
