"""The rules that a repository has beside its files: what the user never commits, and its own `info/attributes`.

They are written down when the workspace is opened, as a clone's own, and count until it is closed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dulwich.config import ConfigFile, StackedConfig

from services.workspace.droppings import DROPPINGS
from services.workspace.dulwich_git.ignoring import BYTE_ORDER_MARK
from services.workspace.dulwich_git.needing import config_of, git_directory, git_needed, refuse_attributes
from services.workspace.origins import Origin
from shared.git import environment


@dataclass(frozen=True, slots=True)
class OwnRules:
    """The content of `info/exclude` and `info/attributes`."""

    exclude: bytes
    attributes: bytes


def read_rules(repository: Path) -> OwnRules:
    """The rules of the repository of an execution."""
    info = repository / "info"
    return OwnRules(_content(info / "exclude") or DROPPINGS.lstrip(), _content(info / "attributes"))


def write_rules(repository: Path, origin: Origin | None) -> None:
    """Takes over the rules of the user and of an origin on this machine.

    Raises:
        WorkspaceProblem: one of them takes the git program.
    """
    local = origin is not None and origin.kind == "path"
    exclude, attributes = DROPPINGS.lstrip() + _content(_excludes_file(origin if local else None)), b""
    if local and origin is not None:
        info = git_directory(origin) / "info"
        exclude += _content(info / "exclude")
        attributes = _content(info / "attributes")
        refuse_attributes(f"{origin.shown} (info/attributes)", attributes)
    (repository / "info/exclude").write_bytes(exclude)
    (repository / "info/attributes").write_bytes(attributes)


def _excludes_file(origin: Origin | None) -> Path:
    """The user's own ignore file, which git honours in every repository."""
    try:
        configs: list[ConfigFile] = list(StackedConfig.default_backends())
    except PermissionError:
        configs = []  # git passes over what it may not read
    except (OSError, ValueError) as error:
        raise git_needed(f"Your git configuration cannot be read ({error})") from error
    for config in [*([config_of(origin)] if origin is not None else []), *configs]:
        try:
            named = config.get((b"core",), b"excludesFile")
        except KeyError:
            continue
        return Path(os.fsdecode(named)).expanduser() if named else Path(os.devnull)
    env = environment()
    home = env.get("XDG_CONFIG_HOME") or (f"{env['HOME']}/.config" if env.get("HOME") else "")
    return Path(home, "git/ignore") if home else Path(os.devnull)


def _content(path: Path) -> bytes:
    """The content of a file of rules, ending with a line; nothing where there is none."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    content = content.removeprefix(BYTE_ORDER_MARK)
    return content if not content or content.endswith(b"\n") else content + b"\n"
