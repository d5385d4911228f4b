"""The card at the end of an execution: what came of it, where it is, how sure it is and why, and how to look further.

A confidence is never shown alone: under it stands, for each piece of work, what it rests on: the oracle that ran, its
exit code and tests, the reviewer's verdict, and what the agent had claimed itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from parallax.cli.progress import (
    SUMMARY_KEYS,
    Progress,
    Question,
    Row,
    conflict_words,
    found_words,
    gist,
    shorten,
    summary,
    verdict_of,
    visible,
)
from parallax.cli.render import STATUS_STYLES, confidence_style, print_commands, put
from parallax.client_events import Data, Event, failure_of, standing_words

_SOURCES = {
    "self_report": "reported by the agents themselves, uncalibrated",
    "verification": "earned by verification",
    "review": "given by a reviewer",
    "aggregate": "aggregated over the team",
    "program": "computed by the pattern",
}
_MOST_LINES = 14
_LONGEST_LINE = 1000


def print_card(out: Console, progress: Progress, ending: Event, commands: Iterable[str] = ()) -> None:
    """Writes the card of `final_card`, without a frame where there is no terminal; below it, commands to go on with."""
    put(out, final_card(progress, ending, framed=out.is_terminal))
    further = list(commands)
    if further:
        out.print()
        print_commands(out, further)


def final_card(progress: Progress, ending: Event, *, framed: bool = True) -> RenderableType:
    """The end of an execution as something to print."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, what in card_rows(progress, ending):
        rows.add_row(name, Text(what) if isinstance(what, str) else what)
    words = standing_words(progress.status, ending.data)
    title = Text(words, style=STATUS_STYLES.get(words, ""))
    if not framed:
        return Group("", title, rows)
    return Panel(rows, title=title, title_align="left", box=ROUNDED, padding=(0, 1))


def card_rows(progress: Progress, ending: Event) -> list[tuple[str, RenderableType]]:
    """What the card says, as name and text."""
    data = ending.data
    pattern = f"  ({visible(progress.pattern)})" if progress.pattern else ""
    found: list[tuple[str, RenderableType]] = [("execution", f"{progress.execution_id}{pattern}")]
    match ending.type:
        case "execution.completed":
            found.append(("result", "\n".join(result_lines(data.get("result"))) or "nothing"))
            found += [("approved", Text("no", "red"))] if data.get("approved") is False else []
            found += [("refused", refusal) for refusal in _refusals(data)]
            found.append(("confidence", _confidence(progress, data)))
        case "execution.cancelled":
            by = f" (by {data['by']})" if data.get("by") else ""
            found.append(("reason", visible(f"{data.get('reason') or 'none given'}{by}")))
        case "execution.rejected":
            found += [("error", visible(_problem(problem))) for problem in data.get("errors", [])]
        case _:
            failure = failure_of(data)
            found.append(("error", f"{_cut(visible(failure.message))} [{failure.code}]"))
            found += [("refused", refusal) for refusal in _refusals(data)]
            if evidence := evidence_table(progress):
                found.append(("evidence", evidence))
    found += [("conflict", conflict_words(conflict)) for conflict in progress.conflicts]
    found += [(name, visible(said)) for name, said in progress.beside.rows(progress.execution_id)]
    found += [("asked", _answered(question)) for question in progress.questions]
    found += _where(data, progress)
    if data.get("unpublished"):
        found.append(("not pushed", Text(visible(str(data["unpublished"])), "red")))
    tasks = sum(1 for row in progress.rows.values() if row.agent_id)
    work = f"{tasks} task{'' if tasks == 1 else 's'}"
    seen = f"{progress.events} event{'' if progress.events == 1 else 's'}"
    found.append(("took", f"{progress.seconds(ending.time):.2f} s, {work}, {seen}"))
    return found


def _refusals(data: Data) -> list[RenderableType]:
    """Who said no to what, and what was found, a line each."""
    lines: list[RenderableType] = []
    evidence: list[Mapping[str, Any]] = data.get("evidence") or []
    for one in evidence:
        counted = found_words(one.get("checks") or [])
        said = shorten(str(one.get("critique", "")), 200)
        line = f"{one.get('step')}{_refuser(one)}: {one.get('verdict')}{counted}"
        lines.append(Text(visible(f"{line}: {said}" if said else line), "red"))
    return lines


def _refuser(refusal: Mapping[str, Any]) -> str:
    """By whom it was refused; empty where no check and no person had a say."""
    by = refusal.get("by")
    if by == "nobody" and refusal.get("kind") not in {"verify", "assign"}:
        return " by a person"
    return f" by {by}" if by and by != "nobody" else ""


def confidence_words(confidence: float | None, source: str, *, calibrated: bool = False) -> str:
    """A confidence and where it came from, in words."""
    if confidence is None:
        return "none given"
    words = _SOURCES.get(source, source) or "of unknown origin"
    return f"{confidence:.2f}, {words}{', calibrated' if calibrated else ''}"


def _confidence(progress: Progress, data: Data) -> RenderableType:
    words = confidence_words(
        data.get("confidence"), data.get("confidence_source", ""), calibrated=data.get("calibrated", False)
    )
    evidence = evidence_table(progress)
    return Text(words) if evidence is None else Group(Text(words), evidence)


def evidence_table(progress: Progress) -> Table | None:
    """For each piece of work that is finished: who did it, its confidence, and what that rests on."""
    rows = [row for row in progress.rows.values() if row.agent_id and row.state in {"done", "failed"}]
    if not rows:
        return None
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        judged = progress.judged(row.key)
        measured = [check.confidence for check in judged if check.confidence is not None]
        score = min(measured) if measured else None if judged else row.confidence
        number = Text("none", "dim") if score is None else Text(f"{score:.2f}", confidence_style(score))
        table.add_row(Text(row.who), number, Text("; ".join(_reasons(row, judged))))
    return table


def _reasons(row: Row, judged: list[Row]) -> list[str]:
    """What the confidence in a piece of work rests on."""
    reasons = [f"{check.what} {check.note}" for check in judged]
    if row.verdict:
        reasons.append(f"verdict {row.verdict}")
    if row.state == "failed":
        reasons.append("failed")
    elif row.confidence is not None:
        reasons.append(f"its own word {row.confidence:.2f}" + ("" if judged else ", uncalibrated"))
    elif not judged:
        reasons.append("no evidence, and no word of its own")
    return [*reasons, row.remark] if row.remark else reasons


def result_lines(value: Any) -> list[str]:
    """A result for people: of an aggregate who brought what, else its own words, else its fields, a line each."""
    lines = [_within(line) for line in _aggregate_lines(value) or _verdict_lines(value) or _lines(_work_of(value))]
    if len(lines) > _MOST_LINES:
        left = len(lines) - _MOST_LINES + 1
        return [*lines[: _MOST_LINES - 1], f"… {left} lines more; `show ID --json` has them all"]
    return lines


def _within(line: str) -> str:
    """A line of which a person reads the beginning, and is told how much more there is."""
    left = len(line) - _LONGEST_LINE
    return line if left <= 0 else f"{line[:_LONGEST_LINE]}… {left:,} characters more; `show ID --json` has them all"


def _verdict_lines(value: Any) -> list[str]:
    """A review or an approval by its verdict; who gave it stands elsewhere on the card."""
    if not (isinstance(value, Mapping) and "approved" in value):
        return []
    said = ": ".join(filter(None, verdict_of(cast("object", value))))
    return [said] if said else []


def outcome_words(value: Any) -> str:
    """A result in a few words, for a list: who brought what, its own summary, or what it is made of."""
    if value is None:
        return ""
    shares = _aggregate_lines(value)
    if shares:
        return "; ".join(shares)
    work = _work_of(value)
    if isinstance(work, Mapping):
        found = cast("Mapping[str, Any]", work)
        said = next((found[key] for key in SUMMARY_KEYS if isinstance(found.get(key), str)), "")
        verdict = ": ".join(filter(None, verdict_of(found)))
        return verdict or said.strip() or ", ".join(f"{key}: {_in_short(item)}" for key, item in found.items()) or "{}"
    if isinstance(work, list):
        several = cast("list[Any]", work)
        return f"{len(several)} item{'' if len(several) == 1 else 's'}"
    return _scalar(work)


def _in_short(value: Any) -> str:
    """A part of a result: what is simple as it is, the rest as how much of it there is."""
    if isinstance(value, Mapping):
        return "{…}" if value else "{}"
    if isinstance(value, list):
        return f"[{len(cast('list[Any]', value))}]"
    return shorten(_scalar(value), 40)


def _work_of(value: Any) -> Any:
    """What somebody brought, without the record of who did so and how, which the card says elsewhere."""
    found: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    return found["result"] if {"result", "role", "task_id"} <= found.keys() else cast("object", value)


def _aggregate_lines(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    found = cast("Mapping[str, Any]", value)
    parts, sources = found.get("result"), found.get("sources")
    if not (isinstance(parts, list) and isinstance(sources, list)):
        return []
    shares, origins = cast("list[Any]", parts), cast("list[Any]", sources)
    if len(shares) != len(origins) or not all(isinstance(origin, Mapping) and "role" in origin for origin in origins):
        return []
    lines: list[str] = []
    for share, origin in zip(shares, origins, strict=True):
        said = ": ".join(filter(None, verdict_of(share))) or summary(share, 300) or "done"
        lines.append(f"{origin['role']}: {said}")
    return lines


def _lines(value: Any, indent: str = "") -> list[str]:
    """Any value, one line for each thing in it."""
    if isinstance(value, Mapping):
        lines: list[str] = []
        for name, inner in cast("Mapping[str, Any]", value).items():
            lines += _entry(f"{indent}{visible(name)}:", inner, indent)
        return lines
    if isinstance(value, list):
        return [line for inner in cast("list[Any]", value) for line in _entry(f"{indent}-", inner, indent)]
    return [f"{indent}{line}" for line in _scalar(value).splitlines()]


def _entry(lead: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, Mapping | list):
        inner = _lines(value, indent + "  ")
        return [lead, *inner] if inner else [f"{lead} none"]
    said = _scalar(value).splitlines()
    if len(said) > 1:
        return [lead, *(f"{indent}  {line}" for line in said)]
    return [f"{lead} {said[0]}" if said else lead]


def _scalar(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return visible(str(value))


def _answered(question: Question) -> str:
    """A question and its answer, as a line or two."""
    return f"{gist(question.text)}\n→ {gist(question.answer)}"


def _where(data: Data, progress: Progress) -> list[tuple[str, RenderableType]]:
    found: list[tuple[str, RenderableType]] = []
    if data.get("branch"):
        pushed = "  pushed" if progress.pushed else ""
        found.append(("branch", f"{data['branch']}  {str(data.get('commit', ''))[:10]}".rstrip() + pushed))
    if progress.files:
        found.append(("files", shorten(", ".join(progress.files), 120)))
    if data.get("pr_url"):
        found.append(("pull request", data["pr_url"]))
    return found


def _problem(problem: Mapping[str, Any]) -> str:
    where = f"{problem['where']}: " if problem.get("where") else ""
    hint = f"  {problem['hint']}" if problem.get("hint") else ""
    return f"{where}{problem.get('what', '')}{hint}"


def _cut(text: str) -> str:
    """The first and the last lines of a long text: the first says what failed, the last how it ended."""
    lines: Sequence[str] = text.strip().splitlines()
    if len(lines) <= _MOST_LINES:
        return "\n".join(lines)
    return "\n".join([*lines[:3], f"… {len(lines) - _MOST_LINES + 1} lines …", *lines[4 - _MOST_LINES :]])
