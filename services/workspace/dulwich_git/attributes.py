"""What `.gitattributes` says of a file: its line ends, how it is merged and whether it is text.

Only what changes what is stored, written, merged or shown here is looked at. What takes a program or another encoding
is refused by name (`needing.refuse_attributes`), so none of that is ever met here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from services.workspace.dulwich_git.ignoring import Rule, lines_of, pattern
from services.workspace.dulwich_git.store import EMPTY_TREE, Store
from services.workspace.modes import DIRECTORY, EXECUTABLE, FILE

NAME = b".gitattributes"

Value = bool | bytes | None
"""Set, unset, a word, or said to be unspecified."""

_BLANK = b" \t\r\n"
_LONGEST_LINE = 2048
_WORD = re.compile(rb"[A-Za-z0-9_.][-A-Za-z0-9_.]*")
_BINARY: list[tuple[bytes, Value]] = [(b"diff", False), (b"merge", False), (b"text", False)]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an attribute file: what it says of which paths, or what a word of its own (`macro`) stands for."""

    rule: Rule | None
    macro: bytes
    said: tuple[tuple[bytes, Value], ...]


Lines = tuple[Line, ...]


@lru_cache(maxsize=256)
def parse(text: bytes, *, macros: bool) -> Lines:
    """The lines of an attribute file. Only that of the top directory may say what a word of its own stands for."""
    found = (_line(line, macros=macros) for line in lines_of(text))
    return tuple(line for line in found if line is not None)


def _line(line: bytes, *, macros: bool) -> Line | None:
    if len(line) >= _LONGEST_LINE:
        return None
    line = line.lstrip(_BLANK)
    if not line or line.startswith(b"#"):
        return None
    quoted = _unquoted(line) if line.startswith(b'"') else None
    name, rest = quoted if quoted is not None else _first_word(line)
    macro = b""
    if name.startswith(b"[attr]") and len(name) > len(b"[attr]"):
        macro = name.removeprefix(b"[attr]")
        if not macros or not _WORD.fullmatch(macro):
            return None
    said: list[tuple[bytes, Value]] = []
    for word in re.split(rb"[ \t\r\n]+", rest.strip(_BLANK)):
        if not word:
            continue
        key, value = _word(word)
        if not _WORD.fullmatch(key):
            return None
        said.append((key, value))
    if macro:
        return Line(None, macro, tuple(said))
    rule = None if name.startswith(b"!") else pattern(name)
    return None if rule is None else Line(rule, b"", tuple(said))


def _first_word(line: bytes) -> tuple[bytes, bytes]:
    found = re.match(rb"[^ \t\r\n]*", line)
    assert found is not None
    return found[0], line[found.end() :]


def _word(word: bytes) -> tuple[bytes, Value]:
    key, equals, value = word.partition(b"=")
    if key[:1] in (b"-", b"!"):
        return key[1:], False if key[:1] == b"-" else None
    return key, value if equals else True


_ESCAPES = {b"a": 7, b"b": 8, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b"v": 11, b"\\": 92, b'"': 34}


def _unquoted(line: bytes) -> tuple[bytes, bytes] | None:
    """A path in quotes and what follows. None: the quotes are not as git writes them."""
    found = bytearray()
    at = 1
    while at < len(line):
        sign = line[at : at + 1]
        at += 1
        if sign == b'"':
            return bytes(found), line[at:]
        if sign != b"\\":
            found += sign
        elif (known := _ESCAPES.get(line[at : at + 1])) is not None:
            found.append(known)
            at += 1
        elif re.fullmatch(rb"[0-3][0-7]{2}", line[at : at + 3]):
            found.append(int(line[at : at + 3], 8))
            at += 3
        else:
            return None
    return None


@dataclass(frozen=True, slots=True)
class Level:
    """An attribute file in the directory at a depth."""

    depth: int
    lines: Lines


class Attributes:
    """What the files of the directories above a path say, and over them the repository's own `info/attributes`."""

    def __init__(self, levels: tuple[Level, ...] = (), own: Lines = ()) -> None:
        self._levels = levels
        self._own = own
        self._order = [*(Level(0, own),), *reversed(levels)] if own else list(reversed(levels))
        self._macros = self._known_macros()

    def below(self, depth: int, text: bytes) -> Attributes:
        """The same with the file of one more directory."""
        return Attributes((*self._levels, Level(depth, parse(text, macros=depth == 0))), self._own)

    @property
    def empty(self) -> bool:
        """Whether nothing is said of any file."""
        return not self._order

    def _known_macros(self) -> dict[bytes, tuple[tuple[bytes, Value], ...]]:
        known: dict[bytes, tuple[tuple[bytes, Value], ...]] = {}
        for level in self._order:
            for line in reversed(level.lines):
                if line.macro:
                    known.setdefault(line.macro, line.said)
        known.setdefault(b"binary", tuple(_BINARY))
        return known

    def of(self, parts: tuple[bytes, ...]) -> dict[bytes, Value]:
        """What is said of a file: the deepest file decides, in it the last line, in that the last word."""
        found: dict[bytes, Value] = {}
        for level in self._order:
            relative = parts[level.depth :]
            for line in reversed(level.lines):
                if line.rule is not None and line.rule.matches(relative, is_directory=False):
                    self._fill(found, line.said)
        return found

    def _fill(self, found: dict[bytes, Value], said: tuple[tuple[bytes, Value], ...]) -> None:
        for key, value in reversed(said):
            if key in found:
                continue
            found[key] = value
            if value is True and key in self._macros:
                self._fill(found, self._macros[key])


class TreeAttributes:
    """What the attribute files of a tree say of its files."""

    def __init__(self, store: Store, tree: bytes, own: bytes = b"") -> None:
        self._store = store
        top = Attributes((), parse(own, macros=True))
        self._known: dict[tuple[bytes, ...], tuple[Attributes, bytes]] = {(): (self._with(top, 0, tree), tree)}

    def _with(self, above: Attributes, depth: int, tree: bytes) -> Attributes:
        entry = self._store.tree(tree).get(NAME)  # type: ignore[arg-type]  # an id
        if entry is None or entry[0] not in (FILE, EXECUTABLE):
            return above
        return above.below(depth, self._store.blob(entry[1]))

    def of(self, path: bytes) -> dict[bytes, Value]:
        """What is said of a file."""
        parts = tuple(path.split(b"/"))
        return self._in(parts[:-1])[0].of(parts)

    def _in(self, parts: tuple[bytes, ...]) -> tuple[Attributes, bytes]:
        known = self._known.get(parts)
        if known is None:
            above, tree = self._in(parts[:-1])
            entry = self._store.tree(tree).get(parts[-1])  # type: ignore[arg-type]  # an id
            below = entry[1] if entry is not None and entry[0] == DIRECTORY else EMPTY_TREE
            known = self._known[parts] = (self._with(above, len(parts), below), below)
        return known
