"""Logging: one JSON object a line on standard error, with secrets taken out before they are written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from schemas.secrets import MASK, without_secrets

_SECRET_NAME = re.compile(
    r"(?i)(password|passwd|secret|token|api[_-]?key|private[_-]?key|authorization|credential|cookie|bearer)"
)
_HARMLESS_NAME = re.compile(r"(?i)^(input_tokens|output_tokens|tokens|max_tokens|total_tokens|token_count)$")
_BEARER = re.compile(r"(?P<before>\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE)
_DEEPEST = 6

REDACTED = MASK
"""What is written in place of a secret."""

_known_secrets: set[str] = set()


def add_secret(value: str) -> None:
    """From now on this very text is taken out of every line, whatever the field it is in."""
    if len(value) >= 6:
        _known_secrets.add(value)


def redact(text: str) -> str:
    """A text without anything that looks like a key, a token, a private key or a password in a URL."""
    for form in (_URL_PASSWORD, _BEARER):
        text = form.sub(rf"\g<before>{REDACTED}", text)
    text = without_secrets(text, REDACTED)
    for secret in _known_secrets:
        if secret in text:
            text = text.replace(secret, REDACTED)
    return text


def redacted(value: object, depth: int = 0) -> object:
    """A value of any shape with `redact` applied to its texts, and what secret names hold left out."""
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= _DEEPEST:
        return redact(repr(value))
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): _field(str(key), item, depth + 1) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redacted(item, depth + 1) for item in cast("list[object]", value)]
    return redact(repr(value))


def _field(name: str, value: object, depth: int) -> object:
    if value and isinstance(value, (str, bytes)) and _SECRET_NAME.search(name) and not _HARMLESS_NAME.match(name):
        return REDACTED
    return redacted(value, depth)


def redact_event(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """The processor that keeps secrets out of log lines."""
    return {key: _field(key, value, 0) for key, value in event.items()}


class _Forward(logging.Handler):
    """Hands what libraries log through the standard module to the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        logger: FilteringBoundLogger = structlog.get_logger(record.name)
        error = record.exc_info[1] if record.exc_info else None
        logger.log(max(record.levelno, logging.INFO), record.getMessage(), exc_info=error)


class _Lasting:
    """A stream whose writer survives it: what cannot be written (the disk is full) is counted, and the count said."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> None:
        try:
            if self._lost and text.strip():
                lost, self._lost = self._lost, 0
                line = f'{{"event": "log_lines_lost", "level": "warning", "lines": {lost}}}\n'
                try:
                    self._stream.write(line)
                except OSError:
                    self._lost = lost
                    raise
            self._stream.write(text)
        except OSError:
            self._lost += bool(text.strip())

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Sets logging up for this process. Lines carry `service`, a UTC time and a level."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
    minimum = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if level == "debug" else structlog.processors.format_exc_info,
            redact_event,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Lasting(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(max(minimum, logging.WARNING))


def keep_quiet() -> None:
    """In a program that has not set up logging, only errors are logged, and never on its standard output."""
    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
            logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        )
