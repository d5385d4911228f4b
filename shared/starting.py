"""The first moments of a service: from here on being asked to leave is an order, and no death.

To import a service takes some tenths of a second, in which nothing is in hand yet: whoever is asked to leave then goes
at once, with exit code 0. Imports the standard library only, so that the time before is that of the interpreter alone.
"""

from __future__ import annotations

import importlib
import os
import signal


def start_service(module: str, name: str) -> None:
    """Imports the service `name` from `module` and runs it; see `shared.service.run_service`. Ends the process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: os._exit(0))
    kind = getattr(importlib.import_module(module), name)
    importlib.import_module("shared.service").run_service(kind)
