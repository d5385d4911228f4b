"""Which files of one tree are files of another under a new name, as git guesses.

The same content is the same file; else the most similar one, where at least half of it is the same. A name that is kept
in another directory counts first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from services.workspace.dulwich_git.store import Entry, Store
from services.workspace.modes import EXECUTABLE, FILE

_MAX = 60_000
_HALF = _MAX // 2
_BY_NAME = _HALF + (_MAX - _HALF) // 2
_PRIME = 107_927
_CHUNK = 64
_CANDIDATES = 4
_WORD = 0xFFFFFFFF


def renames(store: Store, gone: Mapping[bytes, Entry], new: Mapping[bytes, Entry], *, limit: int) -> dict[bytes, bytes]:
    """The former path of each new file that is a renamed one. Over `limit` squared pairs only same contents count."""
    guess = _Guess(store, gone, new)
    guess.same_contents()
    guess.same_names()
    if len(guess.gone) * len(guess.new) <= limit * limit:
        guess.most_similar()
    return guess.found


class _Guess:
    def __init__(self, store: Store, gone: Mapping[bytes, Entry], new: Mapping[bytes, Entry]) -> None:
        self.found: dict[bytes, bytes] = {}
        self.gone = dict(sorted(gone.items()))
        self.new = dict(sorted(new.items()))
        self._store = store
        self._pieces: dict[bytes, tuple[Counter[int], int]] = {}

    def _take(self, old: bytes, new: bytes) -> None:
        self.found[new] = old
        del self.gone[old], self.new[new]

    def same_contents(self) -> None:
        """Files of the same content; first those of the same name."""
        by_id: dict[bytes, list[bytes]] = {}
        for path, entry in self.gone.items():
            by_id.setdefault(entry[1], []).append(path)
        for path, entry in list(self.new.items()):
            fitting = [old for old in by_id.get(entry[1], ()) if old in self.gone and _alike(self.gone[old], entry)]
            if fitting:
                self._take(next((old for old in fitting if _name(old) == _name(path)), fitting[0]), path)

    def same_names(self) -> None:
        """Files of a name that only one of those that are gone has, and only one of those that are new."""
        old, new = _by_name(self.gone), _by_name(self.new)
        for name in old.keys() & new.keys():
            (one, *more), (other, *others) = old[name], new[name]
            if not more and not others and self._score(one, other, _BY_NAME) >= _BY_NAME:
                self._take(one, other)

    def most_similar(self) -> None:
        """The others, the most similar first."""
        scored: list[tuple[int, int, int, bytes, bytes]] = []
        for number, new in enumerate(self.new):
            best = [(-self._score(old, new, _HALF), _name(old) != _name(new), old) for old in self.gone]
            best.sort(key=lambda one: one[:2])
            scored += [(score, differs, number, old, new) for score, differs, old in best[:_CANDIDATES]]
        scored.sort(key=lambda one: one[:3])
        for score, _, _, old, new in scored:
            if -score >= _HALF and old in self.gone and new in self.new:
                self._take(old, new)

    def _score(self, old: bytes, new: bytes, least: int) -> int:
        one, other = self.gone[old], self.new[new]
        if not (_is_file(one) and _is_file(other)):
            return 0
        pieces1, size1 = self._of(one)
        pieces2, size2 = self._of(other)
        longer = max(size1, size2)
        if not size2 or longer * (_MAX - least) < abs(size1 - size2) * _MAX:
            return 0
        copied = sum(min(count, pieces2[piece]) for piece, count in pieces1.items())
        return copied * _MAX // longer

    def _of(self, entry: Entry) -> tuple[Counter[int], int]:
        known = self._pieces.get(entry[1])
        if known is None:
            content = self._store.blob(entry[1])
            known = self._pieces[entry[1]] = (_counted(content), len(content))
        return known


def _is_file(entry: Entry) -> bool:
    return entry[0] in (FILE, EXECUTABLE)


def _alike(one: Entry, other: Entry) -> bool:
    return one[0] == other[0] or (_is_file(one) and _is_file(other))


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _by_name(entries: Mapping[bytes, Entry]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for path in entries:
        found.setdefault(_name(path), []).append(path)
    return found


def _counted(content: bytes) -> Counter[int]:
    """How many bytes are in each kind of a piece: a line, or 64 bytes of a longer one."""
    if b"\0" not in content[:8000]:
        content = content.replace(b"\r\n", b"\n")
    found: Counter[int] = Counter()
    for line in _lines(content):
        for at in range(0, len(line), _CHUNK):
            piece = line[at : at + _CHUNK]
            found[_hashed(piece)] += len(piece)
    return found


def _lines(content: bytes) -> list[bytes]:
    pieces = content.split(b"\n")
    return [*(piece + b"\n" for piece in pieces[:-1]), pieces[-1]]


@lru_cache(maxsize=65_536)
def _hashed(piece: bytes) -> int:
    one = two = 0
    for code in piece:
        before = one
        one = ((one << 7) ^ (two >> 25)) & _WORD
        two = ((two << 7) ^ (before >> 25)) & _WORD
        one = (one + code) & _WORD
    return ((one + two * 0x61) & _WORD) % _PRIME
