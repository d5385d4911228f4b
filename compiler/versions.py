"""Versions of patterns by Semantic Versioning 2.0.0: what is one, which comes first, and which fit a range.

`rc.2` comes before `rc.10`, every pre-release before its release, and build metadata decides nothing. A range takes a
pre-release only where it names one of the same release, so that nobody gets one who did not ask. Older files write `1`
or `1.0`; these are 1.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeVar

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(
    rf"([0-9]{{1,18}})(?:\.([0-9]{{1,18}}))?(?:\.([0-9]{{1,18}}))?(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?"
)
_LEADING_ZERO = re.compile(r"0[0-9]")
_WILD = frozenset({"x", "X", "*"})
_ANY = frozenset({"", "*", "x", "X", "latest"})
_TERM = re.compile(r"(\^|~|>=|<=|>|<|=)?\s*(\S+)")
_PARTIAL = re.compile(
    rf"(?:[0-9]{{1,18}}|[xX*])(?:\.(?:[0-9]{{1,18}}|[xX*])){{0,2}}(?:-{_IDENTIFIERS})?(?:\+{_IDENTIFIERS})?"
)

T = TypeVar("T")


class Version(NamedTuple):
    """A version; compared, it is its precedence."""

    core: tuple[int, int, int]
    released: bool
    pre: tuple[tuple[int, int, str], ...]


@lru_cache(maxsize=4096)
def parse_version(text: str) -> Version | None:
    """The version that a text is, or None."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    identifiers = found[4].split(".") if found[4] else []
    if any(_LEADING_ZERO.match(part) for part in (*found.groups("")[:3], *(i for i in identifiers if i.isdigit()))):
        return None
    pre = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in identifiers)
    return Version((int(found[1]), int(found[2] or 0), int(found[3] or 0)), not pre, pre)


def precedence(text: str) -> tuple[bool, Version, str]:
    """Sorts versions as SemVer does. What is none comes first; those that differ in build metadata by it."""
    version = parse_version(text)
    return version is not None, version or Version((0, 0, 0), released=True, pre=()), text


class _Bound(NamedTuple):
    """One comparison: `>=`, `<`, `>`, `<=` or `==` with a version."""

    sign: str
    version: Version

    def holds(self, version: Version) -> bool:
        match self.sign:
            case ">=":
                return version >= self.version
            case "<=":
                return version <= self.version
            case ">":
                return version > self.version
            case "<":
                return version < self.version
            case _:
                return version == self.version


@lru_cache(maxsize=1024)
def parse_range(text: str) -> tuple[_Bound, ...] | None:
    """The bounds of `1.x`, `1.2`, `1.2.3`, `^1.2`, `~1.2.3`, `>=1.2 <3`; none of them for `*`. None: it is no range."""
    if text.strip() in _ANY:
        return ()
    bounds: list[_Bound] = []
    rest = re.sub(r"(\^|~|>=|<=|>|<|=)\s+", r"\1", text.replace(",", " "))
    for term in rest.split():
        found = _TERM.fullmatch(term)
        made = _bounds(found[1] or "", found[2]) if found is not None else None
        if made is None:
            return None
        bounds += made
    return tuple(bounds) if rest.split() else None


def is_range(text: str) -> bool:
    """Whether a text can stand behind the `@` of a reference."""
    return parse_range(text) is not None


def matches(version: str, wanted: str) -> bool:
    """Whether a version is in a range. A pre-release is only where a bound names one of the same release."""
    known, bounds = parse_version(version), parse_range(wanted)
    if known is None or bounds is None:
        return version == wanted
    if not all(bound.holds(known) for bound in bounds):
        return False
    return known.released or any(bound.version.pre and bound.version.core == known.core for bound in bounds)


def newest(found: Iterable[tuple[str, T]], wanted: str) -> T | None:
    """What has the highest version in a range. Where nothing is wanted in particular and nothing is released, it is the
    highest pre-release."""
    every = list(found)
    fitting = [one for one in every if one[0] == wanted] or [one for one in every if matches(one[0], wanted)]
    if not fitting and wanted.strip() in _ANY:
        fitting = every
    return max(fitting, key=lambda one: precedence(one[0]))[1] if fitting else None


def _bounds(sign: str, text: str) -> list[_Bound] | None:
    read = _partial(text)
    if read is None:
        return None
    low, numbers = read
    whole = len(numbers) == 3
    match sign:
        case "^":
            return _between(low, numbers, _caret_place(numbers))
        case "~":
            return _between(low, numbers, min(1, len(numbers) - 1))
        case ">" | "<=" if not whole:  # beyond, or up to, everything that the numbers begin
            after = _after(numbers, len(numbers) - 1, pre=sign == "<=")
            return None if after is None else [_Bound(">=" if sign == ">" else "<", after)]
        case ">=" | "<" | ">" | "<=":
            return [_Bound(sign, low)]
        case _ if whole:
            return [_Bound("==", low)]
        case _:
            return _between(low, numbers, len(numbers) - 1)


def _partial(text: str) -> tuple[Version, list[int]] | None:
    """The lowest version of `1`, `1.2`, `1.x` or `1.2.3-rc.1`, and the numbers that are given."""
    if not _PARTIAL.fullmatch(text):
        return None
    core, mark, pre = text.partition("+")[0].partition("-")
    numbers: list[int] = []
    for part in core.split("."):
        if part in _WILD:
            break
        numbers.append(int(part))
    if mark and len(numbers) < 3:
        return None
    low = parse_version(".".join(map(str, [*numbers, 0, 0, 0][:3])) + mark + pre)
    return None if low is None else (low, numbers)


def _caret_place(numbers: list[int]) -> int:
    """The first number that is not zero may not change; `^0.0` and `^0` allow what they leave open."""
    return next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)


def _between(low: Version, numbers: list[int], place: int) -> list[_Bound]:
    after = _after(numbers, place)
    return [_Bound(">=", low), *([] if after is None else [_Bound("<", after)])]


def _after(numbers: list[int], place: int, *, pre: bool = True) -> Version | None:
    """The first version whose number at a place is one more, with `pre` before all its pre-releases. None: there is no
    number."""
    if place < 0:
        return None
    raised = [*numbers[:place], numbers[place] + 1, 0, 0, 0]
    return Version((raised[0], raised[1], raised[2]), not pre, ((-1, 0, ""),) if pre else ())
