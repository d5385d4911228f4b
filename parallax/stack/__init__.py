"""The embedded stack: nats-server, Postgres, etcd and every service, on one machine, in one data directory.

It exists so that one command gives a whole, durable Parallax without Docker and without root. The same settings point
at servers of one's own instead; nothing outside this room knows the difference.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parallax.stack.running import Stack, Status, embedded

__all__ = ["Stack", "Status", "embedded"]


def __getattr__(name: str) -> Any:
    """`embedded` is imported when it is used: the supervisor itself has no need of it."""
    if name not in __all__:
        raise AttributeError(f"module 'parallax.stack' has no attribute {name!r}")
    return getattr(importlib.import_module("parallax.stack.running"), name)
