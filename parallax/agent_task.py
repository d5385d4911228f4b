"""What a task looks like to the program that does it, and what the program hands back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.agents import TaskOffer, TaskQuestion
from schemas.base import MOST_LEVELS, Usage, too_deep


class AgentError(Exception):
    """The kit was used in a way that cannot work. The message says what to do instead."""


class Result:
    """What a task came to: any JSON value, and how sure the agent is of it, from 0 to 1 (None: it does not say).

    Raises AgentError for a value that has no JSON, or a confidence that is none.
    """

    __slots__ = ("confidence", "usage", "value")

    def __init__(self, value: Any = None, *, confidence: float | None = None, usage: Usage | None = None) -> None:
        given: object = confidence  # what a caller without a type checker hands over may be anything
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if given is not None and not (number and 0.0 <= given <= 1.0):
            raise AgentError(f"$.confidence: {confidence!r} is no number from 0 to 1.")
        self.value = value
        self.confidence = None if confidence is None else float(confidence)
        self.usage = usage

    def __repr__(self) -> str:
        return f"Result({self.value!r}, confidence={self.confidence!r})"


class Said:
    """Something that was said. Awaiting it is allowed and waits for nothing."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


Say = Callable[[str], None]
Ask = Callable[[str, Sequence[str]], Awaitable[Any]]


class Task:
    """A task as it was offered. Good for as long as its handler runs."""

    __slots__ = ("_ask", "_loop", "_offer", "_say", "_state")

    def __init__(
        self,
        offer: TaskOffer,
        *,
        say: Say,
        ask: Ask,
        loop: asyncio.AbstractEventLoop,
        state: TaskSwitches | None = None,
    ) -> None:
        self._offer = offer
        self._state = state or TaskSwitches()
        self._say = say
        self._ask = ask
        self._loop = loop

    @property
    def id(self) -> str:
        """The task's id; the same for every attempt at it."""
        return self._offer.task_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._offer.attempt

    @property
    def execution_id(self) -> str:
        """The execution that wants the task done."""
        return self._offer.execution_id

    @property
    def role(self) -> str:
        """The role in which the agent is asked."""
        return self._offer.role

    @property
    def session(self) -> str:
        """The session of the role; tasks of one session belong together."""
        return self._offer.session

    @property
    def text(self) -> str:
        """What is to be done."""
        return self._offer.task

    @property
    def input(self) -> Any:
        """The input of the step, a JSON value."""
        return self._offer.input

    @property
    def context(self) -> Any:
        """What else is known: the attempt, a critique, earlier results."""
        return self._offer.context

    @property
    def workspace(self) -> Path | None:
        """The worktree to work in, or None. What is changed there is committed by the platform."""
        return Path(self._offer.workspace) if self._offer.workspace else None

    @property
    def cancelled(self) -> str:
        """Why the task is to be stopped; empty while it is wanted. May be asked from any thread.

        A coroutine is cancelled at its next `await`. A plain `def` cannot be interrupted: it has to look here, and
        until it returns the agent takes no other task in its place.
        """
        return self._state.cancelled

    @property
    def paused(self) -> bool:
        """Whether the execution is paused. May be asked from any thread."""
        return self._state.paused

    async def resumed(self) -> None:
        """Returns at once, or when a pause is over: a good thing to await between two steps of the work."""
        await self._state.resumed.wait()

    def wait_while_paused(self) -> None:
        """Like `resumed`, for a handler that is no coroutine. Returns when the task is cancelled, too."""
        self._state.go_on.wait()

    def progress(self, text: str) -> Said:
        """Says a line to whoever watches. May be called from any thread, and awaited or not."""
        self._loop.call_soon_threadsafe(self._say, text)
        return Said()

    async def ask(self, question: str, options: Sequence[str] = ()) -> Any:
        """Asks, and waits for the answer: an agent's task goes on when somebody has given one."""
        return await self._ask(question, list(options))

    def ask_and_wait(self, question: str, options: Sequence[str] = ()) -> Any:
        """Like `ask`, for a handler that is no coroutine. Raises AgentError when called from one."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise AgentError("ask_and_wait would block every task of this agent: use `await task.ask(…)` here.")

        async def asking() -> Any:
            return await self._ask(question, list(options))

        return asyncio.run_coroutine_threadsafe(asking(), self._loop).result()


class TaskSwitches:
    """What others want of a task while it runs. Read from any thread, changed by the agent's loop."""

    __slots__ = ("cancelled", "go_on", "paused", "resumed")

    def __init__(self) -> None:
        self.cancelled = ""
        self.paused = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.resumed = asyncio.Event()
        self.resumed.set()

    def pause(self) -> None:
        """The execution stands still."""
        if not self.cancelled:
            self.paused = True
            self.go_on.clear()
            self.resumed.clear()

    def resume(self) -> None:
        """It goes on."""
        self.paused = False
        self.go_on.set()
        self.resumed.set()

    def cancel(self, reason: str) -> None:
        """The task is to be stopped, which ends a pause as well."""
        self.cancelled = reason or "cancelled"
        self.resume()


class RunningTask:
    """A task that is being done. `in_thread`: by a plain `def`, which cannot be interrupted."""

    __slots__ = ("answers", "in_thread", "offer", "question", "questions", "switches", "task")

    def __init__(self, offer: TaskOffer) -> None:
        self.offer = offer
        self.task: asyncio.Task[None] | None = None
        self.switches = TaskSwitches()
        self.in_thread = False
        self.questions = 0
        self.question: TaskQuestion | None = None
        self.answers: dict[str, asyncio.Future[Any]] = {}

    @property
    def cancelled(self) -> str:
        """Why it is to be stopped; empty while it is wanted."""
        return self.switches.cancelled

    def cancel(self, reason: str) -> None:
        """Stops it: a coroutine at its next `await`, a plain `def` where it looks, or waits for an answer."""
        self.switches.cancel(reason)
        if self.task is not None:
            self.task.cancel()

    def cancel_questions(self) -> None:
        """A thread that waits for an answer is told that there will be none."""
        for waiting in self.answers.values():
            if not waiting.done():
                waiting.set_exception(AgentError(f"The task was cancelled: {self.cancelled or 'the agent leaves'}."))
                waiting.exception()  # nobody may wait for it any more

    def answer(self, question_id: str, value: Any) -> None:
        """Hands an answer to whoever waits for it in the handler."""
        waiting = self.answers.pop(question_id, None)
        if waiting is not None and not waiting.done():
            if self.question is not None and self.question.question_id == question_id:
                self.question = None
            waiting.set_result(value)


def call(handler: Callable[[Task], Any], task: Task) -> Any:
    """Calls a handler in a thread of its own. A StopIteration cannot leave a thread, and would never be heard of."""
    try:
        return handler(task)
    except StopIteration as error:
        raise RuntimeError(f"StopIteration: {error}") from error


def json_of(value: Any) -> Any:
    """The value as plain JSON data. Raises AgentError with a sentence for what has none."""
    try:
        plain = msgspec.to_builtins(value)
        msgspec.json.encode(plain)  # a lone surrogate is found only here
        if too_deep(plain):
            raise ValueError(f"it is nested in more than {MOST_LEVELS} levels")
        return plain
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise AgentError(f"The result cannot be written as JSON: {error}.") from error
