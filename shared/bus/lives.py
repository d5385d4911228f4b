"""How often the handling of a message ended with its process: what kills or blocks a service is put aside at last.

A handler that raises is counted in memory and by its verdict. One that ends the process, or stops its event loop until
somebody ends it, leaves no verdict: the message is delivered again, to the next process, and ends that one too. So a
redelivery that nobody asked for is begun under a mark that outlives the process, in a key-value bucket; the mark
counts, and `MOST_DEATHS` in a row are the end of it. The first delivery, which is nearly all there are, costs nothing.
Executions that an engine takes over are begun in the same way.

Others die with the one that kills. They are not to be put aside with it: what was marked before is handled alone, with
nothing else begun that is marked, until it has ended or has given way for `SURVIVED_S`. What dies later than that, or
is killed from outside again and again, has `MOST_STARTS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog

from schemas.base import Model
from shared.bus.connection import Connection
from shared.bus.errors import BusError
from shared.bus.key_value import KeyValue

_log = structlog.get_logger(__name__)

MOST_DEATHS = 4
"""So often in a row a process may die, or stand still, just when it has begun with a message that came back to it."""

MOST_STARTS = 200
"""So often a message may come back to be begun again because a process died, whenever that was."""

SURVIVED_S = 0.1
"""Whoever has handled a message for so long, and gave way to others meanwhile, has not been killed by its beginning."""

_BUCKET = "parallax-lives"
_KEPT_S = 14 * 86_400.0
_STEPS = 4


class Mark(Model, frozen=True, kw_only=True):
    """What is known of a message that came back: how often it was begun, and how often in a row that was the end."""

    starts: int = 0
    deaths: int = 0


class Lives:
    """The marks of one kind of work: of a durable consumer, or of an engine's recoveries."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._bucket = KeyValue(connection, _BUCKET)
        self._name = name
        self._one_at_a_time = asyncio.Lock()
        self._marked: set[str] = set()
        self._ready = False

    async def begin(self, what: str) -> tuple[str, Callable[[], None]]:
        """Marks a piece of work that came back unasked. Returns why it is not to be begun any more, or an empty text,
        and what lets the next one begin, to be called when this one has ended or survived.

        Raises BusError, TimeoutError: the bus is away, and the work with it.
        """
        await self._one_at_a_time.acquire()
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._one_at_a_time.release()

        key = f"{self._name}.{what}"
        try:
            known = await self._known(key)
            if known.deaths >= MOST_DEATHS or known.starts >= MOST_STARTS:
                release()
                return _reason(known), release
            await self._bucket.put(key, msgspec.json.encode(Mark(starts=known.starts + 1, deaths=known.deaths + 1)))
            self._marked.add(key)
            _log.info("begun_again", work=key, starts=known.starts + 1, deaths=known.deaths)
            if not known.deaths:  # nothing speaks against it yet: it holds nobody up beyond its first step
                asyncio.get_running_loop().call_soon(release)
        except ValueError as error:  # the bucket is full: the work is more important than its mark
            _log.warning("unmarked", work=key, error=str(error))
        except BaseException:
            release()
            raise
        return "", release

    async def survived(self, what: str) -> None:
        """The beginning was not the end: the deaths so far were not for this work."""
        key = f"{self._name}.{what}"
        if key in self._marked:
            with suppress(BusError, TimeoutError, ValueError):
                known = await self._known(key)
                await self._bucket.put(key, msgspec.json.encode(Mark(starts=known.starts)))

    async def end(self, what: str) -> None:
        """Handled, or given back with a word: there is nothing to remember."""
        key = f"{self._name}.{what}"
        if key in self._marked:
            self._marked.discard(key)
            with suppress(BusError, TimeoutError, ValueError):  # one death too many is counted at worst
                await self._bucket.delete(key)

    async def _known(self, key: str) -> Mark:
        await self._ensure()
        value = await self._bucket.get(key)
        if value is None:
            return Mark()
        try:
            return msgspec.json.decode(value, type=Mark)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Mark()

    async def _ensure(self) -> None:
        if not self._ready:
            await self._bucket.ensure(_KEPT_S)
            self._ready = True


async def when_survived(then: Callable[[], Awaitable[None]]) -> None:
    """Calls `then` after `SURVIVED_S` in which the event loop came round again and again."""
    for _ in range(_STEPS):
        await asyncio.sleep(SURVIVED_S / _STEPS)
    await then()


def _reason(known: Mark) -> str:
    if known.deaths >= MOST_DEATHS:
        return (
            f"Its handling ended the process, or stopped it until it was ended, {known.deaths} times in a row. "
            "Nothing else was begun beside it."
        )
    return f"It was begun {known.starts} times, and each time the process died before it was handled."
