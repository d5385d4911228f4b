"""Looking at workspaces: the worktrees, branches and differences of executions, and clearing them away."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import click
import msgspec
from rich.text import Text

from parallax.cli.beside import kept_words
from parallax.cli.clients import say, talk
from parallax.cli.columns import Column, print_list
from parallax.cli.common import data_option, emit_json, json_option, program
from parallax.cli.progress import visible
from parallax.cli.render import console, print_diff
from parallax.client import Client
from parallax.client_errors import Refused, UnknownExecution
from schemas.workspaces import WorkspaceAnswer, WorkspaceDiff, WorkspaceQuery, WorkspaceSession, WorkspaceView
from shared import subjects

_TIMEOUT_S = 60.0


class WorkspaceRefused(Refused):
    """The workspace service said no."""

    def __init__(self, execution_id: str, answer: WorkspaceAnswer) -> None:
        super().__init__(execution_id, answer.errors, what="The workspace service says no")


async def ask(client: Client, query: WorkspaceQuery) -> WorkspaceAnswer:
    """Asks the workspace service.

    Raises:
        Unanswered: no workspace service answers.
        UnknownExecution: `execution_id` cannot be the id of an execution.
        WorkspaceRefused: it said no, with reasons.
    """
    answer = await client.ask(
        subjects.QUERY_WORKSPACE, query, WorkspaceAnswer, who="workspace service", timeout_s=_TIMEOUT_S
    )
    if answer.errors:
        raise WorkspaceRefused(query.execution_id or "", answer)
    return answer


def _checked(execution_id: str) -> str:
    if not subjects.is_execution_id(execution_id):
        raise UnknownExecution(execution_id)
    return execution_id


@click.group()
def workspaces() -> None:
    """Worktrees, branches and diffs of executions."""


@workspaces.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@data_option
def list_workspaces(limit: int, as_json: bool, data: Path | None) -> int:
    """Lists workspaces, the latest used first."""

    async def work(client: Client) -> int:
        found: list[WorkspaceView] = []
        offset: int | None = 0
        while offset is not None and len(found) < limit:
            query = WorkspaceQuery(query="list", offset=offset, limit=min(limit - len(found), 100))
            answer = await ask(client, query)
            found += answer.workspaces
            offset = answer.next_offset
        if as_json:
            emit_json({"workspaces": found})
        elif not found:
            click.echo("No workspaces.")
        else:
            print_list(console(), _LISTED, [_listed(entry) for entry in found])
        return 0

    return talk(data, work)


_LISTED = (
    Column("EXECUTION"),
    Column("STATUS"),
    Column("TURNS", leave_out=2),
    Column("COMMIT", leave_out=3),
    Column("CREATED", leave_out=1),
    Column("REPOSITORY", least=16),
)


_STATUS = {
    "pushed": "finalized and pushed",
    "failed": "left as it was: the execution failed, so nothing was finalized or pushed",
    "cancelled": "left as it was: the execution was cancelled, so nothing was finalized or pushed",
}


def status_of(entry: WorkspaceView) -> str:
    """What a workspace is: that of an execution that failed is open, but nobody works there any more."""
    if entry.status == "finalized":
        return "pushed" if entry.pushed else "finalized"
    return entry.ended if entry.status == "open" and entry.ended else entry.status


def _listed(entry: WorkspaceView) -> list[str]:
    status = status_of(entry)
    created = entry.created_at[:19].replace("T", " ")
    return [entry.execution_id, status, str(entry.tasks), entry.commit[:12], created, entry.url or "(its own)"]


@workspaces.command("show")
@click.argument("execution_id", metavar="ID")
@json_option
@data_option
def show_workspace(execution_id: str, as_json: bool, data: Path | None) -> int:
    """Shows the workspace of execution ID: its branches, and who works where."""

    async def work(client: Client) -> int:
        answer = await ask(client, WorkspaceQuery(query="show", execution_id=_checked(execution_id)))
        if answer.workspace is None:
            raise UnknownExecution(execution_id)
        if as_json:
            emit_json(answer.workspace)
        else:
            _print(answer.workspace)
        return 0

    return talk(data, work)


def _print(entry: WorkspaceView) -> None:
    out = console()
    rows = [
        ("execution", entry.execution_id),
        ("status", _STATUS.get(status_of(entry), status_of(entry))),
        ("repository", entry.url or "an empty one of its own"),
        ("base", f"{entry.base_commit[:12]} {entry.base_branch}".rstrip()),
        ("result", f"{entry.commit[:12]} {entry.branch}"),
        ("directory", entry.path),
        *(("kept", line) for line in _kept(entry)),
        *(("aside", line) for line in entry.aside),
    ]
    for name, value in rows:
        out.print(Text.assemble((f"{name:<10}", "dim"), f"  {value}"), soft_wrap=True)
    if not entry.sessions:
        return
    out.print()
    print_list(out, _SESSIONS, [_session(session, entry.path) for session in entry.sessions])


def _kept(entry: WorkspaceView) -> list[str]:
    """The refs that keep what is nowhere else, each with what it is where that is known."""
    known = {one.ref: one for one in entry.kept}
    lines: list[str] = []
    for ref in entry.kept_refs:
        one = known.get(ref)
        if one is None:
            lines.append(ref)
        else:
            also = ", also in the result" if one.in_result else ""
            lines.append(f"{ref}  {visible(kept_words(msgspec.to_builtins(one), ''))}{also}")
    return lines


_SESSIONS = (
    Column("SESSION"),
    Column("STATE", least=7),
    Column("COMMIT", leave_out=2),
    Column("NOT MERGED", leave_out=1),
    Column("WORKTREE", least=16),
)


def _session(session: WorkspaceSession, directory: str) -> list[str]:
    state = f"{session.state}: {session.task_id}" if session.task_id else session.state
    left = f"{session.unintegrated} commit{'' if session.unintegrated == 1 else 's'}" if session.unintegrated else ""
    place = session.path.removeprefix(f"{directory}/")  # the directory stands above
    return [session.session, state, session.commit[:12], left, place]


@workspaces.command("diff")
@click.argument("execution_id", metavar="ID")
@click.option("--session", default="", metavar="SESSION", help="The branch of one session instead of the result.")
@json_option
@data_option
def diff_workspace(execution_id: str, session: str, as_json: bool, data: Path | None) -> int:
    """Shows what execution ID changed, from its base to its result, as a unified diff."""

    async def work(client: Client) -> int:
        first: WorkspaceDiff | None = None
        pieces: list[bytes] = []
        offset: int | None = 0
        while offset is not None:
            query = WorkspaceQuery(
                query="diff",
                execution_id=_checked(execution_id),
                session=session,
                offset=offset,
                commit=first.commit if first else "",
            )
            page = (await ask(client, query)).diff
            if page is None:
                raise UnknownExecution(execution_id)
            first = first or page
            pieces.append(page.data or page.text.encode())
            offset = page.next_offset
        patch = b"".join(pieces)
        text = patch.decode("utf-8", "replace")
        if as_json and first is not None:
            exact = {} if text.encode() == patch else {"data": base64.b64encode(patch).decode()}
            emit_json({**_numbers(first), "text": text, **exact})
        elif patch:
            print_diff(out, text) if (out := console()).is_terminal else _write_exactly(patch)
        else:
            say(await _why_empty(client, execution_id, session))
        return 0

    return talk(data, work)


def _write_exactly(patch: bytes) -> None:
    """Writes a diff as it is, terminal sequences and all: whoever reads it is a program."""
    sys.stdout.flush()
    sys.stdout.buffer.write(patch)
    sys.stdout.buffer.flush()


async def _why_empty(client: Client, execution_id: str, session: str) -> str:
    """Why there is no difference: nothing was changed, or what was changed is not part of the result."""
    if session:
        return f"{session} changed nothing."
    found = (await ask(client, WorkspaceQuery(query="show", execution_id=execution_id))).workspace
    left = [one.session for one in found.sessions if one.unintegrated] if found is not None else []
    if not left:
        return "Nothing was changed."
    lines = [f"Nothing was merged into the result. Not part of it is the work of {', '.join(left)}:"]
    lines += [f"  {program()} workspaces diff {execution_id} --session {one}" for one in left]
    return "\n".join(lines)


def _numbers(page: WorkspaceDiff) -> dict[str, object]:
    return {
        "execution_id": page.execution_id,
        "session": page.session,
        "base_commit": page.base_commit,
        "commit": page.commit,
        "files": page.files,
        "insertions": page.insertions,
        "deletions": page.deletions,
    }


@workspaces.command("cleanup")
@click.argument("execution_id", metavar="ID")
@click.option("--force", is_flag=True, help="Also when the execution has not ended; its work is kept by refs.")
@json_option
@data_option
def clean_workspace(execution_id: str, force: bool, as_json: bool, data: Path | None) -> int:
    """Removes the worktrees of execution ID. Work that is nowhere else is kept under refs/parallax/kept/."""

    async def work(client: Client) -> int:
        query = WorkspaceQuery(query="cleanup", execution_id=_checked(execution_id), force=force)
        done = (await ask(client, query)).cleanup
        if done is None:
            raise UnknownExecution(execution_id)
        if as_json:
            emit_json(done)
            return 0
        count = len(done.removed)
        click.echo(f"Removed {count} worktree{'' if count == 1 else 's'}." if count else "There was nothing to remove.")
        for ref in done.kept_refs:
            click.echo(f"  kept: {ref}")
        return 0

    return talk(data, work)
