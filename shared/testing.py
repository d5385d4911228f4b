"""What tests of every room need: waiting for a fact instead of sleeping, and crashing at a named place.

Fault points let an ordinary test ask "what if we died right here": the code says `reached("after_append")` at the few
places where the answer matters, and costs one dictionary look-up there as long as no test has armed it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_armed: dict[str, BaseException] = {}


class BrokenHereError(Exception):
    """A fault point that a test armed was reached."""


async def eventually(predicate: Callable[[], T | Awaitable[T]], *, timeout_s: float = 5.0, every_s: float = 0.02) -> T:
    """Waits until `predicate` gives something true, and returns that.

    An AssertionError inside it means "not yet". When the time is over the last one is raised again, or an
    AssertionError that shows the last value.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value: T | None = None
        failure: AssertionError | None = None
        try:
            outcome = predicate()
            value = await outcome if inspect.isawaitable(outcome) else outcome
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not so within {timeout_s} s; at last it was {value!r}")
        await asyncio.sleep(every_s)


@contextmanager
def break_at(point: str, error: BaseException | None = None) -> Generator[None]:
    """Within the block the fault point of this name raises `error` (a BrokenHereError by default)."""
    _armed[point] = error or BrokenHereError(point)
    try:
        yield
    finally:
        _armed.pop(point, None)


def reached(point: str) -> None:
    """Says that the code is at the fault point of this name: nothing happens unless a test has armed it."""
    if _armed and point in _armed:
        raise _armed[point]
