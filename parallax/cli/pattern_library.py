"""The patterns that a command means: those that the running stack reads, where one runs."""

from __future__ import annotations

from pathlib import Path

from parallax.cli.common import environ_for
from shared.config import Settings, explicit
from shared.log import keep_quiet
from shared.paths import current_dir
from shared.pattern_sources import Patterns, shipped_patterns_dir
from shared.patterns import PatternLibrary


def library_for(directory: Path | None, data: Path | None = None) -> Patterns | PatternLibrary:
    """The patterns of `directory` alone; without one, those of the stack that runs, else of the settings."""
    keep_quiet()  # a file of somebody else's that cannot be read is none of this command's output
    if directory is not None:
        return PatternLibrary(directory, elsewhere=Patterns(shipped_patterns_dir()).source)
    return Patterns(own_patterns_dir(data))


def own_patterns_dir(data: Path | None = None) -> Path:
    """The directory that the running stack reads; without one the setting, `./patterns`, or the shipped patterns."""
    environ = environ_for(data, need_running=False)
    if "patterns_dir" in explicit(environ):
        return Settings.load(environ).patterns_dir
    here = current_dir()
    own = None if here is None else here / "patterns"
    return own if own is not None and own.is_dir() else shipped_patterns_dir()
