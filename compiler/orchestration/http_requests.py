"""Reading what a program asks for over HTTP. Nothing secret goes into an event, so nothing secret can be asked with."""

from __future__ import annotations

import re
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec

from compiler.orchestration.values import Value, plain
from compiler.prism import EffectFailed
from schemas.base import Millis
from schemas.effects import Http

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MOST_HEADERS = 50
MOST_BODY_BYTES = 256 * 1024
LONGEST_URL = 4_096
LONGEST_WAIT_MS = 600_000

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")
_VALUE = re.compile(r"[ -~\t]{0,4096}\Z")
_SECRET = re.compile(
    r"authorization|cookie|token|secret|password|passwd|credential|api[-_]?key|signature", re.IGNORECASE
)
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "idempotency-key", "upgrade", "te"})


class _Given(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: Any = None
    timeout_ms: Millis = 30_000


def read_request(value: Value) -> Http:
    """The request in the argument of `http`. Raises `EffectFailed` with code `invalid_argument`."""
    fields = plain(value)
    if not isinstance(fields, dict):
        raise _refused("an object is expected: {method, url, headers, body, timeoutMs}")
    try:
        given = msgspec.convert(cast("dict[str, Any]", fields), _Given)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from error
    method = given.method.upper()
    if method not in METHODS:
        raise _refused(f"the method {given.method[:20]!r} is not one of {', '.join(METHODS)}")
    if not 1 <= given.timeout_ms <= LONGEST_WAIT_MS:
        raise _refused(f"timeoutMs lies between 1 and {LONGEST_WAIT_MS}")
    _check_url(given.url)
    _check_headers(given.headers)
    if given.body is not None and method in {"GET", "HEAD"}:
        raise _refused(f"a {method} request has no body")
    if len(msgspec.json.encode(given.body)) > MOST_BODY_BYTES:
        raise _refused(f"the body is larger than {MOST_BODY_BYTES // 1024} KiB")
    return Http(method=method, url=given.url, headers=given.headers, body=given.body, timeout_ms=given.timeout_ms)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _refused("the URL cannot be read") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _refused("the URL begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise _refused("the URL holds a user or a password, which would be stored in the log")
    if any(_SECRET.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise _refused("the URL holds a parameter named like a secret, which would be stored in the log")
    if len(url) > LONGEST_URL or any(letter <= " " or letter == "\x7f" for letter in url):
        raise _refused(f"the URL has blanks in it, or more than {LONGEST_URL} characters")


def _check_headers(headers: dict[str, str]) -> None:
    if len(headers) > MOST_HEADERS:
        raise _refused(f"there are more than {MOST_HEADERS} headers")
    for name, text in headers.items():
        if not _NAME.match(name) or not _VALUE.match(text):
            raise _refused(f"the header {name[:100]!r} has letters that cannot be sent, in its name or its value")
        if _SECRET.search(name):
            raise _refused(f"the header {name!r} would put a secret into the log; a program cannot send it")
        if name.lower() in _OURS:
            raise _refused(f"the header {name!r} is set by the platform")


def _refused(message: str) -> EffectFailed:
    return EffectFailed("invalid_argument", f"http: {message}")
