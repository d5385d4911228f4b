"""What looks like a secret: names of variables that hold one, and texts that are one.

A secret that stands in a pattern stands in the log for ever. So charts refer to secrets by name, a literal value under
a name like these is refused, and what older logs hold is shown masked.
"""

from __future__ import annotations

import re
from typing import Any, cast

from schemas.base import Json

MASK = "[redacted]"
"""What is shown in place of a secret."""

_WORDS = frozenset(
    {"KEY", "KEYS", "APIKEY", "TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE"}
    | {"PASS", "PWD", "CREDENTIAL", "CREDENTIALS", "PAT", "COOKIE", "BEARER"}
)
_ELSE = frozenset(
    {"PATH", "FILE", "DIR", "ID", "NAME", "URL", "URI", "TYPE", "LIMIT", "COUNT", "SIZE", "LENGTH", "TTL", "MAX", "MIN"}
    | {"BUDGET", "VERSION", "HOST", "PORT", "REGION", "ENABLED", "PREFIX", "SUFFIX", "FORMAT"}
)
"""Last words of names that say something about a secret, and hold none: `SSH_KEY_PATH`, `TOKEN_LIMIT`."""

_COUNTED = re.compile(r"(?i)^(?:max|min|input|output|total|num)_?tokens?$|^tokenizers?_|^keyboard|^pwd$")

_TEXT = re.compile(
    r"\b(?:sk-(?:ant-)?|ghp_|gho_|ghs_|ghu_|ghr_|github_pat_|glpat-|xox[abprs]-|AKIA|AIza)[A-Za-z0-9_\-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
)
_ASSIGNED = re.compile(
    r"""(?P<before>(?<![A-Za-z0-9_])["']?(?P<name>[A-Za-z_][A-Za-z0-9_]*)["']?[ \t]*:[ \t]*)"""
    r"""(?P<value>"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s"'{}\[\],#][^\n,}\]#]*)"""
)
_SECRET_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_TEXTS = ("program", "pattern_source", "source")
_PLACES = frozenset({"agent", "roles", "called"})


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, as far as its name tells."""
    if _COUNTED.match(name):
        return False
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word for word in re.split(r"[^A-Za-z0-9]+", spaced.upper()) if word]
    return bool(words) and words[-1] not in _ELSE and bool(_WORDS & set(words) or words[-1].endswith(("KEY", "TOKEN")))


def is_secret_text(text: str) -> bool:
    """Whether a text is a key or a token of a kind that is known by its form."""
    return _TEXT.search(text) is not None


def is_reference_name(name: str) -> bool:
    """Whether a text can name a secret: like a variable."""
    return _SECRET_NAME.match(name) is not None


def masked(data: Json) -> Json:
    """An event's payload as it may be shown: what stands under secret names of an agent's `env` is masked.

    So are the programs and the sources that an event carries, where they give such a name a value. Results, inputs and
    whatever else agents and people have said are theirs, and shown as they are.
    """
    if not isinstance(data, dict):
        return data
    fields = cast("dict[str, Json]", data)
    if not _PLACES.intersection(fields) and not any(name in fields for name in _TEXTS):
        return fields
    values: set[str] = set()
    made = {name: _masked(item, values) if name in _PLACES else item for name, item in fields.items()}
    return _with_masked_texts(made, values)


def _with_masked_texts(fields: dict[str, Json], values: set[str]) -> dict[str, Json]:
    made = dict(fields)
    for name in _TEXTS:
        if isinstance(text := made.get(name), str):
            made[name] = _masked_text(text, values)
    if isinstance(modules := made.get("modules"), dict):
        texts = cast("dict[str, Json]", modules).items()
        made["modules"] = {key: _masked_text(text, values) if isinstance(text, str) else text for key, text in texts}
    if isinstance(called := made.get("called"), dict):
        made["called"] = {
            key: _with_masked_texts(cast("dict[str, Json]", one), values) if isinstance(one, dict) else one
            for key, one in cast("dict[str, Json]", called).items()
        }
    return made


def _masked(value: Json, values: set[str]) -> Json:
    if isinstance(value, dict):
        entries = cast("dict[str, Json]", value)
        return {
            key: _environment(cast("dict[str, Any]", item), values)
            if key == "env" and isinstance(item, dict)
            else _masked(item, values)
            for key, item in entries.items()
        }
    if isinstance(value, list):
        return [_masked(item, values) for item in cast("list[Json]", value)]
    return value


def _environment(env: dict[str, Json], values: set[str]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for name, value in env.items():
        secret = isinstance(value, str) and value and (is_secret_name(name) or is_secret_text(value))
        if secret:
            values.add(cast("str", value))
        made[name] = MASK if secret else value
    return made


def _masked_text(text: str, values: set[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, MASK)

    def shown(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        bare = value.strip().strip("\"'")
        if not bare or bare == MASK or not name.isupper() or not is_secret_name(name):
            return found[0]
        quote = value[0] if value[0] in "\"'" else ""
        return f"{found['before']}{quote}{MASK}{quote}"

    return _TEXT.sub(MASK, _ASSIGNED.sub(shown, text))
