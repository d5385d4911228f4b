"""Agents' repositories for the tests of their reader: made by git, or planted by hand."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Generator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.workspace.agent_repository.objects import Budget, Raw
from services.workspace.agent_repository.opening import Finding
from services.workspace.agent_repository.repository import AgentRepository
from tests.services.workspace.bench import GIT, git

needs_git = pytest.mark.skipif(GIT is None, reason="the repository is made by the git program")


def nothing(sha: bytes) -> Raw | None:
    """A platform that has no object."""
    del sha


def all_of(names: AbstractSet[bytes]) -> AbstractSet[bytes]:
    """A platform that lacks whatever is asked for."""
    return names


def made(path: Path) -> Path:
    """A repository with one commit of `a`."""
    path.mkdir()
    git(path, "init", "-qb", "main")
    git(path, "config", "user.name", "u")
    git(path, "config", "user.email", "u@x")
    (path / "a").write_text("a\n")
    save(path)
    return path


def save(path: Path, message: str = "x") -> str:
    """Commits everything. Gives the commit."""
    git(path, "add", "-A")
    git(path, "commit", "-qm", message)
    return git(path, "rev-parse", "HEAD").strip()


@contextmanager
def opened(worktree: Path, *, budget: Budget | None = None) -> Generator[AgentRepository]:
    """The reader on a worktree."""
    descriptor = os.open(worktree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found, findings = AgentRepository.of(descriptor, nothing, budget=budget)
        assert found is not None, findings
        try:
            yield found
        finally:
            found.close()
    finally:
        os.close(descriptor)


def findings_of(worktree: Path) -> list[Finding]:
    """What the reader finds wrong with a worktree's repository, all commits looked at."""
    descriptor = os.open(worktree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found, findings = AgentRepository.of(descriptor, nothing)
        if found is not None:
            found.commits(found.own())
            findings = list(found.findings)
            found.close()
        return findings
    finally:
        os.close(descriptor)


def codes(findings: list[Finding]) -> set[str]:
    """The codes of findings."""
    return {finding.code for finding in findings}


def bare_git(worktree: Path) -> Path:
    """A `.git` with nothing in it but what every one has."""
    git_directory = worktree / ".git"
    for name in ("objects/pack", "refs/heads"):
        (git_directory / name).mkdir(parents=True)
    (git_directory / "HEAD").write_text("ref: refs/heads/main\n")
    return git_directory


def name_of(kind: str, data: bytes) -> str:
    """The name of an object."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def loose(git_directory: Path, kind: str, data: bytes, *, name: str = "", packed: bytes | None = None) -> str:
    """Plants a loose object, under another name or with another content if wanted. Gives its name."""
    name = name or name_of(kind, data)
    place = git_directory / "objects" / name[:2]
    place.mkdir(parents=True, exist_ok=True)
    content = f"{kind} {len(data)}\0".encode() + data if packed is None else packed
    (place / name[2:]).write_bytes(zlib.compress(content))
    return name


def commit_text(tree: str, *parents: str, message: str = "x") -> bytes:
    """The content of a commit."""
    above = "".join(f"parent {parent}\n" for parent in parents)
    return f"tree {tree}\n{above}author u <u@x> 0 +0000\ncommitter u <u@x> 0 +0000\n\n{message}\n".encode()


def number(value: int, kind: int) -> bytes:
    """The header of an object in a pack."""
    first, value = kind << 4 | value & 15, value >> 4
    found = bytearray()
    while value:
        found.append(first | 0x80)
        first, value = value & 0x7F, value >> 7
    found.append(first)
    return bytes(found)


def varint(value: int) -> bytes:
    """A size at the beginning of a delta."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def pack(git_directory: Path, entries: list[tuple[str, bytes]]) -> None:
    """Plants a pack of entries, each a name and its bytes with the header, and the index of it."""
    body = bytearray(b"PACK" + struct.pack(">LL", 2, len(entries)))
    offsets: dict[bytes, int] = {}
    for name, data in entries:
        offsets[bytes.fromhex(name)] = len(body)
        body += data
    body += hashlib.sha1(body, usedforsecurity=False).digest()
    names = sorted(offsets)
    fan = [sum(name[0] <= first for name in names) for first in range(256)]
    index = b"\xfftOc\0\0\0\2" + struct.pack(">256L", *fan) + b"".join(names)
    index += b"\0\0\0\0" * len(names) + b"".join(struct.pack(">L", offsets[name]) for name in names) + bytes(40)
    place = git_directory / "objects/pack"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"pack-{'0' * 40}.pack").write_bytes(body)
    (place / f"pack-{'0' * 40}.idx").write_bytes(index)
