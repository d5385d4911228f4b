"""What a stack consists of, decided before anything is started: ports, servers, services and their common settings."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from parallax.stack.binaries import Account, program_for, server_account
from parallax.stack.errors import UnknownPartError
from parallax.stack.lock import MARK
from parallax.stack.room import check_room
from parallax.stack.servers import HOST, Etcd, Nats, Postgres, Server, free_ports, is_free
from parallax.stack.stores import open_stores, store_place
from shared.config import CONFIG_FILE, SECRET_PREFIX, Settings, api_listener, check_listener, explicit
from shared.paths import absolute, current_dir
from shared.pattern_sources import shipped_patterns_dir

SERVERS = ("nats", "postgres", "etcd")
SERVICES = ("gateway", "workspace", "pattern_engine", "projector", "runtime_local", "executor", "registry")
"""In the order in which they are started: those that take longest to come up first."""

_EXTERNAL = {
    "nats": ("PARALLAX_NATS_URL", "nats_url"),
    "postgres": ("PARALLAX_DATABASE_URL", "database_url"),
    "etcd": ("PARALLAX_ETCD_ENDPOINTS", "etcd_endpoints"),
}
_PROGRAMS = {"nats": "nats-server", "postgres": "postgres", "etcd": "etcd"}
_PORTS = ("nats", "nats_monitor", "postgres", "etcd", "etcd_peer", "gateway")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the supervisor needs to know."""

    data: Path
    account: Account
    servers: list[Server]
    external: dict[str, str]
    """Servers of one's own that the settings name: name to address."""
    services: list[str]
    environ: dict[str, str]
    """PARALLAX_* settings for the services."""
    directories: dict[str, str]
    """Where things are, by what is there."""

    def log(self, name: str) -> Path:
        """The file that takes what this part says."""
        return self.data / "logs" / f"{name}.log"


def existing_services() -> list[str]:
    """The services that this installation has."""
    return [name for name in SERVICES if _spec(f"services.{name}") and _spec(f"services.{name}.__main__")]


def _spec(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def make_plan(
    data: Path,
    environ: Mapping[str, str],
    *,
    only: Sequence[str] | None = None,
    ports: Mapping[str, int] | None = None,
) -> Plan:
    """Decides what to start in `data`. To be called by the holder of the lock.

    `only` names services (all servers are started for them) or servers (then just those). Raises UnknownPartError
    for a name that does not exist or a configured port that is taken.
    """
    servers, services = _chosen(only)
    settings, named = Settings.load(environ), explicit(environ)
    addresses = {"nats": settings.nats_url, "postgres": settings.database_url, "etcd": _plain(settings.etcd_endpoints)}
    external = {name: addresses[name] for name in servers if _EXTERNAL[name][1] in named}
    listener = _listener(settings, named, ports or {})
    wanted = dict(ports or {})
    if "gateway" in services:
        check_listener(listener[0], settings.api_key)
        wanted |= {"gateway": listener[1]} if listener[1] else {}
    account = server_account()
    own = [name for name in servers if name not in external]
    for name in own:
        program_for(_PROGRAMS[name], account)  # a missing one is said now, and not by a server that cannot be started
    if own:
        check_room(data, store_place(data, account))
    for part in ("run", "logs", "workspaces"):
        (data / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    numbers = _ports(data, wanted)
    stores = open_stores(data, account, own) if own else data
    made: dict[str, Server] = {
        "nats": Nats(stores / "nats", account, port=numbers["nats"], monitor_port=numbers["nats_monitor"]),
        "postgres": Postgres(stores / "postgres", account, port=numbers["postgres"]),
        "etcd": Etcd(stores / "etcd", account, port=numbers["etcd"], peer_port=numbers["etcd_peer"]),
    }
    given = _service_settings(data, environ, settings, named, gateway=(listener[0], numbers["gateway"]))
    return Plan(
        data=data,
        account=account,
        servers=[made[name] for name in own],
        external=external,
        services=services,
        environ=given | {_EXTERNAL[name][0]: made[name].url for name in own},
        directories=_directories(data, given, stores if own else None),
    )


def _directories(data: Path, given: Mapping[str, str], stores: Path | None) -> dict[str, str]:
    return {
        "data": str(data),
        **({} if stores is None else {"stores": str(stores.resolve())}),
        "logs": str(data / "logs"),
        "workspaces": given["PARALLAX_WORKSPACES_DIR"],
        "patterns": given["PARALLAX_PATTERNS_DIR"],
        "shipped_patterns": str(shipped_patterns_dir()),
    }


def _listener(settings: Settings, named: Collection[str], ports: Mapping[str, int]) -> tuple[str, int]:
    """Where the gateway listens; port 0: wherever there is room. `--port gateway=` is the last word on the port."""
    chosen = api_listener(settings.api_listen, settings.api_url) if {"api_listen", "api_url"} & set(named) else None
    host, port = chosen or (HOST, 0)
    return host, ports.get("gateway", port)


def _service_settings(
    data: Path, environ: Mapping[str, str], settings: Settings, named: Collection[str], *, gateway: tuple[str, int]
) -> dict[str, str]:
    """The PARALLAX_* settings of the services, in which nothing depends on where one is."""
    given = {name: value for name, value in environ.items() if name.startswith("PARALLAX_") and value}
    given = {name: value for name, value in given.items() if not name.startswith(SECRET_PREFIX)}
    given.pop("PARALLAX_NOTIFY_FD", None)
    if settings.secrets_file is not None:
        given["PARALLAX_SECRETS_FILE"] = str(absolute(settings.secrets_file))
    if CONFIG_FILE in given:
        given[CONFIG_FILE] = str(absolute(Path(given[CONFIG_FILE]).expanduser()))
    if settings.github_private_key_path is not None:
        given["PARALLAX_GITHUB_PRIVATE_KEY_PATH"] = str(absolute(settings.github_private_key_path))
    host, port = gateway
    shown = f"[{host}]" if ":" in host else host
    given["PARALLAX_API_LISTEN"] = f"{shown}:{port}"
    if "api_url" not in named:
        given["PARALLAX_API_URL"] = f"http://{_reached_at(shown)}:{port}"
    given["PARALLAX_DATA"] = str(data)
    workspaces = absolute(settings.workspaces_dir) if "workspaces_dir" in named else data / "workspaces"
    patterns = settings.patterns_dir if "patterns_dir" in named else patterns_dir(data)
    given["PARALLAX_WORKSPACES_DIR"] = str(workspaces)
    given["PARALLAX_PATTERNS_DIR"] = str(absolute(patterns))
    return given


def _reached_at(host: str) -> str:
    """Where a client on this machine finds a listener on `host`, which may mean all of its addresses."""
    return {"0.0.0.0": HOST, "[::]": "[::1]"}.get(host, host)  # noqa: S104 -- what is called so, nothing is bound here


def _plain(endpoints: Sequence[str]) -> str:
    """Endpoints as status shows those of the embedded etcd: without the scheme that goes without saying."""
    return ",".join(endpoint.removeprefix("http://") for endpoint in endpoints)


def _chosen(only: Sequence[str] | None) -> tuple[list[str], list[str]]:
    built = existing_services()
    if not only:
        return list(SERVERS), built
    unknown = [name for name in only if name not in SERVERS and name not in built]
    if unknown:
        raise UnknownPartError(f"there is no {' and no '.join(unknown)}; there are {', '.join([*SERVERS, *built])}")
    servers = [name for name in SERVERS if name in only]
    return servers or list(SERVERS), [name for name in built if name in only]


def patterns_dir(data: Path) -> Path:
    """The caller's own patterns: `./patterns` where there is one, else `patterns` in the data directory."""
    here = current_dir()
    return here / "patterns" if here is not None and (here / "patterns").is_dir() else data / "patterns"


def _ports(data: Path, wanted: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the configured one, else the one of last time if it is free, else a new one; kept."""
    unknown = [name for name in wanted if name not in _PORTS]
    if unknown:
        raise UnknownPartError(f"there is no port for {', '.join(unknown)}; ports are {', '.join(_PORTS)}")
    taken = [f"{name} ({port})" for name, port in wanted.items() if not is_free(port)]
    if taken:
        raise UnknownPartError(
            f"the port of {', '.join(taken)} cannot be listened on: another program has it, or it is one of those below"
            " 1024 that only root may have. Choose another, or leave it out to have a free one taken"
        )
    place = data / "run" / "ports.json"
    try:
        last = msgspec.json.decode(place.read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        last = {}
    kept = {name: port for name, port in last.items() if name in _PORTS and is_free(port)} | dict(wanted)
    missing = [name for name in _PORTS if name not in kept]
    kept |= dict(zip(missing, free_ports(len(missing), avoid=set(kept.values())), strict=True))
    place.write_bytes(msgspec.json.encode(kept))
    return kept


def server_environ(data: Path) -> dict[str, str]:
    """What a server inherits: next to nothing."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", MARK: str(data)}


def service_environ(plan: Plan, name: str) -> dict[str, str]:
    """What a service inherits: our environment, the settings of the stack, and a path that finds this installation.

    The values of secrets go to runtimes alone.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    here = str(Path(__file__).parents[2])
    others = [place for place in ours.get("PYTHONPATH", "").split(os.pathsep) if place and Path(place) != Path(here)]
    path = os.pathsep.join([here, *(str(Path(place).absolute()) for place in others)])
    if name.startswith("runtime_"):
        ours |= {name: value for name, value in os.environ.items() if name.startswith(SECRET_PREFIX)}
    return ours | plan.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", MARK: str(plan.data)}


def service_command(name: str) -> list[str]:
    """The argument list of a service. `-P`: the directory it runs in gives it no modules."""
    return [sys.executable, "-P", "-m", f"services.{name}"]
