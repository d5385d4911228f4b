"""The way a run took through its pattern, as one line: steps in program order, verdicts, failures, {branches}."""

from __future__ import annotations

from collections.abc import Sequence

from parallax.simulation.records import Mark, TaskRecord

SEPARATOR = " > "
_AGAIN = {"": "", "retry": " (retry)", "revision": " (revised)", "escalation": " (escalated)"}
_Key = tuple[int, ...]


def path_of(tasks: Sequence[TaskRecord], marks: Sequence[Mark]) -> str:
    """The path of a run. Equal labels in a row are counted: `voter ×3`."""
    found = [(_key(task.path), label_of(task)) for task in tasks if task.path] + [
        (_key(mark.path), mark.label) for mark in marks
    ]
    found.sort(key=lambda entry: entry[0])
    return _sequence(found, 0)


def label_of(task: TaskRecord) -> str:
    """A task in a path: its step or role, why it was done again, how it ended where that is not by being done."""
    label = task.name
    if task.again == "escalation" and task.step:
        label = f"{task.step} (escalated to {task.role})"
    elif task.again == "retry" and task.kind == "verdict":
        label = f"{label} (again)"
    else:
        label += _AGAIN[task.again]
    if task.kind == "verdict" and task.status == "completed":
        return f"{label}: {'no verdict' if task.verdict == 'none' else task.verdict}"
    match task.status:
        case "completed":
            return label
        case "failed":
            return f"{label}: {task.error.code if task.error else 'failed'}"
        case "withdrawn":
            return f"{label}: withdrawn"
        case _:
            return f"{label}: unfinished"


def _key(path: str) -> _Key:
    return tuple(int(part) for part in path.split("."))


def _sequence(entries: list[tuple[_Key, str]], depth: int) -> str:
    """Entries whose first `depth` numbers are the same, in order."""
    parts: list[str] = []
    start = 0
    while start < len(entries):
        key, label = entries[start]
        if len(key) == depth + 1:
            parts.append(label)
            start += 1
            continue
        end = start
        while end < len(entries) and entries[end][0][depth] == key[depth]:
            end += 1
        parts.append(_group(entries[start:end], depth + 1))
        start = end
    return SEPARATOR.join(_counted(parts))


def _group(entries: list[tuple[_Key, str]], depth: int) -> str:
    """The branches of one parallel step."""
    branches: list[str] = []
    start = 0
    while start < len(entries):
        end = start
        while end < len(entries) and entries[end][0][depth] == entries[start][0][depth]:
            end += 1
        branches.append(_sequence(entries[start:end], depth + 1))
        start = end
    if len(branches) == 1:
        return branches[0]
    return "{" + ", ".join(_counted(branches)) + "}"


def _counted(parts: list[str]) -> list[str]:
    made: list[tuple[str, int]] = []
    for part in parts:
        if made and made[-1][0] == part:
            made[-1] = (part, made[-1][1] + 1)
        else:
            made.append((part, 1))
    return [part if count == 1 else f"{part} ×{count}" for part, count in made]
