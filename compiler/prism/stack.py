"""Room for the frames of a program that runs at one go.

Python keeps frames in chunks of 16 KiB, maps a chunk when a call does not fit and unmaps it when that call returns.
So a recursion pays for many of them, and a loop whose call just does not fit pays for one in each round: microseconds
instead of nanoseconds, wherever a program makes it happen. A first frame that asks for more than half of a large chunk
leaves the other half to all that follow; what is never touched takes no memory. Programs that may wait do without: for
them a page counts more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROOM = 8 * 1024 * 1024
"""Bytes for the frames of a program: enough for the deepest recursion of functions of some hundred variables."""


def roomy(work: Callable[[Any], None], argument: Any) -> None:
    """Call `work`, with room for the frames of all that it calls."""
    work(argument)


roomy.__code__ = roomy.__code__.replace(co_stacksize=ROOM // 8 + 1)
