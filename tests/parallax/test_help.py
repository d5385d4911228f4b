"""What the program says about itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from parallax.cli.examples import EXAMPLES
from parallax.cli.main import COMMANDS, root


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{name} is listed and not there"
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


ALL = dict(commands(root))


def help_of(words: tuple[str, ...]) -> str:
    """The help of a command as it is printed."""
    return ALL[words].get_help(click.Context(ALL[words], info_name=" ".join(words)))


def examples() -> list[list[str]]:
    """Every line of every help that is an example, in words."""
    found = [line.strip() for words in ALL for line in help_of(words).splitlines()]
    return [shlex.split(line)[1:] for line in found if line.startswith("parallax ")]


def test_every_command_of_the_table_is_there() -> None:
    """Nothing is listed that cannot be used."""
    assert {words[0] for words in ALL} == {name for name in COMMANDS if root.get_command(click.Context(root), name)}
    assert set(root.list_commands(click.Context(root))) == {words[0] for words in ALL}
    assert {name for name in EXAMPLES if name.split()[0] in root.list_commands(click.Context(root))} <= {
        " ".join(w) for w in ALL
    }


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_says_what_it_does_with_an_example(words: tuple[str, ...]) -> None:
    """A sentence, the options, and at least one line that can be typed."""
    text = help_of(words)
    assert ALL[words].help
    assert "Example" in text
    assert f"parallax {' '.join(words)}" in text


@pytest.mark.parametrize("typed", examples(), ids=" ".join)
def test_examples_are_accepted_by_the_options(typed: list[str]) -> None:
    """Each line of the help can be parsed: no option that is gone, no argument that is missing."""
    for length in (2, 1):
        command = ALL.get(tuple(typed[:length]))
        if command is not None:
            rest = [word for word in typed[length:] if word not in {"|", ">"}]
            command.make_context(" ".join(typed[:length]), rest)
            return
    pytest.fail(f"there is no command {typed}")


def test_a_slip_of_the_finger_is_answered_with_the_command_that_was_meant() -> None:
    """`retyr` is retry."""
    with pytest.raises(click.UsageError, match="Did you mean retry"):
        root.resolve_command(click.Context(root), ["retyr"])
