"""Secrets of agents: looked up when a program is started, put into its environment, and taken out of what it says.

A pattern names a secret (`env: {MY_API_KEY: {secret: NAME}}`) and the log keeps the name. The value is the runtime's:
of the variable `PARALLAX_SECRET_<NAME>` of its environment, of the file that `PARALLAX_SECRETS_FILE` names, or of the
variable `<NAME>` itself, which may not be one of the platform's own.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from schemas.secrets import MASK

VARIABLE = "PARALLAX_SECRET_"
SHORTEST = 6
"""Characters from which a value is taken out of what an agent says: shorter ones would tear words apart."""


class SecretMissing(Exception):
    """A secret cannot be had. The message is a sentence for people."""


class Secrets:
    """What the runtime knows: its environment, and the file."""

    def __init__(self, environ: Mapping[str, str], file: Path | None) -> None:
        self._environ = environ
        self._file = file

    def values(self, wanted: Mapping[str, str], role: str) -> dict[str, str]:
        """The values of variables, by the names of their secrets. Raises SecretMissing."""
        held = self._held() if wanted else {}
        found: dict[str, str] = {}
        for variable, name in wanted.items():
            value = self._environ.get(f"{VARIABLE}{name}") or held.get(name)
            if value is None and not name.startswith("PARALLAX_"):
                value = self._environ.get(name)
            if not value:
                file = f"the file {self._file}" if self._file else "a file that PARALLAX_SECRETS_FILE names"
                raise SecretMissing(
                    f"The secret {name} is not there, which the role {role} wants in {variable}. Set {VARIABLE}{name} "
                    f"in the environment of the runtime (`parallax up` hands it on), or write it into {file}."
                )
            found[variable] = value
        return found

    def _held(self) -> dict[str, str]:
        file = self._file
        if file is None:
            return {}
        try:
            if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SecretMissing(f"Others can read {file}, which holds secrets: `chmod 600 {file}`.")
            return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, str])
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise SecretMissing(
                f'The secrets in {file} cannot be read: {error}. It is TOML with one line for each: NAME = "value".'
            ) from error


class Redaction:
    """Takes the values of an agent's secrets out of what it says, as they are and as JSON writes them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        found: set[bytes] = set()
        for value in values.values():
            for form in (value, *value.split("\n")):
                if len(form) >= SHORTEST:
                    found |= {form.encode(), msgspec.json.encode(form)[1:-1], _ascii(form)}
        self._found = sorted(found, key=len, reverse=True)

    def __call__(self, line: bytes) -> bytes:
        """The line without them."""
        for value in self._found:
            if value in line:
                line = line.replace(value, MASK.encode())
        return line


def _ascii(text: str) -> bytes:
    """As JSON that is pure ASCII writes it."""
    written = msgspec.json.encode(text).decode()[1:-1]
    return "".join(char if char.isascii() else _escaped(char) for char in written).encode()


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2]):04x}" for at in range(0, len(units), 2))
