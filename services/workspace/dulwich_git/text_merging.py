"""Three-way merges of texts, line by line, as git does them.

What two sides changed side by side is a conflict also where no line of it is the same; what both changed in the same
way is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.workspace.dulwich_git.line_differences import Change, changes, lines_of

_APART = 3
_OURS, _THEIRS, _BOTH, _SAME = 1, 2, 3, 4


@dataclass(slots=True)
class _Part:
    """A stretch that one side changed, or both (`mode` 0: in conflict): where it is in ours and in theirs."""

    mode: int
    i0: int
    chg0: int
    i1: int
    chg1: int
    i2: int
    chg2: int


def merge_text(base: bytes, ours: bytes, theirs: bytes, *, union: bool = False) -> tuple[bytes, bool]:
    """Merges two versions of a text, and says whether nothing was in conflict. What is no text never merges.

    With `union` both sides of a conflict are taken, ours first.

    Raises:
        TooMuchToCompare: it would take too long here.
    """
    if any(b"\0" in text[:8000] for text in (base, ours, theirs)):
        return ours, False
    before, mine, other = lines_of(base), lines_of(ours), lines_of(theirs)
    one, two = changes(before, mine, histogram=True), changes(before, other, histogram=True)
    if not one:
        return theirs, True
    if not two:
        return ours, True
    parts = _joined(_refined(_parts(one, two, (before, mine, other)), mine, other))
    clean = union or all(part.mode for part in parts)
    return b"".join(_filled(parts, (before, mine, other), union=union)), clean


def _parts(one: list[Change], two: list[Change], lines: tuple[list[bytes], list[bytes], list[bytes]]) -> list[_Part]:
    before, mine, other = lines
    found: list[_Part] = []
    first, second = iter(one), iter(two)
    a, b = next(first, None), next(second, None)
    while a is not None and b is not None:
        if a.i1 + a.chg1 < b.i1:
            _add(found, _Part(_OURS, a.i1, a.chg1, a.i2, a.chg2, b.i2 - b.i1 + a.i1, a.chg1))
            a = next(first, None)
            continue
        if b.i1 + b.chg1 < a.i1:
            _add(found, _Part(_THEIRS, b.i1, b.chg1, a.i2 - a.i1 + b.i1, b.chg1, b.i2, b.chg2))
            b = next(second, None)
            continue
        same = (a.i1, a.chg1, a.chg2) == (b.i1, b.chg1, b.chg2)
        if not same or mine[a.i2 : a.i2 + a.chg2] != other[b.i2 : b.i2 + b.chg2]:
            _add(found, _conflict(a, b))
        end1, end2 = a.i1 + a.chg1, b.i1 + b.chg1
        if end1 >= end2:
            b = next(second, None)
        if end2 >= end1:
            a = next(first, None)
    while a is not None:
        _add(found, _Part(_OURS, a.i1, a.chg1, a.i2, a.chg2, a.i1 + len(other) - len(before), a.chg1))
        a = next(first, None)
    while b is not None:
        _add(found, _Part(_THEIRS, b.i1, b.chg1, b.i1 + len(mine) - len(before), b.chg1, b.i2, b.chg2))
        b = next(second, None)
    return found


def _conflict(a: Change, b: Change) -> _Part:
    ahead = a.i1 - b.i1
    further = ahead + a.chg1 - b.chg1
    i0, i1, i2 = a.i1, a.i2, b.i2
    if ahead > 0:
        i0, i1 = i0 - ahead, i1 - ahead
    else:
        i2 += ahead
    chg0, chg1, chg2 = a.i1 + a.chg1 - i0, a.i2 + a.chg2 - i1, b.i2 + b.chg2 - i2
    if further < 0:
        chg0, chg1 = chg0 - further, chg1 - further
    else:
        chg2 += further
    return _Part(0, i0, chg0, i1, chg1, i2, chg2)


def _add(found: list[_Part], part: _Part) -> None:
    """Adds a part; one that touches the last becomes one with it."""
    last = found[-1] if found else None
    if last is None or not (part.i1 <= last.i1 + last.chg1 or part.i2 <= last.i2 + last.chg2):
        found.append(part)
        return
    if part.mode != last.mode:
        last.mode = 0
    last.chg0 = part.i0 + part.chg0 - last.i0
    last.chg1 = part.i1 + part.chg1 - last.i1
    last.chg2 = part.i2 + part.chg2 - last.i2


def _refined(parts: list[_Part], mine: Sequence[bytes], other: Sequence[bytes]) -> list[_Part]:
    """Conflicts without the lines that both sides have in them."""
    found: list[_Part] = []
    for part in parts:
        if part.mode or not part.chg1 or not part.chg2:
            found.append(part)
            continue
        ours, theirs = mine[part.i1 : part.i1 + part.chg1], other[part.i2 : part.i2 + part.chg2]
        inner = changes(ours, theirs, histogram=True)
        if not inner:
            part.mode = _SAME
            found.append(part)
        found.extend(
            _Part(0, part.i0, part.chg0, part.i1 + one.i1, one.chg1, part.i2 + one.i2, one.chg2) for one in inner
        )
    return found


def _joined(parts: list[_Part]) -> list[_Part]:
    """Conflicts that are up to three lines apart are one."""
    found: list[_Part] = []
    for part in parts:
        last = found[-1] if found else None
        if last is None or last.mode or part.mode or part.i1 - (last.i1 + last.chg1) > _APART:
            found.append(part)
            continue
        last.chg1 = part.i1 + part.chg1 - last.i1
        last.chg2 = part.i2 + part.chg2 - last.i2
    return found


def _filled(parts: list[_Part], lines: tuple[list[bytes], list[bytes], list[bytes]], *, union: bool) -> list[bytes]:
    before, mine, other = lines
    made: list[bytes] = []
    at = 0
    for part in parts:
        mode = part.mode or (_BOTH if union else 0)
        if mode == _SAME:
            continue
        made += mine[at : part.i1]
        ours, theirs = mine[part.i1 : part.i1 + part.chg1], other[part.i2 : part.i2 + part.chg2]
        if mode == _BOTH:
            end = b"\r\n" if _wants_cr(part, before, mine, other) else b"\n"
            made += [*_closed(ours, end), *theirs]
        elif mode == 0:
            marked = [b"<<<<<<< result\n", *_closed(ours, b"\n"), b"=======\n", *_closed(theirs, b"\n")]
            made += [*marked, b">>>>>>> session\n"]
        else:
            made += ours if mode == _OURS else theirs
        at = part.i1 + part.chg1
    return [*made, *mine[at:]]


def _closed(lines: Sequence[bytes], end: bytes) -> Sequence[bytes]:
    if lines and not lines[-1].endswith(b"\n"):
        return [*lines[:-1], lines[-1] + end]
    return lines


def _wants_cr(part: _Part, before: list[bytes], mine: list[bytes], other: list[bytes]) -> bool:
    """Whether a line that has no end gets one with a CR: as those before it have one."""
    found = _is_crlf(mine, max(part.i1 - 1, 0))
    if found is not False:
        found = _is_crlf(other, max(part.i2 - 1, 0))
    if found is not False:
        found = _is_crlf(before, 0)
    return found is True


def _is_crlf(lines: list[bytes], at: int) -> bool | None:
    if not lines:
        return None
    if lines[at].endswith(b"\n"):
        return lines[at].endswith(b"\r\n")
    return None if at == 0 else lines[at - 1].endswith(b"\r\n")
