"""The git program of this machine: where it is, whether it will do, and how it is run on data that nobody vouches for.

A repository can make git run programs: by hooks, filters, textconv, fsmonitor, merge drivers, remote helpers,
credential helpers, aliases, through files in the home directory, and through two dozen environment variables. So
whoever runs git here gives it a configuration on the command line and an environment in which nothing of that is left.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

OLDEST = (2, 38)
"""The first version whose `merge-tree` merges, and that takes `safe.directory` from the command line."""

_LONGEST_ERROR = 64 * 1024
_CHUNK = 1 << 16
_MAX_OUTPUT = 1 << 30

_CONFIG = {
    "safe.directory": "*",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.fsync": "committed,loose-object,reference",
    "core.untrackedCache": "false",
    "core.splitIndex": "false",
    "core.sparseCheckout": "false",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.ignoreCase": "false",
    "core.precomposeUnicode": "false",
    "core.quotePath": "false",
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.safecrlf": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.askPass": "",
    "core.sshCommand": "false",
    "core.gitProxy": "",
    "core.pager": "cat",
    "core.editor": "false",
    "core.logAllRefUpdates": "false",
    "credential.helper": "",
    "index.sparse": "false",
    "index.version": "2",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.fsckObjects": "false",
    "fetch.writeCommitGraph": "false",
    "fetch.unpackLimit": "100",
    "transfer.fsckObjects": "false",
    "transfer.credentialsInUrl": "die",
    "push.recurseSubmodules": "no",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "60",
    "color.ui": "false",
    "advice.detachedHead": "false",
}
"""What no file may say otherwise."""

_OPTIONS = [word for key, value in _CONFIG.items() for word in ("-c", f"{key}={value}")]


@dataclass(frozen=True, slots=True)
class GitProgram:
    """A git program. `shown` is its version as it says it."""

    path: str
    version: tuple[int, int]
    shown: str

    @property
    def too_old(self) -> bool:
        """Whether it lacks what Parallax needs."""
        return self.version < OLDEST


@dataclass(frozen=True, slots=True)
class Done:
    """How a run of git ended. `errors` is the end of what it said, as text."""

    code: int
    out: bytes
    errors: str


class GitFailed(Exception):
    """A run of git that should have succeeded and did not."""

    def __init__(self, words: Sequence[str], done: Done) -> None:
        what = next((word for word in words if not word.startswith("-")), "")
        super().__init__(f"git {what} failed (exit code {done.code}): {done.errors.strip() or 'it said nothing'}")
        self.done = done


class GitTimeout(Exception):
    """A run of git that took too long, or said too much, and was ended."""


def find_git(path: str | None = None) -> GitProgram | None:
    """The git program on PATH (or on `path`), whatever its version. None: there is none that runs."""
    found = shutil.which("git", path=path)
    if found is None:
        return None
    try:
        status = Path(found).stat()
    except OSError:
        return None
    return _asked(found, status.st_mtime_ns, status.st_ino)


def usable_git(path: str | None = None) -> GitProgram | None:
    """The git program, if it is one that Parallax can work with."""
    found = find_git(path)
    return None if found is None or found.too_old else found


def git_trouble(path: str | None = None) -> str | None:
    """What is wrong with the git of this machine, in a sentence for people. None: nothing."""
    found = find_git(path)
    wanted = ".".join(str(part) for part in OLDEST)
    lacking = (
        "so Parallax works without the git program and refuses repositories with filters, submodules, sparse or "
        f"partial clones. Install git {wanted} or newer."
    )
    if found is None:
        return f"No git program is on PATH, {lacking}"
    if found.too_old:
        return f"The git program {found.path} is version {found.shown}, older than {wanted}, {lacking}"
    return None


@lru_cache(maxsize=16)
def _asked(path: str, changed: int, inode: int) -> GitProgram | None:
    del changed, inode  # a program that is replaced is asked again
    try:
        done = subprocess.run([path, "--version"], capture_output=True, env=environment(), timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(rb"git version ((\d+)\.(\d+)\S*)", done.stdout)
    if done.returncode != 0 or match is None:
        return None
    return GitProgram(path, (int(match[2]), int(match[3])), match[1].decode(errors="replace"))


def environment(**more: str) -> dict[str, str]:
    """The environment for git: ours without anything that steers git, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_ASKPASS"))}  # noqa: TID251 - git inherits PATH, HOME, proxies
    kept |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    return {**kept, **more}


def _with_user_config(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith("GIT_CONFIG_")}


def run_git(
    program: GitProgram,
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    timeout_s: float = 600.0,
    codes: Sequence[int] | None = (0,),
    pass_fds: Sequence[int] = (),
    user_config: bool = False,
) -> Done:
    """Runs git to its end. `env` and `config` add to what every run gets; `codes` are the exit codes without a failure.

    With `user_config` it sees the user's own settings and none of ours: to look at the user's own repository as the
    user does, or to read a setting.

    Raises:
        GitFailed: it ended with another code.
        GitTimeout: it took longer than `timeout_s` seconds, or wrote more than a gibibyte.
        OSError: it cannot be started.
    """
    options = ["-c", "safe.directory=*"] if user_config else _OPTIONS
    more = [word for key, value in (config or {}).items() for word in ("-c", f"{key}={value}")]
    process = subprocess.Popen(
        [program.path, *options, *more, *words],
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_with_user_config(environment(**(env or {}))) if user_config else environment(**(env or {})),
        cwd=cwd or "/",
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )
    try:
        out, errors = _talk(process, stdin, time.monotonic() + timeout_s)
        code = process.wait(timeout=timeout_s)
    except BaseException:
        _end(process)
        raise
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
    done = Done(code, out, errors.decode("utf-8", "replace"))
    if codes is not None and code not in codes:
        raise GitFailed(words, done)
    return done


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _talk(process: subprocess.Popen[bytes], stdin: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Feeds a process and takes what it says, until it has closed both of its outputs."""
    out, errors = bytearray(), bytearray()
    left = memoryview(stdin)
    with selectors.DefaultSelector() as waiting:
        _watch(waiting, process.stdout, selectors.EVENT_READ, out.extend)
        _watch(waiting, process.stderr, selectors.EVENT_READ, errors.extend)
        _watch(waiting, process.stdin, selectors.EVENT_WRITE, None)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise GitTimeout("git took too long and was ended")
            for key, _ in ready:
                if key.data is None:
                    left = _feed(waiting, key.fd, process.stdin, left)
                    continue
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    waiting.unregister(key.fd)
                key.data(chunk)
            if len(out) > _MAX_OUTPUT:
                raise GitTimeout("git said more than can be held and was ended")
            del errors[:-_LONGEST_ERROR]
    return bytes(out), bytes(errors)


def _watch(
    waiting: selectors.BaseSelector, pipe: IO[bytes] | None, what: int, take: Callable[[bytes], None] | None
) -> None:
    if pipe is not None:
        os.set_blocking(pipe.fileno(), False)
        waiting.register(pipe.fileno(), what, take)


def _feed(waiting: selectors.BaseSelector, fd: int, pipe: IO[bytes] | None, left: memoryview) -> memoryview:
    try:
        left = left[os.write(fd, left[:_CHUNK]) :]
    except BrokenPipeError:
        left = left[len(left) :]
    if not left and pipe is not None:
        waiting.unregister(fd)
        with suppress(OSError):
            pipe.close()
    return left
