"""One execution that this engine owns: the conductor, its fence, and the order in which things happen to it.

Facts come in from the log, decisions go out to it, and there is never more than one hand at it: `lock` orders the
appends, `pump` the facts. When the log refuses an append, another engine owns the execution and this run is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import structlog

from schemas.base import Failure
from schemas.events import (
    ENDINGS,
    Event,
    ExecutionPaused,
    ExecutionResumed,
    QuestionAnswered,
    QuestionAsked,
    TimerFired,
    TimerSet,
)
from services.pattern_engine.conductor import Conductor
from services.pattern_engine.history import WALL, History
from shared.bus import Bus, Delivery, EventTooLarge, Fence, Recorded, StaleFence

_log = structlog.get_logger(__name__)

_COMMIT_AT = 256
"""A program that asks for very many things at once has them appended in portions of this size."""

_LONGEST_TIMER_S = 3600.0
"""Timers further off are looked at again after so long, so that a changed clock cannot lose them."""


_CLOCK_PUT_BACK_MS = 1_000
"""A timer that seems to go off so much too early did not: the clock was put back while it ran."""


class Home(Protocol):
    """What a run needs of the engine it lives in."""

    bus: Bus

    def spawn_short(self, work: Coroutine[Any, Any, Any], *, name: str) -> object:
        """Runs something beside the engine's other work."""
        ...

    def now_ms(self) -> int:
        """The time in epoch milliseconds."""
        ...

    def released(self, run: Run, reason: str) -> None:
        """The run is over for this engine: it ended, or somebody else has it."""
        ...


class Run:
    """A live execution. `fence` is the sequence of its last `execution.*` event, `seen` of the last fact heard."""

    def __init__(self, home: Home, execution_id: str) -> None:
        self.id = execution_id
        self.fence = 0
        self.epoch = 0
        self.seen = 0
        self.ready = False
        self.closed = False
        self.paused = False
        self.request_digest = ""
        self.last_active_ms = home.now_ms()
        self.handled: set[str] = set()
        self.commanding = asyncio.Lock()
        """Held by whoever looks whether something was said already and says it if not: commands, and the deadlines
        of questions."""
        self.held: list[Event] = []
        """Decisions that a paused execution has come to and that are appended when it is resumed."""
        self._home = home
        self._lock = asyncio.Lock()
        self._inbox: deque[Recorded] = deque()
        self._heard: set[str] = set()
        self._busy = False
        self._conductor: Conductor | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._deadline_ms: int | None = None
        self._too_late = Failure(code="", message="")
        self._paused_at_ms = 0

    @property
    def conductor(self) -> Conductor:
        """The program. Raises RuntimeError before there is one."""
        if self._conductor is None:
            raise RuntimeError("the run has no program yet")
        return self._conductor

    @property
    def waiting(self) -> bool:
        """Whether nothing is in hand and the run waits for the world."""
        return self.ready and not self._busy and not self._inbox

    # -- beginning --------------------------------------------------------------------------------------------------

    def open(self, conductor: Conductor, history: History | None, fence: int) -> None:
        """Makes the run live with a program that has been brought to where the log ends."""
        self._conductor = conductor
        self.request_digest = conductor.accepted.request_digest
        self.fence = fence
        if history is not None:
            self.epoch = max(self.epoch, history.epoch)
            self.seen = max(self.seen, history.last_seq)
            self.paused = history.paused
            self._paused_at_ms = history.paused_at_ms or 0
            self.handled = set(history.by_id)
            self._heard = {record.data.event_id for record in history.facts}
            # what was followed while the log was read is in what was read: to hear it twice would be to count it twice
            self._inbox = deque(record for record in self._inbox if record.seq > history.last_seq)
            begun = history.accepted_ms + history.paused_ms
        else:
            self.epoch = 1
            begun = self._home.now_ms()
        limit = _time_limit(conductor)
        if limit is not None:
            self._deadline_ms, self._too_late = begun + limit[0], limit[1]
            self._watch_deadline()

    def go(self) -> None:
        """From here on the run takes facts."""
        self.ready = True
        for event in list(self.conductor.asked.values()):
            self._set_timer(event)
        self.pump()

    # -- facts ------------------------------------------------------------------------------------------------------

    def hear(self, record: Recorded) -> None:
        """Takes a fact from the log. What was seen already is dropped."""
        if self.closed or record.seq <= self.seen:
            return
        self.seen = record.seq
        self._inbox.append(record)
        self.pump()

    def pump(self) -> None:
        """Hands waiting facts to the program, and starts appending when decisions follow."""
        if self._busy or not self.ready or self.closed or self.paused:
            return
        try:
            decisions, cause = self._drain()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this execution and no other
            self._busy = True
            self._home.spawn_short(self._broken(error), name=f"broken-{self.id}")
            return
        if decisions or self.conductor.sliced:
            self._busy = True
            self._home.spawn_short(self._work(decisions, cause), name=f"run-{self.id}")

    def _drain(self) -> tuple[list[Event], Recorded | None]:
        decisions: list[Event] = []
        cause: Recorded | None = None
        conductor = self.conductor
        while self._inbox and not conductor.sliced and len(decisions) < _COMMIT_AT:
            record = self._inbox.popleft()
            if isinstance(record.data, Event) and record.data.event_id not in self._heard:
                self._heard.add(record.data.event_id)
                made = conductor.hear(record.data)
                if made:
                    cause = record
                    decisions += made
        return decisions, cause

    async def _work(self, decisions: list[Event], cause: Recorded | None) -> None:
        try:
            while not self.closed:
                while self.conductor.sliced and len(decisions) < _COMMIT_AT:
                    await asyncio.sleep(0)
                    decisions += self.conductor.go_on()
                if decisions:
                    await self.commit(decisions, cause)
                if self.closed or self.paused:
                    break
                decisions, cause = self._drain()
                if not decisions and not self.conductor.sliced:
                    break
        except StaleFence:
            self.lose("another engine owns the execution")
        except EventTooLarge as error:
            await self.fail(Failure(code="event_too_large", message=str(error), where=error.where))
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this execution and no other
            await self._broken(error)
        finally:
            self._busy = False
            if self._inbox:
                self.pump()

    async def _broken(self, error: Exception) -> None:
        """A fault of ours ends the execution with a word; it must neither loop nor hang."""
        _log.exception("run_broken", execution_id=self.id, exc_info=error)
        try:
            await self.fail(Failure(code="internal_error", message=f"{type(error).__name__}: {error}"))
        finally:
            self._busy = False

    # -- appends ----------------------------------------------------------------------------------------------------

    async def commit(self, events: list[Event], cause: Recorded | Delivery | None = None) -> bool:
        """Appends decisions under the fence. False when the run had ended before it came to that.

        Raises StaleFence when this engine no longer owns the execution.
        """
        async with self._lock:
            if self.closed:
                return False
            for start in range(0, len(events), _COMMIT_AT):
                await self._append(events[start : start + _COMMIT_AT], cause)
            self.last_active_ms = self._home.now_ms()
            if any(event.TYPE in ENDINGS for event in events):
                self.lose("ended")
                return True
            for event in events:
                self._set_timer(event)
            return True

    async def _append(self, portion: list[Event], cause: Recorded | Delivery | None) -> None:
        """Appends what the log takes at once. A crash between portions leaves a log that a recovery goes on from."""
        seqs = await self._home.bus.append_all(portion, fence=Fence(self.id, self.fence), cause=cause)
        for event, seq in zip(portion, seqs, strict=True):
            if event.TYPE.startswith("execution."):
                self.fence = max(self.fence, seq)

    async def attempt(self, make: Callable[[], Awaitable[object]]) -> bool:
        """Runs something that appends. False when another engine owns the execution by now."""
        try:
            await make()
        except StaleFence:
            self.lose("another engine owns the execution")
            return False
        return True

    async def fail(self, error: Failure) -> None:
        """Ends the execution with an error that does not come from its program."""
        event = self.conductor.failed(error)
        await self.attempt(lambda: self.commit([event]))

    async def pause(self, event: ExecutionPaused) -> bool:
        """Nothing new is started until `resume`; facts wait in the inbox. False when the run had ended before."""
        if not await self.commit([event]):
            return False
        self.paused = True
        self._paused_at_ms = self._home.now_ms()
        self.handled.add(event.event_id)
        return True

    async def resume(self, event: ExecutionResumed) -> bool:
        """Goes on after a pause; its deadline moves by as long as the pause was. False when the run had ended."""
        if not await self.commit([event]):
            return False
        self.handled.add(event.event_id)
        self.paused = False
        if self._deadline_ms is not None:
            self._deadline_ms += self._home.now_ms() - self._paused_at_ms
        self._watch_deadline()
        held, self.held = self.held, []
        if held:
            await self.catch_up(held)
        self.pump()
        return True

    async def catch_up(self, decisions: list[Event]) -> None:
        """Appends what a rebuilt program has decided and its log does not hold yet."""
        try:
            await self.commit(decisions)
        except EventTooLarge as error:
            await self.fail(Failure(code="event_too_large", message=str(error), where=error.where))

    # -- time -------------------------------------------------------------------------------------------------------

    def _set_timer(self, event: Event) -> None:
        match event:
            case TimerSet(due_at=int(due)):
                fact: Event = TimerFired(execution_id=self.id, effect=event.effect)
            case QuestionAsked(deadline_at=int(due)):
                fact = QuestionAnswered(
                    execution_id=self.id,
                    question_id=event.question_id,
                    effect=event.effect,
                    value=event.default,
                    by="deadline",
                )
            case _:
                return
        self._arm(event.event_id, due, fact)

    def _arm(self, key: str, due_ms: int, fact: Event) -> None:
        wait = max(0.0, (due_ms - self._home.now_ms()) / 1000)
        previous = self._timers.pop(key, None)
        if previous is not None:
            previous.cancel()
        whole = wait <= _LONGEST_TIMER_S
        later = asyncio.get_running_loop().call_later
        self._timers[key] = later(min(wait, _LONGEST_TIMER_S), self._due, key, due_ms, fact, whole)

    def _due(self, key: str, due_ms: int, fact: Event, whole: bool) -> None:
        self._timers.pop(key, None)
        if self.closed or getattr(fact, "effect", "") not in self.conductor.asked:
            return
        if self._too_early(due_ms, whole=whole):
            self._arm(key, due_ms, fact)
            return
        self._home.spawn_short(self._fire(fact), name=f"timer-{self.id}")

    def _too_early(self, due_ms: int, *, whole: bool) -> bool:
        """Whether a timer went off before its time. When it was waited out whole, a clock put back says nothing."""
        early_ms = due_ms - self._home.now_ms()
        return early_ms > 0 and not (whole and early_ms > _CLOCK_PUT_BACK_MS)

    async def _fire(self, fact: Event) -> None:
        async with self.commanding:
            if fact.event_id not in self.handled and await self.attempt(lambda: self.commit([fact])):
                self.handled.add(fact.event_id)

    def _watch_deadline(self) -> None:
        if self._deadline_ms is None:
            return
        previous = self._timers.pop("deadline", None)
        if previous is not None:
            previous.cancel()
        wait = max(0.05, (self._deadline_ms - self._home.now_ms()) / 1000)
        whole = wait <= _LONGEST_TIMER_S
        later = asyncio.get_running_loop().call_later
        self._timers["deadline"] = later(min(wait, _LONGEST_TIMER_S), self._deadline, whole)

    def _deadline(self, whole: bool) -> None:
        if self.closed or self.paused or self._deadline_ms is None:
            return
        if not self.ready or self._too_early(self._deadline_ms, whole=whole):
            self._watch_deadline()
            return
        self._home.spawn_short(self.fail(self._too_late), name=f"deadline-{self.id}")

    # -- the end ----------------------------------------------------------------------------------------------------

    def lose(self, reason: str) -> None:
        """Lets go of the execution: it ended, or another engine has it."""
        if not self.closed:
            self.close()
            self._home.released(self, reason)

    def close(self) -> None:
        """Drops everything held for the execution. Its log keeps it."""
        self.closed = True
        self._inbox.clear()
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        if self._conductor is not None:
            self._conductor.close()


def _time_limit(conductor: Conductor) -> tuple[int, Failure] | None:
    """How many milliseconds an execution may take, without its pauses, and what it fails with beyond that."""
    options = conductor.accepted.options
    limits: list[tuple[int, Failure]] = []
    timeout_ms = options.timeout_ms or conductor.pattern.timeout_ms
    if timeout_ms is not None:
        late = Failure(code="execution_timeout", message="The execution did not end within its time limit.")
        limits.append((timeout_ms, late))
    if options.budget is not None and options.budget.wall_ms is not None:
        message = f"The budget of {options.budget.wall_ms} wall_ms is used up."
        limits.append((options.budget.wall_ms, Failure(code="budget_exceeded", message=message, where=WALL)))
    return min(limits, key=lambda limit: limit[0], default=None)
