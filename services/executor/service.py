"""The executor.

Hears: `task.requested`, `verification.requested` and `http.requested` (work, from the log); what becomes of agents,
worktrees, questions and executions (following, from the log); the registry's keys in etcd (a watch); the answers of
agents, at an inbox of its own.

Says: `task.waiting|started|retrying|completed|failed|cancelled|finished`, `agent.spawn_requested`,
`workspace.prepare_requested`, `question.asked`, `verification.completed`, `http.completed`; offers and controls to
`parallax.agents.<id>.task` and `.control`; `parallax.runtimes.local.verify`.

Owns: nothing that is not in the log, but for the claims of tasks to sessions, in a key-value bucket. Any number of
executors may run at once.
"""

from __future__ import annotations

import asyncio
import random

import structlog

from schemas.agents import AgentMessage, TaskControl, TaskOffer, TaskQuestion
from schemas.base import Failure
from schemas.events import (
    AgentLost,
    AgentStopped,
    QuestionAnswered,
    QuestionAsked,
    TaskFinished,
    TaskRequested,
    WorkspaceCommitted,
    WorkspacePrepared,
)
from services.executor import machine
from services.executor.claims import Claims
from services.executor.delays import Delays
from services.executor.fleet import Fleet
from services.executor.histories import Histories
from services.executor.http_calls import HttpCalls
from services.executor.life import Life
from services.executor.machine import Faulted
from services.executor.messages import malformed, misplaced, question_id, turn_of
from services.executor.picture import watch_registry
from services.executor.sessions import Sessions
from services.executor.turns import Turn, Turns
from services.executor.verifying import Verifier
from services.executor.views import FOLLOWED, Views
from shared import subjects
from shared.bus import Bus, Delivery, EventTooLarge, Message, Recorded, Retry
from shared.config import Settings
from shared.service import Service
from shared.shortening import shortened

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.1
_CONCURRENCY = 1_000

_ACK_WAIT_S = 2.5
"""So soon the tasks of an executor that was killed come to another one. Two at one task at a time harm nothing."""
_LONGEST_REASON = 2_000
_ENDS = ("task.completed", "task.failed", "task.cancelled")


class Executor(Service):
    """Has tasks done by agents."""

    name = "executor"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        self.inbox = bus.new_inbox()
        self.placing_s = settings.agent_timeout_ms / 1000
        self.slots = asyncio.Semaphore(settings.max_concurrency)
        self.views = Views(bus)
        self.histories = Histories(bus)
        self.claims = Claims(bus)
        self.sessions = Sessions(bus, self.views, settings.max_concurrency)
        self.fleet = Fleet(self._agent_gone, self._agent_came, self._agent_replaced)
        self.delays = Delays(self.views.paused.__contains__)
        self.turns = Turns(
            self._tell,
            self._asked,
            silence_s=settings.agent_timeout_ms / 1000,
            paused=self.views.paused.__contains__,
        )
        self.http = HttpCalls(bus, settings.http_allow)
        self.verifier = Verifier(bus, self.sessions, self.placing_s)
        self._lives: dict[str, Life] = {}
        self._resumed: dict[str, asyncio.Event] = {}
        self._from = 0

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begins to follow, then to take work."""
        await self.claims.start()
        self._from = await self.bus.last_seq()
        await self.bus.serve(f"{self.inbox}.>", AgentMessage, self._heard_agent, unreadable=self._heard_noise)
        self.spawn(self._follow(), name="follow")
        self.spawn(self._look(), name="clocks")
        self.spawn(watch_registry(self.settings, self.fleet), name="registry")
        self._tasks = await self.bus.work(
            durable="executor-tasks",
            stream="events",
            filters=[subjects.event("*", "task", "requested")],
            handler=self._task,
            concurrency=_CONCURRENCY,
            ack_wait_s=_ACK_WAIT_S,
            parked=self.task_parked,
        )
        self._verifications = await self.bus.work(
            durable="executor-verifications",
            stream="events",
            filters=[subjects.event("*", "verification", "requested")],
            handler=self.verifier.verify,
            concurrency=64,
            parked=self.verifier.parked,
        )
        self._requests = await self.bus.work(
            durable="executor-http",
            stream="events",
            filters=[subjects.event("*", "http", "requested")],
            handler=self.http.call,
            concurrency=64,
            ack_wait_s=_ACK_WAIT_S,
            parked=self.http.parked,
        )

    async def stop(self) -> None:
        """Takes no more. Turns that run go on, and are taken over by the next executor."""
        await self._tasks.stop(grace_s=0.5)
        await self._verifications.stop(grace_s=0.5)
        await self._requests.stop(grace_s=0.5)

    def jitter(self) -> float:
        """A number in [0, 1)."""
        return random.random()

    async def unpaused(self, execution_id: str) -> None:
        """Returns when the execution is not paused."""
        while execution_id in self.views.paused:
            await self._resumed.setdefault(execution_id, asyncio.Event()).wait()

    # -- work -------------------------------------------------------------------------------------------------------

    async def _task(self, delivery: Delivery) -> None:
        request = delivery.data
        if not isinstance(request, TaskRequested):
            return
        state = machine.opened(request, self.settings.agent_retries)
        life = Life(self, delivery, state)
        if request.task_id in self._lives:
            other = self._lives[request.task_id]
            await other.over.wait()
            if other.state.phase != "ended":  # it failed: to acknowledge now would forget the task
                raise Retry(0.2)
            return
        self._lives[request.task_id] = life
        try:
            if delivery.attempt > 1 or delivery.seq <= self._from:
                await self._catch_up(life, request)
            unwanted = self.views.unwanted(request.execution_id, request.task_id)
            if unwanted and life.state.phase != "ended":
                await life.withdraw(unwanted)
            await life.run()
        finally:
            del self._lives[request.task_id]
            life.over.set()

    async def task_parked(self, delivery: Delivery, reason: str) -> None:
        """A task that could not be handled again and again ends with a word: its execution waits for it."""
        request = delivery.data
        if isinstance(request, TaskRequested):
            error = Failure(
                code="not_handled", message=f"The task could not be handled: {shortened(reason, _LONGEST_REASON)}"
            )
            state = machine.opened(request, 0)
            await self.bus.append(machine.failed(state, error, jitter=0.0), cause=delivery)

    async def _catch_up(self, life: Life, request: TaskRequested) -> None:
        """Brings a task that was delivered before to where the log says it stands."""
        await self.views.get(request.execution_id, asyncio.get_running_loop().time())
        for record in await self.histories.of_task(request.execution_id, request.task_id):
            life.hear(record)
        if life.state.phase == "ended" and self.sessions.exclusive(request):
            session = life.state.session
            if session:
                await self.claims.release(request.execution_id, session, request.task_id)

    # -- agents -----------------------------------------------------------------------------------------------------

    async def _heard_agent(self, word: AgentMessage, message: Message) -> None:
        now = asyncio.get_running_loop().time()
        turn = self.turns.at(*turn_of(message.subject))
        wrong = misplaced(word, turn.offer) if turn is not None else None
        if turn is not None and wrong is not None:
            self.turns.garbled(turn, wrong, now)
        else:
            self.turns.hear(word, now)

    async def _heard_noise(self, message: Message, reason: str) -> None:
        turn = self.turns.at(*turn_of(message.subject))
        if turn is not None:
            wrong = malformed(message.payload, reason)
            self.turns.garbled(turn, wrong, asyncio.get_running_loop().time())

    async def _tell(self, word: TaskOffer | TaskControl, agent_id: str) -> None:
        if isinstance(word, TaskOffer):
            await self.bus.publish(self.fleet.inbox(word) or subjects.agent_task(agent_id), word)
        else:
            await self.bus.publish(subjects.agent_control(agent_id), word)

    def _agent_gone(self, agent_id: str, reason: str) -> None:
        self.turns.lost(agent_id, reason, asyncio.get_running_loop().time())

    def _agent_came(self, agent_id: str) -> None:
        if len(self.turns):
            self.spawn_short(
                self.turns.came(agent_id, asyncio.get_running_loop().time()), name=f"offer-again-{agent_id}"
            )

    def _agent_replaced(self, agent_id: str) -> None:
        self.turns.replaced(agent_id)
        self._agent_came(agent_id)

    def _asked(self, turn: Turn, question: TaskQuestion) -> None:
        self.spawn_short(self._ask(turn, question), name=f"ask-{question.question_id}")

    async def _ask(self, turn: Turn, question: TaskQuestion) -> None:
        """Puts an agent's question into the log, or gives the answer that the log has already."""
        offer = turn.offer
        life = self._lives.get(offer.task_id)
        asked_as = question_id(offer, question)
        asked = QuestionAsked(
            execution_id=offer.execution_id,
            question_id=asked_as,
            question=question.question,
            options=question.options,
            task_id=offer.task_id,
            role=offer.role,
            effect=life.state.request.effect if life else "",
        )
        ids = {asked_as, question.question_id}  # a log of before has it under the id that the agent gave it
        known, answer = False, None
        async for record in self.bus.read(offer.execution_id, types=(QuestionAsked.TYPE, QuestionAnswered.TYPE)):
            match record.data:
                case QuestionAsked(question_id=name, task_id=offer.task_id) if name in ids:
                    known = True
                case QuestionAnswered(question_id=name, task_id=offer.task_id) if name in ids:
                    answer = answer or record.data
                case _:
                    pass
        if answer is not None:
            await self._answer(answer)
        if known:
            return
        try:
            await self.bus.append(asked)
        except EventTooLarge as error:
            fault = Faulted(error=Failure(code="question_too_large", message=str(error), where=error.where))
            await self.turns.stop(turn, fault, asyncio.get_running_loop().time())

    async def _answer(self, event: QuestionAnswered) -> None:
        if event.task_id:
            now = asyncio.get_running_loop().time()
            await self.turns.answer(event.task_id, event.question_id, event.value, now)

    # -- following --------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        filters = [subjects.event("*", *kind.split(".")) for kind in FOLLOWED]
        async for record in self.bus.follow(filters, after=self._from):
            try:
                await self._heard(record)
            except Exception as error:  # noqa: BLE001 - one event that cannot be used must not end the following
                _log.exception("event_not_followed", type=record.type, seq=record.seq, exc_info=error)

    async def _heard(self, record: Recorded) -> None:
        now = asyncio.get_running_loop().time()
        since = self.views.paused.get(record.execution_id)
        self.views.hear(record, now)
        match record.data:
            case TaskFinished() | WorkspacePrepared() | WorkspaceCommitted():
                life = self._lives.get(record.data.task_id)
                if life is not None:
                    life.hear(record)
            case AgentLost() as event:
                self.turns.lost(event.agent_id, "its lease ended", now)
            case AgentStopped() as event:
                by_itself = event.exit_code is not None
                self.turns.gone(event.agent_id, event.reason, life=event.life, by_itself=by_itself)
            case QuestionAnswered() as event:
                await self._answer(event)
            case _:
                await self._heard_state(record, since, now)

    async def _heard_state(self, record: Recorded, paused_since: float | None, now: float) -> None:
        match record.type:
            case "execution.resumed":
                if paused_since is not None:
                    self.turns.went_on(record.execution_id, now - paused_since, now)
                self._wake(record.execution_id)
                self._tell_pause(record.execution_id, paused=False)
            case "execution.paused":
                self._tell_pause(record.execution_id, paused=True)
            case "execution.cancelled" | "execution.failed":
                self._wake(record.execution_id)
                reason = self.views.unwanted(record.execution_id, "")
                for life in list(self._lives.values()):
                    if life.state.request.execution_id == record.execution_id:
                        await life.withdraw(reason)
            case "task.cancel_requested":
                life = self._lives.get(record.data.task_id)
                if life is not None:
                    await life.withdraw(record.data.reason or "no longer needed")
            case _:
                pass

    def _tell_pause(self, execution_id: str, *, paused: bool) -> None:
        if len(self.turns):
            self.spawn_short(self.turns.pause(execution_id, paused=paused), name=f"pause-{execution_id}")

    def _wake(self, execution_id: str) -> None:
        event = self._resumed.pop(execution_id, None)
        if event is not None:
            event.set()

    # -- clocks -----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = asyncio.get_running_loop().time()
            await self.turns.look(now, connected=self.bus.connected)
            self.fleet.look_again(now)
            self.delays.look(now)
