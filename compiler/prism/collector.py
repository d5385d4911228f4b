"""Python's cycle collector, held off where a lot is made of which nothing is garbage yet.

A tree and its code are hundreds of thousands of objects without a cycle among them; looking through them again and
again took a third of the time of compiling.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def held_off() -> Generator[None]:
    """No collection within."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
