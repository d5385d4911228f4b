"""Where a repository comes from, and what may be one.

A local path, `file://` and `https://` are all there is (`http://` only to this machine). Everything else that a git
address may mean, some of it a command to run, is refused by not being on the list.
"""

from __future__ import annotations

import hashlib
import ipaddress
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from services.workspace.problems import WorkspaceProblem

_HINT = "Give an absolute path, a file:// or an https:// address."


@dataclass(frozen=True, slots=True)
class Origin:
    """A place that a repository comes from. `shown` is its address without secrets."""

    kind: Literal["path", "http"]
    location: str
    shown: str

    @property
    def digest(self) -> str:
        """The name of its cached clone."""
        return hashlib.sha256(self.location.encode()).hexdigest()[:40]


def parse_origin(url: str) -> Origin:
    """Reads the address of a request.

    Raises:
        WorkspaceProblem: it is none that is allowed; the message says which are.
    """
    if not url or any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in url):
        raise _refused("The address of the repository is empty or holds control characters.")
    if url.startswith("/"):
        return _local(url)
    parts = _split(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise _refused(f"{url} names another machine.")
        return _local(unquote(parts.path))
    if parts.scheme in ("https", "http"):
        return _web(parts)
    if parts.scheme and "://" in url:
        raise _refused(f"Repositories cannot be fetched by {parts.scheme}.")
    raise _refused("The address of the repository is neither an absolute path nor one of file:// and https://.")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise _refused(f"The address of the repository cannot be read: {error}.") from error
    return parts


def _refused(message: str) -> WorkspaceProblem:
    return WorkspaceProblem("repository_refused", f"{message} {_HINT}", where="repo")


def _local(path: str) -> Origin:
    if not path.startswith("/") or "\0" in path:
        raise _refused("The path of the repository is not absolute.")
    try:
        resolved = str(Path(path).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise _refused(f"The path of the repository cannot be followed: {error}.") from error
    return Origin("path", resolved, resolved)


def _web(parts: SplitResult) -> Origin:
    host = parts.hostname or ""
    if not host:
        raise _refused("The address of the repository names no host.")
    if parts.scheme == "http" and not _this_machine(host):
        raise _refused("http:// is allowed to this machine only.")
    if "@" in parts.netloc:
        raise _refused("The address of the repository holds a login, which would be kept in the log.")
    location = parts._replace(fragment="").geturl()
    return Origin("http", location, location)


def _this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_local(location: str) -> None:
    """Raises `repository_not_found` where a path of this machine is no repository, with what to do."""
    path = Path(location)
    if not path.is_dir():
        raise WorkspaceProblem("repository_not_found", f"There is no directory {location}.", where="repo")
    if (path / ".git").exists() or ((path / "objects").is_dir() and (path / "HEAD").is_file()):
        return
    above = next((parent for parent in path.parents if (parent / ".git").exists()), None)
    hint = f"It lies inside the repository {above}: give that." if above else "Make it one with `git init`."
    raise WorkspaceProblem("repository_not_found", f"{location} is not a git repository. {hint}", where="repo")


def check_room(origin: Origin, there: Collection[str], ref: str) -> None:
    """Raises `push_rejected` where a branch is in the way: git allows no branch `a` beside a branch `a/b`."""
    above = [ref.rsplit("/", cut)[0] for cut in range(1, ref.count("/") - 1)]
    found = next(
        (name for name in [*above, *there] if name in there and (name in above or name.startswith(ref + "/"))), ""
    )
    if found:
        name, branch = found.removeprefix("refs/heads/"), ref.removeprefix("refs/heads/")
        raise WorkspaceProblem(
            "push_rejected",
            f"{origin.shown} has a branch {name!r}, and git allows no branch {branch!r} beside it. Rename it "
            f"(git branch -m {shlex.quote(name)} …) and fetch or push the result by hand.",
            where="push",
        )
