"""A simulation in words: the same text for the same seed, whatever the terminal."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from parallax.simulation.clock import START_MS
from parallax.simulation.records import LoggedEvent, Outcome

_HIDDEN = frozenset(
    {"execution_id", "task_id", "agent_id", "question_id", "workspace_id", "verification_id", "digest", "program",
     "program_digest", "pattern_source", "pattern_digest", "pattern_format", "roles", "agent", "request_digest",
     "modules", "spec", "engine", "epoch", "effects", "confidence_source", "base_commit", "workspace", "duration_ms"}
)  # fmt: skip
"""What a line of a log leaves out; the JSON form has it."""

_SHOWN, _PATH = 48, 240
_TEXT = (2,)
"""The column of a count, a share and a text that begins on the left."""


def report_lines(found: dict[str, Any], *, paths: int = 10) -> list[str]:
    """The lines of a report; `found` is what `Summary.document` gives."""
    runs = found["runs"]
    lines = [f"{found['pattern']} {found['version']}: {_count(runs, 'run')}, seed {found['seed']}"]
    if not runs:
        return lines
    lines += ["", "Ended", *_table(_endings(found), _TEXT)]
    lines += ["", "Paths", *_table(_paths(found, paths), _TEXT)]
    hidden = found["distinct_paths"] - min(paths, len(found["paths"]))
    if hidden > 0:
        lines.append(f"  and {_count(hidden, 'other path')}")
    lines += ["", *_table(_numbers(found))]
    if found["roles"]:
        lines += ["", *_table(_roles(found))]
        lines += ["", *_table(_steps(found), (0, 5))]
    if found["calibration"]:
        lines += ["", _calibration_title(found["overconfidence"]), *_table(_calibration(found))]
    if 0 < found["distinct_results"] <= 10:
        lines += ["", "Results", *_table(_results(found), _TEXT)]
    return lines


def run_lines(outcome: Outcome) -> list[str]:
    """One run: its path, how it ended, and its log."""
    lines = [f"run {outcome.run}: {ending_of(outcome)} after {duration(outcome.seconds)}, ${outcome.cost:.2f}"]
    lines += [f"  {outcome.path or '(nothing)'}", ""]
    lines += [event_line(entry) for entry in outcome.events]
    lines += [f"  waits for {reason}" for reason in outcome.waits_for]
    return lines


def ending_of(outcome: Outcome) -> str:
    """How a run ended, in words."""
    if outcome.error is not None:
        return f"failed ({outcome.error.code}: {outcome.error.message})"
    return outcome.status


def event_line(entry: LoggedEvent) -> str:
    """One event of a log: when, what kind, what it says."""
    data: dict[str, Any] = msgspec.to_builtins(entry.event)
    told = "  ".join(
        f"{key}={_told(key, value)}"
        for key, value in data.items()
        if key not in _HIDDEN and value not in (None, "", [], {}, False)
    )
    return f"{_moment(entry.at_ms):>12}  {entry.type:<31} {told}".rstrip()


def _told(key: str, value: Any) -> str:
    if key in ("due_at", "deadline_at"):
        return _moment(value - START_MS)
    return f"${value['cost_usd']:.2f}" if key == "usage" else _short(value)


def _moment(ms: int) -> str:
    """A time of the run's own, in minutes and seconds."""
    return f"{ms // 60_000}:{ms % 60_000 / 1000:06.3f}"


def event_document(entry: LoggedEvent) -> dict[str, Any]:
    """One event of a log as JSON."""
    return {"at_ms": entry.at_ms, "type": entry.type, "data": msgspec.to_builtins(entry.event)}


def run_document(outcome: Outcome) -> dict[str, Any]:
    """One run as JSON, with its log."""
    return {
        "run": outcome.run,
        "status": outcome.status,
        "result": outcome.result,
        "confidence": outcome.confidence,
        "confidence_source": outcome.confidence_source,
        "quality": outcome.quality,
        "error": msgspec.to_builtins(outcome.error),
        "waits_for": outcome.waits_for,
        "path": outcome.path,
        "seconds": outcome.seconds,
        "cost_usd": outcome.cost,
        "wasted_usd": outcome.wasted,
        "tokens": outcome.tokens,
        "effects": outcome.effects,
        "tasks": len(outcome.tasks),
        "escalations": outcome.escalations,
        "events": [event_document(entry) for entry in outcome.events],
    }


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


# -- the tables -------------------------------------------------------------------------------------------------------


def _endings(found: dict[str, Any]) -> Iterable[Sequence[str]]:
    if found["completed"]:
        yield str(found["completed"]), _percent(found["completed"] / found["runs"]), "completed"
    for one in found["failures"]:
        example = _short(one["message"], 90)
        yield str(one["count"]), _percent(one["share"]), f"failed: {one['code']}  (for example: {example})"
    for one in found["stalls"]:
        yield str(one["count"]), _percent(one["share"]), f"stalled, waiting for {one['waits_for']}"


def _paths(found: dict[str, Any], most: int) -> Iterable[Sequence[str]]:
    for one in found["paths"][:most]:
        yield str(one["count"]), _percent(one["share"]), _short(one["path"], _PATH)


def _numbers(found: dict[str, Any]) -> Iterable[Sequence[str]]:
    yield "A run", "mean", "median", "95 %", "least", "most"
    for name, (title, shown) in _TITLES.items():
        values = found["numbers"][name]
        if values is not None and (values["max"] > 0 or name in _ALWAYS):
            yield title, *(shown(values[key]) for key in ("mean", "p50", "p95", "min", "max"))


def _roles(found: dict[str, Any]) -> Iterable[Sequence[str]]:
    yield "Role", "tasks/run", "time", "waits", "cost/run", "repeated", "failed", "says", "is", "lies"
    for name, one in found["roles"].items():
        yield (
            name,
            f"{one['tasks_per_run']:.2f}",
            "" if one["seconds"] is None else duration(one["seconds"]),
            "" if one["seconds_waiting"] is None else duration(one["seconds_waiting"]),
            f"${one['cost_per_run']:.2f}",
            str(one["repeats"]),
            str(one["failed"]),
            _score(one["confidence"]),
            _score(one["quality"]),
            str(one["lies"]),
        )


def _steps(found: dict[str, Any]) -> Iterable[Sequence[str]]:
    yield "Step", "reached", "tasks/run", "failed", "withdrawn", "verdicts"
    for name, one in found["steps"].items():
        total = sum(one["verdicts"].values())
        said = ", ".join(f"{word} {_percent(count / total).strip()}" for word, count in one["verdicts"].items())
        yield (
            name,
            _percent(one["reached"]),
            f"{one['tasks_per_run']:.2f}",
            str(one["failed"]),
            str(one["withdrawn"]),
            said,
        )


def _calibration_title(too_much: float) -> str:
    """What the table is about, and how far agents are off on the whole."""
    how = "much" if too_much >= 0 else "little"
    return (
        f"Calibration: what agents say of their work, and how good it is (on the whole {abs(too_much):.2f} too {how})"
    )


def _calibration(found: dict[str, Any]) -> Iterable[Sequence[str]]:
    yield "says", "tasks", "says, mean", "is, mean", "good"
    for one in found["calibration"]:
        yield (
            f"{one['from']:.1f}–{one['to']:.1f}",
            str(one["tasks"]),
            _score(one["confidence"]),
            _score(one["quality"]),
            _percent(one["good"]),
        )


def _results(found: dict[str, Any]) -> Iterable[Sequence[str]]:
    for one in found["results"]:
        yield str(one["count"]), _percent(one["share"]), _short(one["result"], 120)


def _table(rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Columns side by side: those in `left` begin together, the others, which are numbers, end together."""
    cells = [list(row) for row in rows]
    width = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))] if cells else []
    return [
        "  "
        + "  ".join(
            text.ljust(width[column]) if column in left else text.rjust(width[column])
            for column, text in enumerate(row)
        ).rstrip()
        for row in cells
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _short(value: Any, width: int = _SHOWN) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _dollars(value: float) -> str:
    return f"${value:.2f}"


def _amount(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _whole(value: float) -> str:
    return f"{round(value):,}".replace(",", " ")


_TITLES = {
    "seconds": ("time", duration),
    "cost_usd": ("cost", _dollars),
    "wasted_usd": ("of it on attempts that came to nothing", _dollars),
    "tokens": ("tokens", _whole),
    "tasks": ("tasks", _amount),
    "repeats": ("attempts repeated", _amount),
    "retries": ("done again for low confidence", _amount),
    "revisions": ("done again for a reviewer", _amount),
    "escalations": ("escalations", _amount),
    "agents_asked": ("questions of agents", _amount),
    "hops": ("asked of others in the team", _amount),
    "questions": ("questions of the pattern to people", _amount),
    "unanswered": ("of them not answered in time", _amount),
    "checks_failed": ("checks failed", _amount),
    "conflicts": ("merge conflicts", _amount),
    "confidence": ("confidence", _score),
    "quality": ("true quality of the result", _score),
}
_ALWAYS = frozenset({"seconds", "cost_usd", "tasks", "escalations", "confidence"})
