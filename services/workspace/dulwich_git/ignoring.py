"""Which untracked files are no part of the work, by the rules of `.gitignore`.

Matching is done here, without regular expressions: patterns come from repositories that nobody vouches for, and a
pattern that takes for ever would stop the whole service. Every match is linear in the length of pattern times path.
"""

from __future__ import annotations

from functools import lru_cache

_MAX_BYTES = 1 << 18
_MAX_RULES = 5000

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
    """The rules of an ignore file. A line that means nothing is left out; of a huge file the beginning counts."""
    rules = (_rule(line) for line in text[:_MAX_BYTES].split(b"\n")[:_MAX_RULES])
    return tuple(rule for rule in rules if rule is not None)


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
    line = line.rstrip(b"\r")
    while line.endswith(b" ") and not line.endswith(b"\\ "):
        line = line[:-1]
    if not line or line.startswith(b"#"):
        return None
    excludes = not line.startswith(b"!")
    if not excludes:
        line = line[1:]
    directories_only = line.endswith(b"/")
    line = line.rstrip(b"/") if directories_only else line
    if not line:
        return None
    anchored = b"/" in line
    pieces = line.lstrip(b"/").split(b"/")
    segments: list[Segment] = [] if anchored else [None]
    for piece in pieces:
        if piece == b"**":
            if not segments or segments[-1] is not None:
                segments.append(None)
            continue
        tokens = _tokens(piece)
        if tokens is None:
            return None
        segments.append(tokens)
    plain = not anchored and not any(sign in line for sign in b"*?[\\")
    return Rule(tuple(segments), simple=line if plain else b"", directories_only=directories_only, excludes=excludes)


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


_NAMED = {
    b"alpha": bytes(range(65, 91)) + bytes(range(97, 123)),
    b"digit": b"0123456789",
    b"alnum": bytes(range(48, 58)) + bytes(range(65, 91)) + bytes(range(97, 123)),
    b"lower": bytes(range(97, 123)),
    b"upper": bytes(range(65, 91)),
    b"space": b" \t\n\r\v\f",
    b"xdigit": b"0123456789abcdefABCDEF",
    b"punct": bytes(code for code in range(33, 127) if not chr(code).isalnum()),
}


def _class(piece: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """A set of letters in brackets and where it ends. None: the bracket is never closed."""
    negated = piece[at : at + 1] in (b"!", b"^")
    at += negated
    letters: set[int] = set()
    first = True
    while at < len(piece) and (first or piece[at] != 0x5D):
        first = False
        if piece[at : at + 2] == b"[:" and (end := piece.find(b":]", at)) > 0:
            letters.update(_NAMED.get(piece[at + 2 : end], b""))
            at = end + 2
            continue
        at += piece[at] == 0x5C and at + 1 < len(piece)
        low = high = piece[at]
        at += 1
        if piece[at : at + 1] == b"-" and at + 1 < len(piece) and piece[at + 1] != 0x5D:
            at += 1 + (piece[at + 1] == 0x5C and at + 2 < len(piece))
            high = piece[at]
            at += 1
        letters.update(range(low, high + 1))
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
