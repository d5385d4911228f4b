"""The kit for writing agents: a handler for tasks, and everything around it done for you.

    agent = parallax.Agent("reviewer-1", capabilities=["code_review"])

    @agent.task
    async def review(task: parallax.Task) -> parallax.Result:
        return parallax.Result({"verdict": "approve"}, confidence=0.8)

    agent.run()

The agent registers and stays registered, takes up to `max_concurrency` tasks at once, answers an offer that is repeated
from memory, stops what is cancelled, reconnects for ever, and on SIGTERM takes nothing more and finishes what it has.

A handler is a coroutine or a plain `def`, which runs in a thread. No thread can be interrupted: after a cancellation
the task keeps its place until the function returns, so that it never runs beside the next one; it may look at
`task.cancelled`. While an execution is paused, `task.paused` is true, and `await task.resumed()` waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import platform
import signal
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, TypeVar, cast

import structlog

from parallax.agent_task import AgentError, Result, RunningTask, Task, call, json_of
from parallax.client_address import find_nats, is_embedded
from parallax.client_errors import ParallaxError
from schemas.agents import (
    AgentRegistration,
    OutputLine,
    TaskAccepted,
    TaskControl,
    TaskFault,
    TaskOffer,
    TaskProgress,
    TaskQuestion,
    TaskRefused,
    TaskResult,
)
from schemas.base import LONGEST_TOKEN, Failure
from shared import subjects
from shared.bus import Bus, BusError, EventTooLarge, Unreachable
from shared.enrolment import Enrolment
from shared.ids import new_id
from shared.shortening import shortened

__all__ = ["Agent", "AgentError", "Result", "Task"]

_log = structlog.get_logger(__name__)

Handler = Callable[[Task], Any]
F = TypeVar("F", bound=Handler)

_REMEMBERED = 4096
_LONGEST_FAULT, _LONGEST_LINE, _LONGEST_PROGRESS = 4000, 4096, 500
_SIGN_OF_LIFE_S = 2.0
_SOON_S = 0.25
_DRAIN_S = 30.0
_TRY_S = 10.0
_FIND_AGAIN_S = 0.5
_BLOCKED_S = 2.0


class Agent:
    """An agent: a name, what it is able to do, and one handler.

    `name` is its id in the registry; a program that a runtime started for an execution takes the id it was given
    instead. `url` names the servers; without it they are those of `PARALLAX_NATS_URL` or of the embedded stack.
    Raises AgentError for a name that cannot be an id.
    """

    def __init__(
        self,
        name: str,
        capabilities: Sequence[str] = (),
        *,
        kind: str = "custom",
        max_concurrency: int = 1,
        url: str | None = None,
        version: str = "",
    ) -> None:
        given: Mapping[str, str] = os.environ if url is None else {}  # noqa: TID251 - a runtime says in it who this program is
        self.id = given.get("PARALLAX_AGENT_ID") or name
        if not subjects.is_token(self.id):
            raise AgentError(
                f"{name!r} cannot be an agent's name: use letters, digits, - and _, at most {LONGEST_TOKEN} of them."
            )
        if isinstance(capabilities, str):
            raise AgentError(f"capabilities is a list of words; write [{capabilities!r}].")
        if max_concurrency < 1:
            raise AgentError(f"max_concurrency is {max_concurrency}, but an agent takes at least one task at a time.")
        execution_id = given.get("PARALLAX_EXECUTION_ID", "")
        self.registration = AgentRegistration(
            agent_id=self.id,
            name=name,
            kind=kind,
            capabilities=list(capabilities),
            # of this process alone: another one under the same id must not take its offers
            inbox=subjects.agent_task(self.id) if execution_id else subjects.agent_inbox(self.id, new_id()[-8:]),
            execution_id=execution_id,
            role=given.get("PARALLAX_ROLE", ""),
            session=given.get("PARALLAX_SESSION", ""),
            max_concurrency=max_concurrency,
            host=platform.node(),
            pid=os.getpid(),
            version=version,
        )
        self._url = url
        self._handler: Handler | None = None
        self._running: dict[str, RunningTask] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._memory: OrderedDict[str, TaskResult | TaskFault] = OrderedDict()
        self._bus: Bus | None = None
        self._enrolment: Enrolment | None = None
        self._gone = False
        self._begun = asyncio.Event()
        self._stopping = asyncio.Event()

    def task(self, handler: F) -> F:
        """Makes a function the handler of the agent's tasks: `async def` or plain, one parameter, the `Task`."""
        if self._handler is not None:
            raise AgentError(f"The agent {self.id} has a handler already; one agent has one.")
        if not callable(handler):
            raise AgentError("@agent.task is put before a function; write it without brackets.")
        if len(inspect.signature(handler).parameters) != 1:
            raise AgentError(f"The handler {getattr(handler, '__name__', handler)!r} must take one argument, the task.")
        self._handler = handler
        return handler

    def run(self) -> None:
        """Runs until SIGTERM or Ctrl-C; a second signal ends the process at once."""
        asyncio.run(self._run_until_signalled())

    async def serve(self) -> None:
        """Runs until `stop` is called, as one task among others of a program with a loop of its own."""
        if self._handler is None:
            raise AgentError(
                f"The agent {self.id} has no handler: put @agent.task before the function that does tasks."
            )
        self._stopping.clear()
        while (found := await self._connected()) is not None:
            bus, url = found
            if not await self._serve_on(bus, url):
                return

    async def _serve_on(self, bus: Bus, url: str) -> bool:
        """Serves until the agent is stopped. True: until the embedded stack came up at another address."""
        self._bus, self._gone = bus, False
        enrolment = self._enrolment = Enrolment(bus, self.registration, lambda: list(self._running))
        beside: list[asyncio.Task[Any]] = []
        try:
            offers = [await bus.serve(self.registration.inbox, TaskOffer, self._offered)]
            if self.registration.inbox != subjects.agent_task(self.id):
                offers.append(await bus.serve(subjects.agent_task(self.id), TaskOffer, self._called, queue=self.id))
            controls = await bus.serve(subjects.agent_control(self.id), TaskControl, self._control)
            enrolment.start()
            self._begun.set()
            beside = [
                asyncio.create_task(self._say_registered(bus, enrolment), name=f"registered-{self.id}"),
                asyncio.create_task(self._stay_alive(), name=f"signs-of-life-{self.id}"),
            ]
            moving = asyncio.create_task(self._moved(bus, url), name=f"address-{self.id}")
            stopping = asyncio.create_task(self._stopping.wait(), name=f"stop-{self.id}")
            beside += [moving, stopping]
            await asyncio.wait({moving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                await enrolment.forget()
                return True
            await enrolment.leave("the agent is leaving")
            for served in offers:
                await served.stop()
            await self._drain()
            await controls.stop()
            return False
        finally:
            self._gone = True
            for task in beside:
                task.cancel()
            for running in list(self._running.values()):
                if running.task is not None:
                    running.task.cancel()
            if bus.connected:
                with contextlib.suppress(BusError, TimeoutError):
                    await bus.flush()
            await bus.close()
            self._bus = None

    async def _connected(self) -> tuple[Bus, str] | None:
        """A bus and its address, as soon as there is a server; None when the agent is stopped before.

        Where no address was given, the embedded stack is looked for again and again: the next one may have another.
        """
        said = ""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not stopping.done():
                try:
                    url = self._url or find_nats()
                except ParallaxError as error:
                    if said != error.message:
                        said = error.message
                        _log.warning(f"{self.id} waits: {error.message} {error.hint}")
                    await asyncio.wait({stopping}, timeout=_FIND_AGAIN_S)
                    continue
                patience = _TRY_S if self._may_move else None
                connecting = asyncio.create_task(Bus.connect(url, name="agent", timeout_s=patience))
                await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not connecting.done():
                    connecting.cancel()
                    await asyncio.wait({connecting})
                elif not isinstance(connecting.exception(), Unreachable):
                    return connecting.result(), url
            return None
        finally:
            stopping.cancel()

    @property
    def _may_move(self) -> bool:
        """Whether the address is that of an embedded stack, which may have another one the next time."""
        return self._url is None and is_embedded()

    async def _moved(self, bus: Bus, url: str) -> None:
        """Returns when there is no server at the address any more, and the embedded stack has another one."""
        while True:
            await asyncio.sleep(_FIND_AGAIN_S * 2)
            if not bus.connected and self._may_move:
                with contextlib.suppress(ParallaxError):
                    if find_nats() != url:
                        return

    async def _say_registered(self, bus: Bus, enrolment: Enrolment) -> None:
        """One line, once the agent is in the registry."""
        await enrolment.registered.wait()
        skills = ", ".join(self.registration.capabilities) or "no special capability"
        at_once = self.registration.max_concurrency
        rate = "one task at a time" if at_once == 1 else f"up to {at_once} tasks at once"
        _log.info(f"{self.id} is registered at {bus.connection.shown_url}: {skills}, {rate}.")

    def stop(self) -> None:
        """Takes nothing more; `serve` returns when what is running is finished."""
        self._stopping.set()

    async def registered(self) -> None:
        """Returns when the agent is in the registry."""
        await self._begun.wait()
        assert self._enrolment is not None, "an agent that has begun is enrolled"
        await self._enrolment.registered.wait()

    @property
    def refused(self) -> str:
        """Why the registry does not take the agent, as a sentence; empty while nothing is known against it."""
        return self._enrolment.refused if self._enrolment is not None else ""

    # -- tasks --------------------------------------------------------------------------------------------------------

    async def _offered(self, offer: TaskOffer) -> None:
        """Takes a task, says again how it stands, or refuses it."""
        known = self._memory.get(offer.task_id)
        if known is not None and known.attempt == offer.attempt:
            await self._say(offer.reply_to, known)
            return
        running = self._running.get(offer.task_id)
        if running is not None:
            await self._again(running, offer)
            return
        if len(self._running) >= self.registration.max_concurrency or self._stopping.is_set():
            await self._refuse(offer, "the agent is leaving" if self._stopping.is_set() else self._busy())
            return
        running = self._running[offer.task_id] = RunningTask(offer)
        running.task = asyncio.current_task()
        await self._do(running)

    async def _called(self, offer: TaskOffer) -> None:
        """An offer at the address that all processes of this id have: for the one that is registered.

        One to a session of an execution, which may be called like this agent, is not for an agent that came by itself.
        """
        if not self.refused and not offer.life:
            await self._offered(offer)

    async def _refuse(self, offer: TaskOffer, reason: str) -> None:
        word = TaskRefused(task_id=offer.task_id, attempt=offer.attempt, agent_id=self.id, reason=reason)
        await self._say(offer.reply_to, word)

    def _busy(self) -> str:
        kept = [one.offer.task_id for one in self._running.values() if one.cancelled and one.in_thread]
        if kept:
            return f"{', '.join(kept)} was cancelled, and its handler, a plain `def`, has not returned yet"
        return f"busy with {len(self._running)} tasks"

    async def _again(self, running: RunningTask, offer: TaskOffer) -> None:
        """An offer of a task that is being done: the same one again, or another attempt, which ends this one."""
        if offer.attempt == running.offer.attempt:
            running.offer = offer
            await self._accept(running)
            if running.question is not None:
                await self._say(offer.reply_to, running.question)
        elif offer.attempt > running.offer.attempt and running.task is not None:
            if not running.cancelled:
                running.cancel("another attempt was begun")
            if running.in_thread:
                await self._refuse(offer, self._busy())
                return
            await asyncio.wait({running.task})
            await self._offered(offer)

    async def _do(self, running: RunningTask) -> None:
        offer = running.offer
        ended: TaskResult | TaskFault
        try:
            ended = await self._result(running)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            cancelling = current.uncancel() if current is not None and current.cancelling() else -1
            if cancelling >= 0 and not running.cancelled:
                self._running.pop(offer.task_id, None)
                raise
            if running.cancelled:
                ended = self._fault(offer, "cancelled", running.cancelled)
            else:
                ended = self._fault(offer, "task_failed", "The handler was cancelled by something of its own.")
        except AgentError as error:
            ended = self._fault(offer, "task_failed", str(error))
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - what a handler raises is the task's failure, not the agent's
            _log.warning("task_failed", task_id=offer.task_id, error=traceback.format_exc(limit=-5))
            ended = self._fault(offer, "task_failed", f"{type(error).__name__}: {error}")
        self._running.pop(offer.task_id, None)
        self._remember(ended)
        try:
            await self._say(running.offer.reply_to, ended)
        except EventTooLarge as error:
            ended = self._fault(offer, "result_too_large", str(error))
            self._remember(ended)
            await self._say(running.offer.reply_to, ended)

    async def _result(self, running: RunningTask) -> TaskResult:
        handler = cast("Handler", self._handler)
        task = Task(
            running.offer,
            say=lambda text: self._progress(running, text),
            ask=lambda question, options: self._ask(running, question, options),
            loop=asyncio.get_running_loop(),
            state=running.switches,
        )
        if inspect.iscoroutinefunction(handler):
            value = await handler(task)
        else:
            value = await self._in_thread(running, handler, task)
            if inspect.isawaitable(value):
                value = await value
        result = value if isinstance(value, Result) else Result(value)
        offer = running.offer
        return TaskResult(
            task_id=offer.task_id,
            attempt=offer.attempt,
            agent_id=self.id,
            result=json_of(result.value),
            confidence=result.confidence,
            usage=result.usage,
        )

    async def _in_thread(self, running: RunningTask, handler: Handler, task: Task) -> Any:
        """What a plain function returns. Cancelled, it still has its thread: the place is kept until that ends."""
        running.in_thread = True
        context = copy_context()

        def work() -> Any:
            return context.run(call, handler, task)

        thread = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            if not thread.done():
                running.cancel_questions()
                _log.warning(
                    "handler_runs_on",
                    agent_id=self.id,
                    task_id=running.offer.task_id,
                    hint="a plain `def` cannot be interrupted: its place is kept until it returns; "
                    "have it look at task.cancelled",
                )
            while not thread.done() and not self._gone:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({thread})
            if thread.done() and not thread.cancelled():
                thread.exception()  # nobody asks for it any more
            raise
        finally:
            running.in_thread = not thread.done()

    def _fault(self, offer: TaskOffer, code: str, message: str) -> TaskFault:
        return TaskFault(
            task_id=offer.task_id,
            attempt=offer.attempt,
            agent_id=self.id,
            error=Failure(code=code, message=shortened(message, _LONGEST_FAULT), where=offer.role),
        )

    def _remember(self, ended: TaskResult | TaskFault) -> None:
        self._memory[ended.task_id] = ended
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)

    # -- talking ------------------------------------------------------------------------------------------------------

    async def _say(self, subject: str, message: object) -> None:
        if self._bus is not None and subject:
            await self._bus.publish(subject, message)

    async def _accept(self, running: RunningTask) -> None:
        offer = running.offer
        word = TaskAccepted(
            task_id=offer.task_id, attempt=offer.attempt, agent_id=self.id, paused=running.switches.paused
        )
        await self._say(offer.reply_to, word)

    def _progress(self, running: RunningTask, text: str) -> None:
        telling = asyncio.create_task(self._tell(running, str(text)))
        self._telling.add(telling)  # the loop alone would not keep it
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, running: RunningTask, text: str) -> None:
        offer = running.offer
        line = OutputLine(
            agent_id=self.id,
            execution_id=offer.execution_id,
            task_id=offer.task_id,
            stream="progress",
            text=shortened(text, _LONGEST_LINE),
        )
        word = TaskProgress(
            task_id=offer.task_id, attempt=offer.attempt, agent_id=self.id, text=shortened(text, _LONGEST_PROGRESS)
        )
        with contextlib.suppress(BusError):
            await self._say(offer.reply_to, word)
            await self._say(subjects.agent_output(self.id), line)

    async def _ask(self, running: RunningTask, question: str, options: Sequence[str]) -> Any:
        offer = running.offer
        running.questions += 1
        running.question = TaskQuestion(
            task_id=offer.task_id,
            attempt=offer.attempt,
            agent_id=self.id,
            question_id=f"{offer.task_id}-{offer.attempt}-{running.questions}",
            question=str(question),
            options=[str(option) for option in options],
        )
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        running.answers[running.question.question_id] = waiting
        await self._say(offer.reply_to, running.question)
        return await waiting

    async def _control(self, word: TaskControl) -> None:
        if word.action == "stop":
            if not self.refused:
                self.stop()
            return
        running = self._running.get(word.task_id)
        if running is None:
            return
        match word.action:
            case "cancel":
                if not running.cancelled:
                    running.cancel(word.reason)
            case "pause":
                running.switches.pause()
            case "resume":
                running.switches.resume()
            case "answer":
                running.answer(word.question_id, word.value)

    async def _stay_alive(self) -> None:
        """Says soon that a task was taken, where its result does not come sooner, and then again and again."""
        said: set[tuple[str, int]] = set()
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            before = loop.time()
            await asyncio.sleep(_SOON_S)
            if loop.time() - before > _BLOCKED_S:
                _log.warning("handler_blocks", agent_id=self.id, hint="a handler that blocks must be a plain `def`")
            due = loop.time() - last >= _SIGN_OF_LIFE_S
            last = loop.time() if due else last
            current = {
                (offer.task_id, offer.attempt): running
                for running in self._running.values()
                if (offer := running.offer)
            }
            for key, running in current.items():
                if due or key not in said:
                    with contextlib.suppress(BusError):
                        await self._accept(running)
            said = set(current)

    # -- leaving ------------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        tasks = {running.task for running in self._running.values() if running.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=_DRAIN_S)

    async def _run_until_signalled(self) -> None:
        loop = asyncio.get_running_loop()

        def asked() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked)
        await self.serve()
