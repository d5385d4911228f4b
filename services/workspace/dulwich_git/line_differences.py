"""Which lines of a text another version of it has changed: the two ways of git, line for line.

`myers` is what `git diff` does and `histogram` what its merges do, with all that they do to be fast: what they leave
out decides where a change begins and ends, and so whether a merge is clean. The names are those of git's own source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_EQUAL_LIMIT = 1024
_WINDOW = 100
_COST_MIN = 256
_SNAKE = 20
_HEURISTIC_MIN = 256
_HEURISTIC_FACTOR = 4
_MANY = 64
_FAR = 1 << 60
_MAX_STEPS = 5_000_000


class TooMuchToCompare(Exception):
    """The texts are so long and so different that comparing them here would take minutes."""


@dataclass(frozen=True, slots=True)
class Change:
    """`chg1` lines from `i1` on have become `chg2` lines from `i2` on."""

    i1: int
    chg1: int
    i2: int
    chg2: int


def lines_of(text: bytes) -> list[bytes]:
    """The lines of a text, each with its end."""
    pieces = text.split(b"\n")
    lines = [piece + b"\n" for piece in pieces[:-1]]
    return [*lines, pieces[-1]] if pieces[-1] else lines


def changes(before: Sequence[bytes], after: Sequence[bytes], *, histogram: bool) -> list[Change]:
    """What `after` has changed in `before`.

    Raises:
        TooMuchToCompare: it would take too long.
    """
    ids: dict[bytes, int] = {}
    one = [ids.setdefault(line, len(ids)) for line in before]
    other = [ids.setdefault(line, len(ids)) for line in after]
    budget = _Budget(_MAX_STEPS)
    if histogram:
        changed = _Histogram(one, other, budget)
        changed.compare(0, len(one), 0, len(other))
    else:
        changed = _Myers(one, other, budget)
        changed.compare()
    first, second = _Side(one, changed.changed1), _Side(other, changed.changed2)
    first.compact(second)
    second.compact(first)
    return _script(first.changed, second.changed)


def _script(changed1: bytearray, changed2: bytearray) -> list[Change]:
    found: list[Change] = []
    i1 = i2 = 0
    n1, n2 = len(changed1) - 2, len(changed2) - 2
    while i1 < n1 or i2 < n2:
        begin1, begin2 = i1, i2
        while changed1[i1 + 1]:
            i1 += 1
        while changed2[i2 + 1]:
            i2 += 1
        if i1 > begin1 or i2 > begin2:
            found.append(Change(begin1, i1 - begin1, begin2, i2 - begin2))
        i1 += 1
        i2 += 1
    return found


class _Budget:
    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooMuchToCompare


def _rough_root(number: int) -> int:
    root = 1
    while number > 0:
        number >>= 2
        root <<= 1
    return root


class _Myers:
    """`changed1` and `changed2` mark lines, each one place to the right: before and behind all there is a zero."""

    def __init__(self, one: list[int], other: list[int], budget: _Budget) -> None:
        self.changed1 = bytearray(len(one) + 2)
        self.changed2 = bytearray(len(other) + 2)
        self._one = one
        self._other = other
        self._budget = budget

    def compare(self) -> None:
        one, other = self._one, self._other
        start = 0
        shorter = min(len(one), len(other))
        while start < shorter and one[start] == other[start]:
            start += 1
        end = 0
        while end < shorter - start and one[-1 - end] == other[-1 - end]:
            end += 1
        kept1 = _kept(one, other, start, len(one) - end, self.changed1)
        kept2 = _kept(other, one, start, len(other) - end, self.changed2)
        path = _Path([one[at] for at in kept1], [other[at] for at in kept2], self._budget)
        for at in path.changed1:
            self.changed1[kept1[at] + 1] = 1
        for at in path.changed2:
            self.changed2[kept2[at] + 1] = 1


def _kept(one: list[int], other: list[int], start: int, end: int, changed: bytearray) -> list[int]:
    """The lines that are worth comparing: not those without a match, nor common ones among those."""
    limit = min(_rough_root(len(one)), _EQUAL_LIMIT)
    count = Counter(other)
    kind = [0 if not (many := count.get(line, 0)) else 2 if many >= limit else 1 for line in one[start:end]]
    kept: list[int] = []
    for at, what in enumerate(kind):
        if what == 1 or (what == 2 and not _among_unmatched(kind, at)):
            kept.append(start + at)
        else:
            changed[start + at + 1] = 1
    return kept


def _among_unmatched(kind: list[int], at: int) -> bool:
    unmatched = 0
    common = 0
    for step in (-1, 1):
        here = 0
        common += 1
        place = at + step
        while 0 <= place < len(kind) and abs(place - at) <= _WINDOW:
            if kind[place] == 1:
                break
            here += kind[place] == 0
            common += kind[place] == 2
            place += step
        if not here:
            return False
        unmatched += here
    return common * 4 < common + unmatched


@dataclass(frozen=True, slots=True)
class _Split:
    i1: int
    i2: int
    minimal_low: bool
    minimal_high: bool


class _Path:
    """The places in which two lists of numbers differ."""

    def __init__(self, one: list[int], other: list[int], budget: _Budget) -> None:
        self.changed1: list[int] = []
        self.changed2: list[int] = []
        self._one = one
        self._other = other
        self._budget = budget
        diagonals = len(one) + len(other) + 3
        self._max_cost = max(_rough_root(diagonals), _COST_MIN)
        self._shift = len(other) + 1
        self._forward = [0] * (diagonals + 2)
        self._backward = [0] * (diagonals + 2)
        self._compare()

    def _compare(self) -> None:
        one, other = self._one, self._other
        waiting = [(0, len(one), 0, len(other), False)]
        while waiting:
            off1, lim1, off2, lim2, minimal = waiting.pop()
            while off1 < lim1 and off2 < lim2 and one[off1] == other[off2]:
                off1 += 1
                off2 += 1
            while off1 < lim1 and off2 < lim2 and one[lim1 - 1] == other[lim2 - 1]:
                lim1 -= 1
                lim2 -= 1
            if off1 == lim1:
                self.changed2.extend(range(off2, lim2))
            elif off2 == lim2:
                self.changed1.extend(range(off1, lim1))
            else:
                split = self._split(off1, lim1, off2, lim2, minimal=minimal)
                waiting.append((split.i1, lim1, split.i2, lim2, split.minimal_high))
                waiting.append((off1, split.i1, off2, split.i2, split.minimal_low))

    def _split(self, off1: int, lim1: int, off2: int, lim2: int, *, minimal: bool) -> _Split:  # noqa: C901, PLR0912, PLR0915 - git's xdl_split
        one, other, forward, backward, shift = self._one, self._other, self._forward, self._backward, self._shift
        dmin, dmax = off1 - lim2, lim1 - off2
        fmid, bmid = off1 - off2, lim1 - lim2
        odd = (fmid - bmid) & 1
        fmin = fmax = fmid
        bmin = bmax = bmid
        forward[fmid + shift] = off1
        backward[bmid + shift] = lim1
        cost = 0
        while True:
            cost += 1
            snake = False
            self._budget.spend(fmax - fmin + bmax - bmin + 4)
            if fmin > dmin:
                fmin -= 1
                forward[fmin - 1 + shift] = -1
            else:
                fmin += 1
            if fmax < dmax:
                fmax += 1
                forward[fmax + 1 + shift] = -1
            else:
                fmax -= 1
            for d in range(fmax, fmin - 1, -2):
                low, high = forward[d - 1 + shift], forward[d + 1 + shift]
                i1 = previous = low + 1 if low >= high else high
                i2 = i1 - d
                while i1 < lim1 and i2 < lim2 and one[i1] == other[i2]:
                    i1 += 1
                    i2 += 1
                if i1 - previous > _SNAKE:
                    snake = True
                forward[d + shift] = i1
                if odd and bmin <= d <= bmax and backward[d + shift] <= i1:
                    return _Split(i1, i2, minimal_low=True, minimal_high=True)
            if bmin > dmin:
                bmin -= 1
                backward[bmin - 1 + shift] = _FAR
            else:
                bmin += 1
            if bmax < dmax:
                bmax += 1
                backward[bmax + 1 + shift] = _FAR
            else:
                bmax -= 1
            for d in range(bmax, bmin - 1, -2):
                low, high = backward[d - 1 + shift], backward[d + 1 + shift]
                i1 = previous = low if low < high else high - 1
                i2 = i1 - d
                while i1 > off1 and i2 > off2 and one[i1 - 1] == other[i2 - 1]:
                    i1 -= 1
                    i2 -= 1
                if previous - i1 > _SNAKE:
                    snake = True
                backward[d + shift] = i1
                if not odd and fmin <= d <= fmax and i1 <= forward[d + shift]:
                    return _Split(i1, i2, minimal_low=True, minimal_high=True)
            if minimal:
                continue
            box = (off1, lim1, off2, lim2)
            if snake and cost > _HEURISTIC_MIN:
                found = self._long_way_forward(box, range(fmax, fmin - 1, -2), cost)
                found = found or self._long_way_back(box, range(bmax, bmin - 1, -2), cost)
                if found is not None:
                    return found
            if cost >= self._max_cost:
                return self._farthest(box, range(fmax, fmin - 1, -2), range(bmax, bmin - 1, -2))

    def _long_way_forward(self, box: tuple[int, int, int, int], diagonals: range, cost: int) -> _Split | None:
        one, other = self._one, self._other
        off1, lim1, off2, lim2 = box
        best, found = 0, None
        for d in diagonals:
            i1 = self._forward[d + self._shift]
            i2 = i1 - d
            value = (i1 - off1) + (i2 - off2) - abs(d - (off1 - off2))
            if (
                value > _HEURISTIC_FACTOR * cost
                and value > best
                and off1 + _SNAKE <= i1 < lim1
                and off2 + _SNAKE <= i2 < lim2
                and one[i1 - _SNAKE : i1] == other[i2 - _SNAKE : i2]
            ):
                best, found = value, _Split(i1, i2, minimal_low=True, minimal_high=False)
        return found

    def _long_way_back(self, box: tuple[int, int, int, int], diagonals: range, cost: int) -> _Split | None:
        one, other = self._one, self._other
        off1, lim1, off2, lim2 = box
        best, found = 0, None
        for d in diagonals:
            i1 = self._backward[d + self._shift]
            i2 = i1 - d
            value = (lim1 - i1) + (lim2 - i2) - abs(d - (lim1 - lim2))
            if (
                value > _HEURISTIC_FACTOR * cost
                and value > best
                and off1 < i1 <= lim1 - _SNAKE
                and off2 < i2 <= lim2 - _SNAKE
                and one[i1 : i1 + _SNAKE] == other[i2 : i2 + _SNAKE]
            ):
                best, found = value, _Split(i1, i2, minimal_low=False, minimal_high=True)
        return found

    def _farthest(self, box: tuple[int, int, int, int], forward: range, backward: range) -> _Split:
        off1, lim1, off2, lim2 = box
        ahead, ahead1 = -1, -1
        for d in forward:
            i1 = min(self._forward[d + self._shift], lim1)
            i2 = i1 - d
            if lim2 < i2:
                i1, i2 = lim2 + d, lim2
            if ahead < i1 + i2:
                ahead, ahead1 = i1 + i2, i1
        behind, behind1 = _FAR, _FAR
        for d in backward:
            i1 = max(off1, self._backward[d + self._shift])
            i2 = i1 - d
            if i2 < off2:
                i1, i2 = off2 + d, off2
            if i1 + i2 < behind:
                behind, behind1 = i1 + i2, i1
        if (lim1 + lim2) - behind < ahead - (off1 + off2):
            return _Split(ahead1, ahead - ahead1, minimal_low=True, minimal_high=False)
        return _Split(behind1, behind - behind1, minimal_low=False, minimal_high=True)


@dataclass(slots=True)
class _Common:
    """The best run of lines that both have: of the rarest lines, and then the longest."""

    begin1: int = -1
    end1: int = -1
    begin2: int = -1
    end2: int = -1
    count: int = _MANY + 1
    any: bool = False


class _Histogram:
    """Divides the texts at the lines that are the rarest, again and again."""

    def __init__(self, one: list[int], other: list[int], budget: _Budget) -> None:
        self.changed1 = bytearray(len(one) + 2)
        self.changed2 = bytearray(len(other) + 2)
        self._one = one
        self._other = other
        self._budget = budget

    def compare(self, begin1: int, end1: int, begin2: int, end2: int) -> None:
        waiting = [(begin1, end1, begin2, end2)]
        while waiting:
            begin1, end1, begin2, end2 = waiting.pop()
            if begin1 == end1 or begin2 == end2:
                self._all(begin1, end1, begin2, end2)
                continue
            found = self._best(begin1, end1, begin2, end2)
            if found.any and found.count > _MANY:
                self._fall_back(begin1, end1, begin2, end2)
            elif found.begin1 < 0:
                self._all(begin1, end1, begin2, end2)
            else:
                waiting.append((found.end1 + 1, end1, found.end2 + 1, end2))
                waiting.append((begin1, found.begin1, begin2, found.begin2))

    def _all(self, begin1: int, end1: int, begin2: int, end2: int) -> None:
        self.changed1[begin1 + 1 : end1 + 1] = b"\1" * (end1 - begin1)
        self.changed2[begin2 + 1 : end2 + 1] = b"\1" * (end2 - begin2)

    def _fall_back(self, begin1: int, end1: int, begin2: int, end2: int) -> None:
        inner = _Myers(self._one[begin1:end1], self._other[begin2:end2], self._budget)
        inner.compare()
        self.changed1[begin1 + 1 : end1 + 1] = inner.changed1[1:-1]
        self.changed2[begin2 + 1 : end2 + 1] = inner.changed2[1:-1]

    def _best(self, begin1: int, end1: int, begin2: int, end2: int) -> _Common:
        one, other = self._one, self._other
        self._budget.spend(end1 - begin1 + end2 - begin2)
        places: dict[int, list[int]] = {}
        for at in range(begin1, end1):
            places.setdefault(one[at], []).append(at)
        best = _Common()
        at = begin2
        while at < end2:
            known = places.get(other[at])
            if known is None:
                at += 1
                continue
            best.any = True
            if len(known) > best.count:
                at += 1
                continue
            at = self._longest(best, places, known, at, (begin1, end1, begin2, end2))
        return best

    def _longest(
        self, best: _Common, places: dict[int, list[int]], known: list[int], at: int, box: tuple[int, int, int, int]
    ) -> int:
        one, other = self._one, self._other
        begin1, end1, begin2, end2 = box
        following = at + 1
        behind = -1
        for place in known:
            if place <= behind:
                continue
            low1 = high1 = place
            low2 = high2 = at
            count = len(known)
            while begin1 < low1 and begin2 < low2 and one[low1 - 1] == other[low2 - 1]:
                low1 -= 1
                low2 -= 1
                if count > 1:
                    count = min(count, len(places[one[low1]]))
            while high1 < end1 - 1 and high2 < end2 - 1 and one[high1 + 1] == other[high2 + 1]:
                high1 += 1
                high2 += 1
                if count > 1:
                    count = min(count, len(places[one[high1]]))
            self._budget.spend(high1 - low1 + 2)
            following = max(following, high2 + 1)
            length = best.end1 - best.begin1 if best.begin1 >= 0 else 0
            if length < high1 - low1 or count < best.count:
                best.begin1, best.end1, best.begin2, best.end2 = low1, high1, low2, high2
                best.count = count
            behind = high1
        return following


class _Side:
    """The lines of one version, and groups of changed ones that may slide up and down over equal lines."""

    def __init__(self, lines: list[int], changed: bytearray) -> None:
        self.changed = changed
        self._lines = lines
        self._start = 0
        self._end = 0

    def _first(self) -> None:
        self._start = self._end = 0
        while self.changed[self._end + 1]:
            self._end += 1

    def _next(self) -> bool:
        if self._end == len(self._lines):
            return False
        self._start = self._end = self._end + 1
        while self.changed[self._end + 1]:
            self._end += 1
        return True

    def _previous(self) -> None:
        self._end = self._start = self._start - 1
        while self.changed[self._start]:
            self._start -= 1

    def _slide_down(self) -> bool:
        if self._end >= len(self._lines) or self._lines[self._start] != self._lines[self._end]:
            return False
        self.changed[self._start + 1] = 0
        self.changed[self._end + 1] = 1
        self._start += 1
        self._end += 1
        while self.changed[self._end + 1]:
            self._end += 1
        return True

    def _slide_up(self) -> bool:
        if self._start <= 0 or self._lines[self._start - 1] != self._lines[self._end - 1]:
            return False
        self._start -= 1
        self._end -= 1
        self.changed[self._start + 1] = 1
        self.changed[self._end + 1] = 0
        while self.changed[self._start]:
            self._start -= 1
        return True

    def _empty(self) -> bool:
        return self._start == self._end

    def compact(self, other: _Side) -> None:
        """Moves each group down as far as it goes, or to the last place where the other version has one too."""
        self._first()
        other._first()
        while True:
            if not self._empty():
                self._settle(other)
            if not self._next():
                return
            other._next()

    def _settle(self, other: _Side) -> None:
        while True:
            size = self._end - self._start
            beside = False
            while self._slide_up():
                other._previous()
            earliest = self._end
            beside = not other._empty()
            while self._slide_down():
                other._next()
                beside = beside or not other._empty()
            if size == self._end - self._start:
                break
        if self._end != earliest and beside:
            while other._empty():
                self._slide_up()
                other._previous()
