"""The `.git` of an agent's worktree, as the platform makes it.

It belongs to the agent: it is made so that git and everything built on it work there, it is made anew whenever the
platform has been at work, and nothing in it decides anything.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.workspace import files

_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tfilemode = true
\tbare = false
[gc]
\tauto = 0
[user]
\tname = {name}
\temail = {name}@agents.parallax.invalid
"""


@dataclass(frozen=True, slots=True)
class AgentGit:
    """What is in it. `branch` empty: a detached HEAD. Objects are borrowed from `objects`; `index` is a file of git.

    `submodules` are those that are filled, by their names: their repositories are in `modules`, where git keeps them.
    Of one of these `worktree` says where its files are, and `url` where it comes from.
    """

    branch: str
    commit: str
    refs: Mapping[str, str]
    name: str
    objects: Path
    index: bytes
    exclude: bytes
    submodules: Mapping[bytes, AgentGit] = field(default_factory=dict[bytes, "AgentGit"])
    worktree: bytes = b""
    url: bytes = b""


def renew(worktree: Path, scratch: Path, content: AgentGit, *, aside: Path | None = None) -> None:
    """Makes the `.git` of a worktree anew, in one step. The former one is moved to `aside` if that is given."""
    made = scratch / f"git-{secrets.token_hex(6)}"
    _fill(made, content)
    old = f"old-{secrets.token_hex(6)}"
    with files.opened(worktree) as root, files.opened(scratch) as place:
        with suppress(FileNotFoundError):
            _move(".git", old, root, place)
        _move(made.name, ".git", place, root)
        if aside is None:
            files.remove(place, old.encode())
        else:
            aside.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                (scratch / old).rename(aside)


def set_aside(worktree: Path, aside: Path) -> None:
    """Moves the `.git` of a worktree away, as it is."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    with files.opened(worktree) as root, files.opened(aside.parent) as place, suppress(FileNotFoundError):
        _move(".git", aside.name, root, place)


def _fill(git: Path, content: AgentGit) -> None:
    for directory in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (git / directory).mkdir(parents=True, exist_ok=True)
    (git / "HEAD").write_text(f"ref: refs/heads/{content.branch}\n" if content.branch else f"{content.commit}\n")
    (git / "config").write_bytes(_config(content))
    (git / "objects/info/alternates").write_text(f"{content.objects}\n")
    (git / "info/exclude").write_bytes(content.exclude)
    known = dict(content.refs)
    if content.branch:
        known[f"refs/heads/{content.branch}"] = content.commit
    lines = [f"{sha} {ref}\n" for ref, sha in sorted(known.items())]
    (git / "packed-refs").write_text("# pack-refs with: sorted\n" + "".join(lines))
    (git / "index").write_bytes(content.index)
    for name, submodule in content.submodules.items():
        _fill(git / "modules" / os.fsdecode(name), submodule)


def _config(content: AgentGit) -> bytes:
    wide = len(content.commit) == 64
    text = _CONFIG.format(name=content.name, version=int(wide)).encode()
    if wide:
        text += b"[extensions]\n\tobjectFormat = sha256\n"
    if content.worktree:
        text += b"[core]\n\tworktree = %s\n" % _quoted(content.worktree)
    if content.url:
        fetch = b"+refs/heads/*:refs/remotes/origin/*"
        text += b'[remote "origin"]\n\turl = %s\n\tfetch = %s\n' % (_quoted(content.url), fetch)
    for name, submodule in content.submodules.items():
        text += b"[submodule %s]\n\tactive = true\n" % _quoted(name)
        if submodule.url:
            text += b"\turl = %s\n" % _quoted(submodule.url)
    return text


def _quoted(value: bytes) -> bytes:
    return b'"%s"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


def _move(source: str, target: str, source_directory: int, target_directory: int) -> None:
    try:
        os.rename(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
            raise
        files.remove(target_directory, os.fsencode(target))
        os.rename(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory)
