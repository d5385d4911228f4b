"""The HTTP server: uvicorn, whose life the service decides, and which answers clients that have stopped talking."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import cast

import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_LARGEST_HEAD = 64 * 1024
_LARGEST_MESSAGE = 64 * 1024
_GRACE_S = 3
_STREAMS = ("/events/stream", "/output")


class HttpProtocol(H11Protocol):
    """HTTP/1.1 for clients that close their sending side after the request: they get their answer all the same."""

    def eof_received(self) -> bool | None:  # type: ignore[override] - asyncio's own type, which uvicorn narrows
        """Whether the connection stays open. A stream has no end by itself, so its client is taken for gone."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        return not self.scope["path"].endswith(_STREAMS)


class HttpServer(uvicorn.Server):
    """Serves an application on a socket. It leaves the signals of the process alone."""

    def __init__(self, app: Litestar, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
            ws_max_size=_LARGEST_MESSAGE,
            server_header=False,
        )
        super().__init__(config)
        self._listener = listener
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def run_to_end(self) -> None:
        """Serves until `should_exit` is set, then closes the socket."""
        with self._listener:
            try:
                await self.serve(sockets=[self._listener])
            finally:
                self.begun.set()
                self.over.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen, and says so."""
        await super().startup(sockets)
        self.begun.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leaves signals alone."""
        yield
