"""The gateway.

Hears: HTTP requests; the log, for clients that stream it (following, a read of its own for each client).

Says: requests and commands on `parallax.executions.>`, on behalf of its clients, and queries to other services.

Owns: nothing. Lists come from the tables of the projector, single executions and events from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any
from urllib.parse import urlsplit

import structlog
import uvicorn
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from services.gateway import catalog, executions, health, streams
from services.gateway.access import Access
from services.gateway.context import Context
from services.gateway.problems import Trouble, on_error, on_http, on_trouble
from shared.bus import Bus
from shared.config import Settings
from shared.patterns import PatternLibrary
from shared.postgres import Database
from shared.service import Service

_log = structlog.get_logger(__name__)

VERSION = "1"
_ROUTES: list[Any] = [
    executions.create,
    executions.listing,
    executions.show,
    executions.tasks,
    executions.events,
    executions.command,
    executions.replay,
    executions.stats,
    streams.sse,
    streams.ws,
    streams.output,
    catalog.patterns,
    catalog.pattern,
    catalog.versions,
    catalog.validate,
    catalog.compile_,
    catalog.execute,
    catalog.agents,
    catalog.agent,
    catalog.workspaces,
    catalog.workspace,
    catalog.diff,
    catalog.questions,
    catalog.answer_question,
]


def application(context: Context, access: Access) -> Litestar:
    """The application: routes under `/api`, health beside it, OpenAPI at `/schema`."""
    return Litestar(
        route_handlers=[
            Router("/api", route_handlers=_ROUTES, guards=[access.guard], tags=["api"]),
            health.live,
            health.ready,
            Router("/", route_handlers=[health.metrics], guards=[access.guard]),
        ],
        state=State({"context": context}),
        exception_handlers={Trouble: on_trouble, HTTPException: on_http, Exception: on_error},
        openapi_config=OpenAPIConfig(
            title="Parallax",
            version=VERSION,
            description="Ask for executions, follow them, interrupt them, and read what they left.",
            path="/schema",
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
            components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"bearer": []}],
        ),
        logging_config=None,
        debug=False,
    )


class Gateway(Service):
    """Serves HTTP clients."""

    name = "gateway"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        parts = urlsplit(settings.api_url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = 8080 if parts.port is None else parts.port
        self._database = Database(settings.database_url)
        self._server: uvicorn.Server | None = None

    @property
    def address(self) -> str:
        """The URL that is served."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Begins to listen. Raises OSError when the address is taken."""
        context = Context(self.settings, self.bus, self._database, PatternLibrary(self.settings.patterns_dir))
        app = application(context, Access(self.settings.api_key, self._host))
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=64 * 1024,
            ws_max_size=64 * 1024,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None
        self.spawn(self._serve(listener), name="http")
        while not self._server.started:
            await asyncio.sleep(0.005)
        if self._host not in ("127.0.0.1", "localhost", "::1") and not self.settings.api_key:
            _log.warning("gateway_open_to_the_network", address=self.address, hint="set PARALLAX_API_KEY")

    async def _serve(self, listener: socket.socket) -> None:
        server = self._server
        if server is not None:
            await server.serve(sockets=[listener])

    async def stop(self) -> None:
        """Answers what is in hand, ends streams, and closes."""
        if self._server is not None:
            self._server.should_exit = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(4.0):
                    while self._server.started and self._server.server_state.tasks:
                        await asyncio.sleep(0.02)
        await self._database.close()
