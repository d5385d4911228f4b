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

_COUNTED = re.compile(r"(?i)^(?:max|min|input|output|total|num)_?tokens?$|^tokenizers?_|^keyboard|^(?:old)?pwd$")
_ENDS = ("KEY", "TOKEN", "PASS", "PASSWORD", "PASSWD", "SECRET")
_NO_ENDS = frozenset(
    {"MONKEY", "DONKEY", "TURKEY", "HOCKEY", "JOCKEY", "WHISKEY", "HOTKEY"}
    | {"BYPASS", "COMPASS", "SURPASS", "TRESPASS", "OVERPASS", "UNDERPASS"}
)
"""Words that end as names of secrets do, and are none: `PGPASS` is a password, `BYPASS` is not."""

_KEY_BLOCK = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----"
_TEXT = re.compile(
    r"\b(?:sk-(?:ant-)?|[sr]k_(?:live|test)_|ghp_|gho_|ghs_|ghu_|ghr_|github_pat_|glpat-|xox[abeprs]-|xapp-|AKIA|ASIA|AIza"
    r"|dop_v1_|pypi-|shpat_|whsec_)[A-Za-z0-9_\-]{8,}"
    r"|\b(?:npm_|hf_)[A-Za-z0-9]{24,}|\bya29\.[A-Za-z0-9_\-]{16,}|\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"
    rf"|{_KEY_BLOCK}(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\Z)"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
)
"""Keys and tokens of kinds that are known by their form. Of a private key the block to its end."""

_NO_VALUE = r"(?!\$|\*+|<|\{|\[redacted\])"
"""What stands in a secret's place: a variable, stars, `<password>`, `{password}`."""

_IN_URL = re.compile(
    rf"(?P<before>\b[A-Za-z][A-Za-z0-9+.\-]*://[^\s/:@?#\"'`]*:){_NO_VALUE}(?P<secret>[^\s/?#\"'`]+)(?=@)"
)
_IN_CONNECTION = re.compile(
    r"(?P<before>(?<![A-Za-z0-9_])(?:[a-z]*password|passwd|pwd|passphrase|client[_-]?secret|api[_-]?key"
    r"|(?:access|auth|refresh)[_-]?token|account[_-]?key|shared[_-]?access[_-]?key)[ \t]*=[ \t]*)"
    rf"{_NO_VALUE}(?!(?:true|false|yes|no|none|null|prompt|required|0|1)\b)"
    r"""(?P<secret>"[^"\n]+"|'[^'\n]+'|[^\s;&,"'`]+)""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<before>\bbearer\s+)(?P<secret>[A-Za-z0-9._~+/=\-]{16,})", re.IGNORECASE)
_WITHIN = (_IN_URL, _IN_CONNECTION, _BEARER)
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
    if not words or words[-1] in _ELSE:
        return False
    return bool(_WORDS & set(words)) or (words[-1].endswith(_ENDS) and words[-1] not in _NO_ENDS)


def is_secret_text(text: str) -> bool:
    """Whether a text holds a secret that is known by its form.

    A key or a token of a known kind, a private key, a password in a URL or in a connection string.
    """
    return any(form.search(text) for form in (_TEXT, *_WITHIN))


def without_secrets(text: str, mask: str = MASK) -> str:
    """The text with `mask` in place of each secret that is known by its form."""
    for form in _WITHIN:
        text = form.sub(rf"\g<before>{mask}", text)
    return _TEXT.sub(mask, text)


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
    return without_secrets(value) if isinstance(value, str) else value


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

    return without_secrets(_ASSIGNED.sub(shown, text))
