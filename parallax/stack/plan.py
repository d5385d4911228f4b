"""What a stack consists of, decided before anything is started: ports, servers, services and their common settings."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from parallax.stack.binaries import Account, server_account, store_dir
from parallax.stack.errors import UnknownPartError
from parallax.stack.lock import MARK
from parallax.stack.servers import HOST, Etcd, Nats, Postgres, Server, free_ports, is_free
from shared.config import Settings

SERVERS = ("nats", "postgres", "etcd")
SERVICES = ("gateway", "workspace", "pattern_engine", "projector", "runtime_local", "executor", "registry")
"""In the order in which they are started: those that take longest to come up first."""

_EXTERNAL = {
    "nats": ("PARALLAX_NATS_URL", "nats_url"),
    "postgres": ("PARALLAX_DATABASE_URL", "database_url"),
    "etcd": ("PARALLAX_ETCD_ENDPOINTS", "etcd_endpoints"),
}
_DEFAULTS = Settings()
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
    settings = Settings.load(environ)
    named = {"nats": settings.nats_url, "postgres": settings.database_url, "etcd": _plain(settings.etcd_endpoints)}
    external = {name: named[name] for name in servers if _is_named(settings, name, environ)}
    for part in ("run", "logs", "workspaces"):
        (data / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    numbers = _ports(data, ports or {})
    account = server_account()
    stores = store_dir(data, account) if set(servers) - set(external) else data
    made: dict[str, Server] = {
        "nats": Nats(stores / "nats", account, port=numbers["nats"], monitor_port=numbers["nats_monitor"]),
        "postgres": Postgres(stores / "postgres", account, port=numbers["postgres"]),
        "etcd": Etcd(stores / "etcd", account, port=numbers["etcd"], peer_port=numbers["etcd_peer"]),
    }
    own = [made[name] for name in servers if name not in external]
    shared_settings = {name: value for name, value in environ.items() if name.startswith("PARALLAX_")}
    for server in own:
        shared_settings[_EXTERNAL[server.name][0]] = server.url
    shared_settings["PARALLAX_DATA"] = str(data)
    if settings.api_url == _DEFAULTS.api_url:
        shared_settings["PARALLAX_API_URL"] = f"http://{HOST}:{numbers['gateway']}"
    workspaces = data / "workspaces" if settings.workspaces_dir == _DEFAULTS.workspaces_dir else settings.workspaces_dir
    patterns = patterns_dir() if settings.patterns_dir == _DEFAULTS.patterns_dir else settings.patterns_dir
    shared_settings["PARALLAX_WORKSPACES_DIR"] = str(workspaces.absolute())
    shared_settings["PARALLAX_PATTERNS_DIR"] = str(patterns.absolute())
    shared_settings.pop("PARALLAX_NOTIFY_FD", None)
    return Plan(data, account, own, external, services, shared_settings)


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


def patterns_dir() -> Path:
    """`./patterns` where there is one, else the patterns that ship with the product."""
    here = Path.cwd() / "patterns"
    if here.is_dir():
        return here
    package = Path(__file__).parents[1]
    shipped = package / "data" / "patterns"
    return shipped if shipped.is_dir() else package.parent / "patterns"


def _is_named(settings: Settings, server: str, environ: Mapping[str, str]) -> bool:
    key, attribute = _EXTERNAL[server]
    return bool(environ.get(key)) or getattr(settings, attribute) != getattr(_DEFAULTS, attribute)


def _ports(data: Path, wanted: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the configured one, else the one of last time if it is free, else a new one; kept."""
    unknown = [name for name in wanted if name not in _PORTS]
    if unknown:
        raise UnknownPartError(f"there is no port for {', '.join(unknown)}; ports are {', '.join(_PORTS)}")
    taken = [f"{name} ({port})" for name, port in wanted.items() if not is_free(port)]
    if taken:
        raise UnknownPartError(f"the port of {', '.join(taken)} is taken by another program")
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


def service_environ(plan: Plan) -> dict[str, str]:
    """What a service inherits: our environment, the settings of the stack, and a path that finds this installation."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    here = str(Path(__file__).parents[2])
    others = [place for place in ours.get("PYTHONPATH", "").split(os.pathsep) if place and Path(place) != Path(here)]
    path = os.pathsep.join([here, *(str(Path(place).absolute()) for place in others)])
    return ours | plan.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", MARK: str(plan.data)}


def service_command(name: str) -> list[str]:
    """The argument list of a service. `-P`: the directory it runs in gives it no modules."""
    return [sys.executable, "-P", "-m", f"services.{name}"]
