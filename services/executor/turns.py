"""Offered turns: what agents answer, how long they may take and be silent, and how a turn is stopped.

All turns of an executor share one inbox and one clock that is looked at ten times a second, so that a turn of some
milliseconds costs two messages and no timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog
from msgspec import UnsetType

from schemas.agents import (
    AgentMessage,
    TaskAccepted,
    TaskControl,
    TaskFault,
    TaskOffer,
    TaskQuestion,
    TaskRefused,
    TaskResult,
)
from schemas.base import MOST_LEVELS, Failure, LossKind, too_deep
from services.executor.machine import Answered, Faulted, Outcome
from services.executor.messages import MAX_QUESTIONS, Malformed, question_id, too_long

_log = structlog.get_logger(__name__)

OFFER_AGAIN_S = 1.0
"""An offer that nobody reacted to is made again after so long."""

ASK_AGAIN_S = 4.5
"""An agent that said nothing for so long is offered its turn again: its answer may have been lost."""

SUSPECT_S = 3.0
"""An agent that the registry has lost, and that said nothing for so long, is gone."""

SUSPECT_ASKED_S = 1.5
"""It is asked first, and has so long to answer."""

STOPPING_S = 6.0
"""So long an agent may take to stop before its turn is given up."""

GARBLED_S = 1.0
"""A message that cannot be taken fails the turn, unless a good answer comes within so long: both may have been sent."""

FROZEN_S = 2.0
"""Clocks that were not looked at for so long stood still: the executor was stopped, or waited for the bus."""

Host = Literal["runtime", "program", "nobody"]
"""Who speaks for an agent: the runtime that runs its program, a program of its own that a runtime has started, or an
agent that came by itself and that nobody hosts."""

Publish = Callable[[TaskOffer | TaskControl, str], Awaitable[None]]
"""Sends a word to an agent, named by its id."""

Ask = Callable[["Turn", TaskQuestion], None]


class Refused(Exception):
    """The agent does not take the turn now."""


class Turn:
    """One attempt in the hands of an agent. `outcome` is None when the log says that the attempt is over."""

    __slots__ = (
        "accepted",
        "asked",
        "deadline",
        "heard",
        "host",
        "offer",
        "offered",
        "outcome",
        "pauses",
        "questions",
        "stopping",
        "stopping_since",
        "suspect",
        "suspect_since",
        "wrong",
        "wrong_since",
    )

    def __init__(self, offer: TaskOffer, now: float, deadline: float | None, host: Host) -> None:
        self.offer = offer
        self.host: Host = host
        self.outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self.deadline = deadline
        self.heard = now
        self.offered = now
        self.accepted = False
        self.suspect = ""
        self.suspect_since = 0.0
        self.wrong: Malformed | None = None
        self.wrong_since = 0.0
        self.stopping: Faulted | None = None
        self.stopping_since = 0.0
        self.questions: dict[str, tuple[str, float]] = {}
        """The open questions by their ids in the log: what the agent calls each, and since when it waits."""
        self.asked = 0
        self.pauses: bool | None = None
        """Whether the agent says that it pauses; None while it has not said anything of it."""

    def settle(self, outcome: Outcome | None) -> None:
        """Ends the turn, once. While it is being stopped, what ends it is what it is stopped for."""
        if not self.outcome.done():
            if self.stopping is not None and isinstance(outcome, Faulted):
                outcome = self.stopping
            self.outcome.set_result(outcome)

    def doubt(self, reason: str, now: float) -> None:
        """The agent may be gone; its next word says that it is not."""
        if not self.suspect:
            self.suspect, self.suspect_since = reason, now

    def stand_still(self, seconds: float) -> None:
        """A time in which nothing could be heard of the agent is no silence of its."""
        self.heard += seconds
        self.suspect_since += seconds
        self.stopping_since += seconds

    def refuse(self, reason: str) -> None:
        """Ends the turn because the agent does not take it."""
        if not self.outcome.done():
            self.outcome.set_exception(Refused(reason))


class Turns:
    """All turns of this executor, by task."""

    def __init__(self, publish: Publish, ask: Ask, *, silence_s: float, paused: Callable[[str], bool]) -> None:
        self._publish = publish
        self._ask = ask
        self._silence_s = silence_s
        self._paused = paused
        self._turns: dict[str, Turn] = {}
        self._looked_at: float | None = None

    def __len__(self) -> int:
        return len(self._turns)

    async def begin(self, offer: TaskOffer, *, now: float, deadline: float | None, host: Host = "nobody") -> Turn:
        """Offers a turn to an agent that `host` speaks for."""
        turn = Turn(offer, now, deadline, host)
        self._turns[offer.task_id] = turn
        await self._publish(offer, offer.agent_id)
        return turn

    def end(self, turn: Turn) -> None:
        """Forgets a turn."""
        if self._turns.get(turn.offer.task_id) is turn:
            del self._turns[turn.offer.task_id]

    def at(self, task_id: str, attempt: int, agent_id: str) -> Turn | None:
        """The turn of an attempt that is in the hands of this agent now."""
        turn = self._turns.get(task_id)
        if turn is None or (turn.offer.attempt, turn.offer.agent_id) != (attempt, agent_id):
            return None
        return turn

    def garbled(self, turn: Turn, wrong: Malformed, now: float) -> None:
        """An agent said what cannot be taken. Unless the turn ends well in a moment, that is what it ends with."""
        turn.heard = now
        turn.suspect = ""
        turn.accepted = True
        if turn.wrong is None:
            turn.wrong, turn.wrong_since = wrong, now

    async def _end_garbled(self, turn: Turn, wrong: Malformed, now: float) -> None:
        """Nobody could hear from the agent how its turn really ended, if it has."""
        turn.wrong = None
        error = Failure(code="bad_message", message=wrong.sentence(turn.offer.agent_id), where=wrong.where)
        if wrong.type not in ("result", "failed", "refused", ""):
            await self.stop(turn, Faulted(error=error), now)
            return
        turn.settle(Faulted(error=error))
        word = TaskControl(action="cancel", task_id=turn.offer.task_id, reason=error.message)
        await self._publish(word, turn.offer.agent_id)

    def hear(self, message: AgentMessage, now: float) -> None:
        """What an agent says. Words about other attempts, and from agents who are not at the task, are not heard."""
        turn = self._turns.get(message.task_id)
        if turn is None or turn.offer.attempt != message.attempt:
            return
        if message.agent_id and message.agent_id != turn.offer.agent_id:
            return
        turn.heard = now
        turn.suspect = ""
        turn.accepted = turn.accepted or not isinstance(message, TaskRefused)
        match message:
            case TaskResult() if too_deep(message.result):
                why = f"The result is nested in more than {MOST_LEVELS} levels."
                turn.settle(Faulted(error=Failure(code="result_too_large", message=why), usage=message.usage))
            case TaskResult():
                said = Answered(
                    result=message.result, confidence=message.confidence, usage=message.usage, note=message.note
                )
                turn.settle(said)
            case TaskFault():
                turn.settle(Faulted(error=message.error, loss=_loss_of(turn, message), usage=message.usage))
            case TaskRefused():
                turn.refuse(message.reason)
            case TaskQuestion():
                self._hear_question(turn, message, now)
            case TaskAccepted():
                turn.pauses = None if isinstance(message.paused, UnsetType) else message.paused
            case _:
                pass

    def _hear_question(self, turn: Turn, message: TaskQuestion, now: float) -> None:
        asked_as = question_id(turn.offer, message)
        if asked_as in turn.questions:
            return
        refusal = too_long(message)
        if refusal:
            self._stop_soon(turn, Failure(code="question_too_large", message=refusal), now)
            return
        turn.asked += 1
        if turn.asked > MAX_QUESTIONS:
            why = f"{turn.offer.agent_id} asked more than {MAX_QUESTIONS} questions in one turn."
            self._stop_soon(turn, Failure(code="too_many_questions", message=why), now)
            return
        turn.questions[asked_as] = (message.question_id, now)
        self._ask(turn, message)

    def _stop_soon(self, turn: Turn, error: Failure, now: float) -> None:
        """Like `stop`, with the next look at the clocks."""
        if turn.stopping is None:
            turn.stopping, turn.stopping_since = Faulted(error=error), now
            turn.offered = now - OFFER_AGAIN_S

    async def stop(self, turn: Turn, why: Faulted, now: float) -> None:
        """Tells the agent to stop. The turn ends when it has, or when it does not say so in time."""
        if turn.stopping is None and not turn.outcome.done():
            turn.stopping, turn.stopping_since = why, now
            await self._cancel(turn)

    async def answer(self, task_id: str, logged_as: str, value: object, now: float) -> None:
        """Hands an answer to the agent. The time that the question took is not the task's."""
        turn = self._turns.get(task_id)
        if turn is None:
            return
        if logged_as not in turn.questions:  # a log of before, which has it under the id that the agent gave it
            logged_as = next((key for key, (own, _) in turn.questions.items() if own == logged_as), "")
        asked = turn.questions.pop(logged_as, None)
        if asked is None:
            return
        own_id, since = asked
        if turn.deadline is not None:
            turn.deadline += now - since
        word = TaskControl(action="answer", task_id=task_id, question_id=own_id, value=value)
        await self._publish(word, turn.offer.agent_id)

    def lost(self, agent_id: str, reason: str, now: float) -> None:
        """The registry has lost an agent: its turns are over unless they give a sign of life now."""
        for turn in self._turns.values():
            if turn.offer.agent_id == agent_id:
                turn.doubt(reason, now)

    def replaced(self, agent_id: str) -> None:
        """Another process has taken an agent's place: it knows nothing of what that one was at."""
        for turn in list(self._turns.values()):
            if turn.offer.agent_id == agent_id and turn.accepted:
                turn.settle(_gone(turn, "it was started anew", "agent_lost"))

    def gone(self, agent_id: str, reason: str, *, life: int, by_itself: bool = False) -> None:
        """This life of an agent is certainly over. A program that ended by itself has failed at what it was at."""
        for turn in list(self._turns.values()):
            if turn.offer.agent_id == agent_id and turn.offer.life <= life:
                if by_itself:
                    turn.settle(Faulted(error=Failure(code="agent_failed", message=_sentence(turn, reason))))
                else:
                    turn.settle(_gone(turn, reason, "runtime_lost"))

    async def came(self, agent_id: str, now: float) -> None:
        """An agent has just registered: what it did not hear before it is offered at once."""
        for turn in list(self._turns.values()):
            if turn.offer.agent_id == agent_id and not turn.accepted and not turn.outcome.done():
                turn.offered = now
                await self._publish(turn.offer, agent_id)

    async def pause(self, execution_id: str, *, paused: bool) -> None:
        """Tells the agents of an execution that it stands still, or goes on. What a runtime hosts it freezes itself."""
        for turn in list(self._turns.values()):
            if turn.offer.execution_id == execution_id and turn.host != "runtime" and not turn.outcome.done():
                await self._say_pause(turn, paused=paused)

    async def _say_pause(self, turn: Turn, *, paused: bool) -> None:
        turn.pauses = None  # its next sign of life says whether it has heard it
        word = TaskControl(action="pause" if paused else "resume", task_id=turn.offer.task_id)
        await self._publish(word, turn.offer.agent_id)

    def went_on(self, execution_id: str, paused_s: float, now: float) -> None:
        """A paused execution goes on: its clocks have stood still."""
        for turn in self._turns.values():
            if turn.offer.execution_id == execution_id:
                turn.heard = turn.offered = now
                if turn.deadline is not None:
                    turn.deadline += paused_s

    async def look(self, now: float, *, connected: bool = True) -> None:
        """Looks at the clocks of all turns. They stand still while the bus is away, or this executor was frozen."""
        step, self._looked_at = now - (now if self._looked_at is None else self._looked_at), now
        if not connected or step > FROZEN_S:
            for turn in self._turns.values():
                turn.stand_still(step)
        if not connected:
            return
        for turn in list(self._turns.values()):
            if turn.outcome.done():
                continue
            paused = self._paused(turn.offer.execution_id)
            if turn.pauses is not None and turn.pauses != paused:
                await self._say_pause(turn, paused=paused)
            if not paused:
                await self._look_at(turn, now)

    async def _look_at(self, turn: Turn, now: float) -> None:
        if turn.stopping is not None:
            await self._look_at_stopping(turn, turn.stopping, now)
        elif turn.wrong is not None and now - turn.wrong_since >= GARBLED_S:
            await self._end_garbled(turn, turn.wrong, now)
        elif turn.deadline is not None and now >= turn.deadline and not turn.questions:
            message = f"{turn.offer.role} did not finish within {turn.offer.timeout_ms} ms."
            await self.stop(turn, Faulted(error=Failure(code="task_timeout", message=message)), now)
        elif turn.suspect:
            await self._look_at_suspect(turn, now)
        else:
            await self._look_at_silence(turn, now)

    async def _look_at_stopping(self, turn: Turn, why: Faulted, now: float) -> None:
        if now - turn.stopping_since > STOPPING_S:
            _log.warning("agent_does_not_stop", agent_id=turn.offer.agent_id, task_id=turn.offer.task_id)
            turn.settle(why)
        elif now - turn.offered >= OFFER_AGAIN_S:
            turn.offered = now
            await self._cancel(turn)

    async def _look_at_silence(self, turn: Turn, now: float) -> None:
        silent = now - turn.heard
        if silent >= self._silence_s:
            fault = _silent(turn, silent)
            if turn.accepted:
                await self.stop(turn, fault, now)
            else:
                await self._cancel(turn)
                turn.settle(fault)
        else:
            # several times before its silence is too long, however short that is
            wait = min(ASK_AGAIN_S if turn.accepted else OFFER_AGAIN_S, self._silence_s / 3)
            if silent >= wait and now - turn.offered >= wait:
                turn.offered = now
                await self._publish(turn.offer, turn.offer.agent_id)

    async def _look_at_suspect(self, turn: Turn, now: float) -> None:
        if now - turn.heard >= SUSPECT_S and now - turn.suspect_since >= SUSPECT_ASKED_S:
            turn.settle(_gone(turn, turn.suspect, "runtime_lost" if turn.host == "runtime" else "agent_lost"))
        elif turn.offered < turn.suspect_since:
            turn.offered = now
            await self._publish(turn.offer, turn.offer.agent_id)

    async def _cancel(self, turn: Turn) -> None:
        reason = turn.stopping.error.message if turn.stopping else "given up"
        word = TaskControl(action="cancel", task_id=turn.offer.task_id, reason=reason)
        await self._publish(word, turn.offer.agent_id)


def _loss_of(turn: Turn, said: TaskFault) -> LossKind | None:
    """How a turn was lost whose bad end was said; None where the agent failed. Only a runtime knows what it broke."""
    if said.error.code == "cancelled" and turn.stopping is None and not said.interrupted:
        return "turn_cancelled"
    if not said.interrupted:
        return None
    if turn.host != "runtime":
        return "agent_interrupted"
    return said.loss if isinstance(said.loss, str) else "runtime_lost"


def _silent(turn: Turn, silent_s: float) -> Faulted:
    """What the silence of an agent means: a runtime ends a silent program itself, so that its own is the runtime's."""
    name = turn.offer.agent_id
    advice = "Have it report its progress, or raise PARALLAX_AGENT_TIMEOUT (milliseconds)."
    if turn.host == "runtime":
        kind: LossKind = "runtime_lost" if turn.accepted else "session_unreachable"
        message = f"The runtime that runs {name} said nothing of it for {silent_s:.0f} s. See the log of runtime_local."
        return Faulted(error=Failure(code="agent_lost", message=message), loss=kind)
    if turn.accepted:
        message = f"{name} said nothing for {silent_s:.0f} s and was given up. {advice}"
        return Faulted(error=Failure(code="agent_silent", message=message))
    message = f"{name} did not take the task within {silent_s:.0f} s and was given up. {advice}"
    loss: LossKind | None = "agent_unreachable" if turn.host == "nobody" else None
    return Faulted(error=Failure(code="agent_silent", message=message), loss=loss)


def _gone(turn: Turn, reason: str, loss: LossKind) -> Faulted:
    return Faulted(error=Failure(code="agent_lost", message=_sentence(turn, reason)), loss=loss)


def _sentence(turn: Turn, reason: str) -> str:
    return f"The agent {turn.offer.agent_id} is gone: {reason}."
