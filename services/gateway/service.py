"""The gateway.

Hears: HTTP requests; the log, for clients that stream it (following, a read of its own for each client).

Says: requests and commands on `parallax.executions.>`, on behalf of its clients, and queries to other services.

Owns: nothing. Lists come from the tables of the projector, single executions and events from the log, living agents
from the registry's etcd.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Message, Scope

from services.gateway import catalog, counts, description, executions, health, patterns, streams
from services.gateway.access import Access
from services.gateway.context import Context
from services.gateway.http_server import HttpServer
from services.gateway.problems import Trouble, on_error, on_http, on_trouble
from shared.bus import Bus
from shared.config import Settings, api_listener, check_listener
from shared.etcd import Etcd
from shared.pattern_sources import Patterns
from shared.postgres import Database
from shared.service import Service

VERSION = "1"
_ROUTES: list[Any] = [
    executions.create,
    executions.listing,
    executions.show,
    executions.tasks,
    executions.events,
    executions.cancel,
    executions.pause,
    executions.resume,
    executions.signal,
    executions.retry,
    executions.replay,
    counts.stats,
    counts.execution_stats,
    streams.sse,
    streams.ws,
    streams.output,
    patterns.patterns,
    patterns.pattern,
    patterns.versions,
    patterns.validate,
    patterns.compile_,
    patterns.execute,
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

    async def count(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            context.count(str(scope["method"]) if "method" in scope else "", message["status"])

    return Litestar(
        route_handlers=[
            Router("/api", route_handlers=_ROUTES, guards=[access.guard], tags=["api"]),
            description.schema,
            health.live,
            health.ready,
            Router("/", route_handlers=[health.metrics], guards=[access.guard]),
        ],
        state=State({"context": context}),
        before_send=[count],
        exception_handlers={Trouble: on_trouble, HTTPException: on_http, Exception: on_error},
        openapi_config=OpenAPIConfig(
            title="Parallax",
            version=VERSION,
            description="Ask for executions, follow them, interrupt them, and read what they left.",
            path="/schema/of-the-framework",
            render_plugins=[JsonRenderPlugin()],
            components=Components(
                security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")},
            ),
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
        self._host, self._port = api_listener(settings.api_listen, settings.api_url) or ("127.0.0.1", 8080)
        self._database = Database(settings.database_url)
        self._etcd = Etcd(settings.etcd_endpoints)
        self._context: Context | None = None
        self._server: HttpServer | None = None

    @property
    def address(self) -> str:
        """The URL that is served."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def open_streams(self) -> int:
        """How many streams are being served."""
        return 0 if self._context is None else self._context.counters.streams

    async def start(self) -> None:
        """Begins to listen. Raises OSError when the address is taken, BadSettings where it would be open to anybody."""
        check_listener(self._host, self.settings.api_key)
        library = Patterns(self.settings.patterns_dir)
        self._context = Context(self.settings, self.bus, self._database, library, self._etcd)
        app = application(self._context, Access(self.settings.api_key))
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, self._port))
        self._port = listener.getsockname()[1]
        self._server = HttpServer(app, listener)
        self.spawn(self._server.run_to_end(), name="http")
        await self._server.begun.wait()

    async def stop(self) -> None:
        """Answers what is in hand, ends streams, and closes."""
        if self._context is not None:
            self._context.closing.set()
        if self._server is not None:
            self._server.should_exit = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(4.0):
                    await self._server.over.wait()
        await self._etcd.close()
        await self._database.close()
