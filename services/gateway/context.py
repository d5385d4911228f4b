"""What the routes work with, and how they ask the rest of the platform."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from litestar.datastructures import State

from schemas.base import Problem
from schemas.commands import CommandReply
from services.gateway.problems import Trouble
from shared import subjects
from shared.bus import Bus, NoResponder
from shared.config import Settings
from shared.patterns import PatternLibrary
from shared.postgres import Database

T = TypeVar("T")

_STORED_S = 5.0
_ANSWERED_S = 10.0


class Context:
    """The gateway's hands: the bus, the database, the pattern library."""

    def __init__(self, settings: Settings, bus: Bus, database: Database, library: PatternLibrary) -> None:
        self.settings = settings
        self.bus = bus
        self.database = database
        self.library = library

    async def ask(self, subject: str, payload: Any, reply: type[T], *, timeout_s: float = 5.0) -> T:
        """A query to another service. Raises Trouble 503 and 504."""
        try:
            return await self.bus.request(subject, payload, reply, timeout_s=timeout_s)
        except NoResponder as error:
            raise Trouble(503, "The service that answers this is not there.", again_s=2) from error
        except TimeoutError as error:
            raise Trouble(504, "The service that answers this did not do so in time.") from error

    async def submit(self, subject: str, body: Any) -> CommandReply | None:
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
                    await self.bus.submit(subject, body, reply_to=inbox)
            except TimeoutError as error:
                raise Trouble(503, "The message bus does not answer; nothing was stored.", again_s=2) from error
            try:
                return await asyncio.wait_for(answered, _ANSWERED_S)
            except TimeoutError:
                return None
        finally:
            await subscription.stop()


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
    if any(error.where == "execution_id" for error in errors):
        return Trouble(409, what, errors)
    return Trouble(422, what, errors)
