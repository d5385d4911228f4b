"""The truth about the work of one run: how good each piece is, and which piece somebody is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from compiler.orchestration.verdicts import INSTRUCTION
from compiler.prism.machine import path_key
from parallax.simulation.records import Again, TaskRecord
from schemas.effects import Task

_DEPTH = 40
_Key = tuple[int, ...]


class Works:
    """All tasks of a run by their ids, and what came before a place of the program."""

    def __init__(self) -> None:
        self.by_task: dict[str, TaskRecord] = {}
        self._by_commit: dict[str, TaskRecord] = {}
        self._in: dict[_Key, list[tuple[_Key, TaskRecord]]] = {}

    def done(self, record: TaskRecord, commit: str) -> None:
        """A task is completed."""
        if record.kind != "work" or record.quality is None:
            return
        key = path_key(record.path)
        for depth in range(0, len(key), 2):
            self._in.setdefault(key[:depth], []).append((key, record))
        if commit:
            self._by_commit[commit] = record

    def before(self, request: Task, path: str) -> float | None:
        """The quality of the last attempt at the same work, by the same session where one is named."""
        same = [
            (key, record)
            for found in self._seen_from(path)
            for key, record in found
            if record.step == request.step and record.text == request.text
        ]
        own = [entry for entry in same if entry[1].session == request.session]
        return max(own or same, key=_place)[1].quality if same else None

    def latest(self, path: str) -> float | None:
        """The quality of the last work before a place of the program, in program order; None where there is none."""
        found = next(self._seen_from(path), None)
        return max(found, key=_place)[1].quality if found else None

    def judged(self, request: Task, path: str) -> float | None:
        """The quality of what a verdict is asked about; None where there is no work yet.

        That is the worst of the tasks whose records are in the subject; else the work with the commit; else the last
        work before.
        """
        context = fields_of(request.context)
        named = self.worst(context.get("subject"))
        if named is not None:
            return named
        found = self._by_commit.get(str(context.get("commit") or ""))
        return self.latest(path) if found is None else found.quality

    def _seen_from(self, path: str) -> Iterator[list[tuple[_Key, TaskRecord]]]:
        """The work that was asked for before a place of the program: first in its own branch, then around it.

        Numbers of effects and of branches take turns in a path; two branches of one step do not see each other.
        """
        here = path_key(path)
        for depth in range((len(here) - 1) // 2 * 2, -1, -2):
            if found := [entry for entry in self._in.get(here[:depth], ()) if entry[0][depth] < here[depth]]:
                yield found

    def worst(self, value: Any) -> float | None:
        """The lowest quality of the tasks whose records are in a value; None where there are none."""
        found = [quality for task in task_ids(value) if (quality := self._quality(task)) is not None]
        return min(found, default=None)

    def _quality(self, task_id: str) -> float | None:
        record = self.by_task.get(task_id)
        return None if record is None else record.quality


def _place(entry: tuple[_Key, TaskRecord]) -> _Key:
    return entry[0]


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
