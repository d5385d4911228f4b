"""The client: asks for executions and holds on to them. What `parallax.connect()` gives.

It speaks the same subjects as any other NATS client and holds no state that matters: an execution outlives the client
that asked for it, and `Client.execution(id)` takes hold of it again.
"""

from __future__ import annotations

import asyncio
import getpass
import itertools
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from msgspec import UNSET

from compiler.option_check import check_options
from parallax.client_address import find_nats
from parallax.client_endings import Endings
from parallax.client_errors import CommandRejected, RequestRejected, Unanswered, UnknownExecution, Unreachable
from parallax.client_execution import Execution
from schemas.base import Model, Problem
from schemas.commands import (
    CommandReply,
    ExecutionRequest,
    PatternFile,
    ReplayQuery,
    ReplayReport,
    Repository,
    RequestOptions,
)
from shared import subjects
from shared.bus import Bus, EventTooLarge, Message, NoResponder, RequestFailed
from shared.bus import Unreachable as NoServer
from shared.ids import new_id
from shared.log import keep_quiet

T = TypeVar("T")

_RESTART_S = 5.0
"""A service that died is back within so long."""

_AGAIN_S = 0.2


def connect(
    url: str | None = None, *, data: str | Path | None = None, name: str = "", timeout_s: float = 10.0
) -> Client:
    """A client of the servers at `url`, or of the embedded stack of the data directory `data`.

    Without either: the embedded stack in `PARALLAX_DATA`, the servers of `PARALLAX_NATS_URL`, or the embedded stack in
    the default data directory, whichever is there first. Use it as `async with connect() as px`, or `px = await
    connect()` and `await px.close()`. `name` stands in the log as the one who cancelled or answered; by default it is
    the user's. Raises Unreachable when no server answers within `timeout_s` seconds.
    """
    return Client(url, data=data, name=name, timeout_s=timeout_s)


class Client:
    """A connection. See `connect`."""

    def __init__(self, url: str | None, *, data: str | Path | None, name: str, timeout_s: float) -> None:
        self._url = url
        self._data = data
        self._timeout_s = timeout_s
        self._bus: Bus | None = None
        self._endings: Endings | None = None
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._replies: dict[str, asyncio.Future[CommandReply]] = {}
        self.name = name or _user()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def bus(self) -> Bus:
        """The connection underneath."""
        if self._bus is None:
            raise Unreachable("The client is not connected.", hint="Use `async with parallax.connect() as px:`.")
        return self._bus

    @property
    def endings(self) -> Endings:
        """Where executions' ends are heard."""
        if self._endings is None:
            self._endings = Endings(self.bus)
        return self._endings

    async def close(self) -> None:
        """Leaves. Executions go on."""
        if self._endings is not None:
            await self._endings.close()
            self._endings = None
        if self._bus is not None:
            await self._bus.close()
            self._bus = None

    async def request(
        self,
        pattern: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the word the whole product uses for it
        *,
        repo: str | Path | None = None,
        base: str = "",
        id: str | None = None,  # noqa: A002 - the word the whole product uses for it
        options: RequestOptions | Mapping[str, Any] | None = None,
        source: PatternFile | None = None,
        answer_within_s: float = 30.0,
    ) -> Execution:
        """Asks for an execution of `pattern` and returns when an engine has taken it on.

        `id` is the idempotency key (letters, digits, - and _, at most 64): the same request under the same id is the
        same execution. `repo` is a path or URL, `base` the branch to start from. `options` are those of
        `schemas.commands.RequestOptions`. `source` is a pattern's file, for one that the services do not have;
        `pattern` is then the name that it gives itself.

        Raises RequestRejected with every reason, or Unanswered when no engine is there: the request is stored then,
        and runs when one is.
        """
        if id == "":
            hint = "Leave it out, and one is made; an empty one would be another execution each time."
            raise RequestRejected("", [Problem(where="execution_id", what="The id is empty.", hint=hint)])
        execution_id = id if id is not None else new_id()
        request = ExecutionRequest(
            pattern=pattern,
            input=dict(input or {}),
            execution_id=execution_id,
            repo=_repository(repo, base),
            options=_options(options),
            source=UNSET if source is None else source,
        )
        execution = Execution(self, execution_id)
        if id is None:
            execution.expect(await self.endings.expect(execution_id))
        reply = await self._ask(subjects.REQUEST, request, execution_id, answer_within_s)
        if reply.status == "rejected":
            raise RequestRejected(reply.execution_id, reply.errors)
        return execution

    def execution(self, execution_id: str) -> Execution:
        """Takes hold of an execution by its id. Raises UnknownExecution for what cannot be one."""
        if not subjects.is_execution_id(execution_id):
            raise UnknownExecution(execution_id)
        return Execution(self, execution_id)

    async def command(self, execution_id: str, verb: str, body: Model, *, answer_within_s: float = 30.0) -> None:
        """Has a command carried out. Raises CommandRejected, UnknownExecution or Unanswered."""
        reply = await self._ask(subjects.command(execution_id, verb), body, execution_id, answer_within_s)
        if reply.status == "rejected":
            raise CommandRejected(execution_id, verb, reply.errors)

    async def replay(self, execution_id: str, *, timeout_s: float = 60.0) -> ReplayReport:
        """Has an engine run an execution again against its log. Raises Unanswered when there is no engine."""
        query = ReplayQuery(execution_id=execution_id)
        return await self.ask(subjects.QUERY_REPLAY, query, ReplayReport, who="pattern engine", timeout_s=timeout_s)

    async def ask(self, subject: str, query: Model, answer: type[T], *, who: str, timeout_s: float = 30.0) -> T:
        """Asks a service something that changes nothing; one that is being started again just now is waited for.

        Raises Unanswered when none of them answers within `timeout_s`, or says that it cannot.
        """
        now = asyncio.get_running_loop().time
        until, there_by = now() + timeout_s, now() + _RESTART_S
        while True:
            try:
                return await self.bus.request(subject, query, answer, timeout_s=max(0.1, until - now()))
            except RequestFailed as error:
                raise Unanswered(f"The {who} could not answer: {error}", hint="Its log tells more.") from error
            except (NoResponder, TimeoutError) as error:
                if isinstance(error, TimeoutError) or now() > min(until, there_by):
                    raise Unanswered(f"No {who} answered.", hint="`parallax status` tells what runs.") from error
            await asyncio.sleep(_AGAIN_S)

    async def _open(self) -> Self:
        if self._bus is None:
            keep_quiet()
            url = self._url or find_nats(self._data)
            try:
                self._bus = await Bus.connect(url, name="client", timeout_s=self._timeout_s)
            except NoServer as error:
                hint = "Is the address right? `parallax up` starts a server where the settings name none."
                raise Unreachable(str(error), hint=hint) from error
            self._inbox = self._bus.new_inbox()
            await self._bus.serve(f"{self._inbox}.*", CommandReply, self._replied)
        return self

    async def _replied(self, reply: CommandReply, message: Message) -> None:
        waiting = self._replies.get(message.subject)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    async def _ask(self, subject: str, body: Model, execution_id: str, within_s: float) -> CommandReply:
        """Publishes durably and waits for the engine's answer."""
        number = str(next(self._numbers))
        inbox = f"{self._inbox}.{number}"
        answer: asyncio.Future[CommandReply] = asyncio.get_running_loop().create_future()
        self._replies[inbox] = answer
        stored = False
        try:
            async with asyncio.timeout(within_s):
                await self.bus.submit(subject, body, msg_id=inbox, reply_to=inbox)
                stored = True
                return await answer
        except TimeoutError:
            raise _unanswered(subject, execution_id, within_s, stored=stored) from None
        except EventTooLarge as error:
            problem = Problem(where="", what=str(error), hint="Put large inputs into the repository.")
            raise RequestRejected(execution_id, [problem]) from error
        finally:
            del self._replies[inbox]


def _unanswered(subject: str, execution_id: str, within_s: float, *, stored: bool) -> Unanswered:
    """What to say of a request or a command that no engine has answered: what is stored, and how to find it again."""
    asked = "request" if subject == subjects.REQUEST else "command"
    if stored:
        what = f"The {asked} for execution {execution_id} is stored and will be carried out when an engine runs."
        hint = f"`parallax events {execution_id} --follow` shows it then; `parallax status` tells what runs."
    else:
        what = f"The {asked} for execution {execution_id} could not be stored; asking again is safe."
        hint = "`parallax status` tells what runs."
    return Unanswered(f"No pattern engine answered within {within_s:g} s. {what}", execution_id=execution_id, hint=hint)


def _repository(repo: str | Path | None, base: str) -> Repository | None:
    """A path that is there is made absolute: the services do not share the client's working directory."""
    if repo is None:
        return None
    local = Path(repo).expanduser()
    return Repository(url=str(local.resolve()) if local.exists() else str(repo), base=base)


def _options(options: RequestOptions | Mapping[str, Any] | None) -> RequestOptions:
    if isinstance(options, RequestOptions):
        return options
    given = dict(options or {})
    if problems := check_options(given):
        raise RequestRejected("", problems)
    try:
        return msgspec.convert(given, RequestOptions)
    except msgspec.ValidationError as error:
        raise RequestRejected("", [Problem(where="options", what=str(error))]) from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "client"
