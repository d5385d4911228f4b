"""What takes the git program, because without it the outcome would not be what git makes of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dulwich.config import ConfigFile

from services.workspace.dulwich_git.attributes import parse
from services.workspace.dulwich_git.ignoring import MAX_BYTES
from services.workspace.origins import Origin
from services.workspace.problems import WorkspaceProblem

_HARMLESS = frozenset({b"noop", b"worktreeconfig", b"preciousobjects"})
_SAME_ENCODING = (None, b"UTF-8", b"utf-8", b"UTF8", b"utf8")
_RECEIVING = ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive")


def git_needed(what: str, *, where: str = "repo") -> WorkspaceProblem:
    """Says what needs git, in one sentence."""
    message = f"{what}: that takes the git program, 2.38 or newer, and none is found on PATH."
    return WorkspaceProblem("git_needed", message, where=where)


def git_directory(origin: Origin) -> Path:
    """Where an origin on this machine keeps what all its worktrees share."""
    place = Path(origin.location)
    inner = place / ".git"
    if inner.is_file():  # a linked worktree
        inner = Path(place, inner.read_text().removeprefix("gitdir: ").rstrip("\n"))
        common = inner / "commondir"
        return (inner / common.read_text().rstrip("\n")).resolve() if common.is_file() else inner
    return inner if inner.is_dir() else place


def refuse_formats(origin: Origin) -> None:
    """Raises `git_needed` for a repository in a format that only git knows, or that lacks objects on purpose."""
    config = config_of(origin)
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
    """Raises `git_needed` for attributes that take a program or another encoding."""
    refuse_length(where, content)
    for line in parse(content, macros=True):
        for name, value in line.said:
            if (
                (name == b"filter" and isinstance(value, bytes))
                or (name == b"ident" and value is True)
                or (name == b"working-tree-encoding" and value not in _SAME_ENCODING)
            ):
                word = name if value is True else name + b"=" + value if value else b"-" + name
                raise git_needed(f"{where} says {word.decode('utf-8', 'replace')}")


def refuse_length(where: str, content: bytes) -> None:
    """Raises `git_needed` for a file of rules that is too long to be read here."""
    if len(content) > MAX_BYTES:
        raise git_needed(f"{where} is longer than {MAX_BYTES >> 20} MiB")


def refuse_receivers(origin: Origin) -> None:
    """Raises `git_needed` for a push that hooks of the receiver, or its shared permissions, have a say in."""
    config = config_of(origin)
    hooks = git_directory(origin) / "hooks"
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


def config_of(origin: Origin) -> ConfigFile:
    """The configuration of an origin on this machine, of which little is looked at."""
    try:
        return ConfigFile.from_path(str(git_directory(origin) / "config"))
    except (OSError, ValueError):
        return ConfigFile()
