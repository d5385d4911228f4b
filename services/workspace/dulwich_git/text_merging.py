"""Three-way merges of texts, line by line.

What two sides changed side by side is a conflict also where no line of it is the same; what both changed in the same
way is none.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.workspace.dulwich_git.line_differences import Change, changes, lines_of


def merge_text(base: bytes, ours: bytes, theirs: bytes, *, union: bool = False) -> tuple[bytes, bool]:
    """Merges two versions of a text, and says whether nothing was in conflict. What is no text never merges.

    With `union` both sides of a conflict are taken, ours first.

    Raises:
        TooMuchToCompare: it would take too long here.
    """
    if any(b"\0" in text[:8000] for text in (base, ours, theirs)):
        return ours, False
    before, sides = lines_of(base), (lines_of(ours), lines_of(theirs))
    merged: list[bytes] = []
    clean, done = True, 0
    for start, end, groups in _groups([changes(before, side) for side in sides]):
        merged += before[done:start]
        texts = [_version(before, side, group, start, end) for side, group in zip(sides, groups, strict=True)]
        if not groups[1] or texts[0] == texts[1]:
            merged += texts[0]
        elif not groups[0]:
            merged += texts[1]
        elif union:
            merged += _both(*texts)
        else:
            clean = False
            merged += [b"<<<<<<< result\n", *_closed(texts[0]), b"=======\n", *_closed(texts[1]), b">>>>>>> session\n"]
        done = end
    return b"".join([*merged, *before[done:]]), clean


def _groups(sides: list[list[Change]]) -> list[tuple[int, int, list[list[Change]]]]:
    """The changes of both sides that meet, and the stretch of the common text that they have to do with."""
    found: list[tuple[int, int, list[list[Change]]]] = []
    every = [(one.i1, one.i1 + one.chg1, number, one) for number, side in enumerate(sides) for one in side]
    for start, end, number, one in sorted(every, key=_place):
        meets = bool(found) and start <= found[-1][1] and (bool(found[-1][2][1 - number]) or start < found[-1][1])
        none: list[list[Change]] = [[], []]
        first, last, groups = found.pop() if meets else (start, end, none)
        groups[number].append(one)
        found.append((first, max(last, end), groups))
    return found


def _place(one: tuple[int, int, int, Change]) -> tuple[int, int, int]:
    return one[:3]


def _version(before: Sequence[bytes], side: Sequence[bytes], group: list[Change], start: int, end: int) -> list[bytes]:
    """What a side made of a stretch of the common text."""
    made: list[bytes] = []
    for one in group:
        made += before[start : one.i1]
        made += side[one.i2 : one.i2 + one.chg2]
        start = one.i1 + one.chg1
    return [*made, *before[start:end]]


def _both(one: list[bytes], other: list[bytes]) -> list[bytes]:
    """The lines of both versions, those that they share once."""
    made: list[bytes] = []
    done = 0
    for change in changes(one, other):
        end = change.i1 + change.chg1
        made += [*one[done : change.i1], *_closed(one[change.i1 : end]), *other[change.i2 : change.i2 + change.chg2]]
        done = end
    return [*made, *one[done:]]


def _closed(lines: Sequence[bytes]) -> Sequence[bytes]:
    """The lines, of which the last one ends."""
    return [*lines[:-1], lines[-1] + b"\n"] if lines and not lines[-1].endswith(b"\n") else lines
