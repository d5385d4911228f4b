"""What the engine answers by itself or waits for: small effects, timers, signals, questions."""

from __future__ import annotations

from typing import ClassVar, Literal

from schemas.base import Json
from schemas.events.base import Event


class EffectRecorded(Event, frozen=True, kw_only=True):
    """A small effect and its result in one: the time, a random number, a line for the log, a selection."""

    TYPE: ClassVar[str] = "effect.recorded"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str
    digest: str
    kind: str
    value: Json = None


class TimerSet(Event, frozen=True, kw_only=True):
    """A program waits for a time, and perhaps a signal, whichever comes first. `due_at` is in epoch milliseconds."""

    TYPE: ClassVar[str] = "timer.set"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str
    digest: str
    due_at: int | None = None
    signal: str = ""


class TimerFired(Event, frozen=True, kw_only=True):
    """The time came."""

    TYPE: ClassVar[str] = "timer.fired"
    KEY: ClassVar[tuple[str, ...]] = ("effect",)
    WRITER: ClassVar[str] = "pattern_engine"

    effect: str


class SignalReceived(Event, frozen=True, kw_only=True):
    """Somebody sent a signal. It answers the oldest waiting effect of that name, or waits to be asked for."""

    TYPE: ClassVar[str] = "signal.received"
    KEY: ClassVar[tuple[str, ...]] = ("number",)
    WRITER: ClassVar[str] = "pattern_engine"

    number: int
    name: str
    data: Json = None
    by: str = ""


class QuestionAsked(Event, frozen=True, kw_only=True):
    """Somebody has to answer before this goes on. Unanswered never means approved."""

    TYPE: ClassVar[str] = "question.asked"
    KEY: ClassVar[tuple[str, ...]] = ("question_id",)
    WRITER: ClassVar[str] = "pattern_engine|executor"

    question_id: str
    question: str
    kind: Literal["question", "approval"] = "question"
    options: list[str] = []
    effect: str = ""
    digest: str = ""
    task_id: str = ""
    role: str = ""
    who: list[str] = []
    default: Json = None
    deadline_at: int | None = None


class QuestionAnswered(Event, frozen=True, kw_only=True):
    """An answer was given, or the deadline came: then `by` is `deadline` and the value the question's default."""

    TYPE: ClassVar[str] = "question.answered"
    KEY: ClassVar[tuple[str, ...]] = ("question_id",)
    WRITER: ClassVar[str] = "pattern_engine"

    question_id: str
    value: Json = None
    by: str = ""
    reason: str = ""
    effect: str = ""
    task_id: str = ""
