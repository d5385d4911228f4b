"""What a user imports: a client for requests, and a small kit for writing agents.

    async with parallax.connect() as px:
        execution = await px.request("startup-team", input={"task": "…"}, repo=".")
        outcome = await execution.result()

Names are imported when they are first used, so that the command line starts quickly and an agent program never loads
the client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parallax.agent import Agent, Result, Task
    from parallax.client import Client, connect
    from parallax.client_errors import (
        CommandRejected,
        ExecutionCancelled,
        ExecutionFailed,
        ParallaxError,
        RequestRejected,
        Unanswered,
        UnknownExecution,
        Unreachable,
    )
    from parallax.client_execution import Execution

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Client",
    "CommandRejected",
    "Execution",
    "ExecutionCancelled",
    "ExecutionFailed",
    "ParallaxError",
    "RequestRejected",
    "Result",
    "Task",
    "Unanswered",
    "UnknownExecution",
    "Unreachable",
    "connect",
]

_HOMES = {
    "Agent": "parallax.agent",
    "Result": "parallax.agent",
    "Task": "parallax.agent",
    "Client": "parallax.client",
    "connect": "parallax.client",
    "Execution": "parallax.client_execution",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'parallax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "parallax.client_errors")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
