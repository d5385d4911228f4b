"""Prism files on disk: reading one, and the loader of the modules beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from compiler.prism import Options, PrismError
from parallax.cli.common import BadInputError
from shared.config import Settings
from shared.paths import current_dir

STDIN = "-"


def read_program(path: Path, options: Options) -> str:
    """The text of a program. Raises BadInputError when it cannot be read, PrismError when it is too large."""
    limit = options.limits.source
    try:
        if str(path) == STDIN:
            content = sys.stdin.buffer.read(limit + 4)
        else:
            with path.open("rb") as file:
                content = file.read(limit + 4)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(content) > limit + 3:
        message = f"The program is larger than {limit} bytes"
        raise PrismError("LimitError", message, code="source_too_large", hint="split it up", file=str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInputError(
            f"{path} is not UTF-8 text: line {line} holds the byte 0x{content[error.start]:02x}"
        ) from None


class ModuleFiles:
    """Gives the texts of the modules under one directory, and nothing outside it.

    The directory is that of the program, or the directory of patterns when the program lies in there.
    """

    def __init__(self, program: Path, options: Options) -> None:
        self._options = options
        self._root = _root(program)
        self.name = program.resolve().relative_to(self._root).as_posix() if str(program) != STDIN else "program.prism"

    def __call__(self, path: str) -> str | None:
        """The text of a module, or None where there is no such file. Raises ValueError when it cannot be used."""
        file = self._root / path
        real = file.resolve()
        if not real.is_relative_to(self._root):
            raise ValueError("the file is a link that leads out of the directory of the program")
        if not real.is_file():
            return None
        try:
            return read_program(real, self._options)
        except (BadInputError, PrismError) as error:
            raise ValueError(error.message) from None


def _root(program: Path) -> Path:
    if str(program) == STDIN:
        return (current_dir() or Path("/")).resolve()
    real = program.resolve()
    patterns = Settings.load().patterns_dir.resolve()
    return patterns if real.is_relative_to(patterns) else real.parent
