"""A request that is not taken at once: what it waits for is said, and not only that it has waited in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from parallax.cli.clients import say
from shared.config import BadSettings
from shared.paths import NoPlace, NotYours, running_stack

T = TypeVar("T")

_PATIENCE_S = 3.0


async def telling_why(asking: Coroutine[Any, Any, T], data: Path | None) -> T:
    """Awaits what was asked, and tells the person at the terminal what it waits for when that takes long."""
    task = asyncio.get_running_loop().create_task(asking)
    told = ""
    try:
        while not (await asyncio.wait({task}, timeout=_PATIENCE_S))[0]:
            why = await asyncio.to_thread(_why, data)
            if why != told:
                say(f"Waiting for the request to be taken: {why}.")
                told = why
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _why(data: Path | None) -> str:
    with suppress(NoPlace, NotYours, BadSettings):
        record = running_stack(data)
        late = [part for part in record.parts if part.state != "ready"] if record is not None else []
        if late:
            return "; ".join(f"{part.name} is {part.state}{f' ({part.note})' if part.note else ''}" for part in late)
    return "no pattern engine has answered yet"
