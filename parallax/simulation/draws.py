"""Chance that can be repeated: every draw belongs to a key, so that no draw depends on what was drawn before elsewhere.

Only the uniform numbers of `random.Random` are used, which Python promises to keep, and what is computed from them is
rounded where it is used, so that a seed means the same in every process and on every machine.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """The draws of one key, for example of one attempt at one task of one run."""

    __slots__ = ("_next",)

    def __init__(self, *key: object) -> None:
        text = "\x1f".join(str(part) for part in key)
        seed = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._next = random.Random(int.from_bytes(seed)).random

    def uniform(self) -> float:
        """A number in [0, 1)."""
        return self._next()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._next() < probability

    def one_of(self, values: Sequence[T]) -> T:
        """One of some values, each as likely as any other. Raises IndexError where there are none."""
        return values[int(self._next() * len(values))]
