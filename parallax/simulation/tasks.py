"""The executor of a simulated run: sessions, attempts, the one layer of retries, time limits, withdrawals.

It does what `services.executor` does, with the same waits and the same codes; a test holds the two together.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from parallax.simulation.clock import Alarm, Clock
from parallax.simulation.draws import Draws
from parallax.simulation.model import Platform
from parallax.simulation.records import Ending, TaskRecord
from parallax.simulation.sessions import Sessions
from parallax.simulation.turns import Crew, Turn, part_of
from parallax.simulation.works import Works
from schemas.base import Failure, LossKind, Usage
from schemas.effects import Task
from schemas.events import Event, QuestionAsked, TaskCancelled, TaskCompleted, TaskFailed, TaskRetrying, TaskStarted
from shared.ids import agent_id

MAX_INTERRUPTIONS = 20
BACKOFF_MS, BACKOFF_MOST_MS = 200, 30_000
INTERRUPTED_MS, INTERRUPTED_MOST_MS = 50, 5_000
STOPPING_MS = 6_000
"""So long a silent agent is given to stop before its turn is given up."""


class World(Protocol):
    """What the executor needs of the run it belongs to."""

    execution_id: str
    clock: Clock
    key: tuple[object, ...]
    platform: Platform
    sessions: Sessions
    crew: Crew
    works: Works
    workspace: bool

    def say(self, event: Event) -> None:
        """Puts an event into the log, and lets the program hear of it."""
        ...

    def agent_asks(self, asked: QuestionAsked) -> None:
        """An agent's question, for whoever is to answer it."""
        ...

    def commit_of(self, record: TaskRecord, *, changed: bool) -> str:
        """The commit after a task; empty where nobody keeps any."""
        ...


class Job:
    """One task, from its request to its end."""

    def __init__(self, world: World, request: Task, record: TaskRecord) -> None:
        self.record = record
        self.turn: Turn | None = None
        self._world = world
        self._request = request
        self._most = 1 + world.platform.retries if request.attempts is None else request.attempts
        self._failures = 0
        self._interruptions = 0
        self._clock_from_ms: int | None = None
        self._alarm: Alarm | None = None
        self._attempt_from_ms = 0
        self._turn_from_ms = 0
        self._asked: QuestionAsked | None = None
        self._asked_ms = 0
        self._draws = Draws(*world.key, "executor", record.path or record.task_id)

    def begin(self) -> None:
        """Asks for a session; the first attempt begins when there is one."""
        request, world = self._request, self._world
        most = max(1, request.agent.max_instances or world.platform.instances)
        world.sessions.acquire(self.record.task_id, request.role, most, request.session, self._seated)

    def withdraw(self, reason: str) -> None:
        """Nobody wants the task any more. What its running attempt has used until now is used."""
        self._stop_clocks()
        turn = self.turn
        if turn is not None:
            until = self._world.clock.now_ms if self._asked is None else self._asked_ms
            spent = until - self._turn_from_ms
            share = 1.0 if turn.ms <= 0 else min(1.0, spent / turn.ms)
            self._waste(part_of(turn.usage, round(share, 6)))
        record = self.record
        self._end(
            "withdrawn",
            TaskCancelled(
                execution_id=self._world.execution_id, task_id=record.task_id, effect=record.path, reason=reason
            ),
        )

    @property
    def never_ends(self) -> bool:
        """Whether its attempt goes on for ever, and nothing limits it."""
        return self.turn is not None and self.turn.ending == "timeout" and not self._request.timeout_ms

    @property
    def question(self) -> str:
        """The question that its agent waits for the answer of; empty where it waits for none."""
        return "" if self._asked is None else self._asked.question

    # -- an attempt ----------------------------------------------------------------------------------------------------

    def _seated(self, session: str) -> None:
        self.record.session = session
        self._attempt()

    def _attempt(self) -> None:
        world, request, record = self._world, self._request, self.record
        now = world.clock.now_ms
        if self._clock_from_ms is None:
            self._clock_from_ms = now
        if record.started_ms is None:
            record.started_ms = now
        self._attempt_from_ms = self._turn_from_ms = now
        world.say(
            TaskStarted(
                execution_id=world.execution_id,
                task_id=record.task_id,
                attempt=record.attempts,
                effect=record.path,
                role=record.role,
                session=record.session,
                agent_id=agent_id(world.execution_id, record.session),
                step=request.step,
            )
        )
        self.turn = world.crew.turn(request, record, world.execution_id)
        self._go_on()

    def _go_on(self) -> None:
        """Sets the clock for what comes next in the running attempt: a question, its end, or its limit."""
        turn, clock = self.turn, self._world.clock
        assert turn is not None, "only a turn goes on"
        spent = clock.now_ms - self._turn_from_ms
        ends, action = (None if turn.ending == "timeout" else turn.ms - spent), self._over
        if turn.ending == "silent":
            ends = turn.ms + self._world.platform.silence_ms + STOPPING_MS
        if turn.asks_ms is not None:
            ends, action = turn.asks_ms, self._ask
        left = None
        if self._request.timeout_ms and self._clock_from_ms is not None:
            left = max(0, self._request.timeout_ms - (clock.now_ms - self._clock_from_ms))
        if left is not None and (ends is None or left < ends):
            self._alarm = clock.after(left, self._late)
        elif ends is not None:
            self._alarm = clock.after(ends, action)

    def _ask(self) -> None:
        """The agent waits for an answer. The time that it takes is not the task's."""
        world, record, turn = self._world, self.record, self.turn
        assert turn is not None, "only a turn asks"
        self._asked_ms = world.clock.now_ms
        self._asked = QuestionAsked(
            execution_id=world.execution_id,
            question_id=f"{record.task_id}-{record.attempts}-1",
            question=turn.question,
            effect=record.path,
            task_id=record.task_id,
            role=record.role,
        )
        self.turn = msgspec.structs.replace(turn, asks_ms=None)
        world.agent_asks(self._asked)

    def answered(self, question_id: str) -> None:
        """Somebody answered: the attempt goes on where it stood."""
        if self._asked is None or self._asked.question_id != question_id or self._clock_from_ms is None:
            return
        waited = self._world.clock.now_ms - self._asked_ms
        self._asked = None
        self._turn_from_ms += waited
        self._clock_from_ms += waited
        self._go_on()

    def _late(self) -> None:
        request, turn = self._request, self.turn
        assert turn is not None, "only a turn can be late"
        limit = request.timeout_ms or 0
        share = 1.0 if turn.ms <= 0 else min(1.0, limit / turn.ms)
        self._waste(part_of(turn.usage, round(share, 6)))
        message = f"{request.role} did not finish within {limit} ms."
        self._failed(Failure(code="task_timeout", message=message), final=True)

    def _over(self) -> None:
        turn = self.turn
        assert turn is not None, "only a turn can be over"
        name = agent_id(self._world.execution_id, self.record.session)
        match turn.ending:
            case "ok":
                self._completed(turn)
            case "crash":
                self._waste(turn.usage)
                message = f"The agent {name} is gone: {turn.message}."
                self._failed(Failure(code="agent_lost", message=message), loss="agent_lost")
            case "silent":
                self._waste(turn.usage)
                message = f"{name} said nothing for {self._world.platform.silence_ms / 1000:.0f} s."
                self._failed(Failure(code="agent_silent", message=message))
            case _:
                self._waste(turn.usage)
                self._failed(Failure(code="task_failed", message=turn.message, where=self._request.role))

    # -- its end -------------------------------------------------------------------------------------------------------

    def _completed(self, turn: Turn) -> None:
        world, record = self._world, self.record
        record.result, record.confidence, record.quality = turn.result, turn.confidence, turn.quality
        record.verdict, record.lied = turn.verdict, turn.lied
        record.cost_usd = round(record.cost_usd + turn.usage.cost_usd, 4)
        record.tokens += turn.usage.input_tokens + turn.usage.output_tokens
        commit = world.commit_of(record, changed=turn.changed)
        world.works.done(record, commit)
        self._end(
            "completed",
            TaskCompleted(
                execution_id=world.execution_id,
                task_id=record.task_id,
                effect=record.path,
                role=record.role,
                session=record.session,
                agent_id=agent_id(world.execution_id, record.session),
                attempt=record.attempts,
                result=turn.result,
                confidence=turn.confidence,
                confidence_source="" if turn.confidence is None else "self_report",
                commit=commit,
                files=[f"{record.name}.txt"] if commit and turn.changed else [],
                usage=turn.usage,
                duration_ms=world.clock.now_ms - self._attempt_from_ms,
                step=self._request.step,
            ),
        )

    def _failed(self, error: Failure, *, loss: LossKind | None = None, final: bool = False) -> None:
        world, record, interrupted = self._world, self.record, loss is not None
        again = self._interruptions < MAX_INTERRUPTIONS if interrupted else self._failures + 1 < self._most
        if again and not final:
            delay = self._backoff(interrupted=interrupted)
            if interrupted:
                self._interruptions += 1
                self._clock_from_ms = None
            else:
                self._failures += 1
            self.turn = None
            world.say(
                TaskRetrying(
                    execution_id=world.execution_id,
                    task_id=record.task_id,
                    attempt=record.attempts,
                    error=error,
                    delay_ms=delay,
                    interrupted=interrupted,
                    loss=loss or msgspec.UNSET,
                    losses=self._interruptions or msgspec.UNSET,
                    failures=self._failures,
                    attempts=max(1, self._most),
                )
            )
            record.attempts += 1
            self._alarm = world.clock.after(delay, self._attempt)
            return
        record.error = error
        lost = self._interruptions > 0 or interrupted
        self._end(
            "failed",
            TaskFailed(
                execution_id=world.execution_id,
                task_id=record.task_id,
                effect=record.path,
                role=record.role,
                error=error,
                attempts=record.attempts,
                session=record.session,
                step=self._request.step,
                losses={"agent_lost": self._interruptions + interrupted} if lost else msgspec.UNSET,
            ),
        )

    def _backoff(self, *, interrupted: bool) -> int:
        if interrupted:
            most = min(INTERRUPTED_MOST_MS, INTERRUPTED_MS * 2 ** min(self._interruptions, 10))
        else:
            most = min(BACKOFF_MOST_MS, BACKOFF_MS * 2 ** min(self._failures, 10))
        return round(most * self._draws.uniform())

    def _waste(self, usage: Usage) -> None:
        record = self.record
        record.cost_usd = round(record.cost_usd + usage.cost_usd, 4)
        record.wasted_usd = round(record.wasted_usd + usage.cost_usd, 4)
        record.tokens += usage.input_tokens + usage.output_tokens

    def _end(self, status: Ending, event: Event) -> None:
        self._stop_clocks()
        self.turn = self._asked = None
        record, world = self.record, self._world
        record.status = status
        record.ended_ms = world.clock.now_ms
        world.say(event)
        world.sessions.release(record.task_id, record.role, record.session)

    def _stop_clocks(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
