"""The root of the command line: which commands there are, and how each of them may end.

The table below names every command with its one line of help, so that `parallax --help` imports none of them. A command
whose module is not there is not listed. Whatever goes wrong inside one ends as a sentence and an exit code here:
0 done, 1 the work failed, 2 wrong use or bad input, 3 a server is unreachable, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click

from parallax.cli import streams
from parallax.cli.examples import epilog

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("parallax.cli.stack:up", "Start the embedded stack and every service."),
    "down": ("parallax.cli.stack:down", "Stop the embedded stack."),
    "status": ("parallax.cli.stack:status", "Every server and service: name, pid, state, address."),
    "doctor": ("parallax.cli.stack:doctor", "Check servers, durability, disk and agents."),
    "demo": ("parallax.cli.demo:demo", "A team of agents mends a small repository; no key needed."),
    "run": ("parallax.cli.executions:run", "Request an execution of a pattern."),
    "ps": ("parallax.cli.views:ps", "List executions."),
    "show": ("parallax.cli.views:show", "One execution: its tasks, agents, result and confidence."),
    "events": ("parallax.cli.views:events", "The events of an execution."),
    "logs": ("parallax.cli.views:logs", "What the agents of an execution print."),
    "cancel": ("parallax.cli.executions:cancel", "Stop an execution and its agents."),
    "pause": ("parallax.cli.executions:pause", "Halt an execution and freeze its agents."),
    "resume": ("parallax.cli.executions:resume", "Let a paused execution go on."),
    "signal": ("parallax.cli.executions:signal", "Send a signal that an execution waits for."),
    "retry": ("parallax.cli.executions:retry", "Request the work of an ended execution again."),
    "replay": ("parallax.cli.executions:replay", "Prove that an execution's decisions follow from its log."),
    "inbox": ("parallax.cli.questions:inbox", "Questions and approvals that wait for a person."),
    "answer": ("parallax.cli.questions:answer", "Answer a question."),
    "approve": ("parallax.cli.questions:approve", "Approve what is asked for."),
    "deny": ("parallax.cli.questions:deny", "Deny what is asked for."),
    "patterns": ("parallax.cli.patterns:patterns", "List, show, lint and compile patterns."),
    "prism": ("parallax.cli.prism:prism", "Run, check and format Prism programs."),
    "agents": ("parallax.cli.agents:agents", "Registered agents."),
    "workspaces": ("parallax.cli.workspaces:workspaces", "Worktrees, branches and diffs of executions."),
    "projections": ("parallax.cli.projections:projections", "Rebuild the tables from the log."),
    "dead-letters": ("parallax.cli.dead_letters:dead_letters", "Messages that could not be handled."),
    "bench": ("parallax.cli.bench:bench", "Measure the running system."),
}

_SHORT = 4
_MOST_SAID = 300

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Work", ("run", "ps", "show", "events", "logs", "inbox", "answer", "approve", "deny")),
    ("Interrupt and repeat", ("cancel", "pause", "resume", "signal", "retry", "replay")),
    ("What it works with", ("patterns", "prism", "agents", "workspaces")),
    ("The stack", ("demo", "up", "down", "status", "doctor")),
    ("Maintenance", ("projections", "dead-letters", "bench")),
)
"""The sections of the help, and the commands of each in the order in which somebody meets them."""

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 2, 3, 130

_CODES_BY_NAME = {
    "Unreachable": EXIT_UNREACHABLE,
    "Unanswered": EXIT_UNREACHABLE,
    "NotRunningError": EXIT_UNREACHABLE,
    "Refused": EXIT_USAGE,
    "UnknownExecution": EXIT_USAGE,
    "BadSettings": EXIT_USAGE,
    "ParallaxError": EXIT_FAILED,
    "UnknownPartError": EXIT_USAGE,
    "UnusableDataError": EXIT_USAGE,
    "NotYours": EXIT_USAGE,
    "NoPlace": EXIT_USAGE,
    "UnreachableServerError": EXIT_UNREACHABLE,
    "StackError": EXIT_FAILED,
}
"""Exit codes of our own errors, by class name so that no command pays for importing the others' modules."""


def _exists(target: str) -> bool:
    return importlib.util.find_spec(target.partition(":")[0]) is not None


def _with_examples(command: click.Command, name: str) -> click.Command:
    command.epilog = command.epilog or epilog(name)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner_name in command.list_commands(context):
            if inner := command.get_command(context, inner_name):
                _with_examples(inner, f"{name} {inner_name}")
    return command


class LazyGroup(click.Group):
    """Knows its commands from the table and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (target, _) in COMMANDS.items() if _exists(target)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None or not _exists(entry[0]):
            return None
        module, _, attribute = entry[0].partition(":")
        command = getattr(importlib.import_module(module), attribute, None)
        return _with_examples(command, cmd_name) if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            names = self.list_commands(ctx)
            close = difflib.get_close_matches(args[0], names, n=2) if args else []
            if args and not close and len(args[0]) < _SHORT:  # of two letters one is half the word
                close = difflib.get_close_matches(args[0], names, n=2, cutoff=0.5)
            if close and not isinstance(error, click.NoSuchOption):
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(close)}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        there = set(self.list_commands(ctx))
        width = max(map(len, there), default=0)
        for title, names in GROUPS:
            if rows := [(name.ljust(width), COMMANDS[name][1]) for name in names if name in there]:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from parallax import __version__

        click.echo(f"parallax {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Say the version.")
def root() -> None:
    """Several AI agents finish one piece of work on a git repository together; every step is on the record.

    `parallax up` starts everything on this machine, `parallax demo` shows it at work.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; the exit code. No traceback ever reaches the person who typed it."""
    streams.guard()
    try:
        code = _dispatch(arguments)
        streams.flush()
    except streams.ReaderGone:  # the reader of our output has seen enough
        streams.abandon()
        return 0
    if (trouble := streams.trouble()) is None:
        return code
    click.echo(f"Error: standard output could not be written: {trouble.strerror}.", err=True)
    return code or (0 if streams.outlives_reader() else EXIT_FAILED)


def _dispatch(arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    try:
        _check_settings(arguments)
        outcome = root.main(args=list(arguments), prog_name="parallax", standalone_mode=False)
    except click.ClickException as error:
        return _explain(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- the boundary: everything becomes a sentence and an exit code
        innermost = _innermost(error)
        if isinstance(innermost, streams.ReaderGone):
            raise innermost from None
        return _explain(innermost, as_json=as_json)
    return outcome if isinstance(outcome, int) else 0


def _check_settings(arguments: Sequence[str]) -> None:
    """Refuses bad settings whatever the command; help is given all the same. Raises BadSettings."""
    if any(name.startswith("PARALLAX_") for name in os.environ) and not {"-h", "--help", "--version"} & set(arguments):
        from shared.config import load

        load()


def _innermost(error: BaseException) -> BaseException:
    """The error that matters inside groups, as task groups raise them."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    first = _innermost(group.exceptions[0])
    return first if len(group.exceptions) == 1 or _is_explained(first) else group


def _is_explained(error: BaseException) -> bool:
    return isinstance(error, click.ClickException) or any(
        kind.__name__ in _CODES_BY_NAME for kind in type(error).__mro__
    )


def _say_in_json(error: BaseException) -> None:
    """Writes an error as a document, so that a program that reads standard output always finds one there."""
    from parallax.cli.common import describe, emit_json, has_emitted

    if not has_emitted():
        emit_json({"error": describe(error)})


def _told(error: BaseException) -> list[str]:
    """An error of ours as lines: what is wrong, and what to do about it; several reasons a line each."""
    lines: list[str] = getattr(error, "lines", [])
    if len(getattr(error, "errors", [])) > 1 and lines:
        return [f"Error: {lines[0]}", *lines[1:]]
    hint: str = getattr(error, "hint", "")
    return [f"Error: {error}", *([f"  {hint}"] if hint else [])]


def _is_nowhere() -> bool:
    from shared.paths import current_dir

    return current_dir() is None


def _explain(error: BaseException, *, as_json: bool) -> int:
    if as_json:
        _say_in_json(error)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    for kind in type(error).__mro__:
        if kind.__name__ in _CODES_BY_NAME:
            click.echo("\n".join(_told(error)), err=True)
            return _CODES_BY_NAME[kind.__name__]
    if isinstance(error, ConnectionError):
        click.echo(f"Error: a server is unreachable: {error}", err=True)
        return EXIT_UNREACHABLE
    if isinstance(error, OSError) and error.filename is not None:
        click.echo(f"Error: {error.filename}: {error.strerror}", err=True)
        return EXIT_USAGE
    if isinstance(error, FileNotFoundError) and _is_nowhere():
        click.echo("Error: the directory that this was started in has been deleted; go to another one", err=True)
        return EXIT_USAGE
    with tempfile.NamedTemporaryFile("w", prefix="parallax-error-", suffix=".txt", delete=False) as report:
        traceback.print_exception(error, file=report)
    summary = " ".join(str(error).split())
    if len(summary) > _MOST_SAID:
        summary = f"{summary[:_MOST_SAID]}… ({len(summary) - _MOST_SAID:,} characters more in the report)"
    click.echo(f"Error: something broke inside Parallax: {type(error).__name__}: {summary}", err=True)
    click.echo(f"  The details are in {Path(report.name)}.", err=True)
    return EXIT_FAILED
