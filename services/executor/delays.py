"""What tasks wait for, said in the log once it has lasted, so that nobody stares at an execution that stands still.

To wait costs an entry in a table that the executor's clock looks at. A reason is said at most once for an attempt, and
only when it alone has held the task up for a while; the time in which the execution is paused does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from schemas.events import TaskWaiting, WaitReason
from services.executor.machine import TaskState

SAY_AFTER_S = 2.0
"""So long one reason holds a task up before it is said."""

_LONGEST_STEP_S = 1.0
"""An executor that was itself frozen does not count that time."""

Why = Callable[[], tuple[WaitReason, str]]
"""What is waited for at this moment, and the sentence about it: "no agent offers code_review"."""


class Waits:
    """What one task has waited for: the reasons that were said of it, by attempt."""

    def __init__(self, state: Callable[[], TaskState], say: Callable[[TaskWaiting], None]) -> None:
        self.state = state
        self.say = say
        self.said: set[tuple[int, str]] = set()


class _Delay:
    __slots__ = ("reason", "waited_s", "waits", "why")

    def __init__(self, waits: Waits, why: Why) -> None:
        self.waits = waits
        self.why = why
        self.reason = ""
        self.waited_s = 0.0


class Delays:
    """Everything that waits in this executor."""

    def __init__(self, paused: Callable[[str], bool]) -> None:
        self._paused = paused
        self._open: set[_Delay] = set()
        self._looked_at: float | None = None

    @contextmanager
    def of(self, waits: Waits, why: Why) -> Generator[None]:
        """Something is waited for in this block."""
        delay = _Delay(waits, why)
        self._open.add(delay)
        try:
            yield
        finally:
            self._open.discard(delay)

    def look(self, now: float) -> None:
        """Says what has lasted. To be called several times a second."""
        step = 0.0 if self._looked_at is None else min(_LONGEST_STEP_S, now - self._looked_at)
        self._looked_at = now
        for delay in list(self._open):
            state = delay.waits.state()
            if self._paused(state.request.execution_id):
                continue
            reason, message = delay.why()
            if reason != delay.reason:
                delay.reason, delay.waited_s = reason, 0.0
            delay.waited_s += step
            key = (state.attempt, reason)
            if delay.waited_s >= SAY_AFTER_S and key not in delay.waits.said:
                delay.waits.said.add(key)
                delay.waits.say(waiting_for(state, reason, message))


def waiting_for(state: TaskState, reason: WaitReason, message: str) -> TaskWaiting:
    """The word of a task about what it waits for."""
    request = state.request
    return TaskWaiting(
        execution_id=request.execution_id,
        task_id=request.task_id,
        attempt=state.attempt,
        role=request.role,
        reason=reason,
        message=message,
        step=request.step,
    )
