"""The truth about the work of one run: how good each piece is, and which piece somebody is asked about."""

from __future__ import annotations

from typing import Any, cast

from compiler.orchestration.verdicts import INSTRUCTION
from parallax.simulation.records import Again, TaskRecord
from schemas.effects import Task

_DEPTH = 40


class Works:
    """All tasks of a run by their ids, and the latest work by several marks."""

    def __init__(self) -> None:
        self.by_task: dict[str, TaskRecord] = {}
        self._by_commit: dict[str, TaskRecord] = {}
        self._by_step: dict[str, TaskRecord] = {}
        self._by_wish: dict[tuple[str, str], float] = {}
        self._latest: TaskRecord | None = None

    def done(self, record: TaskRecord, commit: str) -> None:
        """A task is completed."""
        if record.kind != "work" or record.quality is None:
            return
        self._latest = record
        self._by_wish[record.step, record.text] = record.quality
        if commit:
            self._by_commit[commit] = record
        if record.step:
            self._by_step[record.step] = record

    def before(self, request: Task) -> float | None:
        """The quality of the last attempt at the same work."""
        return self._by_wish.get((request.step, request.text))

    def latest(self) -> float | None:
        """The quality of the work that was finished last."""
        return None if self._latest is None else self._latest.quality

    def judged(self, request: Task) -> float | None:
        """The quality of what a verdict is asked about; None where there is no work yet.

        That is the worst of the tasks whose records are in the subject; else the work with the commit; else the last
        work of the same step; else the last work there is.
        """
        context = fields_of(request.context)
        named = self.worst(context.get("subject"))
        if named is not None:
            return named
        found = self._by_commit.get(str(context.get("commit") or "")) or self._by_step.get(request.step)
        return self.latest() if found is None else found.quality

    def worst(self, value: Any) -> float | None:
        """The lowest quality of the tasks whose records are in a value; None where there are none."""
        found = [quality for task in task_ids(value) if (quality := self._quality(task)) is not None]
        return min(found, default=None)

    def _quality(self, task_id: str) -> float | None:
        record = self.by_task.get(task_id)
        return None if record is None else record.quality


def is_verdict(request: Task) -> bool:
    """Whether a task asks for a verdict in the platform's own form."""
    return fields_of(request.context).get("answer") == INSTRUCTION


def again(request: Task) -> Again:
    """Why a task is done once more; empty where it is not."""
    context = fields_of(request.context)
    if context.get("escalated_from"):
        return "escalation"
    if context.get("revision"):
        return "revision"
    return "retry" if context.get("attempt") == 2 and "critique" in context else ""


def fields_of(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def task_ids(value: Any, depth: int = 0) -> list[str]:
    """The ids of the tasks whose records are in a value, at any depth."""
    if depth > _DEPTH:
        return []
    if isinstance(value, list):
        return [task for item in cast("list[Any]", value) for task in task_ids(item, depth + 1)]
    if not isinstance(value, dict):
        return []
    fields = cast("dict[str, Any]", value)
    own = fields.get("task_id")
    if isinstance(own, str) and own:
        return [own]
    return [task for item in fields.values() for task in task_ids(item, depth + 1)]
