"""The objects of an agent's repository: loose ones and packs, read piece by piece under one budget.

Nothing is mapped into memory: a file that is cut off under a mapping would end the service.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha1
from typing import Protocol

from services.workspace.agent_repository.opening import Directory, Finding, Unreadable, read_all

MAX_OBJECT_BYTES = 256 << 20
_MAX_PACK_INDEX_BYTES = 128 << 20
_MAX_PACK_BYTES = 8 << 30
_MAX_PACKS = 500
_MAX_OBJECTS = 200_000
_MAX_DELTAS = 4096
_CHUNK_BYTES = 1 << 16
_KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_OFFSET_DELTA, _NAMED_DELTA = 6, 7
_HEADER = re.compile(rb"(commit|tree|blob|tag) (0|[1-9][0-9]{0,14})\0")
_LONGEST_HEADER = 32
_NAME = re.compile(rb"[0-9a-f]{38}")
_PACK = re.compile(rb"pack-[0-9a-f]{40}\.idx")

Raw = tuple[bytes, bytes]
"""The kind and the content of an object."""


class _Unpacker(Protocol):
    """What `zlib.decompressobj` gives."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class Budget:
    """How much may be unpacked, and for how long, from one repository."""

    def __init__(self, *, total_bytes: int = 2 << 30, seconds: float = 60.0) -> None:
        self._left = total_bytes
        self._until = time.monotonic() + seconds

    def take(self, size: int, where: str) -> None:
        """Counts `size` bytes that are about to be unpacked.

        Raises:
            Unreadable: that is too much, or it takes too long.
        """
        self._left -= size
        if self._left < 0:
            raise Unreadable("too_much", where, "the repository unpacks to more than is taken over")
        if time.monotonic() > self._until:
            raise Unreadable("too_slow", where, "reading the repository takes too long")


class Objects:
    """The objects directory of an agent. `outside` gives what the platform has, which deltas may start from."""

    def __init__(self, directory: Directory | None, budget: Budget, outside: Callable[[bytes], Raw | None]) -> None:
        self._directory = directory
        self._budget = budget
        self._outside = outside
        self.findings: list[Finding] = []
        self._packs = self._open_packs()

    def close(self) -> None:
        """Closes everything that is open."""
        for pack in self._packs:
            pack.close()
        if self._directory is not None:
            self._directory.close()

    def read(self, sha: bytes) -> Raw | None:
        """An object by its name, with the right hash. None: it is not here.

        Raises:
            Unreadable: it is damaged, or larger than is taken.
        """
        found = self._loose(sha)
        if found is None:
            found = self._packed(sha, depth=0)
        if found is None:
            return None
        kind, data = found
        if sha1(b"%s %d\0" % (kind, len(data)) + data, usedforsecurity=False).hexdigest().encode() != sha:
            raise Unreadable("damaged_object", self._place(sha), "its content is not what its name says")
        return found

    def names(self) -> list[bytes]:
        """The names of all objects that are here.

        Raises:
            Unreadable: there are more than anybody should look through.
        """
        found = list(self._loose_names())
        for pack in self._packs:
            found += pack.names()
            if len(found) > _MAX_OBJECTS:
                raise Unreadable("too_many", "objects", f"there are over {_MAX_OBJECTS} objects")
        return found

    def kind(self, sha: bytes) -> bytes:
        """The kind of an object; empty where it cannot be told."""
        with suppress(Unreadable):
            found = self._loose(sha, head_only=True)
            if found is not None:
                return found[0]
            for pack in self._packs:
                offset = pack.find(sha)
                if offset is not None:
                    return pack.kind(offset)
        return b""

    @staticmethod
    def _place(sha: bytes) -> str:
        return f"objects/{sha.decode()}"

    # -- loose objects ----------------------------------------------------------------------------------------------

    def _loose_names(self) -> Iterator[bytes]:
        for number in range(256 if self._directory is not None else 0):
            prefix = b"%02x" % number
            try:
                below = self._directory.directory(prefix) if self._directory is not None else None
                if below is None:
                    continue
                with below:
                    inside = below.entries(_MAX_OBJECTS)
            except Unreadable as error:
                self.findings.append(error.finding)
                continue
            yield from (prefix + name for name, _ in inside if _NAME.fullmatch(name))

    def _loose(self, sha: bytes, *, head_only: bool = False) -> Raw | None:
        directory = self._directory.directory(sha[:2]) if self._directory is not None else None
        if directory is None:
            return None
        with directory:
            descriptor = directory.open(sha[2:], limit=MAX_OBJECT_BYTES + (1 << 20))
        if descriptor is None:
            return None
        try:
            return self._inflated_loose(descriptor, self._place(sha), head_only=head_only)
        finally:
            os.close(descriptor)

    def _inflated_loose(self, descriptor: int, where: str, *, head_only: bool) -> Raw:
        unpacker = zlib.decompressobj()
        try:
            head = unpacker.decompress(os.read(descriptor, _CHUNK_BYTES), _LONGEST_HEADER)
            matched = _HEADER.match(head)
            if matched is None:
                raise Unreadable("damaged_object", where, "it does not begin as an object does")
            kind, size = matched.group(1), int(matched.group(2))
            if head_only:
                return kind, b""
            _check_size(size, where)
            self._budget.take(size, where)
            rest = _inflate(
                unpacker,
                unpacker.unconsumed_tail,
                lambda: os.read(descriptor, _CHUNK_BYTES),
                size - len(head) + matched.end(),
            )
        except (zlib.error, OSError) as error:
            raise Unreadable("damaged_object", where, "it cannot be unpacked") from error
        data = head[matched.end() :] + rest
        if len(data) != size:
            raise Unreadable("damaged_object", where, "it is not as long as it says")
        return kind, data

    # -- packs ------------------------------------------------------------------------------------------------------

    def _open_packs(self) -> list[_Pack]:
        found: list[_Pack] = []
        try:
            directory = self._directory.directory(b"pack") if self._directory is not None else None
            if directory is None:
                return found
            with directory:
                names = [
                    name
                    for name, status in directory.entries(_MAX_PACKS * 8)
                    if _PACK.fullmatch(name) and stat.S_ISREG(status.st_mode)
                ]
                for name in names[:_MAX_PACKS]:
                    try:
                        found.append(_Pack(directory, name))
                    except Unreadable as error:
                        self.findings.append(error.finding)
        except Unreadable as error:
            self.findings.append(error.finding)
        return found

    def _packed(self, sha: bytes, depth: int) -> Raw | None:
        for pack in self._packs:
            offset = pack.find(sha)
            if offset is not None:
                return self._unpacked(pack, offset, depth)
        return None

    def _unpacked(self, pack: _Pack, offset: int, depth: int) -> Raw:
        """An object of a pack: its deltas are collected down to a whole object, then applied."""
        deltas: list[bytes] = []
        base: Raw | None = None
        while base is None:
            if depth + len(deltas) > _MAX_DELTAS:
                raise Unreadable("damaged_object", pack.where, f"a chain of over {_MAX_DELTAS} deltas")
            kind, size, start = pack.header(offset)
            _check_size(size, pack.where)
            if kind == _OFFSET_DELTA:
                back, start = pack.back_offset(start)
                if not 0 < back < offset:
                    raise Unreadable("damaged_object", pack.where, "a delta starts from a place that is not before it")
                deltas.append(self._delta(pack, start, size, deltas))
                offset -= back
            elif kind == _NAMED_DELTA:
                name = pack.read(start, 20).hex().encode()
                deltas.append(self._delta(pack, start + 20, size, deltas))
                pack, offset, base = self._start(pack, name, depth + len(deltas))
            elif kind in _KINDS:
                base = (_KINDS[kind], self._inflate(pack, start, size))
            else:
                raise Unreadable("damaged_object", pack.where, f"an object of unknown kind {kind}")
        kind_name, data = base
        for delta in reversed(deltas):
            data = self._applied(data, delta, pack.where)
        return kind_name, data

    def _start(self, pack: _Pack, name: bytes, depth: int) -> tuple[_Pack, int, Raw | None]:
        """Where the object lies that a delta names: in a pack, or elsewhere."""
        if depth > _MAX_DELTAS:
            raise Unreadable("damaged_object", pack.where, "deltas lead to each other in a circle")
        for other in self._packs:
            offset = other.find(name)
            if offset is not None:
                return other, offset, None
        found = self._loose(name) or self._outside(name)
        if found is None:
            raise Unreadable("missing_object", pack.where, f"the object {name.decode()} of a delta is missing")
        self._budget.take(len(found[1]), pack.where)
        return pack, 0, found

    def _delta(self, pack: _Pack, start: int, size: int, before: list[bytes]) -> bytes:
        _check_size(size + sum(map(len, before)), pack.where)
        return self._inflate(pack, start, size)

    def _inflate(self, pack: _Pack, start: int, size: int) -> bytes:
        self._budget.take(size, pack.where)
        return pack.inflate(start, size)

    def _applied(self, base: bytes, delta: bytes, where: str) -> bytes:
        try:
            return _apply(base, delta, lambda size: self._budget.take(size, where))
        except (IndexError, ValueError) as error:
            raise Unreadable("damaged_object", where, "a delta cannot be applied") from error


class _Pack:
    """One pack and its index (format 2)."""

    def __init__(self, directory: Directory, name: bytes) -> None:
        self.where = directory.place(name.removesuffix(b".idx") + b".pack")
        descriptor = directory.open(name, limit=_MAX_PACK_INDEX_BYTES)
        if descriptor is None:
            raise Unreadable("damaged_pack", directory.place(name), "it is gone")
        try:
            self._index = read_all(descriptor, _MAX_PACK_INDEX_BYTES, directory.place(name))
        finally:
            os.close(descriptor)
        self._check(directory.place(name))
        found = directory.open(name.removesuffix(b".idx") + b".pack", limit=_MAX_PACK_BYTES)
        if found is None:
            raise Unreadable("damaged_pack", self.where, "its objects are not there")
        self._file = found
        if self.read(0, 4) != b"PACK":
            self.close()
            raise Unreadable("damaged_pack", self.where, "it does not begin as a pack does")

    def _check(self, where: str) -> None:
        index = self._index
        if index[:8] != b"\xfftOc\0\0\0\2" or len(index) < 8 + 1024 + 40:
            raise Unreadable("damaged_pack", where, "it is no index of a pack in format 2")
        self._fan = struct.unpack_from(">256L", index, 8)
        self._count = self._fan[255]
        self._names_at = 8 + 1024
        self._offsets_at = self._names_at + 24 * self._count
        self._large_at = self._offsets_at + 4 * self._count
        if list(self._fan) != sorted(self._fan) or self._large_at + 40 > len(index):
            raise Unreadable("damaged_pack", where, "its numbers do not fit together")

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def names(self) -> list[bytes]:
        """The names of the objects inside."""
        if self._count > _MAX_OBJECTS:
            raise Unreadable("too_many", self.where, f"there are over {_MAX_OBJECTS} objects")
        return [self._name(position).hex().encode() for position in range(self._count)]

    def _name(self, position: int) -> bytes:
        at = self._names_at + 20 * position
        return self._index[at : at + 20]

    def find(self, sha: bytes) -> int | None:
        """Where an object begins. None: it is not in this pack."""
        name = bytes.fromhex(sha.decode())
        low = self._fan[name[0] - 1] if name[0] else 0
        position = bisect_left(range(self._count), name, low, self._fan[name[0]], key=self._name)
        if position >= self._fan[name[0]] or self._name(position) != name:
            return None
        (offset,) = struct.unpack_from(">L", self._index, self._offsets_at + 4 * position)
        if offset & 0x80000000:
            at = self._large_at + 8 * (offset & 0x7FFFFFFF)
            if at + 8 > len(self._index) - 40:
                raise Unreadable("damaged_pack", self.where, "an offset is not there")
            (offset,) = struct.unpack_from(">Q", self._index, at)
        if offset >= _MAX_PACK_BYTES:
            raise Unreadable("damaged_pack", self.where, "an offset is past the end")
        return offset

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file; all of them."""
        try:
            data = os.pread(self._file, size, offset)
        except OSError as error:
            raise Unreadable("damaged_pack", self.where, "it cannot be read") from error
        if len(data) != size:
            raise Unreadable("damaged_pack", self.where, "it ends too early")
        return data

    def header(self, offset: int) -> tuple[int, int, int]:
        """The kind and size of an object, and where its content begins."""
        byte = self.read(offset, 1)[0]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            offset += 1
            byte = self.read(offset, 1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise Unreadable("damaged_object", self.where, "an object has an impossible size")
        return kind, size, offset + 1

    def back_offset(self, at: int) -> tuple[int, int]:
        """How far back a delta starts, and where its content begins."""
        byte = self.read(at, 1)[0]
        value = byte & 0x7F
        while byte & 0x80:
            at += 1
            byte = self.read(at, 1)[0]
            value = (value + 1) << 7 | byte & 0x7F
            if value > _MAX_PACK_BYTES:
                raise Unreadable("damaged_object", self.where, "a delta starts from an impossible place")
        return value, at + 1

    def kind(self, offset: int) -> bytes:
        """The kind of an object; a delta has that of what it starts from in this pack."""
        for _ in range(_MAX_DELTAS):
            kind, _size, start = self.header(offset)
            if kind == _OFFSET_DELTA:
                back, _ = self.back_offset(start)
                if not 0 < back < offset:
                    return b""
                offset -= back
            elif kind == _NAMED_DELTA:
                below = self.find(self.read(start, 20).hex().encode())
                if below is None:
                    return b""
                offset = below
            else:
                return _KINDS.get(kind, b"")
        return b""

    def inflate(self, start: int, size: int) -> bytes:
        """The `size` unpacked bytes that begin at `start`."""
        at = start

        def more() -> bytes:
            nonlocal at
            data = os.pread(self._file, _CHUNK_BYTES, at)
            at += len(data)
            return data

        try:
            data = _inflate(zlib.decompressobj(), b"", more, size)
        except (zlib.error, OSError) as error:
            raise Unreadable("damaged_object", self.where, "an object cannot be unpacked") from error
        if len(data) != size:
            raise Unreadable("damaged_object", self.where, "an object is not as long as it says")
        return data


def _check_size(size: int, where: str) -> None:
    if size > MAX_OBJECT_BYTES:
        raise Unreadable("too_large", where, f"an object has {size} bytes; at most {MAX_OBJECT_BYTES} are taken")


def _inflate(unpacker: _Unpacker, waiting: bytes, more: Callable[[], bytes], size: int) -> bytes:
    """At most `size` + 1 bytes: a stream that goes on is known by the one too many."""
    pieces: list[bytes] = []
    left = size + 1
    while left > 0 and not unpacker.eof:
        data = waiting or more()
        if not data:
            break
        piece = unpacker.decompress(data, left)
        waiting = unpacker.unconsumed_tail
        left -= len(piece)
        pieces.append(piece)
    return b"".join(pieces)


def _apply(base: bytes, delta: bytes, take: Callable[[int], None]) -> bytes:
    """A delta applied. Raises `ValueError` or `IndexError` where it is none."""
    expected, at = _size(delta, 0)
    if expected != len(base):
        raise ValueError("of something else")
    size, at = _size(delta, at)
    if size > MAX_OBJECT_BYTES:
        raise ValueError("too large")
    take(size)
    pieces: list[bytes] = []
    made = 0
    while at < len(delta):
        command = delta[at]
        at += 1
        if command & 0x80:
            at, start, length = _copied(delta, at, command)
            if start + length > len(base):
                raise ValueError("past the end")
            piece = base[start : start + length]
        elif command:
            piece = delta[at : at + command]
            at += command
            if len(piece) != command:
                raise ValueError("cut off")
        else:
            raise ValueError("reserved")
        made += len(piece)
        if made > size:
            raise ValueError("too long")
        pieces.append(piece)
    if made != size:
        raise ValueError("too short")
    return b"".join(pieces)


def _copied(delta: bytes, at: int, command: int) -> tuple[int, int, int]:
    start = length = 0
    for bit in range(4):
        if command & 1 << bit:
            start |= delta[at] << 8 * bit
            at += 1
    for bit in range(3):
        if command & 0x10 << bit:
            length |= delta[at] << 8 * bit
            at += 1
    return at, start, length or 0x10000


def _size(delta: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = delta[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("too large")
