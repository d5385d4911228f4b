"""Looking at executions: ps, show, events, logs."""

from __future__ import annotations

import difflib
from datetime import datetime
from pathlib import Path
from typing import Any, cast, get_args

import click
from rich.text import Text

from parallax.cli.card import confidence_words, outcome_words, print_card
from parallax.cli.clients import known, say, talk
from parallax.cli.columns import Column, print_list
from parallax.cli.common import LAST_POSITION, data_option, emit_json, json_option, settings_for
from parallax.cli.executions import approved_in, event_document, exit_code
from parallax.cli.listing import list_executions
from parallax.cli.progress import Progress, Question, age, duration, gist, question_of, shorten, visible
from parallax.cli.prose import fields, sentence
from parallax.cli.questions import open_questions
from parallax.cli.render import STATUS_STYLES, confidence_style, console, progress_table, put
from parallax.client import Client
from parallax.client_events import Data, Event, Status, standing_words, status_of
from schemas.events import ENDINGS, EVENT_TYPES
from shared.clock import SYSTEM_CLOCK
from shared.ids import session_of

_NOT_APPROVED = "not-approved"
_MOST_LOOKED_AT = 1_000_000


@click.command()
@click.option(
    "--status",
    type=click.Choice([*get_args(Status), _NOT_APPROVED]),
    help="Only those of one status; not-approved: those whose gates said no, failed or not.",
)
@click.option("--pattern", help="Only those of one pattern.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--wide", is_flag=True, help="Every column whole, with times instead of ages.")
@json_option
@data_option
def ps(status: str | None, pattern: str | None, limit: int, wide: bool, as_json: bool, data: Path | None) -> int:
    """Lists executions, the newest first."""

    async def work(client: Client) -> int:
        refused = status == _NOT_APPROVED
        wanted, most = (None, _MOST_LOOKED_AT) if refused else (status, limit)
        found = await list_executions(client, settings_for(data), status=wanted, pattern=pattern, limit=most)
        if refused:
            found = [entry for entry in found if entry.get("approved") is False][:limit]
        if as_json:
            emit_json({"executions": found})
            return 0
        if not found:
            click.echo("No executions." if not (status or pattern) else "No such executions.")
            return 0
        now = SYSTEM_CLOCK.now()
        asked = await open_questions(client) if any(entry["status"] == "waiting" for entry in found) else {}
        waiting = {event.execution_id: question_of(event) for event in reversed(asked.values())}
        rows = [_listed(entry, now, waiting.get(entry["id"]), wide=wide) for entry in found]
        print_list(console(), _WIDE if wide else _LISTED, rows, whole=wide)
        return 0

    return talk(data, work)


_LISTED = (
    Column("ID"),
    Column("PATTERN", least=12, leave_out=3),
    Column("STATUS"),
    Column("CONFIDENCE", leave_out=2),
    Column("AGE", leave_out=5),
    Column("TOOK", leave_out=1),
    Column("RESULT", least=16, leave_out=4),
)

_WIDE = (
    Column("ID"),
    Column("PATTERN"),
    Column("STATUS"),
    Column("CONFIDENCE"),
    Column("REQUESTED"),
    Column("TOOK"),
    Column("BRANCH"),
    Column("RESULT"),
)


def _listed(entry: dict[str, Any], now: datetime, asked: Question | None, *, wide: bool) -> list[str | Text]:
    confidence, words = entry.get("confidence"), standing_words(entry["status"], entry)
    began, ended = _instant(entry, "requested_at"), _instant(entry, "ended_at")
    took = "" if began is None else duration(((ended or now) - began).total_seconds())
    when = "" if began is None else age((now - began).total_seconds())
    return [
        entry["id"],
        visible(entry["pattern_name"]),
        Text(words, style=STATUS_STYLES.get(words, "")),
        Text("" if confidence is None else f"{confidence:.2f}", "" if confidence is None else _style(confidence)),
        str(entry.get("requested_at", ""))[:19].replace("T", " ") if wide else when,
        took,
        *([str(entry.get("branch") or "")] if wide else []),
        _result_words(entry) if asked is None else f"parallax {asked.commands[0]}: {gist(asked.text, 60)}",
    ]


def _style(confidence: float) -> str:
    return confidence_style(confidence) if confidence < 0.5 else ""


def _instant(entry: dict[str, Any], name: str) -> datetime | None:
    text = str(entry.get(name) or "")
    return datetime.fromisoformat(text) if text else None


def _result_words(entry: dict[str, Any]) -> str:
    """What came of an execution, in a few words: its result in short, or why there is none."""
    found = entry.get("error")
    if isinstance(found, dict):
        error = cast("dict[str, Any]", found)
        problems: list[dict[str, Any]] = error.get("errors") or []
        said = error.get("message") or "; ".join(str(problem.get("what", "")) for problem in problems)
        return gist(str(said), 72)
    return shorten(outcome_words(entry.get("result")), 72)


@click.command()
@click.argument("execution_id", metavar="ID")
@json_option
@data_option
def show(execution_id: str, as_json: bool, data: Path | None) -> int:
    """Shows execution ID: who did what, the result, the confidence and where it came from."""

    async def work(client: Client) -> int:
        execution = await known(client, execution_id)
        events = await execution.history()
        progress = Progress()
        for event in events:
            progress.apply(event)
        progress.status = status_of(events)
        if any(row.state == "running" for row in progress.rows.values()):
            async for line in execution.output():
                if line.stream in {"progress", "message"}:
                    progress.heard(line.task_id, line.text, SYSTEM_CLOCK.now())
        if as_json:
            emit_json(show_document(progress, events))
            return 0
        out = console()
        width = out.width if out.is_terminal else 0
        put(out, progress_table(progress, SYSTEM_CLOCK.now(), expand=out.is_terminal, width=width))
        ending = next((event for event in events if event.type in ENDINGS), None)
        if ending is not None:
            print_card(out, progress, ending)
        return 0

    return talk(data, work)


def show_document(progress: Progress, events: list[Event]) -> dict[str, Any]:
    """One execution as JSON: the fields of the gateway's view, and what was done in it."""
    began = next((event.data for event in events if event.type == "execution.started"), Data())
    accepted = next((event.data for event in events if event.type == "execution.accepted"), Data())
    ending = next((event for event in events if event.type in ENDINGS), None)
    end = ending.data if ending is not None else Data()
    now = SYSTEM_CLOCK.now()
    return {
        "id": progress.execution_id,
        "pattern_name": progress.pattern,
        "pattern_version": began.get("pattern_version", ""),
        "pattern_digest": began.get("pattern_digest", ""),
        "status": progress.status,
        "input": accepted.get("input", {}),
        "repo": progress.repo,
        "result": end.get("result"),
        "confidence": end.get("confidence"),
        "confidence_source": end.get("confidence_source", ""),
        "confidence_words": confidence_words(end.get("confidence"), end.get("confidence_source", "")),
        "approved": approved_in(end),
        "evidence": end.get("evidence") or [],
        "unpublished": end.get("unpublished", ""),
        "error": end.get("error") or end.get("errors"),
        "branch": end.get("branch", ""),
        "commit": end.get("commit", ""),
        "files": progress.files,
        "engine": progress.engine,
        "requested_at": events[0].time.isoformat(),
        "ended_at": ending.time.isoformat() if ending is not None else "",
        "seconds": round(progress.seconds(now), 3),
        "events": progress.events,
        "steps": [
            {
                "key": row.key,
                "who": row.who,
                "what": row.what,
                "state": row.state,
                "attempt": row.attempt,
                "agent_id": row.agent_id,
                "confidence": row.confidence,
                "seconds": None if row.began is None else round(row.seconds(now) or 0.0, 3),
                "note": row.note,
            }
            for row in progress.rows.values()
        ],
    }


def known_types(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The types as they were given. Raises BadParameter for one that no event has."""
    for name in given:
        if name not in EVENT_TYPES:
            near = difflib.get_close_matches(name, EVENT_TYPES, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else "Such as task.completed."
            raise click.BadParameter(f"there are no events of the type {name!r}. {hint}")
    return given


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until the execution ends.")
@click.option(
    "--after", type=click.IntRange(0, LAST_POSITION), default=0, metavar="SEQ", help="Only events after this position."
)
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    callback=known_types,
    help="Only events of this type (task.completed, …).",
)
@click.option("--wide", is_flag=True, help="The fields of each event instead of a sentence.")
@json_option
@data_option
def events(
    execution_id: str, follow: bool, after: int, types: tuple[str, ...], wide: bool, as_json: bool, data: Path | None
) -> int:
    """Writes the events of execution ID, one a line, from the log.

    With --follow it exits as `run` does: with 1 where the work failed or was not approved.
    """

    async def work(client: Client) -> int:
        execution = await known(client, execution_id)
        out = console()
        code = 0
        async for event in execution.events(after=after, follow=follow):
            if follow and event.ends:
                code = exit_code(event)
            if types and event.type not in types:
                continue
            if as_json:
                emit_json(event_document(event))
            else:
                out.print(_event_line(event, wide=wide), overflow="ellipsis", no_wrap=out.is_terminal)
        return code

    return talk(data, work)


_HIDDEN = frozenset(
    {"execution_id", "digest", "program", "program_digest", "pattern_source", "pattern_digest", "roles", "agent"}
)


def _event_line(event: Event, *, wide: bool) -> Text:
    told = fields(event.data, hidden=_HIDDEN) if wide else visible(sentence(event))
    when = f"{event.seq:>7} {event.time:%H:%M:%S.%f}"[:-3]
    return Text.assemble((f"{when}  ", "dim"), (f"{event.type:<32}", "bold"), told)


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option("--agent", metavar="A", help="Only of one agent: its id, its session or its role.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until the execution ends.")
@json_option
@data_option
def logs(execution_id: str, agent: str | None, follow: bool, as_json: bool, data: Path | None) -> int:
    """Writes what the agents of execution ID printed, as far as it is still kept."""

    async def work(client: Client) -> int:
        execution = await known(client, execution_id)
        out = console()
        heard: set[str] = set()
        chosen = False
        async for line in execution.output(follow=follow):
            session = session_of(execution_id, line.agent_id)
            heard.add(session)
            if agent and agent not in (line.agent_id, session, session.rpartition("-")[0]):
                continue
            chosen = True
            if as_json:
                emit_json(line)
            else:
                style = "red" if line.stream == "stderr" else ""
                out.print(Text.assemble((f"{session:<16} ", "bold"), (visible(line.text.rstrip("\n")), style)))
        if not chosen:
            who = f"{agent} printed nothing. {', '.join(sorted(heard))} did." if heard else "No agent printed anything."
            say(f"{who} Output is kept for a while only; `parallax events {execution_id}` has what is kept for good.")
        return 0

    return talk(data, work)
