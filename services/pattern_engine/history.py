"""The log of one execution, sorted into what recovery and replay need, and the program rebuilt from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from compiler.orchestration.questions import ROLE_PREFIX
from schemas.events import (
    ENDINGS,
    EffectRecorded,
    Event,
    ExecutionAccepted,
    ExecutionCancelled,
    ExecutionClaimed,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    HttpRequested,
    QuestionAnswered,
    QuestionAsked,
    TaskCancelRequested,
    TaskRequested,
    TimerSet,
    VerificationRequested,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrationRequested,
    WorkspaceRequested,
)
from services.pattern_engine.conductor import Conductor, Sources
from services.pattern_engine.decisions import FACTS, WITHDRAWN
from shared.bus import Recorded

_DECISIONS = (
    EffectRecorded,
    HttpRequested,
    TaskCancelRequested,
    TaskRequested,
    TimerSet,
    VerificationRequested,
    WorkspaceFinalizeRequested,
    WorkspaceIntegrationRequested,
    WorkspaceRequested,
)
"""What a program's decisions look like in the log, apart from its ending."""

OUTSIDE = frozenset({"execution_timeout", "internal_error", "pattern_unavailable", "event_too_large"})
"""Codes of failures that the engine writes for reasons that are not in the program."""

WALL = "wall_ms"
"""Where a budget was exceeded that a clock watches over, and not the program's next task."""

_FACTS_BETWEEN_BREATHS = 200


class History:
    """One execution's events in order. `fence` is the sequence of its last `execution.*` event."""

    def __init__(self, records: Iterable[Recorded]) -> None:
        self.accepted: ExecutionAccepted | None = None
        self.started: ExecutionStarted | None = None
        self.ending: Event | None = None
        self.engine = ""
        self.epoch = 0
        self.fence = 0
        self.last_seq = 0
        self.claims_in_a_row = 0
        """How often it was claimed, one engine after the other, with nothing said in between."""
        self.paused = False
        self.paused_at_ms: int | None = None
        self.paused_ms = 0
        self.accepted_ms = 0
        self.facts: list[Recorded] = []
        self.decisions: list[Event] = []
        self.by_id: dict[str, Event] = {}
        for record in records:
            self.add(record)

    def add(self, record: Recorded) -> None:
        """Takes in the next event. A second copy of one that is there already counts for nothing."""
        event = record.data
        self.last_seq = record.seq
        if not isinstance(event, Event):
            return
        if record.type.startswith("execution."):
            self.fence = record.seq
        self.claims_in_a_row = self.claims_in_a_row + 1 if isinstance(event, ExecutionClaimed) else 0
        if event.event_id in self.by_id:
            return
        self.by_id[event.event_id] = event
        if self.ending is not None:
            return
        if _is_decision(event):
            self.decisions.append(event)
        elif event.TYPE in FACTS:
            self.facts.append(record)
        else:
            self._life(event, int(record.time.timestamp() * 1000))

    def _life(self, event: Event, at_ms: int) -> None:
        match event:
            case ExecutionAccepted():
                self.accepted, self.accepted_ms = event, at_ms
                self.engine, self.epoch = event.engine, 1
            case ExecutionStarted():
                self.started = event
                self.engine, self.epoch = event.engine, event.epoch
            case ExecutionClaimed():
                self.engine, self.epoch = event.engine, event.epoch
            case ExecutionPaused():
                self.paused, self.paused_at_ms = True, at_ms
            case ExecutionResumed():
                self.paused = False
                self.paused_ms += at_ms - (self.paused_at_ms or at_ms)
                self.paused_at_ms = None
            case _ if event.TYPE in ENDINGS:
                self.ending = event
                self.decisions.append(event)
            case _:
                pass


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A program brought to where its log ends. `produced` are all its decisions, recorded or not, in order."""

    conductor: Conductor
    produced: list[Event]


async def rebuild(history: History, sources: Sources) -> Rebuilt:
    """Runs the program of `history` against its recorded facts, giving way to others now and then.

    Raises ValueError when the execution has not started.
    """
    if history.accepted is None or history.started is None:
        raise ValueError("the execution has not started")
    conductor = Conductor(history.accepted, history.started, sources, history.by_id)
    produced = conductor.begin()
    await _finish_slices(conductor, produced)
    for number, record in enumerate(history.facts):
        if isinstance(record.data, Event):
            produced += conductor.hear(record.data)
        await _finish_slices(conductor, produced)
        if number % _FACTS_BETWEEN_BREATHS == 0:
            await asyncio.sleep(0)
    return Rebuilt(conductor=conductor, produced=produced)


async def _finish_slices(conductor: Conductor, produced: list[Event]) -> None:
    while conductor.sliced:
        await asyncio.sleep(0)
        produced += conductor.go_on()


def _is_decision(event: Event) -> bool:
    """Whether the program made this event. An agent's own question is none, an answer is one when it withdraws."""
    if isinstance(event, QuestionAsked):
        return bool(event.digest)
    if isinstance(event, QuestionAnswered):
        return event.by == WITHDRAWN or event.by.startswith(ROLE_PREFIX)
    return isinstance(event, _DECISIONS)


def first_difference(history: History, produced: list[Event]) -> dict[str, Any] | None:
    """Where the decisions of a rebuilt program part from the recorded ones. None: nowhere.

    The program may be ahead of a log that ends early, because it was open, cancelled or timed out when the log ended;
    it may never have left out, added or changed a decision that the log says it made.
    """
    made = {event.event_id: event for event in produced}
    ended_itself = history.ending is not None and not _ended_from_outside(history.ending)
    for index, event in enumerate(history.decisions):
        if event is history.ending and not ended_itself:
            continue
        twin = made.pop(event.event_id, None)
        if twin is None or _encoded(event) != _encoded(twin):
            return _difference(index, event, twin)
    # a question that somebody answered while the program withdrew it has that answer in the log, in place of the other
    extra = [event for event_id, event in made.items() if not isinstance(history.by_id.get(event_id), QuestionAnswered)]
    if ended_itself and extra:
        return _difference(len(history.decisions), None, extra[0])
    return None


def _ended_from_outside(ending: Event) -> bool:
    """Whether the end came from a person or a clock and not from the program."""
    if isinstance(ending, ExecutionFailed):
        return ending.error.code in OUTSIDE or (ending.error.code, ending.error.where) == ("budget_exceeded", WALL)
    return isinstance(ending, ExecutionCancelled)


def _encoded(event: Event) -> bytes:
    return event.TYPE.encode() + msgspec.json.encode(event)


def _difference(index: int, recorded: Event | None, made: Event | None) -> dict[str, Any]:
    return {
        "decision": index + 1,
        "effect": getattr(recorded or made, "effect", ""),
        "recorded": _shown(recorded),
        "replayed": _shown(made),
    }


def _shown(event: Event | None) -> dict[str, Any] | None:
    return None if event is None else {"type": event.TYPE, "data": msgspec.to_builtins(event)}


def owed(history: History, produced: list[Event]) -> list[Event]:
    """The decisions that a rebuilt program has made and the log does not hold yet."""
    return [event for event in produced if event.event_id not in history.by_id]
