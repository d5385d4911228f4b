"""One execution in a client's hands: its events, its result, and the ways to interrupt it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from parallax.client_errors import (
    CommandRejected,
    ExecutionCancelled,
    ExecutionFailed,
    Refused,
    RequestRejected,
    UnknownExecution,
)
from parallax.client_events import Event, Outcome, Status, event_of, failure_of, status_of
from schemas.agents import OutputLine
from schemas.base import Problem
from schemas.commands import Answer, Cancel, PatternFile, Pause, ReplayReport, Resume, Signal
from schemas.events import ENDINGS
from schemas.workspaces import WorkspaceAnswer, WorkspaceQuery
from shared import subjects

if TYPE_CHECKING:
    from parallax.client import Client
    from shared.bus import Recorded


_WORDS = {"progress", "message"}
"""The streams of output in which an agent speaks of its work."""


class Execution:
    """A handle, not a copy: everything it tells is read from the log when it is asked."""

    def __init__(self, client: Client, execution_id: str) -> None:
        self._client = client
        self._ending: asyncio.Future[Event] | None = None
        self.id = execution_id

    def __repr__(self) -> str:
        return f"<Execution {self.id}>"

    # -- reading ----------------------------------------------------------------------------------------------------

    async def events(self, *, after: int = 0, follow: bool = True) -> AsyncIterator[Event]:
        """Every event after position `after`: first what is in the log, then, without a gap, what comes.

        Ends with the event that ends the execution; with `follow=False`, with what is in the log now. Events that are
        stored after the ending (agents that are being stopped) are in `history()`.
        """
        if not follow:
            for event in await self.history(after=after):
                yield event
            return
        async for record in self._client.bus.follow([subjects.events_of(self.id)], after=after):
            event = event_of(record)
            yield event
            if event.ends:
                return

    async def history(self, *, types: Collection[str] | None = None, after: int = 0) -> list[Event]:
        """What the log has now, in order; only the `types` given."""
        return [event_of(record) async for record in self._client.bus.read(self.id, types=types, after=after)]

    async def status(self) -> Status:
        """Where it stands. Raises UnknownExecution when the log has nothing under its id."""
        events = await self.history()
        if not events:
            raise UnknownExecution(self.id)
        return status_of(events)

    async def result(self, timeout_s: float | None = None) -> Outcome:
        """Waits for the end. Raises ExecutionFailed, ExecutionCancelled or RequestRejected when it is a bad one.

        Raises TimeoutError after `timeout_s` seconds; the execution goes on regardless.
        """
        async with asyncio.timeout(timeout_s):
            return outcome_of(await self._end())

    async def _end(self) -> Event:
        """The ending; without a look at the log where this client made the request and so heard everything."""
        if self._ending is not None:
            return await asyncio.shield(self._ending)
        endings = self._client.endings
        future = await endings.expect(self.id)
        try:
            known = await self.history(types=ENDINGS)
            return known[0] if known else await future
        finally:
            endings.forget(self.id, future)

    def expect(self, ending: asyncio.Future[Event]) -> None:
        """Gives the future that will hold the ending. For the client that made the request."""
        self._ending = ending

    async def diff(self, *, session: str = "") -> str:
        """What it changed, as a unified diff from its base to its result branch, or to the branch of one session.

        Raises Refused where there is no workspace, Unanswered where no workspace service answers.
        """
        return (await self.patch(session=session)).decode("utf-8", "replace")

    async def patch(self, *, session: str = "") -> bytes:
        """What `diff` tells, byte for byte, whatever the encodings of the files: `git apply` takes it.

        Raises Refused where there is no workspace, Unanswered where no workspace service answers.
        """
        pieces: list[bytes] = []
        offset: int | None = 0
        while offset is not None:
            query = WorkspaceQuery(query="diff", execution_id=self.id, session=session, offset=offset)
            answer = await self._client.ask(subjects.QUERY_WORKSPACE, query, WorkspaceAnswer, who="workspace service")
            if answer.diff is None:
                raise Refused(self.id, answer.errors, what="There is no diff")
            pieces.append(answer.diff.data or answer.diff.text.encode())
            offset = answer.diff.next_offset
        return b"".join(pieces)

    async def output(self, *, follow: bool = False) -> AsyncIterator[OutputLine]:
        """What its agents printed, as far as it is still kept; with `follow`, what they print until it ends too."""
        filters = [subjects.agent_output("*")]  # an agent's id begins with its execution's, but tokens match whole
        last = 0
        if follow:
            async with aclosing(self._until_the_end(filters)) as live:
                async for record in live:
                    last = record.seq
                    if isinstance(record.data, OutputLine) and record.data.execution_id == self.id:
                        yield record.data
        async for record in self._client.bus.stored(filters, after=last, stream="output"):
            if isinstance(record.data, OutputLine) and record.data.execution_id == self.id:
                yield record.data

    async def progress(self) -> AsyncIterator[OutputLine]:
        """What its agents say about their work from now on (`progress` and `message` lines), without end."""
        lines = self._client.bus.follow([subjects.agent_output("*")], stream="output")
        async with aclosing(lines):
            async for record in lines:
                line = record.data
                if isinstance(line, OutputLine) and line.execution_id == self.id and line.stream in _WORDS:
                    yield line

    async def _until_the_end(self, filters: list[str]) -> AsyncGenerator[Recorded]:
        """Output as it comes, until the execution has ended. What is stored by then and was not seen is left."""
        ending = asyncio.create_task(self._end())
        reading: asyncio.Task[Recorded] | None = None
        lines = self._client.bus.follow(filters, after=0, stream="output")
        try:
            while True:
                reading = asyncio.create_task(_next_of(lines))
                await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    return
                yield reading.result()
        finally:
            for task in (ending, reading):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await task
            await lines.aclose()

    # -- interrupting -----------------------------------------------------------------------------------------------

    async def cancel(self, reason: str = "") -> None:
        """Ends it. Its agents are stopped; what was committed stays on its branches."""
        await self._client.command(self.id, "cancel", Cancel(reason=reason, by=self._client.name))

    async def pause(self, reason: str = "") -> None:
        """Freezes its agents; nothing new starts."""
        await self._client.command(self.id, "pause", Pause(reason=reason, by=self._client.name))

    async def resume(self) -> None:
        """Lets a paused execution go on."""
        await self._client.command(self.id, "resume", Resume(by=self._client.name))

    async def signal(self, name: str, data: Any = None) -> None:
        """Sends what a `wait` step waits for. A signal that comes early is kept until it is asked for."""
        await self._client.command(self.id, "signal", Signal(name=name, data=data, by=self._client.name))

    async def answer(self, question_id: str, value: Any, *, reason: str = "") -> None:
        """Answers a question of `question.asked`. The first answer counts."""
        body = Answer(question_id=question_id, value=value, by=self._client.name, reason=reason)
        await self._client.command(self.id, "answer", body)

    async def retry(self, *, id: str | None = None) -> Execution:  # noqa: A002 - as in `Client.request`
        """Requests the same work again as an execution of its own, `id` its idempotency key.

        Raises CommandRejected while this one has not ended and where `id` is its own, UnknownExecution where the log
        has nothing under its id, and what `Client.request` raises.
        """
        if id == self.id:
            what = f"The id {id} is this execution's own; the same request under the same id is the same execution."
            raise CommandRejected(self.id, "retry", [Problem(where="id", what=what, hint="Give another, or none.")])
        events = await self.history(types={"execution.accepted", *ENDINGS})
        if not events:
            raise UnknownExecution(self.id)
        accepted = next((event.data for event in events if event.type == "execution.accepted"), None)
        if accepted is None or not any(event.ends for event in events):
            what = "It was never accepted." if accepted is None else "It has not ended yet."
            hint = "" if accepted is None else f"End it first: `parallax cancel {self.id}`."
            raise CommandRejected(self.id, "retry", [Problem(where="execution_id", what=what, hint=hint)])
        repo: dict[str, Any] = accepted.get("repo") or {}
        return await self._client.request(
            accepted["pattern"],
            accepted.get("input"),
            repo=repo.get("url"),
            base=repo.get("base", ""),
            id=id,
            options=accepted.get("options"),
            source=msgspec.convert(accepted["source"], PatternFile) if accepted.get("source") else None,
        )

    async def replay(self, timeout_s: float = 60.0) -> ReplayReport:
        """Has an engine run the program again against the log; `identical` is its verdict."""
        return await self._client.replay(self.id, timeout_s=timeout_s)


async def _next_of(lines: AsyncGenerator[Recorded]) -> Recorded:
    return await anext(lines)


def outcome_of(event: Event) -> Outcome:
    """The outcome that an ending tells of. Raises what a bad ending is."""
    data = event.data
    match event.type:
        case "execution.completed":
            return Outcome(
                execution_id=event.execution_id,
                value=data.get("result"),
                confidence=data.get("confidence"),
                confidence_source=data.get("confidence_source", ""),
                calibrated=data.get("calibrated", False),
                branch=data.get("branch", ""),
                commit=data.get("commit", ""),
                pr_url=data.get("pr_url", ""),
                approved=data.get("approved"),
                evidence=data.get("evidence") or [],
                unpublished=data.get("unpublished", ""),
            )
        case "execution.cancelled":
            raise ExecutionCancelled(event.execution_id, str(data.get("reason", "")))
        case "execution.rejected":
            errors = [Problem(where=e.get("where", ""), what=e["what"], hint=e.get("hint", "")) for e in data["errors"]]
            raise RequestRejected(event.execution_id, errors)
        case _:
            raise ExecutionFailed(
                event.execution_id,
                failure_of(data),
                branch=data.get("branch", ""),
                commit=data.get("commit", ""),
                evidence=data.get("evidence") or [],
                unpublished=data.get("unpublished", ""),
            )
