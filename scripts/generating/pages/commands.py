"""docs/reference/commands.md: every command, as its own help says it, with examples."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from parallax.cli.main import root
from scripts.generating.pages import page, table
from scripts.generating.pages.examples import EXAMPLES

_CODES = (
    ("0", "done"),
    ("1", "the work failed"),
    ("2", "wrong use or bad input"),
    ("3", "a server is unreachable"),
    ("130", "interrupted"),
)


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words, groups before what is in them."""
    context = click.Context(group, info_name=" ".join(("parallax", *path)))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def _help(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return text.splitlines()


def _options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            rows.append((f"`{record[0]}`", record[1]))
    return rows


def render() -> str:
    """The page."""
    lines = [
        "# Commands",
        "",
        "`--data DIR` (or `PARALLAX_DATA`) says which embedded stack a command means. Without one it is the servers"
        " that the [settings](settings.md) name, or the stack in the default data directory. With `--json` standard"
        " output holds JSON and nothing else. Exit codes:",
        "",
        *table(("code", "meaning"), _CODES),
    ]
    for words, command in commands():
        context = click.Context(command, info_name=" ".join(("parallax", *words)))
        usage = " ".join(command.collect_usage_pieces(context))
        lines += ["", f"{'#' * (len(words) + 1)} parallax {' '.join(words)}", ""]
        lines += ["```text", f"parallax {' '.join(words)} {usage}".rstrip(), "```", "", *_help(command)]
        if options := _options(command, context):
            lines += ["", *table(("option", "meaning"), options)]
        if examples := EXAMPLES.get(" ".join(words)):
            lines += ["", "```console", *(f"$ {line}" for line in examples), "```"]
    return page(lines)
