"""Which servers a client means: those of a named stack, those of the settings, or those of the stack that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from parallax.client_errors import Unreachable
from shared.paths import data_dir, running_stack

_NATS = "PARALLAX_NATS_URL"


def find_nats(data: str | Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The address of nats-server.

    That of the embedded stack in `data` or `PARALLAX_DATA`; else `PARALLAX_NATS_URL`; else that of the embedded stack
    in the default data directory. Raises Unreachable when there is none.
    """
    env = os.environ if environ is None else environ  # noqa: TID251 - a client has no settings but its caller's
    named = data or env.get("PARALLAX_DATA")
    if named or not env.get(_NATS):
        stack = running_stack(data, env)
        if stack is not None and _NATS in stack.environ:
            return stack.environ[_NATS]
    if data is None and env.get(_NATS):
        return env[_NATS]
    if named:
        where = data_dir(data, env)
        raise Unreachable(f"No stack runs in {where}.", hint=f"`parallax up --data {where}` starts one.")
    raise Unreachable(
        "There is no server to talk to: no embedded stack runs, and PARALLAX_NATS_URL is not set.",
        hint="`parallax up` starts an embedded stack.",
    )


def is_embedded(environ: Mapping[str, str] | None = None) -> bool:
    """Whether `find_nats` gives the address of an embedded stack, which is another one each time it is started."""
    env = os.environ if environ is None else environ  # noqa: TID251 - a client has no settings but its caller's
    return bool(env.get("PARALLAX_DATA")) or not env.get(_NATS)
