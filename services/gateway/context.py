"""What the routes work with, and how they ask the rest of the platform."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, TypeVar

import msgspec
from litestar.datastructures import State

from schemas.base import Problem
from schemas.commands import CommandReply
from schemas.gateway import ExecutionView
from services.gateway.problems import Trouble
from shared import subjects
from shared.bus import Bus, NoResponder, RequestFailed
from shared.bus.reader import last_message
from shared.config import Settings
from shared.etcd import Etcd
from shared.pattern_sources import Patterns
from shared.postgres import Database

T = TypeVar("T")

_STORED_S = 5.0
_ANSWERED_S = 10.0
_LAST_S = 5.0
_MOST_PENDING = 10_000


class Counters(msgspec.Struct):
    """What the gateway counts of itself."""

    requests: dict[tuple[str, int], int] = {}
    streams: int = 0
    events_sent: int = 0


class Context:
    """The gateway's hands: the bus, the database, the pattern library, the registry's etcd."""

    def __init__(self, settings: Settings, bus: Bus, database: Database, library: Patterns, etcd: Etcd) -> None:
        self.settings = settings
        self.bus = bus
        self.database = database
        self.library = library
        self.etcd = etcd
        self.library_lock = asyncio.Lock()
        self.counters = Counters()
        self.closing = asyncio.Event()
        """Set when the gateway is leaving: streams end, and their clients come back to another one."""
        self._pending: OrderedDict[str, ExecutionView] = OrderedDict()

    async def ask(self, subject: str, payload: Any, reply: type[T], *, timeout_s: float = 5.0) -> T:
        """A query to another service. Raises Trouble 502, 503 and 504."""
        try:
            return await self.bus.request(subject, payload, reply, timeout_s=timeout_s)
        except RequestFailed as error:
            raise Trouble(503, "The service that answers this could not.", again_s=2) from error
        except NoResponder as error:
            raise Trouble(503, "The service that answers this is not there.", again_s=2) from error
        except TimeoutError as error:
            raise Trouble(504, "The service that answers this did not do so in time.") from error

    async def submit(self, subject: str, body: Any, *, msg_id: str = "") -> CommandReply | None:
        """Stores a request or a command and waits for the engine's word. None: it is stored, and nobody spoke yet."""
        answered: asyncio.Future[CommandReply] = asyncio.get_running_loop().create_future()

        async def heard(reply: CommandReply) -> None:
            if not answered.done():
                answered.set_result(reply)

        inbox = self.bus.new_inbox()
        subscription = await self.bus.serve(inbox, CommandReply, heard)
        try:
            try:
                async with asyncio.timeout(_STORED_S):
                    await self.bus.submit(subject, body, reply_to=inbox, msg_id=msg_id)
            except TimeoutError as error:
                what = "The message bus did not answer; ask again, with the same idempotency key."
                raise Trouble(503, what, again_s=2) from error
            try:
                async with asyncio.timeout(_ANSWERED_S):
                    return await answered
            except TimeoutError:
                return None
        finally:
            await subscription.stop()

    # -- executions that the log does not know yet --------------------------------------------------------------------

    def stored(self, view: ExecutionView) -> None:
        """Remembers a request that is stored and that no engine has spoken of yet."""
        self._pending[view.id] = view
        if len(self._pending) > _MOST_PENDING:
            self._pending.popitem(last=False)

    def pending(self, name: str) -> ExecutionView | None:
        """A request that went through this gateway and that no engine has spoken of yet."""
        return self._pending.get(name)

    async def last_seq_of(self, name: str) -> int:
        """The sequence of the last event of an execution; 0 when the log does not know it. Raises Trouble 503."""
        try:
            async with asyncio.timeout(_LAST_S):
                message = await last_message(self.bus.connection, subjects.STREAM_EVENTS, subjects.events_of(name))
        except (TimeoutError, NoResponder) as error:
            raise Trouble(503, "The message bus does not answer.", again_s=2) from error
        return 0 if message is None else int(message.header("Nats-Sequence") or 0)

    async def must_know(self, name: str) -> str:
        """The id itself. Raises Trouble 404 when neither the log nor this gateway has heard of the execution."""
        execution_id(name)
        if not await self.last_seq_of(name) and self.pending(name) is None:
            raise Trouble(404, f"There is no execution {name!r}.")
        return name

    def count(self, method: str, status: int) -> None:
        """Counts a request that was answered."""
        key = method, status
        self.counters.requests[key] = self.counters.requests.get(key, 0) + 1


def context_of(state: State) -> Context:
    """The context that the application was built with."""
    return state.context


def execution_id(text: str) -> str:
    """An execution id of a path. Raises Trouble 404 for what can be none."""
    if not subjects.is_execution_id(text):
        raise Trouble(404, f"{text[:100]!r} cannot be the id of an execution.")
    return text


def refused(reply: CommandReply) -> Trouble:
    """The error that tells a client why the engine said no."""
    errors: list[Problem] = reply.errors
    what = errors[0].what if errors else "The engine rejected it."
    if any(error.where == "execution_id" and "There is no" in error.what for error in errors):
        return Trouble(404, what, errors)
    if any(error.where in ("execution_id", "question_id") for error in errors):
        return Trouble(409, what, errors)
    return Trouble(422, what, errors)
