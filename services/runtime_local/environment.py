"""What a program is given to see: an environment made from nothing, and the place where its name is looked up.

Nothing of the platform's own environment is inherited but what is on the list here, so that no key, password or address
of the platform reaches an agent by accident.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TERM", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables that a program inherits from the platform, where they are set."""

MARK = "PARALLAX_TURN_MARK"
"""The variable by which a process that got away from everything else is still recognised."""

_FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin"


class NotFound(Exception):
    """A program cannot be found. The message is a sentence for people."""


def search_path(environ: Mapping[str, str]) -> str:
    """The platform's PATH: the directory of its own interpreter first, and nothing relative."""
    own = str(Path(sys.executable).parent)
    entries = [own, *environ.get("PATH", _FALLBACK_PATH).split(os.pathsep)]
    kept = [entry for entry in entries if entry.startswith("/")]
    return os.pathsep.join(dict.fromkeys(kept))


def environment(
    environ: Mapping[str, str], *, home: Path, tmp: Path, own: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a program. `given` is the pattern's, `own` the platform's word, which wins."""
    env = {name: environ[name] for name in INHERITED if environ.get(name)}
    env |= {"PATH": search_path(environ), "TMPDIR": str(tmp), "HOME": str(home)}
    env.setdefault("LANG", "C.UTF-8")
    env |= {
        name: value
        for name, value in given.items()
        if not name.startswith("PARALLAX_") and name and "=" not in name and "\0" not in name + value
    }
    return env | dict(own)


def find_program(name: str, *, path: str, workspace: Path | None) -> str:
    """The file of a program. `./name` is looked up in the worktree, because the pattern says so by writing it.

    A bare name is looked up in `path` alone, never in the worktree. Raises NotFound with a sentence.
    """
    if name.startswith("/"):
        return _runnable(Path(name), name)
    if "/" in name:
        if not name.startswith("./"):
            raise NotFound(
                f"The program {name!r} is relative: write ./{name} to take it from the worktree, or an absolute path."
            )
        if workspace is None:
            raise NotFound(f"The program {name!r} is to come from the worktree, but this execution has none.")
        found = workspace / name  # may be a link: `.venv/bin/python` is one, and has to be run by this name
        if not found.parent.resolve().is_relative_to(workspace.resolve()):
            raise NotFound(f"The program {name!r} is outside the worktree.")
        return _runnable(found, name)
    for entry in _entries(path):
        candidate = entry / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise NotFound(f"The program {name!r} was not found in PATH ({path}).")


def _entries(path: str) -> Iterable[Path]:
    return (Path(entry) for entry in path.split(os.pathsep) if entry.startswith("/"))


def _runnable(file: Path, name: str) -> str:
    if not file.is_file():
        raise NotFound(f"The program {name!r} does not exist.")
    if not os.access(file, os.X_OK):
        raise NotFound(f"The program {name!r} is not executable.")
    return str(file)
