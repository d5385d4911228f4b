"""Who may use the gateway: bearer keys when there are any, and local callers when there are none.

Without keys the gateway listens on loopback for the user of the machine. A page in that user's browser could still
reach it, under a host name of its own or across origins (WebSockets and plain posts need no permission for that), so
requests for foreign hosts and from foreign origins are refused.
"""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from services.gateway.problems import Trouble
from shared.config import is_this_machine


class Access:
    """The keys that open the gateway. Several are separated by commas, so that one can be changed without a gap."""

    def __init__(self, keys: str) -> None:
        self._keys = [key.strip().encode() for key in keys.split(",") if key.strip()]

    def guard(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Lets a request pass or raises Trouble 401 or 403."""
        if not self._keys:
            self._check_caller(connection)
            return
        scheme, _space, given = connection.headers.get("authorization", "").partition(" ")
        token = given.strip().encode()
        matches = [hmac.compare_digest(token, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise Trouble(401, "Send `Authorization: Bearer <key>` with one of the keys of PARALLAX_API_KEY.")

    def _check_caller(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        host = connection.headers.get("host", "")
        if not is_this_machine(_name(f"//{host}")):
            raise Trouble(403, f"Without PARALLAX_API_KEY only local host names are answered, not {host[:100]!r}.")
        origin = connection.headers.get("origin", "")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            raise Trouble(403, f"Without PARALLAX_API_KEY pages of {origin[:100]!r} may not ask this gateway.")


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
