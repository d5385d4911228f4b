"""Many runs as numbers: how often each way was taken, what it cost, how sure the agents were and how good they were."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from parallax.simulation.records import Outcome, TaskRecord
from parallax.simulation.setting import Setting
from parallax.simulation.works import fields_of

_NUMBERS = (
    "seconds", "cost", "wasted", "tokens", "tasks", "repeats", "retries", "revisions", "escalations", "agents_asked",
    "hops", "questions", "unanswered", "checks", "checks_failed", "conflicts", "confidence", "quality",
)  # fmt: skip
_MOST_LISTED = 200
_DEPTH = 30


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, median, 95th percentile (nearest rank), least and most, in ten-thousandths; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    count = len(ordered)

    def rank(share: float) -> float:
        return ordered[max(0, math.ceil(share * count) - 1)]

    found = {
        "mean": math.fsum(ordered) / count,
        "p50": rank(0.5),
        "p95": rank(0.95),
        "min": ordered[0],
        "max": ordered[-1],
    }
    return {name: round(value, 4) for name, value in found.items()}


def mean(values: Sequence[float]) -> float | None:
    """The mean in ten-thousandths; None of nothing."""
    return round(math.fsum(values) / len(values), 4) if values else None


def _numbers() -> array[float]:
    return array("d")


@dataclass(slots=True)
class _Way:
    """One path: how many runs took it, and the first that did."""

    count: int
    run: int
    ending: str


@dataclass(slots=True)
class _Group:
    """What the tasks of one role, or of one step, add up to."""

    tasks: int = 0
    runs: int = 0
    ended: Counter[str] = field(default_factory=Counter[str])
    verdicts: Counter[str] = field(default_factory=Counter[str])
    repeats: int = 0
    lies: int = 0
    cost: array[float] = field(default_factory=_numbers)
    worked: array[float] = field(default_factory=_numbers)
    waited: array[float] = field(default_factory=_numbers)
    confidence: array[float] = field(default_factory=_numbers)
    quality: array[float] = field(default_factory=_numbers)

    def add(self, task: TaskRecord) -> None:
        self.tasks += 1
        self.ended[task.status] += 1
        self.repeats += task.attempts - 1
        self.lies += task.lied
        self.cost.append(task.cost_usd)
        if task.started_ms is not None:
            self.waited.append((task.started_ms - task.requested_ms) / 1000)
            if task.ended_ms is not None:
                self.worked.append((task.ended_ms - task.started_ms) / 1000)
        if task.kind == "verdict" and task.status == "completed":
            self.verdicts[task.verdict] += 1
        if task.kind == "work" and task.confidence is not None and task.quality is not None:
            self.confidence.append(task.confidence)
            self.quality.append(task.quality)

    def document(self, runs: int) -> dict[str, Any]:
        sure, good = mean(self.confidence), mean(self.quality)
        return {
            "tasks": self.tasks,
            "tasks_per_run": round(self.tasks / runs, 4),
            "reached": round(self.runs / runs, 4),
            "completed": self.ended["completed"],
            "failed": self.ended["failed"],
            "withdrawn": self.ended["withdrawn"],
            "repeats": self.repeats,
            "seconds": mean(self.worked),
            "seconds_waiting": mean(self.waited),
            "cost_per_run": round(math.fsum(self.cost) / runs, 4),
            "verdicts": dict(sorted(self.verdicts.items())),
            "confidence": sure,
            "quality": good,
            "overconfidence": None if sure is None or good is None else round(sure - good, 4),
            "lies": self.lies,
        }


class Summary:
    """The fold over the outcomes of a simulation. Outcomes themselves are not kept."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.runs = 0
        self.statuses: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._messages: dict[str, str] = {}
        self._stalls: Counter[str] = Counter()
        self._ways: dict[str, _Way] = {}
        self._results: Counter[str] = Counter()
        self._numbers: dict[str, array[float]] = {name: _numbers() for name in _NUMBERS}
        self._roles: dict[str, _Group] = {}
        self._steps: dict[str, _Group] = {}
        self._said, self._was = _numbers(), _numbers()

    def add(self, outcome: Outcome) -> None:
        """Counts one run."""
        self.runs += 1
        self.statuses[outcome.status] += 1
        ending: str = outcome.status
        if outcome.error is not None:
            ending = f"failed: {outcome.error.code}"
            self._failures[outcome.error.code] += 1
            self._messages.setdefault(outcome.error.code, outcome.error.message)
        for reason in dict.fromkeys(outcome.waits_for):
            self._stalls[reason] += 1
        path = outcome.path or "(nothing)"
        if outcome.status != "completed":
            path = f"{path} | {ending}"
        way = self._ways.setdefault(path, _Way(0, outcome.run, ending))
        way.count += 1
        if outcome.status == "completed":
            self._results[json.dumps(essence(outcome.result), sort_keys=True, ensure_ascii=False)] += 1
        for name, values in self._numbers.items():
            found = len(outcome.tasks) if name == "tasks" else getattr(outcome, name)
            if found is not None:
                values.append(float(found))
        self._add_tasks(outcome)

    def _add_tasks(self, outcome: Outcome) -> None:
        for groups, key in ((self._roles, "role"), (self._steps, "name")):
            seen: set[str] = set()
            for task in outcome.tasks:
                name: str = getattr(task, key)
                group = groups.setdefault(name, _Group())
                group.add(task)
                seen.add(name)
            for name in seen:
                groups[name].runs += 1
        for task in outcome.tasks:
            if task.kind == "work" and task.confidence is not None and task.quality is not None:
                self._said.append(task.confidence)
                self._was.append(task.quality)

    # -- what came out ------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Everything as one JSON document."""
        pattern = self.setting.pattern
        return {
            "pattern": pattern.name,
            "version": pattern.version,
            "digest": pattern.digest,
            "seed": self.setting.seed,
            "runs": self.runs,
            "input": self.setting.input,
            "completed": self.statuses["completed"],
            "failed": self.statuses["failed"],
            "stalled": self.statuses["stalled"],
            "failures": [
                {"code": code, "count": count, "share": self._share(count), "message": self._messages[code]}
                for code, count in _ranked(self._failures)
            ],
            "stalls": [
                {"waits_for": reason, "count": count, "share": self._share(count)}
                for reason, count in _ranked(self._stalls)
            ],
            "paths": self._paths(),
            "distinct_paths": len(self._ways),
            "results": [
                {"result": json.loads(text), "count": count, "share": self._share(count)}
                for text, count in _ranked(self._results)
            ],
            "distinct_results": len(self._results),
            "numbers": {_NAMES.get(name, name): spread(values) for name, values in self._numbers.items()},
            "roles": {name: self._roles[name].document(self.runs) for name in sorted(self._roles)},
            "steps": {name: group.document(self.runs) for name, group in self._steps.items()},
            "overconfidence": mean([said - was for said, was in zip(self._said, self._was, strict=True)]),
            "calibration": self._calibration(),
        }

    def _share(self, count: int) -> float:
        return round(count / self.runs, 4) if self.runs else 0.0

    def _paths(self) -> list[dict[str, Any]]:
        ranked = sorted(self._ways.items(), key=lambda item: (-item[1].count, item[0]))
        return [
            {
                "path": path,
                "count": way.count,
                "share": self._share(way.count),
                "ending": way.ending,
                "first_run": way.run,
            }
            for path, way in ranked[:_MOST_LISTED]
        ]

    def _calibration(self) -> list[dict[str, Any]]:
        """What the agents said in tenths, and how good the work was that they said it of."""
        good = self.setting.cast.agents.good
        found: list[dict[str, Any]] = []
        pairs = list(zip(self._said, self._was, strict=True))
        for tenth in range(10):
            inside = [pair for pair in pairs if min(9, int(pair[0] * 10)) == tenth]
            if inside:
                found.append(
                    {
                        "from": tenth / 10,
                        "to": (tenth + 1) / 10,
                        "tasks": len(inside),
                        "confidence": mean([said for said, _ in inside]),
                        "quality": mean([quality for _, quality in inside]),
                        "good": mean([float(quality >= good) for _, quality in inside]),
                    }
                )
        return found


_NAMES = {"cost": "cost_usd", "wasted": "wasted_usd"}


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_LISTED]


def essence(value: Any, depth: int = 0) -> Any:
    """A result without what differs in every run: records of steps become their results, verdicts their word."""
    if depth > _DEPTH:
        return None
    if isinstance(value, list):
        return [essence(item, depth + 1) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if "task_id" in fields and "result" in fields:
        error = fields_of(fields.get("error"))
        return {"error": error["code"]} if "code" in error else essence(fields["result"], depth + 1)
    if "verdict" in fields and "approved" in fields:
        return fields["verdict"]
    if "method" in fields and "sources" in fields:
        return essence(fields.get("result"), depth + 1)
    return {key: essence(item, depth + 1) for key, item in fields.items()}
