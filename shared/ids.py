"""How things are named. Ids of what may happen again are computed, so that a second time is the same thing."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

import msgspec

from schemas.base import LONGEST_SESSION, LONGEST_TOKEN

_ENCODER = msgspec.json.Encoder(order="sorted")

_MARK = 7
"""A hyphen and six digits of a digest, at the end of an agent's id."""

_PLAIN_SESSION = re.compile(r"[A-Za-z][A-Za-z0-9_]*-[0-9]+")
_SESSION = re.compile(rf"[A-Za-z][A-Za-z0-9_-]{{0,{LONGEST_SESSION - 1}}}")


def new_id() -> str:
    """A fresh id: 26 characters of lower-case letters and digits, fit to be a subject token and a file name."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number = int.from_bytes(os.urandom(16)) << 2
    return "".join(alphabet[(number >> shift) & 31] for shift in range(125, -1, -5))


def task_id(execution_id: str, path: str) -> str:
    """The id of the task that the effect at `path` of an execution asks for.

    A path that is too long for a token, in a program that is nested deeply, is cut and told apart by its digest.
    """
    name = f"{execution_id}-{path.replace('.', '_')}"
    if len(name) <= LONGEST_TOKEN:
        return name
    return f"{name[: LONGEST_TOKEN - 33]}-{digest(name)[:32]}"


def agent_id(execution_id: str, session: str) -> str:
    """The id of the agent that fills a session of an execution.

    Hyphens may be in both, so that `a` with `b-c-1` would be named like `a-b` with `c-1`: a session whose role has one
    is told apart by its digest.
    """
    name = f"{execution_id}-{session}"
    return name if _PLAIN_SESSION.fullmatch(session) else f"{name}-{digest([execution_id, session])[: _MARK - 1]}"


def session_of(execution_id: str, agent_id: str) -> str:
    """The session that an agent of an execution fills; the agent's own id when it is not one of the execution's."""
    session = agent_id.removeprefix(f"{execution_id}-")
    return session if session == agent_id or _PLAIN_SESSION.fullmatch(session) else session[:-_MARK]


def is_session(text: str) -> bool:
    """Whether a text can name a session: a part of a branch, of a path, and of its agent's id."""
    return _SESSION.fullmatch(text) is not None


def digest(value: object) -> str:
    """The SHA-256 of a value's canonical JSON (sorted keys, no spaces), in hexadecimal.

    Raises TypeError for what has no JSON.
    """
    return hashlib.sha256(_ENCODER.encode(value)).hexdigest()


def digest_of_given(value: msgspec.Struct) -> str:
    """The digest of a struct's type and of the fields that are not at their defaults.

    A field that is added to the vocabulary later, with a default, leaves the digests of before as they are.
    """
    given: dict[str, Any] = {"": str(value.__struct_config__.tag or type(value).__name__)}
    for field in msgspec.structs.fields(value):
        held = getattr(value, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if default is msgspec.NODEFAULT or held != default:
            given[field.name] = msgspec.to_builtins(held)
    return digest(given)
