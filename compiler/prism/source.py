"""Where an offset of a text is: line and column, both from 1, and the line itself."""

from __future__ import annotations

from bisect import bisect_right

from compiler.prism.errors import Kind, PrismError
from compiler.prism.hints import hint_for


class Source:
    """A program text with its name; finds lines and columns when somebody asks."""

    __slots__ = ("_starts", "name", "text")

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._starts: list[int] | None = None

    def locate(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        if self._starts is None:
            starts = [0]
            find = self.text.find
            at = find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = find("\n", at + 1)
            self._starts = starts
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        """The text of a line, cut to what a person can read."""
        self.locate(0)
        starts = self._starts or [0]
        if not 0 < line <= len(starts):
            return ""
        end = starts[line] - 1 if line < len(starts) else len(self.text)
        return self.text[starts[line - 1] : min(end, starts[line - 1] + 400)].rstrip("\r")

    def error(self, kind: Kind, message: str, offset: int, *, code: str = "", hint: str = "") -> PrismError:
        """An error at an offset, with everything a person needs to find it."""
        line, column = self.locate(min(offset, len(self.text)))
        error = PrismError(
            kind,
            message,
            line=line,
            column=column,
            code=code,
            hint=hint,
            file=self.name,
            source_line=self.line_text(line),
        )
        error.hint = hint or hint_for(error.code, message)
        return error
