"""The one reader of the environment: settings, checked as a whole before anything is started.

Every name is listed in `FIELDS`. A name that begins with `PARALLAX_` and is not there is refused, because a misspelt
setting that is silently ignored costs more than one that stops the start. `PARALLAX_CONFIG` may name a TOML file with
the same names in lower case and without the prefix (`nats_url = "…"`, or `[cache]` with `ttl = 300`); the environment
wins over the file.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

PREFIX = "PARALLAX_"
_LONGEST_SHOWN = 100


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
    http_allow: tuple[str, ...] = ()
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
    api_listen: str = ""
    api_key: str = ""
    secrets_file: Path | None = None
    data: Path | None = None
    require: frozenset[str] = frozenset()
    log_level: str = "info"
    notify_fd: int | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of this process; see `load`."""
        return load(environ)

    def secrets(self) -> list[str]:
        """What no line, no error and no event may show: keys, and passwords in URLs."""
        found = [self.github_private_key, *(key.strip() for key in self.api_key.split(","))]
        for url in (*self.nats_url.split(","), self.database_url, self.redis_url, *self.etcd_endpoints):
            with suppress(ValueError):
                parts = urlsplit(url)
                found += [unquote(parts.password or ""), parts.password or ""]
                found += [value for name, value in parse_qsl(parts.query) if "pass" in name.lower()]
        return sorted({secret for secret in found if secret}, key=len, reverse=True)

    def __repr__(self) -> str:
        """All settings, with every secret left out."""
        secrets = self.secrets()
        shown: list[str] = []
        for name in self.__struct_fields__:
            text = repr(getattr(self, name))
            for secret in secrets:
                text = text.replace(repr(secret)[1:-1], "…")
            shown.append(f"{name}={text}")
        return f"Settings({', '.join(shown)})"


class Field(NamedTuple):
    """One setting: the attribute it fills, what is expected of its text, how that is read, and what it is for."""

    attribute: str
    expected: str
    parse: Callable[[str], object]
    meaning: str


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError
    value.encode()  # raises ValueError for bytes that are no UTF-8
    return value.strip()


def _url(*schemes: str, host: bool = True) -> Callable[[str], str]:
    def parse(value: str) -> str:
        value = _text(value)
        parts = urlsplit(value)
        named = parts.hostname if host else parts.netloc or parts.path
        if parts.scheme not in schemes or not named or any(letter <= " " for letter in value):
            raise ValueError
        _ = parts.port  # raises ValueError when it is no port
        return value

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


def _hosts(value: str) -> tuple[str, ...]:
    parts = [part.strip().lower() for part in value.split(",") if part.strip()]
    for part in parts:
        if part != "*" and (urlsplit(f"//{part}").netloc != part or "@" in part or "*" in part):
            raise ValueError
        _ = urlsplit(f"//{part}").port  # raises ValueError when it is no port
    return tuple(parts)


def _listener(value: str) -> str:
    text = _text(value)
    parts = urlsplit(f"//{f'127.0.0.1:{text}' if text.isdecimal() else text}")
    if not parts.hostname or parts.port is None or parts.username is not None or parts.path or parts.query:
        raise ValueError
    return f"[{parts.hostname}]:{parts.port}" if ":" in parts.hostname else f"{parts.hostname}:{parts.port}"


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
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError:  # ~ of somebody without a home
        raise ValueError from None


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
_FROM_ONE = "a whole number from 1"
_A_SWITCH = "true or false"

FIELDS: dict[str, Field] = {
    "PARALLAX_NATS_URL": Field(
        "nats_url",
        "nats:// or tls:// URLs, separated by commas",
        _urls("nats", "tls"),
        "The NATS servers, with JetStream.",
    ),
    "PARALLAX_DATABASE_URL": Field(
        "database_url",
        "a postgresql:// URL",
        _url("postgresql", "postgres", host=False),
        "The Postgres that holds the projections.",
    ),
    "PARALLAX_ETCD_ENDPOINTS": Field(
        "etcd_endpoints",
        "host:port or http(s):// URLs, separated by commas",
        _endpoints,
        "The etcd that holds the registry of agents.",
    ),
    "PARALLAX_REDIS_URL": Field(
        "redis_url",
        "a redis:// URL",
        _url("redis", "rediss", "unix", host=False),
        "A Redis for caches; without one they are in JetStream.",
    ),
    "PARALLAX_PATTERNS_DIR": Field(
        "patterns_dir", "a directory", _path, "Where patterns are found, instead of the shipped ones."
    ),
    "PARALLAX_WORKSPACES_DIR": Field("workspaces_dir", "a directory", _path, "Where clones and worktrees are kept."),
    "PARALLAX_LOCAL_RUNTIME_URL": Field(
        "local_runtime_url", _AN_HTTP_URL, _HTTP, "Health and diagnostics of the local runtime."
    ),
    "PARALLAX_DOCKER_RUNTIME_URL": Field(
        "docker_runtime_url", _AN_HTTP_URL, _HTTP, "Health and diagnostics of the Docker runtime."
    ),
    "PARALLAX_K8S_RUNTIME_URL": Field(
        "k8s_runtime_url", _AN_HTTP_URL, _HTTP, "Health and diagnostics of the Kubernetes runtime."
    ),
    "PARALLAX_GITHUB_APP_ID": Field(
        "github_app_id", "the id of a GitHub App", _text, "The GitHub App that pushes and opens pull requests."
    ),
    "PARALLAX_GITHUB_PRIVATE_KEY": Field(
        "github_private_key", "a private key in PEM", _text, "The private key of the GitHub App. Never shown."
    ),
    "PARALLAX_GITHUB_PRIVATE_KEY_PATH": Field(
        "github_private_key_path",
        "a file with a private key in PEM",
        _path,
        "A file that holds the private key instead.",
    ),
    "PARALLAX_GITHUB_BASE_URL": Field(
        "github_base_url", _AN_HTTP_URL, _HTTP, "The REST API of GitHub, or of a GitHub Enterprise."
    ),
    "PARALLAX_EXECUTION_ENGINE": Field("execution_engine", _A_SWITCH, _switch, "Whether executions are run at all."),
    "PARALLAX_AGENT_TIMEOUT": Field(
        "agent_timeout_ms",
        _MILLIS,
        _whole(1),
        "How long an agent may be silent in a turn, and how long a task waits for one where nobody fits.",
    ),
    "PARALLAX_AGENT_RETRIES": Field(
        "agent_retries", "a whole number from 0 to 100", _whole(0, 100), "How often a failed task is tried again."
    ),
    "PARALLAX_MAX_CONCURRENCY": Field(
        "max_concurrency",
        _FROM_ONE,
        _whole(1),
        "How many spawned agents an executor has at work at once, and how many sessions a role has at most that does "
        "not say maxInstances.",
    ),
    "PARALLAX_HTTP_ALLOW": Field(
        "http_allow",
        "hosts, each alone or with a port, separated by commas, or *",
        _hosts,
        "The hosts that programs may ask over HTTP; none, unless this names them. `*` is every host but this machine.",
    ),
    "PARALLAX_CB_FAILURE_THRESHOLD": Field(
        "cb_failure_threshold", _FROM_ONE, _whole(1), "How many failures in a row open an agent's circuit breaker."
    ),
    "PARALLAX_CB_RESET_TIMEOUT": Field(
        "cb_reset_timeout_ms", _MILLIS, _whole(1), "How long a circuit breaker stays open."
    ),
    "PARALLAX_RATE_LIMIT_MAX": Field(
        "rate_limit_max", _FROM_ONE, _whole(1), "How many turns an agent may begin in one window."
    ),
    "PARALLAX_RATE_LIMIT_WINDOW": Field("rate_limit_window_ms", _MILLIS, _whole(1), "The window of that limit."),
    "PARALLAX_CACHE_ENABLED": Field(
        "cache_enabled", _A_SWITCH, _switch, "Whether results of equal tasks are used again."
    ),
    "PARALLAX_CACHE_TTL": Field(
        "cache_ttl_s", "a whole number of seconds from 0", _whole(0), "How long a cached result lives."
    ),
    "PARALLAX_CACHE_CONFIDENCE_THRESHOLD": Field(
        "cache_confidence_threshold", "a number from 0 to 1", _score, "Results below this confidence are not cached."
    ),
    "PARALLAX_CACHE_MAX_ENTRIES": Field("cache_max_entries", _FROM_ONE, _whole(1), "How many results are cached."),
    "PARALLAX_TRACING_ENABLED": Field("tracing_enabled", _A_SWITCH, _switch, "Whether spans are exported."),
    "PARALLAX_JAEGER_ENDPOINT": Field(
        "jaeger_endpoint", _AN_HTTP_URL, _HTTP, "Where spans go; its host takes OTLP too."
    ),
    "PARALLAX_API_URL": Field(
        "api_url",
        _AN_HTTP_URL,
        _HTTP,
        "What the gateway is called: where clients find it. It listens there too if this is http:// and an address of "
        "digits or localhost, and PARALLAX_API_LISTEN is not set.",
    ),
    "PARALLAX_API_LISTEN": Field(
        "api_listen",
        "HOST:PORT, [HOST]:PORT or a port",
        _listener,
        "Where the gateway listens. Anything but this machine itself needs PARALLAX_API_KEY.",
    ),
    "PARALLAX_API_KEY": Field(
        "api_key", "a key, or keys separated by commas", _text, "The key that HTTP clients have to show. Never shown."
    ),
    "PARALLAX_SECRETS_FILE": Field(
        "secrets_file",
        "a file",
        _path,
        "A TOML file, readable by you alone, with the values of secrets that patterns name; read by runtimes.",
    ),
    "PARALLAX_DATA": Field("data", "a directory", _path, "The data directory of the embedded stack that is meant."),
    "PARALLAX_REQUIRE": Field(
        "require", "words, separated by commas", _words, "For tests: parts whose absence is a failure and not a skip."
    ),
    "PARALLAX_LOG_LEVEL": Field(
        "log_level", "debug, info, warning or error", _log_level, "The least serious lines that are logged."
    ),
    "PARALLAX_NOTIFY_FD": Field(
        "notify_fd",
        "the number of an open file descriptor",
        _whole(0),
        "Where a service says that it is ready; set by `parallax up`.",
    ),
}
"""Every setting by its name in the environment."""

AGENT_NAMES = frozenset(
    f"PARALLAX_{name}"
    for name in ("AGENT_ID", "ATTEMPT", "EXECUTION_ID", "ROLE", "SESSION", "TASK_ID", "TURN_MARK", "WORKSPACE")
)
"""What a runtime tells an agent about its turn. No settings; a command that an agent types passes over them."""

SECRET_PREFIX = "PARALLAX_SECRET_"  # noqa: S105 - the beginning of the names of variables
"""Variables with this prefix hold secrets that patterns name. Runtimes read them, and nothing else does."""

CONFIG_FILE = "PARALLAX_CONFIG"
"""Names a TOML file that holds settings."""


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process: the environment over the file over the defaults.

    An empty variable counts as not set. Raises BadSettings with everything that is wrong.
    """
    problems: list[str] = []
    values: dict[str, object] = {}
    for name, text in _texts(os.environ if environ is None else environ, problems).items():
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


def explicit(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """The attributes of Settings that the environment or the file names, be it with the value of the default.

    What somebody names is meant; only what nobody names may be chosen for them. Bad values are for `load` to refuse.
    """
    named = _texts(os.environ if environ is None else environ, [])
    return frozenset(FIELDS[name].attribute for name in named if name in FIELDS)


def _texts(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    given = _from_file(environ.get(CONFIG_FILE, ""), problems)
    for name, value in environ.items():
        if name.startswith(SECRET_PREFIX):
            continue
        if name.startswith(PREFIX) and name != CONFIG_FILE and name not in AGENT_NAMES and value != "":
            given[name] = value
    return given


def api_listener(listen: str, url: str) -> tuple[str, int] | None:
    """The host and the port that the gateway is told to listen on; None where it may choose.

    PARALLAX_API_LISTEN says so. Without it PARALLAX_API_URL does, where that can be an address of this machine: plain
    http and a host of digits, or localhost. A name, or https, is what somebody in front of the gateway is called.
    """
    if listen:
        parts = urlsplit(f"//{listen}")
        return parts.hostname or "127.0.0.1", parts.port or 0
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http" and (host == "localhost" or _is_address(host)):
        return host, 80 if parts.port is None else parts.port
    return None


def check_listener(host: str, keys: str) -> None:
    """Raises BadSettings where the gateway would take requests from other machines and ask nobody for a key."""
    if is_this_machine(host) or keys.strip(" ,"):
        return
    raise BadSettings(
        [
            f"The gateway is to listen on {host}, where other machines reach it, and PARALLAX_API_KEY is not set:"
            " anybody could have programs run here. Set PARALLAX_API_KEY, or have it listen on 127.0.0.1"
            " (PARALLAX_API_LISTEN)."
        ]
    )


def is_this_machine(host: str) -> bool:
    """Whether only this machine reaches a listener on `host`."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
    if "KEY" in name or ("@" in text or "?" in text):
        return "set to something else"
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")
