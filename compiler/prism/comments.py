"""Comments of a text and where each literal ends: what the tree does not hold and the formatter must not lose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compiler.prism.source import Source
from compiler.prism.tokens import Tok

_COMMENT = re.compile(r"//[^\n]*|/\*(?:[^*]|\*(?!/))*+\*/")


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment. `own_line`: nothing but blanks stands before it on its line."""

    text: str
    pos: int
    end: int
    own_line: bool


class Trivia:
    """The comments of a text, handed out in order, and the texts of its literals."""

    def __init__(self, source: Source, tokens: list[Tok]) -> None:
        self.text = source.text
        self.comments: list[Comment] = []
        self.next = 0
        self.literal_ends: dict[int, int] = {}
        self._read(tokens)

    def _read(self, tokens: list[Tok]) -> None:
        strings: list[int] = []
        last = 0
        for token in tokens:
            if not strings and token.pos > last:
                self._gap(last, token.pos)
            if token.type == "ISTART":
                strings.append(token.pos)
            elif token.type == "IEND":
                self.literal_ends[strings.pop()] = token.end
            elif token.type in ("STRING", "NUMBER", "NULL"):
                self.literal_ends[token.pos] = token.end
            last = token.end
        self._gap(last, len(self.text))

    def _gap(self, start: int, end: int) -> None:
        for found in _COMMENT.finditer(self.text, start, end):
            line = self.text.rfind("\n", 0, found.start()) + 1
            own_line = not self.text[line : found.start()].strip()
            text = "\n".join(row.rstrip() for row in found.group().split("\n"))
            self.comments.append(Comment(text, found.start(), found.end(), own_line))

    def before(self, pos: int) -> list[Comment]:
        """The comments before an offset that were not handed out yet."""
        first = self.next
        while self.next < len(self.comments) and self.comments[self.next].pos < pos:
            self.next += 1
        return self.comments[first : self.next]

    def any_before(self, pos: int) -> bool:
        """Whether a comment before an offset was not handed out yet."""
        return self.next < len(self.comments) and self.comments[self.next].pos < pos

    def literal(self, pos: int) -> str | None:
        """A literal as it was written."""
        end = self.literal_ends.get(pos)
        return None if end is None else self.text[pos:end]

    def blank_line(self, start: int, end: int) -> bool:
        """Whether a line is left free between two offsets."""
        return self.text.count("\n", start, end) > 1

    def opens_line(self, pos: int) -> bool:
        """Whether the line ends after the bracket at an offset."""
        rest = self.text[pos + 1 : pos + 400].lstrip(" \t\r")
        return rest.startswith("\n")
