"""Looking at the tables that the projector keeps, and having them made anew from the log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from parallax.cli.clients import say, talk
from parallax.cli.common import WorkFailedError, data_option, emit_json, json_option
from parallax.client import Client
from schemas.projections import ProjectorAnswer, ProjectorQuery
from shared import subjects

_PATIENCE_S = {"status": 5.0, "digest": 120.0, "rebuild": 3600.0}
Action = Literal["status", "digest", "rebuild"]


@click.group()
def projections() -> None:
    """The tables of Postgres, which are folded from the log.

    \b
    Examples:
      parallax projections status
      parallax projections rebuild --compare
    """


def _ask(action: Action, data: Path | None, as_json: bool, *, compare: bool = False) -> ProjectorAnswer:
    async def work(client: Client) -> ProjectorAnswer:
        return await client.ask(
            subjects.QUERY_PROJECTOR,
            ProjectorQuery(action=action, compare=compare),
            ProjectorAnswer,
            who="projector",
            timeout_s=_PATIENCE_S[action],
        )

    answer = talk(data, work)
    if as_json:
        emit_json(answer)
    if answer.error:
        raise WorkFailedError(f"The projector could not do it: {answer.error}.")
    return answer


@projections.command()
@json_option
@data_option
def status(as_json: bool, data: Path | None) -> int:
    """How far the tables are behind the log."""
    answer = _ask("status", data, as_json)
    if not as_json:
        behind = max(0, answer.last_seq - answer.position)
        click.echo(f"The tables hold the log up to event {answer.position} of {answer.last_seq} ({behind} behind).")
    return 0


@projections.command()
@json_option
@data_option
def digest(as_json: bool, data: Path | None) -> int:
    """A digest over every row, once everything that is in the log now is in the tables."""
    answer = _ask("digest", data, as_json)
    if not as_json:
        click.echo(f"{answer.digest}  up to event {answer.position}")
    return 0


@projections.command()
@click.option("--compare", is_flag=True, help="Say whether the rows are the ones that were there; exit 1 if not.")
@json_option
@data_option
def rebuild(compare: bool, as_json: bool, data: Path | None) -> int:
    """Folds the log from its beginning into new tables, and puts them in the place of the old ones."""
    if not as_json:
        say("Folding the log from its beginning; the old tables serve readers meanwhile …")
    answer = _ask("rebuild", data, as_json, compare=compare)
    if not as_json:
        click.echo(
            f"{answer.events} events folded in {answer.duration_ms / 1000:.1f} s, up to event {answer.position}."
        )
        if answer.identical is not None:
            differ = "not the ones that were there; those are kept in the schema parallax_former"
            click.echo(f"The rows are {'the same as before' if answer.identical else differ}.")
    return 1 if answer.identical is False else 0
