"""The life of one task in the hands of this executor, from its delivery to its end.

The state machine says what is to be appended; this says what is to be waited for in between. Whatever is waited for,
the task may meanwhile be withdrawn, the execution paused, or the log may say that the attempt is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, cast

import structlog

from schemas.agents import AgentRegistration, TaskOffer
from schemas.base import Failure, Json
from schemas.events import Event, TaskWaiting
from services.executor import machine
from services.executor.claims import Claims
from services.executor.delays import SAY_AFTER_S, Delays, Waits, waiting_for
from services.executor.fleet import Fleet
from services.executor.machine import Faulted, Outcome, TaskState
from services.executor.messages import reply_subject
from services.executor.placing import free_agent
from services.executor.sessions import AgentFailed, Sessions
from services.executor.turns import Refused, Turn, Turns
from services.executor.waiting import Interruptible, Withdrawn
from shared.bus import Bus, Delivery, EventTooLarge, Recorded
from shared.clock import Clock
from shared.shortening import shortened

_log = structlog.get_logger(__name__)

_START_WITHIN_S = 0.005
"""So soon an attempt that still runs is in the log."""

_MACHINE_BUSY = "as many agents are at work as PARALLAX_MAX_CONCURRENCY allows"

_WORKSPACE_AWAY = {
    "preparing": "the workspace service has not prepared the worktree yet",
    "committing": "the workspace service has not committed what the agent changed yet",
}

_LONGEST_REASON = 500

_LOOK_AGAIN_S = 15.0
"""A fact that is waited for longer is looked for in the log: nothing stalls because a message was missed."""


class Desk(Protocol):
    """What a life needs of the executor."""

    bus: Bus
    clock: Clock
    fleet: Fleet
    turns: Turns
    claims: Claims
    sessions: Sessions
    inbox: str
    delays: Delays
    placing_s: float
    slots: asyncio.Semaphore

    def jitter(self) -> float:
        """A number in [0, 1)."""
        ...

    async def unpaused(self, execution_id: str) -> None:
        """Returns when the execution is not paused."""
        ...

    def spawn_short(self, work: Coroutine[Any, Any, Any], *, name: str) -> object:
        """Has something done that comes to an end, beside everything else."""
        ...


class Life(Interruptible):
    """One task. `run` returns when the task has an end in the log."""

    def __init__(self, desk: Desk, delivery: Delivery, state: TaskState) -> None:
        super().__init__()
        self.state = state
        self.over = asyncio.Event()
        self._desk = desk
        self._delivery = delivery
        self._request = state.request
        self._turn: Turn | None = None
        self._waits = Waits(lambda: self.state, self._say_waiting)
        self._slot = False
        self._agent: AgentRegistration | None = None
        self._refused_since: float | None = None
        self._starting: asyncio.Task[int] | None = None
        self._start_soon: tuple[asyncio.TimerHandle, Event] | None = None

    # -- from outside -----------------------------------------------------------------------------------------------

    def hear(self, record: Recorded) -> None:
        """An event of the task, from the log."""
        if isinstance(record.data, TaskWaiting):
            self._waits.said.add((record.data.attempt, record.data.reason))
        before = self.state.phase
        self.state = machine.evolve(self.state, record.data, int(record.time.timestamp() * 1000))
        if self._turn is not None and before == "running" and self.state.phase != "running":
            self._turn.settle(None)
        self.wake()

    async def withdraw(self, reason: str) -> None:
        """Nobody wants the task any more: whoever is at it is told to stop."""
        if self.withdrawn:
            return
        self.withdrawn = reason or "no longer needed"
        self.wake()
        if self._turn is not None:
            why = Faulted(error=Failure(code="cancelled", message=reason))
            await self._desk.turns.stop(self._turn, why, self._now())

    # -- the way ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Brings the task to its end."""
        try:
            while self.state.phase != "ended":
                if self.withdrawn:
                    raise Withdrawn
                match self.state.phase:
                    case "placing":
                        await self._place()
                    case "preparing" | "committing":
                        await self._settle()
                    case "starting":
                        await self._begin_in_workspace()
                    case _:
                        await self._await_turn()
        except Withdrawn:
            await self._append(machine.cancelled(self.state, self.withdrawn))
        finally:
            self._let_go_of_agent()
            if self._start_soon is not None:
                self._start_soon[0].cancel()
        if not self.state.session:
            return
        if not self._desk.sessions.exclusive(self._request):
            self._desk.sessions.give_back(self._request, self.state.session)
        else:
            await self._desk.claims.release(self._request.execution_id, self.state.session, self._request.task_id)

    async def _place(self) -> None:
        """Finds a session for the next attempt, and has it prepared or begins at once."""
        desk, request = self._desk, self._request
        self._let_go_of_agent()
        refused = desk.sessions.refusal(request)
        if refused is not None:
            await self._append(machine.failed(self.state, refused, jitter=0.0))
            return
        if self.state.delay_ms:
            await self.unless_withdrawn(desk.clock.sleep(self.state.delay_ms / 1000))
            self.state = machine.waited(self.state)
        await self._unless_paused()
        if not desk.sessions.exclusive(request):
            agent = await self._find_agent(desk.sessions.agent_of(request))
            if agent is not None:
                self.state = machine.seated(
                    self.state, desk.sessions.label(request, self.state.session, agent.agent_id)
                )
                self._start(agent.agent_id)
            return
        self.state = machine.seated(self.state, await self._claim(desk.sessions.most(request)))
        if not request.workspace:
            await self._begin_in_session()
        elif await self._former_agent_ended():
            await self._append(machine.prepare_requested(self.state))

    async def _former_agent_ended(self) -> bool:
        """Has the agent of an attempt that was lost replaced before its worktree is touched: it may be alive, and what
        it writes behind the next attempt's back would be part of the result. False: the attempt has failed over it."""
        desk, request = self._desk, self._request
        if not self.state.was_lost or not desk.sessions.spawns(request):
            return True
        await desk.sessions.replace(request, self.state.session, self._now())
        return await self._agent_of_session() is not None

    async def _begin_in_workspace(self) -> None:
        await self._unless_paused()
        if self.state.session:
            # after a restart the claim is this task's own, or was given back too early
            await self._claim(1)
        await self._begin_in_session()

    async def _claim(self, most: int) -> str:
        """A session of the role, one of at most so many; the one that the task has, if it has one."""
        request, wanted = self._request, self.state.session
        if wanted or most == 1:
            busy = f"its session {wanted or f'{request.role}-1'} is at another task"
        else:
            busy = f"all {most} sessions of {request.role} are at other tasks"
        with self._desk.delays.of(self._waits, lambda: ("role_busy", busy)):
            return await self.unless_withdrawn(
                self._desk.claims.acquire(
                    request.execution_id, request.task_id, role=request.role, most=most, wanted=wanted
                )
            )

    async def _begin_in_session(self) -> None:
        """Has an agent in the session, and hands it the attempt."""
        desk, request = self._desk, self._request
        if not desk.sessions.spawns(request):
            agent = await self._find_agent()
            if agent is not None:
                self._start(agent.agent_id)
                await self._started()
            return
        agent_id = await self._agent_of_session()
        if agent_id is not None:
            self._start(agent_id)
            await self._started()

    async def _agent_of_session(self) -> str | None:
        """The session's own agent, once it has been started. None: it cannot be, and the attempt has failed."""
        desk, request = self._desk, self._request
        if not self._slot:
            with desk.delays.of(self._waits, lambda: ("machine_busy", _MACHINE_BUSY)):
                await self.unless_withdrawn(desk.slots.acquire())
            self._slot = True
        try:
            with desk.delays.of(self._waits, lambda: desk.sessions.why_not_ready(request)):
                return await self.unless_withdrawn(
                    desk.sessions.ready(request, self.state.session, self._now(), within_s=desk.placing_s)
                )
        except AgentFailed as problem:
            await self._append(machine.failed(self.state, problem.error, jitter=desk.jitter()))
            return None

    async def _find_agent(self, only: str = "") -> AgentRegistration | None:
        """A registered agent for the attempt. None: nobody came, and the task has failed."""
        try:
            self._agent = await free_agent(self._desk, self, self._waits, self._request, only)
        except AgentFailed as problem:
            await self._append(machine.failed(self.state, problem.error, jitter=0.0))
            return None
        return self._agent

    def _start(self, agent_id: str) -> None:
        """Says that the attempt is handed to an agent. The offer need not wait for it: offers may be repeated.

        An attempt that ends within some milliseconds is begun and ended in the log at one go.
        """
        event = machine.started(self.state, agent_id)
        self.state = machine.evolve(self.state, event, self._desk.clock.now_ms())
        handle = asyncio.get_running_loop().call_later(_START_WITHIN_S, self._say_started)
        self._start_soon = (handle, event)

    def _say_started(self) -> None:
        if self._start_soon is not None:
            (handle, event), self._start_soon = self._start_soon, None
            handle.cancel()
            self._starting = asyncio.get_running_loop().create_task(
                self._desk.bus.append(event, cause=self._delivery), name=f"started-{self._request.task_id}"
            )

    async def _started(self) -> None:
        """Returns when the beginning of the attempt is in the log."""
        self._say_started()
        if self._starting is not None:
            starting, self._starting = self._starting, None
            await starting

    async def _await_turn(self) -> None:
        """Offers the attempt, waits for how it ends, and says what that is to the log."""
        desk, state = self._desk, self.state
        turn = self._turn = await desk.turns.begin(
            self._offer(), now=self._now(), deadline=self._deadline(), host=desk.sessions.host(self._request)
        )
        if state.attempt == self.state.attempt and self.state.phase != "running":
            turn.settle(None)
        if self._agent is None:
            self._doubt(turn)
        outcome: Outcome | None = None
        try:
            if self.withdrawn:
                await desk.turns.stop(
                    turn, Faulted(error=Failure(code="cancelled", message=self.withdrawn)), self._now()
                )
            outcome = await turn.outcome
        except Refused as refusal:
            await self._after_refusal(str(refusal))
            return
        finally:
            self._turn = None
            desk.turns.end(turn)
            self._say_started()
        self._refused_since = None
        if isinstance(outcome, Faulted) and (outcome.loss == "runtime_lost" or not turn.accepted):
            desk.sessions.distrust(turn.offer)
        if outcome is not None and not self.withdrawn:
            self._let_go_of_agent()
            await asyncio.sleep(0)  # lets the beginning be handed to the log before the end
            await self._conclude(outcome)
        await self._started()
        if self.withdrawn and self.state.phase != "ended":
            raise Withdrawn

    async def _conclude(self, outcome: Outcome) -> None:
        desk = self._desk
        for event in machine.decide(self.state, outcome, jitter=desk.jitter(), at_ms=desk.clock.now_ms()):
            try:
                await self._append(event)
            except EventTooLarge as error:
                fault = Faulted(error=Failure(code="result_too_large", message=str(error), where=error.where))
                for smaller in machine.decide(self.state, fault, jitter=0.0, at_ms=desk.clock.now_ms()):
                    await self._append(smaller)

    async def _after_refusal(self, reason: str) -> None:
        """The agent has no room after all: another one, or the same a little later. That is no attempt."""
        desk = self._desk
        _log.debug("turn_refused", task_id=self._request.task_id, reason=reason)
        self._say_refused(reason)
        if self._agent is None:
            await self.unless_withdrawn(desk.clock.sleep(0.3))
            return
        desk.fleet.shun(self._agent.agent_id, self._now() + 0.25)
        self._let_go_of_agent()
        agent = await self._find_agent()
        if agent is not None:
            self.state = machine.handed_over(self.state, agent.agent_id)

    def _say_refused(self, reason: str) -> None:
        """Says in the log what a task waits for that is refused again and again."""
        now, key = self._now(), (self.state.attempt, "agents_busy")
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since >= SAY_AFTER_S and key not in self._waits.said:
            self._waits.said.add(key)
            who = f"{self.state.agent_id} does not take it: {reason or 'it gives no reason'}"
            self._waits.say(waiting_for(self.state, "agents_busy", shortened(who, _LONGEST_REASON)))

    def _doubt(self, turn: Turn) -> None:
        """The agent may be gone: since it was found ready, or since the attempt was begun by an executor before."""
        desk, agent_id = self._desk, self.state.agent_id
        if desk.sessions.spawns(self._request):
            gone = desk.sessions.gone(self._request.execution_id, agent_id)
            if gone is not None:
                turn.settle(gone)
        elif agent_id in desk.fleet.agents:
            self._agent = desk.fleet.agents[agent_id]
            desk.fleet.hold(agent_id)
        elif desk.fleet.known:
            turn.doubt("it is not registered", self._now())

    async def _settle(self) -> None:
        """Waits for the workspace, and says what then is owed."""
        desk = self._desk
        phase, attempt, waited_s = self.state.phase, self.state.attempt, 0.0
        while self.state.phase == phase and self.state.attempt == attempt:
            waited_ms = round(waited_s * 1000)
            events = machine.owed(self.state, jitter=desk.jitter(), at_ms=desk.clock.now_ms(), waited_ms=waited_ms)
            if events:
                for event in events:
                    await self._append_if_it_fits(event)
                return
            if self.withdrawn:
                raise Withdrawn
            with desk.delays.of(self._waits, lambda: ("workspace_away", _WORKSPACE_AWAY[phase])):
                heard = await self.told(_LOOK_AGAIN_S)
            if not heard:
                waited_s += 0.0 if desk.sessions.paused(self._request.execution_id) else _LOOK_AGAIN_S
                await self._look_again()

    async def _look_again(self) -> None:
        async for record in self._desk.bus.read(self._request.execution_id):
            if getattr(record.data, "task_id", "") == self._request.task_id:
                self.state = machine.evolve(self.state, record.data, int(record.time.timestamp() * 1000))

    def _say_waiting(self, event: TaskWaiting) -> None:
        self._desk.spawn_short(self._desk.bus.append(event, cause=self._delivery), name=f"waiting-{event.task_id}")

    # -- small things -----------------------------------------------------------------------------------------------

    async def _append_if_it_fits(self, event: Event) -> None:
        """Appends the end of an attempt; one that is larger than the log takes ends the task with that word."""
        try:
            await self._append(event)
        except EventTooLarge as error:
            why, finished = Failure(code="result_too_large", message=str(error), where=error.where), self.state.finished
            usage = None if finished is None else finished.usage
            await self._append(machine.failed(self.state, why, jitter=0.0, usage=usage))

    async def _append(self, event: Event) -> None:
        await self._desk.bus.append(event, cause=self._delivery)
        self.state = machine.evolve(self.state, event, self._desk.clock.now_ms())

    def _offer(self) -> TaskOffer:
        request, state = self._request, self.state
        return TaskOffer(
            task_id=request.task_id,
            attempt=state.attempt,
            execution_id=request.execution_id,
            agent_id=state.agent_id,
            role=request.role,
            session=state.session,
            task=request.text,
            input=request.input,
            context=_context(request.context, state.attempt),
            workspace=state.path,
            timeout_ms=request.timeout_ms or 0,
            reply_to=reply_subject(self._desk.inbox, request.task_id, state.attempt, state.agent_id),
            life=self._desk.sessions.life(request.execution_id, state.agent_id),
        )

    def _deadline(self) -> float | None:
        limit, since = self._request.timeout_ms, self.state.clock_from_ms
        if not limit or since is None:
            return None
        return self._now() + max(0, limit - (self._desk.clock.now_ms() - since)) / 1000

    def _let_go_of_agent(self) -> None:
        if self._agent is not None:
            self._desk.fleet.give_back(self._agent.agent_id)
            self._agent = None
        if self._slot:
            self._desk.slots.release()
            self._slot = False

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _unless_paused(self) -> None:
        if self._desk.sessions.paused(self._request.execution_id):
            await self.unless_withdrawn(self._desk.unpaused(self._request.execution_id))


def _context(context: Json, attempt: int) -> Json:
    """The context of an offer: what the program gave, and which attempt this is."""
    if context is None:
        return {"attempt": attempt}
    if isinstance(context, dict):
        return {"attempt": attempt, **cast("dict[str, Any]", context)}
    return context
