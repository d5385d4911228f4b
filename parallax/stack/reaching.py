"""Whether the servers that the settings name can be reached, before anything is started that would wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from parallax.stack.errors import UnreachableServerError

_PORTS = {"nats": 4222, "postgres": 5432, "etcd": 2379}
_SETTINGS = {"nats": "PARALLAX_NATS_URL", "postgres": "PARALLAX_DATABASE_URL", "etcd": "PARALLAX_ETCD_ENDPOINTS"}
_ONE_TRY_S = 2.0
_PAUSE_S = 0.25


async def reach(servers: Mapping[str, str], *, within_s: float, say: Callable[[str], None]) -> None:
    """Waits until each server, by its name and address, takes connections.

    Raises UnreachableServerError for one that does not within `within_s` seconds.
    """
    for name, address in servers.items():
        told = False
        try:
            async with asyncio.timeout(within_s):
                while not await _answers(name, address):
                    if not told:
                        say(f"waiting for {name} at {shown(address)}")
                    told = True
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            raise UnreachableServerError(
                f"{name} does not answer at {shown(address)}, which {_SETTINGS[name]} names; start it there, or unset"
                f" {_SETTINGS[name]} to have one started here"
            ) from None


def shown(address: str) -> str:
    """An address without users and passwords."""
    return ", ".join(_shown(place) for place in address.split(","))


def _shown(place: str) -> str:
    scheme, mark, rest = place.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


async def _answers(name: str, address: str) -> bool:
    """Whether one of the hosts of an address takes connections. What cannot be told here is left to the services."""
    for place in address.split(","):
        try:
            parts = urlsplit(place if "://" in place else f"//{place}")
            host, port = parts.hostname, parts.port or _PORTS[name]
        except ValueError:
            return True
        if not host:
            return True
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ONE_TRY_S):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False
