"""Which untracked files are no part of the work, by the rules of `.gitignore`; and the patterns of attribute files.

Matching is done here, without regular expressions: patterns come from repositories that nobody vouches for, and a
pattern that takes for ever would stop the whole service. Every match is linear in the length of pattern times path.
"""

from __future__ import annotations

from functools import lru_cache

MAX_BYTES = 1 << 20
"""A longer file of rules is for git."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_STAR = -1
_ANY = -2
Token = int | frozenset[int]
Segment = tuple[Token, ...] | None
"""The tokens of one part of a pattern between slashes. None is `**`."""


class Rule:
    """One line of an ignore file."""

    __slots__ = ("_segments", "_simple", "directories_only", "excludes")

    def __init__(self, segments: tuple[Segment, ...], *, simple: bytes, directories_only: bool, excludes: bool) -> None:
        self._segments = segments
        self._simple = simple
        self.directories_only = directories_only
        self.excludes = excludes

    def matches(self, parts: tuple[bytes, ...], *, is_directory: bool) -> bool:
        """Whether the rule speaks of the path with these parts, seen from the directory of its file."""
        if self.directories_only and not is_directory:
            return False
        if self._simple:
            return parts[-1] == self._simple
        return _match_path(self._segments, parts)


Rules = tuple[Rule, ...]


@lru_cache(maxsize=256)
def parse(text: bytes) -> Rules:
    """The rules of an ignore file. A line that means nothing is left out."""
    rules = (_rule(line) for line in lines_of(text))
    return tuple(rule for rule in rules if rule is not None)


def lines_of(text: bytes) -> list[bytes]:
    """The lines of a file of rules as git has them: without a byte order mark, and without the CR of a CR LF."""
    return [
        line.removesuffix(b"\r").partition(b"\0")[0]
        for line in text.removeprefix(BYTE_ORDER_MARK).removesuffix(b"\n").split(b"\n")
    ]


def ignored(levels: list[tuple[int, Rules]], parts: tuple[bytes, ...], *, is_directory: bool) -> bool:
    """Whether a path is ignored by the rules of the directories above it.

    `levels` are depths and rules from the top; the deepest file that has something to say decides, in it the last line.
    """
    for depth, rules in reversed(levels):
        relative = parts[depth:]
        for rule in reversed(rules):
            if rule.matches(relative, is_directory=is_directory):
                return rule.excludes
    return False


def _rule(line: bytes) -> Rule | None:
    if line.startswith(b"#"):
        return None
    line = _without_spaces(line)
    excludes = not line.startswith(b"!")
    return pattern(line if excludes else line[1:], excludes=excludes)


def _without_spaces(line: bytes) -> bytes:
    """A line without the spaces at its end that no backslash keeps."""
    at, end = 0, -1
    while at < len(line):
        if line[at] == 0x20:
            end = at if end < 0 else end
        else:
            end = -1
            at += line[at] == 0x5C
            if at >= len(line):
                return line
        at += 1
    return line if end < 0 else line[:end]


def pattern(line: bytes, *, excludes: bool = True) -> Rule | None:
    """One pattern of an ignore or attribute file. None: it can never match."""
    directories_only = line.endswith(b"/")
    if directories_only:
        line = line[:-1]
    if not line:
        return None
    anchored = b"/" in line
    segments: list[Segment] = [] if anchored else [None]
    for piece in _pieces(line[1:] if line.startswith(b"/") else line):
        if len(piece) > 1 and piece.strip(b"*") == b"":
            if not segments or segments[-1] is not None:
                segments.append(None)
            continue
        tokens = _tokens(piece)
        if tokens is None:
            return None
        segments.append(tokens)
    plain = not anchored and not any(sign in line for sign in b"*?[\\")
    return Rule(tuple(segments), simple=line if plain else b"", directories_only=directories_only, excludes=excludes)


def _pieces(line: bytes) -> list[bytes]:
    """The parts of a pattern between slashes; one in brackets divides nothing."""
    found: list[bytes] = []
    begin = at = 0
    while at < len(line):
        sign = line[at : at + 1]
        if sign == b"/":
            found.append(line[begin:at])
            begin = at + 1
        elif sign == b"\\" and line[at + 1 : at + 2] != b"/":
            at += 1
        elif sign == b"\\":
            found.append(line[begin:at])
            at += 1
            begin = at + 1
        elif sign == b"[" and (closed := _class(line, at + 1)) is not None:
            at = closed[1] - 1
        at += 1
    return [*found, line[begin:]]


def _tokens(piece: bytes) -> tuple[Token, ...] | None:
    """The tokens of one part of a pattern. None: the part can never match."""
    tokens: list[Token] = []
    at = 0
    while at < len(piece):
        sign = piece[at : at + 1]
        at += 1
        if sign == b"*":
            if not tokens or tokens[-1] != _STAR:
                tokens.append(_STAR)
        elif sign == b"?":
            tokens.append(_ANY)
        elif sign == b"\\":
            if at >= len(piece):
                return None
            tokens.append(piece[at])
            at += 1
        elif sign == b"[":
            found = _class(piece, at)
            if found is None:
                return None
            letters, at = found
            tokens.append(letters)
        else:
            tokens.append(sign[0])
    return tuple(tokens)


_UPPER, _LOWER, _DIGITS = bytes(range(65, 91)), bytes(range(97, 123)), b"0123456789"
_PUNCT = bytes(code for code in range(33, 127) if not chr(code).isalnum())
_NAMED = {
    b"alnum": _DIGITS + _UPPER + _LOWER,
    b"alpha": _UPPER + _LOWER,
    b"blank": b" \t",
    b"cntrl": bytes(range(32)) + b"\x7f",
    b"digit": _DIGITS,
    b"graph": bytes(range(33, 127)),
    b"lower": _LOWER,
    b"print": bytes(range(32, 127)),
    b"punct": _PUNCT,
    b"space": b" \t\n\r\v\f",
    b"upper": _UPPER,
    b"xdigit": b"0123456789abcdefABCDEF",
}


def _class(piece: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """A set of letters in brackets and where it ends. None: it is never closed, or names no known class."""
    negated = piece[at : at + 1] in (b"!", b"^")
    at += negated
    letters: set[int] = set()
    before = 0
    first = True
    while at < len(piece) and (first or piece[at] != 0x5D):
        first = False
        sign = piece[at : at + 1]
        if sign == b"[" and piece[at + 1 : at + 2] == b":" and (end := piece.find(b"]", at + 2)) > 0:
            if piece[end - 1 : end] == b":" and end > at + 2:
                named = _NAMED.get(piece[at + 2 : end - 1])
                if named is None:
                    return None
                letters.update(named)
                at, before = end + 1, 0
                continue
        elif sign == b"[" and piece[at + 1 : at + 2] == b":":
            return None
        if sign == b"-" and before and piece[at + 1 : at + 2] not in (b"", b"]"):
            at += 1 + (piece[at + 1] == 0x5C)
            if at >= len(piece):
                return None
            letters.update(range(before, piece[at] + 1))
            before = 0
        else:
            at += sign == b"\\"
            if at >= len(piece):
                return None
            before = piece[at]
            letters.add(before)
        at += 1
    if at >= len(piece):
        return None
    return (frozenset(range(256)) - letters if negated else frozenset(letters)), at + 1


def _match_name(tokens: tuple[Token, ...], name: bytes) -> bool:
    """Matches one part of a path: on a mismatch the last star takes one letter more."""
    token = letter = 0
    star = -1
    resume = 0
    while letter < len(name):
        if token < len(tokens):
            wanted = tokens[token]
            if wanted == _STAR:
                star, resume = token, letter
                token += 1
                continue
            if _fits(wanted, name[letter]):
                token += 1
                letter += 1
                continue
        if star < 0:
            return False
        resume += 1
        token, letter = star + 1, resume
    return all(rest == _STAR for rest in tokens[token:])


def _fits(token: Token, letter: int) -> bool:
    if isinstance(token, frozenset):
        return letter in token
    return token in (_ANY, letter)


def _match_path(segments: tuple[Segment, ...], parts: tuple[bytes, ...]) -> bool:
    """Matches a path part by part, in the same way: `**` takes one part more. At the end it needs at least one."""
    segment = part = 0
    star = -1
    resume = 0
    while part < len(parts):
        if segment < len(segments):
            wanted = segments[segment]
            if wanted is None:
                star, resume = segment, part
                segment += 1
                continue
            if _match_name(wanted, parts[part]):
                segment += 1
                part += 1
                continue
        elif star >= 0 and star == len(segments) - 1:
            return True
        if star < 0:
            return False
        resume += 1
        segment, part = star + 1, resume
    return segment == len(segments)
