"""The one reader of the environment: settings, checked as a whole before anything is started.

Every name is listed in `FIELDS`. A name that begins with `PARALLAX_` and is not there is refused, because a misspelt
setting that is silently ignored costs more than one that stops the start. `PARALLAX_CONFIG` may name a TOML file with
the same names in lower case and without the prefix (`nats_url = "…"`, or `[cache]` with `ttl = 300`); the environment
wins over the file.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

PREFIX = "PARALLAX_"


class BadSettings(Exception):
    """Settings that cannot be used; one sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of the platform, with defaults for servers and services on loopback. Durations are milliseconds."""

    nats_url: str = "nats://127.0.0.1:4222"
    database_url: str = "postgresql://127.0.0.1:5432/parallax"
    etcd_endpoints: tuple[str, ...] = ("http://localhost:2379",)
    redis_url: str = ""
    patterns_dir: Path = Path("patterns")
    workspaces_dir: Path = Path(".workspaces")
    local_runtime_url: str = ""
    docker_runtime_url: str = ""
    k8s_runtime_url: str = ""
    github_app_id: str = ""
    github_private_key: str = ""
    github_private_key_path: Path | None = None
    github_base_url: str = "https://api.github.com"
    execution_engine: bool = True
    agent_timeout_ms: int = 30_000
    agent_retries: int = 2
    max_concurrency: int = 10
    cb_failure_threshold: int = 5
    cb_reset_timeout_ms: int = 30_000
    rate_limit_max: int = 100
    rate_limit_window_ms: int = 60_000
    cache_enabled: bool = False
    cache_ttl_s: int = 300
    cache_confidence_threshold: float = 0.8
    cache_max_entries: int = 1000
    tracing_enabled: bool = False
    jaeger_endpoint: str = ""
    api_url: str = "http://127.0.0.1:8080"
    api_key: str = ""
    data: Path | None = None
    require: frozenset[str] = frozenset()
    log_level: str = "info"
    notify_fd: int | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of this process; see `load`."""
        return load(environ)


class _Field(NamedTuple):
    attribute: str
    expected: str
    parse: Callable[[str], object]


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError
    return value.strip()


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ValueError
        _ = parts.port
        return value.strip()

    return parse


def _urls(*schemes: str) -> Callable[[str], str]:
    one = _url(*schemes)
    return lambda value: ",".join(one(part) for part in value.split(","))


def _endpoints(value: str) -> tuple[str, ...]:
    one = _url("http", "https")
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts:
        raise ValueError
    return tuple(one(part if "://" in part else f"http://{part}").rstrip("/") for part in parts)


def _switch(value: str) -> bool:
    match value.strip().lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
        case _:
            raise ValueError


def _whole(least: int, most: int = 2**53) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value.strip())
        if not least <= number <= most:
            raise ValueError
        return number

    return parse


def _score(value: str) -> float:
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError
    return number


def _path(value: str) -> Path:
    return Path(_text(value)).expanduser()


def _words(value: str) -> frozenset[str]:
    return frozenset(word.strip() for word in value.split(",") if word.strip())


def _log_level(value: str) -> str:
    level = value.strip().lower()
    if level not in {"debug", "info", "warning", "error"}:
        raise ValueError
    return level


_HTTP = _url("http", "https")
_MILLIS = "a whole number of milliseconds from 1"
_AN_HTTP_URL = "an http:// or https:// URL"

FIELDS: dict[str, _Field] = {
    "PARALLAX_NATS_URL": _Field("nats_url", "nats:// or tls:// URLs, separated by commas", _urls("nats", "tls")),
    "PARALLAX_DATABASE_URL": _Field("database_url", "a postgresql:// URL", _url("postgresql", "postgres")),
    "PARALLAX_ETCD_ENDPOINTS": _Field(
        "etcd_endpoints", "host:port or http(s):// URLs, separated by commas", _endpoints
    ),
    "PARALLAX_REDIS_URL": _Field("redis_url", "a redis:// URL", _url("redis", "rediss", "unix")),
    "PARALLAX_PATTERNS_DIR": _Field("patterns_dir", "a directory", _path),
    "PARALLAX_WORKSPACES_DIR": _Field("workspaces_dir", "a directory", _path),
    "PARALLAX_LOCAL_RUNTIME_URL": _Field("local_runtime_url", _AN_HTTP_URL, _HTTP),
    "PARALLAX_DOCKER_RUNTIME_URL": _Field("docker_runtime_url", _AN_HTTP_URL, _HTTP),
    "PARALLAX_K8S_RUNTIME_URL": _Field("k8s_runtime_url", _AN_HTTP_URL, _HTTP),
    "PARALLAX_GITHUB_APP_ID": _Field("github_app_id", "the id of a GitHub App", _text),
    "PARALLAX_GITHUB_PRIVATE_KEY": _Field("github_private_key", "a private key in PEM", _text),
    "PARALLAX_GITHUB_PRIVATE_KEY_PATH": _Field("github_private_key_path", "a file with a private key in PEM", _path),
    "PARALLAX_GITHUB_BASE_URL": _Field("github_base_url", _AN_HTTP_URL, _HTTP),
    "PARALLAX_EXECUTION_ENGINE": _Field("execution_engine", "true or false", _switch),
    "PARALLAX_AGENT_TIMEOUT": _Field("agent_timeout_ms", _MILLIS, _whole(1)),
    "PARALLAX_AGENT_RETRIES": _Field("agent_retries", "a whole number from 0 to 100", _whole(0, 100)),
    "PARALLAX_MAX_CONCURRENCY": _Field("max_concurrency", "a whole number from 1", _whole(1)),
    "PARALLAX_CB_FAILURE_THRESHOLD": _Field("cb_failure_threshold", "a whole number from 1", _whole(1)),
    "PARALLAX_CB_RESET_TIMEOUT": _Field("cb_reset_timeout_ms", _MILLIS, _whole(1)),
    "PARALLAX_RATE_LIMIT_MAX": _Field("rate_limit_max", "a whole number from 1", _whole(1)),
    "PARALLAX_RATE_LIMIT_WINDOW": _Field("rate_limit_window_ms", _MILLIS, _whole(1)),
    "PARALLAX_CACHE_ENABLED": _Field("cache_enabled", "true or false", _switch),
    "PARALLAX_CACHE_TTL": _Field("cache_ttl_s", "a whole number of seconds from 0", _whole(0)),
    "PARALLAX_CACHE_CONFIDENCE_THRESHOLD": _Field("cache_confidence_threshold", "a number from 0 to 1", _score),
    "PARALLAX_CACHE_MAX_ENTRIES": _Field("cache_max_entries", "a whole number from 1", _whole(1)),
    "PARALLAX_TRACING_ENABLED": _Field("tracing_enabled", "true or false", _switch),
    "PARALLAX_JAEGER_ENDPOINT": _Field("jaeger_endpoint", _AN_HTTP_URL, _HTTP),
    "PARALLAX_API_URL": _Field("api_url", _AN_HTTP_URL, _HTTP),
    "PARALLAX_API_KEY": _Field("api_key", "a key", _text),
    "PARALLAX_DATA": _Field("data", "a directory", _path),
    "PARALLAX_REQUIRE": _Field("require", "words, separated by commas", _words),
    "PARALLAX_LOG_LEVEL": _Field("log_level", "debug, info, warning or error", _log_level),
    "PARALLAX_NOTIFY_FD": _Field("notify_fd", "the number of an open file descriptor", _whole(0)),
}
"""Every setting by its name in the environment."""

CONFIG_FILE = "PARALLAX_CONFIG"
"""Names a TOML file that holds settings."""


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process: the environment over the file over the defaults.

    An empty variable counts as not set. Raises BadSettings with everything that is wrong.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    given = _from_file(environ.get(CONFIG_FILE, ""), problems)
    for name, value in environ.items():
        if name.startswith(PREFIX) and name != CONFIG_FILE and value != "":
            given[name] = value
    values: dict[str, object] = {}
    for name, text in given.items():
        field = FIELDS.get(name)
        if field is None:
            problems.append(_unknown(name))
            continue
        try:
            values[field.attribute] = field.parse(text)
        except ValueError:
            problems.append(f"{name} is {_shown(name, text)}, but {field.expected} was expected.")
    if problems:
        raise BadSettings(problems)
    return Settings(**values)  # type: ignore[arg-type]  # FIELDS pairs each attribute with its parser


def _from_file(path: str, problems: list[str]) -> dict[str, str]:
    if not path:
        return {}
    try:
        with Path(path).expanduser().open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        problems.append(f"{CONFIG_FILE} names {path}, which cannot be read: {error.strerror or error}.")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{CONFIG_FILE} names {path}, which is not TOML: {error}.")
        return {}
    found: dict[str, str] = {}
    _flatten(document, "", found)
    return found


def _flatten(table: Mapping[str, object], prefix: str, found: dict[str, str]) -> None:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            _flatten(value, f"{name}_", found)  # type: ignore[reportUnknownArgumentType]  # TOML keys are strings
        elif isinstance(value, list):
            found[_full(name)] = ",".join(str(item) for item in value)  # type: ignore[reportUnknownArgumentType]  # any
        else:
            found[_full(name)] = str(value)


def _full(name: str) -> str:
    name = name.upper().replace("-", "_")
    return name if name.startswith(PREFIX) else PREFIX + name


def _unknown(name: str) -> str:

    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.75)
    return f"{name} is no setting{f'; did you mean {near[0]}?' if near else '.'}"


def _shown(name: str, text: str) -> str:
    secret = any(word in name for word in ("KEY", "URL", "TOKEN", "SECRET"))
    return "set to something else" if secret and ("@" in text or "KEY" in name) else repr(text)
