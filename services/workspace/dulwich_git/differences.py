"""Differences as git writes them: a patch that `git apply` takes byte for byte, and how many lines came and went."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from dulwich.objects import ObjectID

from services.workspace.dulwich_git.attributes import TreeAttributes
from services.workspace.dulwich_git.line_differences import Change, TooMuchToCompare, changes, lines_of
from services.workspace.dulwich_git.needing import git_needed
from services.workspace.dulwich_git.renames import renames
from services.workspace.dulwich_git.store import Entry, Store
from services.workspace.dulwich_git.trees import changes_between
from services.workspace.dulwich_git.worktree import entry_at
from services.workspace.git_backend import Difference
from services.workspace.modes import EXECUTABLE, FILE, SUBMODULE
from services.workspace.names import show

_CONTEXT = 3
_RENAME_LIMIT = 1000
_BIG = 512 * 1024 * 1024
_BASE85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_ESCAPES = {7: b"a", 8: b"b", 9: b"t", 10: b"n", 11: b"v", 12: b"f", 13: b"r", 34: b'"', 92: b"\\"}


def difference(store: Store, old: ObjectID, new: ObjectID, rules: bytes, *, patch: bool) -> Difference:
    """The difference between two trees, with its text or the numbers alone.

    Raises:
        WorkspaceProblem: the files are so long and so different that it takes git to compare them.
    """
    found = Difference()
    attributes = TreeAttributes(store, new, rules)
    pieces: list[bytes] = []
    pairs = {path: (entry_at(store, old, path), after) for path, after in changes_between(store, old, new).items()}
    moved = _moved(store, pairs)
    for path, (before, after) in sorted(pairs.items()):
        found.files.append(show(path))
        said = attributes.of(path).get(b"diff")
        if patch:
            for was, now in _steps(before, after):
                pieces += _patch(store, path, was, now, said)
        if path not in moved.values():
            was = pairs[moved[path]][0] if path in moved else before
            _count(store, path, (was, after), said, found)
    found.patch = b"".join(pieces) if patch else b""
    return found


def _steps(before: Entry | None, after: Entry | None) -> list[tuple[Entry | None, Entry | None]]:
    """A file that became a link is one that is gone and one that is new."""
    if before is not None and after is not None and _kind(before) != _kind(after):
        return [(before, None), (None, after)]
    return [(before, after)]


def _kind(entry: Entry) -> int:
    return entry[0] & 0o170000


def _moved(store: Store, pairs: Mapping[bytes, tuple[Entry | None, Entry | None]]) -> dict[bytes, bytes]:
    """The former paths of renamed files: their lines count as those that were changed in them."""
    gone = {path: before for path, (before, after) in pairs.items() if before is not None and after is None}
    new = {path: after for path, (before, after) in pairs.items() if before is None and after is not None}
    return renames(store, gone, new, limit=_RENAME_LIMIT) if gone and new else {}


def _count(store: Store, path: bytes, pair: tuple[Entry | None, Entry | None], said: object, found: Difference) -> None:
    before, after = pair
    if before is not None and after is not None and before[1] == after[1]:
        return
    was, now = _content(store, before), _content(store, after)
    if _is_binary(before, was, said) or _is_binary(after, now, said):
        return
    changed = _changes(path, lines_of(was), lines_of(now))
    found.deletions += sum(change.chg1 for change in changed)
    found.insertions += sum(change.chg2 for change in changed)


def _changes(path: bytes, old: list[bytes], new: list[bytes]) -> list[Change]:
    try:
        return changes(old, new)
    except TooMuchToCompare:
        raise git_needed(f"The changes of {show(path)} are too many to be shown", where="diff") from None


def _patch(store: Store, path: bytes, before: Entry | None, after: Entry | None, said: object) -> Iterator[bytes]:
    yield from _header(path, before, after)
    if before is not None and after is not None and before[1] == after[1]:
        return
    was, now = _content(store, before), _content(store, after)
    if _is_binary(before, was, said) or _is_binary(after, now, said):
        yield from (b"GIT binary patch\n", *_literal(now), b"\n", *_literal(was), b"\n")
        return
    old, new = lines_of(was), lines_of(now)
    changed = _changes(path, old, new)
    if changed:
        end = b"\t" if b" " in path and not _odd(path) else b""
        sides = [_quoted(prefix + path) + end for prefix in (b"a/", b"b/")]
        yield b"--- %s\n" % (b"/dev/null" if before is None else sides[0])
        yield b"+++ %s\n" % (b"/dev/null" if after is None else sides[1])
        yield from _hunks(old, new, changed)


def _header(path: bytes, before: Entry | None, after: Entry | None) -> Iterator[bytes]:
    yield b"diff --git %s %s\n" % (_quoted(b"a/" + path), _quoted(b"b/" + path))
    if before is None and after is not None:
        yield b"new file mode %o\n" % after[0]
    elif after is None and before is not None:
        yield b"deleted file mode %o\n" % before[0]
    elif before is not None and after is not None and before[0] != after[0]:
        yield b"old mode %o\nnew mode %o\n" % (before[0], after[0])
    ids = (bytes(before[1]) if before else b"0" * 40, bytes(after[1]) if after else b"0" * 40)
    if ids[0] != ids[1]:
        mode = b" %o" % after[0] if before is not None and after is not None and before[0] == after[0] else b""
        yield b"index %s..%s%s\n" % (*ids, mode)


def _odd(path: bytes) -> bool:
    return any(code < 32 or code == 127 or code in _ESCAPES for code in path)


def _quoted(path: bytes) -> bytes:
    """A path as git writes it: in quotes where it holds what would end it or a line."""
    if not _odd(path):
        return path
    letters = [
        b"\\" + _ESCAPES[code] if code in _ESCAPES else b"\\%03o" % code if code < 32 or code == 127 else bytes((code,))
        for code in path
    ]
    return b'"' + b"".join(letters) + b'"'


def _content(store: Store, entry: Entry | None) -> bytes:
    if entry is None:
        return b""
    if entry[0] == SUBMODULE:
        return b"Subproject commit %s\n" % entry[1]
    return store.blob(entry[1])


def _is_binary(entry: Entry | None, content: bytes, said: object) -> bool:
    """Whether a content is shown as no text; of a file an attribute may say so."""
    if entry is not None and entry[0] in (FILE, EXECUTABLE) and said in (True, False):
        return said is False
    return b"\0" in content[:8000] or len(content) > _BIG


def _literal(content: bytes) -> Iterator[bytes]:
    """A content as a part of a binary patch."""
    yield b"literal %d\n" % len(content)
    packed = zlib.compress(content)
    for at in range(0, len(packed), 52):
        line = packed[at : at + 52]
        length = len(line) + (64 if len(line) <= 26 else 70)
        yield bytes((length,)) + b"".join(_base85(line[five : five + 5 - 1]) for five in range(0, len(line), 4)) + b"\n"


def _base85(four: bytes) -> bytes:
    number = int.from_bytes(four.ljust(4, b"\0"), "big")
    letters = bytearray(5)
    for place in range(4, -1, -1):
        number, letter = divmod(number, 85)
        letters[place] = _BASE85[letter]
    return bytes(letters)


def _hunks(old: list[bytes], new: list[bytes], changed: list[Change]) -> Iterator[bytes]:
    group: list[Change] = []
    for change in changed:
        if group and change.i1 - (group[-1].i1 + group[-1].chg1) > 2 * _CONTEXT:
            yield from _hunk(old, new, group)
            group = []
        group.append(change)
    yield from _hunk(old, new, group)


def _hunk(old: list[bytes], new: list[bytes], group: list[Change]) -> Iterator[bytes]:
    first, last = group[0], group[-1]
    above = min(_CONTEXT, first.i1)
    below = min(_CONTEXT, len(old) - last.i1 - last.chg1)
    begin1, end1 = first.i1 - above, last.i1 + last.chg1 + below
    begin2, end2 = first.i2 - above, last.i2 + last.chg2 + below
    yield b"@@ -%s +%s @@\n" % (_span(begin1, end1 - begin1), _span(begin2, end2 - begin2))
    at = begin1
    for change in group:
        yield from (_closed(b" ", line) for line in old[at : change.i1])
        yield from (_closed(b"-", line) for line in old[change.i1 : change.i1 + change.chg1])
        yield from (_closed(b"+", line) for line in new[change.i2 : change.i2 + change.chg2])
        at = change.i1 + change.chg1
    yield from (_closed(b" ", line) for line in old[at:end1])


def _span(start: int, length: int) -> bytes:
    begin = start + 1 if length else start
    return b"%d" % begin if length == 1 else b"%d,%d" % (begin, length)


def _closed(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + b"\n\\ No newline at end of file\n"
