"""What takes the git program, because without it the outcome would not be what git makes of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dulwich.config import ConfigFile

from services.workspace.origins import Origin
from services.workspace.problems import WorkspaceProblem

_HARMLESS = frozenset({b"noop", b"worktreeconfig", b"preciousobjects"})
_CHANGING = frozenset({b"ident", b"-merge", b"eol=crlf"})
_CHANGING_BY_VALUE = (b"filter=", b"working-tree-encoding=", b"merge=")
_RECEIVING = ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive")


def git_needed(what: str, *, where: str = "repo") -> WorkspaceProblem:
    """Says what needs git, in one sentence."""
    message = f"{what}: that takes the git program, 2.38 or newer, and none is found on PATH."
    return WorkspaceProblem("git_needed", message, where=where)


def _git_directory(origin: Origin) -> Path:
    place = Path(origin.location)
    inner = place / ".git"
    if inner.is_file():  # a linked worktree
        inner = Path(place, inner.read_text().removeprefix("gitdir: ").rstrip("\n"))
        common = inner / "commondir"
        return (inner / common.read_text().rstrip("\n")).resolve() if common.is_file() else inner
    return inner if inner.is_dir() else place


def refuse_formats(origin: Origin) -> None:
    """Raises `git_needed` for a repository in a format that only git knows, or that lacks objects on purpose."""
    config = _config(origin)
    for key in config.keys():  # noqa: SIM118 - a configuration is no mapping of the usual kind
        for name in config[key]:
            if key == (b"extensions",) and name.lower() not in _HARMLESS:
                value = config.get(key, name).decode("utf-8", "replace")
                if (name.lower(), value) in ((b"objectformat", "sha1"), (b"refstorage", "files")):
                    continue
                raise git_needed(f"{origin.shown} uses the extension {name.decode('utf-8', 'replace')} = {value}")
            if key[0] == b"remote" and name.lower() in (b"promisor", b"partialclonefilter"):
                raise git_needed(f"{origin.shown} is a partial clone")


def refuse_attributes(where: str, content: bytes) -> None:
    """Raises `git_needed` for attributes that change what is stored, written or merged."""
    for line in content.splitlines():
        for word in line.split()[1:]:
            if not line.startswith(b"#") and (word in _CHANGING or word.startswith(_CHANGING_BY_VALUE)):
                raise git_needed(f"{where} says {word.decode('utf-8', 'replace')}")


def refuse_receivers(origin: Origin) -> None:
    """Raises `git_needed` for a push that hooks of the receiver, or its shared permissions, have a say in."""
    config = _config(origin)
    hooks = _git_directory(origin) / "hooks"
    with suppress(KeyError):
        hooks = Path(origin.location, config.get((b"core",), b"hooksPath").decode("utf-8", "surrogateescape"))
    active = [name for name in _RECEIVING if os.access(hooks / name, os.X_OK)]
    if active:
        raise git_needed(f"{origin.shown} has the hook {active[0]}, which decides about a push", where="push")
    try:
        shared = config.get((b"core",), b"sharedRepository").decode().lower()
    except KeyError:
        return
    if shared not in ("", "0", "false", "umask"):
        raise git_needed(f"{origin.shown} is shared (core.sharedRepository = {shared})", where="push")


def _config(origin: Origin) -> ConfigFile:
    try:
        return ConfigFile.from_path(str(_git_directory(origin) / "config"))
    except (OSError, ValueError):
        return ConfigFile()
