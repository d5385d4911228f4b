"""Who may use the gateway: bearer keys when there are any, and local host names when there are none.

Without keys the gateway listens on loopback for the user of the machine. A page in that user's browser could still reach
it under a host name of its own, so requests for foreign hosts are refused.
"""

from __future__ import annotations

import hmac
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from services.gateway.problems import Trouble

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", "testserver", "testserver.local"})


class Access:
    """The keys that open the gateway. Several are separated by commas, so that one can be changed without a gap."""

    def __init__(self, keys: str, host: str) -> None:
        self._keys = [key.strip().encode() for key in keys.split(",") if key.strip()]
        self._host = host

    def guard(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Lets a request pass or raises Trouble 401."""
        if not self._keys:
            self._check_host(connection)
            return
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        token = given.strip().encode()
        matches = [hmac.compare_digest(token, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise Trouble(401, "Send `Authorization: Bearer <key>` with one of the keys of PARALLAX_API_KEY.")

    def _check_host(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        host = connection.headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._host in LOCAL_HOSTS and name.lower() not in LOCAL_HOSTS:
            raise Trouble(401, f"Without PARALLAX_API_KEY only local host names are answered, not {name[:100]!r}.")
