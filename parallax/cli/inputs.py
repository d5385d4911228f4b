"""What was typed behind `--input`, as the input of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from parallax.cli.common import BadInputError

Schema = Callable[[], Mapping[str, Any]]
"""Gives the input fields of a pattern. It is asked only when it matters."""


def read_inputs(given: Sequence[str], schema: Schema = dict) -> dict[str, Any]:
    """`K=V …` and `@FILE …` as one object, the later over the earlier.

    A value that reads as JSON is that JSON, unless `schema` wants text there; any other value is text. A file holds
    one JSON object. Raises BadInputError with the place.
    """
    found: dict[str, Any] = {}
    for item in given:
        if item.startswith("@"):
            found |= _file(item[1:])
            continue
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise BadInputError(f"--input {item}: write it as NAME=VALUE, or as @FILE for a JSON object in a file")
        found[key.strip()] = _value(key.strip(), text, schema)
    return found


def _file(name: str) -> dict[str, Any]:
    try:
        content = Path(name).expanduser().read_bytes()
    except OSError as error:
        raise BadInputError(f"--input @{name}: {error.strerror}") from error
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"--input @{name}: not JSON: {error or type(error).__name__}") from error
    if not isinstance(value, dict):
        raise BadInputError(f'--input @{name}: a JSON object is wanted, such as {{"task": "…"}}')
    return cast("dict[str, Any]", value)


def _value(key: str, text: str, schema: Schema) -> Any:
    try:
        value = msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text
    if isinstance(value, str) or not _wants_text(schema().get(key)):
        return value
    return text


def _wants_text(field: object) -> bool:
    if isinstance(field, Mapping):
        return _wants_text(cast("Mapping[str, Any]", field).get("type"))
    return field == "string"
