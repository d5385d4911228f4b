"""Questions that wait for a person: inbox, answer, approve, deny."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from parallax.cli.clients import talk
from parallax.cli.columns import Column, print_list
from parallax.cli.common import BadInputError, data_option, emit_json, json_option
from parallax.cli.inputs import read_value
from parallax.cli.progress import summary, visible
from parallax.cli.render import console
from parallax.client import Client
from parallax.client_events import Event, event_of
from schemas.commands import option_of
from schemas.events import ATTEMPT_ENDS, ENDINGS
from shared import subjects

_KINDS = ("question.asked", "question.answered", *ATTEMPT_ENDS, *sorted(ENDINGS))


async def open_questions(client: Client) -> dict[str, Event]:
    """Every `question.asked` that somebody waits for, by question id, the oldest first.

    It has no answer, its execution has not ended, and the attempt that asked is not over.
    """
    found: dict[str, Event] = {}
    filters = [subjects.event_of_type("*", kind) for kind in _KINDS]
    async for record in client.bus.stored(filters):
        event = event_of(record)
        if event.type == "question.asked":
            found[event.data["question_id"]] = event
        elif event.type == "question.answered":
            found.pop(event.data["question_id"], None)
        else:
            task_id = event.data.get("task_id") if event.type in ATTEMPT_ENDS else None
            for question_id, asked in list(found.items()):
                if asked.execution_id == event.execution_id and task_id in (None, asked.data.get("task_id")):
                    del found[question_id]
    return found


@click.command()
@json_option
@data_option
def inbox(as_json: bool, data: Path | None) -> int:
    """Lists the questions and approvals that wait for a person."""

    async def work(client: Client) -> int:
        found = await open_questions(client)
        if as_json:
            emit_json({"questions": [_document(event) for event in found.values()]})
            return 0
        if not found:
            click.echo("Nothing waits for an answer.")
            return 0
        print_list(console(), _LISTED, [_listed(event) for event in found.values()])
        return 0

    return talk(data, work)


_LISTED = (
    Column("QUESTION"),
    Column("EXECUTION", leave_out=2),
    Column("KIND", leave_out=3),
    Column("ASKED", least=24),
    Column("OPTIONS", least=16),
    Column("DEADLINE", leave_out=1),
)


def _listed(event: Event) -> list[str]:
    ask = event.data
    options = ", ".join(ask.get("options", [])) or ("yes, no" if ask.get("kind") == "approval" else "")
    asked = visible(" ".join(ask["question"].split()))
    return [ask["question_id"], event.execution_id, ask.get("kind", ""), asked, visible(options), _deadline(ask)]


def _document(event: Event) -> dict[str, Any]:
    return {"asked_at": event.time.isoformat(), **event.data}


def _deadline(ask: dict[str, Any]) -> str:
    due = ask.get("deadline_at")
    return "" if due is None else f"{datetime.fromtimestamp(due / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"


def _give(data: Path | None, question_id: str, value: Any, reason: str, *, as_json: bool, approval: bool) -> int:
    """Answers a question: `value` is what was typed, or whether it is approved where `approval` is meant."""

    async def work(client: Client) -> int:
        asked = (await open_questions(client)).get(question_id)
        if asked is None:
            raise BadInputError(await _why_not(client, question_id))
        ask = asked.data
        if approval and ask.get("kind") != "approval":
            raise BadInputError(f"{question_id} is a question, not an approval: `parallax answer {question_id} VALUE`.")
        options: list[str] = ask.get("options", [])
        chosen = _verdict(value, options) if approval else _chosen(question_id, value, options)
        await client.execution(asked.execution_id).answer(question_id, chosen, reason=reason)
        if as_json:
            emit_json({"question_id": question_id, "execution_id": asked.execution_id, "value": chosen})
        else:
            click.echo(f"{question_id} answered")
        return 0

    return talk(data, work)


async def _why_not(client: Client, question_id: str) -> str:
    """Why there is nothing to answer."""
    asked: Event | None = None
    over = ""
    async for record in client.bus.stored([subjects.event_of_type("*", kind) for kind in _KINDS]):
        event = event_of(record)
        if event.type == "question.asked" and event.data["question_id"] == question_id:
            asked = event
        elif event.type == "question.answered" and event.data["question_id"] == question_id:
            by = event.data.get("by", "")
            if by == "withdrawn":
                return f"{question_id} was withdrawn and needs no answer any more."
            answered = f"{question_id} is answered already: {summary(event.data.get('value'))}"
            return f"{answered} (by {by})." if by else f"{answered}."
        elif asked is not None and event.execution_id == asked.execution_id and not over:
            if event.type in ENDINGS:
                over = f"{event.execution_id} is {event.type.partition('.')[2]}"
            elif asked.data.get("task_id") and event.data.get("task_id") == asked.data["task_id"]:
                over = ATTEMPT_ENDS.get(event.type, "")
    if over:
        return f"{question_id} was withdrawn and needs no answer any more: {over}."
    return f"No question {question_id} waits for an answer; `parallax inbox` lists those that do."


def _chosen(question_id: str, typed: str, options: list[str]) -> Any:
    """The answer that was typed: one of the options as it stands there, else JSON where it reads as such, else text.

    Raises BadInputError where there are options and it is none of them.
    """
    read = read_value(typed)
    if not options:
        return typed if read is None else read.content
    option = option_of(typed, options)
    if option is None and read is not None:
        option = option_of(read.content, options)
    if option is not None:
        return option
    raise BadInputError(f"{typed} is none of the answers to {question_id}: {', '.join(options)}.")


def _verdict(approved: bool, options: list[str]) -> Any:
    """Yes or no in the words of the question, where it has words for them."""
    word = "approve" if approved else "deny"
    return word if word in options else approved


@click.command()
@click.argument("question_id", metavar="QUESTION")
@click.argument("value")
@json_option
@data_option
def answer(question_id: str, value: str, as_json: bool, data: Path | None) -> int:
    """Answers QUESTION with VALUE: JSON where it reads as such, else text. The first answer counts."""
    return _give(data, question_id, value, "", as_json=as_json, approval=False)


@click.command()
@click.argument("question_id", metavar="QUESTION")
@click.option("--reason", default="", help="Why; it stands in the log.")
@json_option
@data_option
def approve(question_id: str, reason: str, as_json: bool, data: Path | None) -> int:
    """Approves what QUESTION asks for."""
    return _give(data, question_id, True, reason, as_json=as_json, approval=True)


@click.command()
@click.argument("question_id", metavar="QUESTION")
@click.option("--reason", default="", help="Why; whoever asked is told.")
@json_option
@data_option
def deny(question_id: str, reason: str, as_json: bool, data: Path | None) -> int:
    """Denies what QUESTION asks for."""
    return _give(data, question_id, False, reason, as_json=as_json, approval=True)
