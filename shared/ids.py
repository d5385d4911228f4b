"""How things are named. Ids of what may happen again are computed, so that a second time is the same thing."""

from __future__ import annotations

import hashlib
import os

import msgspec

_ENCODER = msgspec.json.Encoder(order="sorted")


def new_id() -> str:
    """A fresh id: 26 characters of lower-case letters and digits, fit to be a subject token and a file name."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number = int.from_bytes(os.urandom(16)) << 2
    return "".join(alphabet[(number >> shift) & 31] for shift in range(125, -1, -5))


def task_id(execution_id: str, path: str) -> str:
    """The id of the task that the effect at `path` of an execution asks for."""
    return f"{execution_id}-{path.replace('.', '_')}"


def agent_id(execution_id: str, session: str) -> str:
    """The id of the agent that fills a session of an execution."""
    return f"{execution_id}-{session}"


def digest(value: object) -> str:
    """The SHA-256 of a value's canonical JSON (sorted keys, no spaces), in hexadecimal.

    Raises TypeError for what has no JSON.
    """
    return hashlib.sha256(_ENCODER.encode(value)).hexdigest()
