"""What the commands share: which stack is meant, how output is written, how a command says no."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from parallax.cli.streams import write_json_line
from shared.paths import running_stack

if TYPE_CHECKING:
    from rich.console import Console

    from shared.config import Settings

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class WorkFailedError(click.ClickException):
    """The work ended badly: exit code 1."""

    exit_code = 1


class BadInputError(click.ClickException):
    """What was typed or named cannot be used: exit code 2."""

    exit_code = 2


class UnreachableError(click.ClickException):
    """No server answers: exit code 3."""

    exit_code = 3


class FiniteRange(click.FloatRange):
    """A number above 0 and up to `most`; `nan`, `inf` and what overflows to it are refused with the bounds."""

    def __init__(self, most: float) -> None:
        super().__init__(min=0, max=most, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = super().convert(value, param, ctx)
        except click.BadParameter:
            if isinstance(value, str) and re.fullmatch(r"[0-9.]+\s*[A-Za-z]+", value.strip()):
                self.fail(f"{value} has a unit; write a number of seconds, such as 90 or 0.5.", param, ctx)
            try:
                float(value)
            except (TypeError, ValueError):
                self.fail(f"{value!r} is not a number; write one such as 90 or 0.5.", param, ctx)
            raise
        if isinstance(found, float) and math.isnan(found):
            self.fail(f"{value} is not a number above 0.", param, ctx)
        return found


LAST_POSITION = 2**63 - 1
"""The highest position that a stream can have."""

LONGEST_TIMEOUT_S = 10 * 365 * 24 * 3600.0
"""The longest time limit that can be asked for: ten years, in seconds."""


def data_option(command: F) -> F:
    """`--data DIR`: which embedded stack a command means."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, readable=False, path_type=Path),  # whose it is, is said better later
        default=None,
        metavar="DIR",
        help="The data directory of the embedded stack that is meant (default: PARALLAX_DATA, the settings, or yours).",
    )(command)


def json_option(command: F) -> F:
    """`--json`: one JSON document (or JSON lines) on standard output and nothing else."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, and nothing else, on standard output.")(
        command
    )


def environ_for(data: str | Path | None, *, need_running: bool = True) -> dict[str, str]:
    """The environment with the PARALLAX_* settings of the stack that a command means.

    That is the stack of `data` or PARALLAX_DATA where one is given; else the servers of PARALLAX_NATS_URL; else the
    stack that runs in the default data directory. Raises UnreachableError when `need_running` and there is none.
    """
    environ = dict(os.environ)
    named = data or environ.get("PARALLAX_DATA")
    if not named and (environ.get("PARALLAX_NATS_URL") or _is_in_file(environ, "nats_url")):
        return environ
    record = running_stack(data)
    if record is not None:
        return environ | record.environ
    if need_running:
        where = f" in {named}" if named else ""
        start = f"`parallax up --data {named}`" if named else "`parallax up`"
        raise UnreachableError(f"no stack is running{where}; {start} starts one (or set PARALLAX_NATS_URL)")
    return environ


def _is_in_file(environ: dict[str, str], attribute: str) -> bool:
    if not environ.get("PARALLAX_CONFIG"):
        return False
    from shared.config import explicit

    return attribute in explicit(environ)


def settings_for(data: str | Path | None = None, *, need_running: bool = True) -> Settings:
    """The settings of the stack that a command means; see `environ_for`."""
    from shared.config import Settings

    return Settings.load(environ_for(data, need_running=need_running))


def program() -> str:
    """How this very program is typed from where the caller is, ready to be pasted into a shell."""
    beside = Path(sys.executable).parent / "parallax"
    found = shutil.which("parallax")
    if not os.access(beside, os.X_OK):
        return "parallax" if found else shlex.join([sys.executable, "-m", "parallax"])
    if found and Path(found).resolve() == beside.resolve():
        return "parallax"
    with contextlib.suppress(ValueError, FileNotFoundError):  # the current directory may have been deleted
        inside = beside.relative_to(Path.cwd())
        return shlex.quote(str(inside if len(inside.parts) <= 3 else beside))
    return shlex.quote(str(beside))


def shown_path(path: Path) -> str:
    """A path as it is typed in a shell, with `~` for the home directory."""
    with contextlib.suppress(ValueError, RuntimeError):
        inside = str(path.relative_to(Path.home()))
        if shlex.quote(inside) == inside:
            return f"~/{inside}"
    return shlex.quote(str(path))


def data_words(data: Path | None) -> str:
    """` --data DIR` for a command that has to mean the same stack as this one; nothing where it does by itself."""
    return "" if data is None else f" --data {shown_path(data.absolute())}"


_emitted: list[bool] = []


def has_emitted() -> bool:
    """Whether this command has written JSON already."""
    return bool(_emitted)


def emit_json(document: object) -> None:
    """Writes one JSON document as one line on standard output."""
    _emitted[:] = [True]
    write_json_line(msgspec.json.encode(document).decode())


def describe(error: BaseException) -> dict[str, object]:
    """An error as a document."""
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    document: dict[str, object] = {"code": _code(error), "message": message}
    if hint := getattr(error, "hint", ""):
        document["hint"] = hint
    if problems := getattr(error, "errors", None):
        document["errors"] = msgspec.to_builtins(problems)
    return document


def _code(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def console(*, stderr: bool = False) -> Console:
    """A rich console: colours and live displays only where somebody looks at a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not (sys.stderr if stderr else sys.stdout).isatty())


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine; Ctrl-C, SIGTERM and SIGHUP cancel it and end the command with 130."""

    async def guarded() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread
                loop.add_signal_handler(number, task.cancel)
        return await main

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
