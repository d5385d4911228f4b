"""The staging area of an agent's repository: formats 2, 3 and 4, split and sparse, with the flags of its entries."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from hashlib import sha1

from services.workspace.agent_repository.opening import Directory, Unreadable, shown

MAX_INDEX_BYTES = 256 << 20
_MAX_PATH_BYTES = 4096
_MAX_ENTRIES = 2_000_000
_HEAD = struct.Struct(">4sLL")
_ENTRY = struct.Struct(">LLLLLLLLLL20sH")
_SHA_BYTES = 20
_ASSUME_VALID = 0x8000
_EXTENDED = 0x4000
_SKIP_WORKTREE = 0x4000
_INTENT_TO_ADD = 0x2000
_WORD_BITS = 64

DIRECTORY = 0o040000
GITLINK = 0o160000
_MODES = frozenset({0o100644, 0o100755, 0o120000, GITLINK, DIRECTORY})


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One path that is staged. A `mode` of a directory stands for everything in it (a sparse index).

    `stage` over 0: one side of a conflict. `sha` is written in hexadecimal.
    """

    path: bytes
    mode: int
    sha: bytes
    stage: int = 0
    skip_worktree: bool = False
    assume_valid: bool = False
    intent_to_add: bool = False

    @property
    def hidden(self) -> bool:
        """Whether git was told not to look at the file, so that its absence or content says nothing."""
        return self.skip_worktree or self.assume_valid


@dataclass(slots=True)
class Index:
    """What is staged."""

    version: int
    entries: list[IndexEntry] = field(default_factory=list[IndexEntry])
    sparse: bool = False
    split: bool = False


def read_index(git: Directory) -> Index | None:
    """The index of a git directory. None: there is none, which is an index with nothing in it to git.

    Raises:
        Unreadable: it is damaged, of an unknown format, or too large.
    """
    data = git.read(b"index", limit=MAX_INDEX_BYTES)
    if data is None:
        return None
    parsed = _Parser(data, git.place(b"index"))
    if parsed.base:
        name = b"sharedindex." + parsed.base
        shared = git.read(name, limit=MAX_INDEX_BYTES)
        if shared is None:
            raise Unreadable("damaged_index", git.place(name), "the shared part of the index is not there")
        below = _Parser(shared, git.place(name))
        if below.base:
            raise Unreadable("damaged_index", git.place(name), "a shared index leads to another one")
        parsed.joined(below)
    return parsed.index()


class _Parser:
    """One file, taken apart. `base` names the shared index that it stands on, if any."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data = data
        self._where = where
        self.entries: list[IndexEntry] = []
        self.base = b""
        self.sparse = False
        self._deleted: set[int] = set()
        self._replaced: list[int] = []
        try:
            self._parse()
        except (struct.error, IndexError, ValueError) as error:
            raise self._damaged("it ends too early or holds impossible numbers") from error

    def index(self) -> Index:
        """What the file says."""
        for entry in self.entries:
            if not _usable(entry):
                raise self._damaged(f"the entry {shown(entry.path)!r} cannot be one")
        return Index(self.version, self.entries, sparse=self.sparse, split=bool(self.base))

    def joined(self, shared: _Parser) -> None:
        """Takes in the entries of the shared index, changed as this file says."""
        below = list(shared.entries)
        if self._replaced and self._replaced[-1] >= len(below):
            raise self._damaged("it replaces an entry that is not in the shared index")
        if self._deleted and max(self._deleted) >= len(below):
            raise self._damaged("it deletes an entry that is not in the shared index")
        own = iter(self.entries)
        for position in self._replaced:
            entry = next(own, None)
            if entry is None or entry.path:
                raise self._damaged("an entry that replaces a shared one is missing")
            below[position] = replace(entry, path=below[position].path)
        kept = [entry for position, entry in enumerate(below) if position not in self._deleted]
        self.entries = sorted([*kept, *own], key=lambda entry: (entry.path, entry.stage))
        self.sparse = self.sparse or shared.sparse

    def _damaged(self, message: str) -> Unreadable:
        return Unreadable("damaged_index", self._where, message)

    def _parse(self) -> None:
        data = self._data
        magic, self.version, count = _HEAD.unpack_from(data)
        if magic != b"DIRC" or self.version not in {2, 3, 4}:
            raise Unreadable("unknown_index", self._where, f"format {self.version} of an index is not known")
        if count > _MAX_ENTRIES:
            raise Unreadable("too_many", self._where, f"it holds over {_MAX_ENTRIES} entries")
        given = data[-_SHA_BYTES:]
        if any(given) and given != sha1(data[:-_SHA_BYTES], usedforsecurity=False).digest():
            raise self._damaged("its checksum is wrong")
        at, path = _HEAD.size, b""
        for _ in range(count):
            at, entry = self._entry(at, path)
            path = entry.path
            self.entries.append(entry)
        self._extensions(at)

    def _entry(self, at: int, previous: bytes) -> tuple[int, IndexEntry]:
        data = self._data
        *_, mode, _uid, _gid, _size, sha, flags = _ENTRY.unpack_from(data, at)
        begin, more = at, 0
        at += _ENTRY.size
        if flags & _EXTENDED:
            if self.version < 3:
                raise self._damaged("an entry has flags that its format has not")
            (more,) = struct.unpack_from(">H", data, at)
            at += 2
        if self.version == 4:
            strip, at = _varint(data, at)
            if strip > len(previous):
                raise self._damaged("a path goes on from a longer one than there is")
            end = data.index(b"\0", at, at + _MAX_PATH_BYTES)
            path = previous[: len(previous) - strip] + data[at:end]
            at = end + 1
        else:
            end = data.index(b"\0", at, at + _MAX_PATH_BYTES + 1)
            path = data[at:end]
            at = begin + (end - begin + 8) // 8 * 8
        if len(path) > _MAX_PATH_BYTES:
            raise self._damaged("a path is too long")
        entry = IndexEntry(
            path=path,
            mode=mode,
            sha=sha.hex().encode(),
            stage=flags >> 12 & 3,
            skip_worktree=bool(more & _SKIP_WORKTREE),
            assume_valid=bool(flags & _ASSUME_VALID),
            intent_to_add=bool(more & _INTENT_TO_ADD),
        )
        return at, entry

    def _extensions(self, at: int) -> None:
        data, end = self._data, len(self._data) - _SHA_BYTES
        while at < end:
            signature = data[at : at + 4]
            (size,) = struct.unpack_from(">L", data, at + 4)
            body = data[at + 8 : at + 8 + size]
            if at + 8 + size > end:
                raise self._damaged("an extension is longer than the file")
            if signature == b"link":
                self._link(body)
            elif signature == b"sdir":
                self.sparse = True
            elif not signature[:1].isupper():
                raise Unreadable("unknown_index", self._where, f"the extension {shown(signature)!r} is not known")
            at += 8 + size

    def _link(self, body: bytes) -> None:
        base = body[:_SHA_BYTES]
        if len(base) != _SHA_BYTES:
            raise self._damaged("the name of the shared index is cut off")
        if not any(base):
            return
        self.base = base.hex().encode()
        if len(body) > _SHA_BYTES:
            deleted, at = _bitmap(body, _SHA_BYTES)
            replaced, _ = _bitmap(body, at)
            self._deleted, self._replaced = set(deleted), replaced


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number in which the paths of format 4 say what they share with the path before."""
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = (value + 1) << 7 | byte & 0x7F
        if value > _MAX_PATH_BYTES:
            raise ValueError("too long")
    return value, at + 1


def _bitmap(data: bytes, at: int) -> tuple[list[int], int]:
    """The positions in a compressed bitmap (EWAH), and where it ends. Positions past any index are refused."""
    _bits, words = struct.unpack_from(">LL", data, at)
    at += 8
    if words * 8 > len(data) - at:
        raise ValueError("cut off")
    buffer = struct.unpack_from(f">{words}Q", data, at)
    found: list[int] = []
    position = word = 0
    while word < words:
        marker = buffer[word]
        run, literals = marker >> 1 & 0xFFFFFFFF, marker >> 33
        length = run * _WORD_BITS
        if position + length + literals * _WORD_BITS > _MAX_ENTRIES + _WORD_BITS:
            raise ValueError("too long")
        if marker & 1:
            found.extend(range(position, position + length))
        position += length
        for literal in buffer[word + 1 : word + 1 + literals]:
            found.extend(position + bit for bit in range(_WORD_BITS) if literal >> bit & 1)
            position += _WORD_BITS
        word += 1 + literals
    return found, at + words * 8 + 4


def _usable(entry: IndexEntry) -> bool:
    if entry.mode not in _MODES or (entry.mode == DIRECTORY) != entry.path.endswith(b"/"):
        return False
    parts = entry.path.removesuffix(b"/").split(b"/")
    return all(part and part not in {b".", b".."} for part in parts)
