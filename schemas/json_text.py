"""What JSON that comes from outside is read as, before anything of it becomes part of the log.

The log, Postgres, HTTP and the terminal have to show the same value. Two things that JSON can write have no place in
one of them: NUL (Postgres) and half a surrogate pair (UTF-8). Both are replaced where a value enters, by the
replacement character, as bytes are that are no UTF-8. `docs/reference/command-protocol.md` states these rules.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast

import msgspec

from schemas.base import Json

T = TypeVar("T")

REPLACEMENT = "\ufffd"
"""What stands for NUL, for half a surrogate pair, and for bytes that are no UTF-8."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_UNFIT = re.compile("[\x00\ud800-\udfff]")
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2}|0000)|\\.", re.DOTALL
)
_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


def clean_text(text: str) -> str:
    """A text without NUL and without halves of surrogate pairs, which are replaced."""
    return _UNFIT.sub(REPLACEMENT, text)


def clean_value(value: Json) -> Json:
    """A JSON value with `clean_text` applied to every text and key in it. Raises RecursionError for a very deep one."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): clean_value(item) for key, item in cast("dict[str, Json]", value).items()}
    if isinstance(value, list):
        return [clean_value(item) for item in cast("list[Json]", value)]
    return value


def mended(body: bytes) -> bytes:
    """A JSON text without a byte order mark, as UTF-8, with NUL and half surrogate pairs replaced. Never raises."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            body = body.decode("utf-8", "replace").encode()
    if _SUSPECT.search(body):
        body = _ESCAPE.sub(lambda found: found[0] if found[1] is None else rb"\ufffd", body)
    return body


def with_whole_characters(text: str) -> str:
    """A JSON text in which the escapes of half surrogate pairs are those of the replacement character."""
    return _HALF.sub(lambda found: found[0] if found[1] is None else "\\ufffd", text)


def read_json(body: bytes, kind: type[T] | Any = Any) -> Any:
    """A mended JSON text as a value. Raises what `msgspec.json.decode` raises, and RecursionError."""
    return msgspec.json.decode(mended(body), type=kind)
