"""Laying out a text that has places where it may break: a group stays on one line when it fits, else all its own places
break.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WIDTH = 100
INDENT = 2


class Line:
    """A place where the text may break; `flat` is what stands there on one line. `hard`: it always breaks."""

    __slots__ = ("flat", "hard")

    def __init__(self, flat: str, *, hard: bool = False) -> None:
        self.flat = flat
        self.hard = hard


class Suffix:
    """A comment that goes to the end of its line, whatever still follows on it. `hard`: nothing may follow it there."""

    __slots__ = ("hard", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.hard = text.startswith("//")


class Concat:
    """Several documents in a row."""

    __slots__ = ("hard", "parts")

    def __init__(self, parts: Iterable[Doc]) -> None:
        self.parts: Sequence[Doc] = list(parts)
        self.hard = any(is_hard(part) for part in self.parts)


class Indent:
    """A document whose lines are set further in."""

    __slots__ = ("content", "hard")

    def __init__(self, *parts: Doc) -> None:
        self.content = Concat(parts)
        self.hard = self.content.hard


class Group:
    """A document that is written on one line if it fits there."""

    __slots__ = ("broken", "content", "hard")

    def __init__(self, *parts: Doc, broken: bool = False) -> None:
        self.content = Concat(parts)
        self.hard = self.content.hard or broken
        self.broken = self.hard


class IfBroken:
    """A text that is only there when the group around it breaks."""

    __slots__ = ("hard", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.hard = False


Doc = str | Line | Suffix | Concat | Indent | Group | IfBroken

SPACE = Line(" ")
SOFT = Line("")
HARD = Line(" ", hard=True)
STATEMENT_END = Line("; ", hard=True)


def is_hard(doc: Doc) -> bool:
    """Whether a document cannot stand on one line."""
    return not isinstance(doc, str) and doc.hard


def join(separator: Doc, parts: Iterable[Doc]) -> Concat:
    """Documents with something between each two."""
    made: list[Doc] = []
    for part in parts:
        if made:
            made.append(separator)
        made.append(part)
    return Concat(made)


def render(doc: Doc) -> str:
    """The text of a document. Lines have no blanks at their end."""
    out: list[str] = []
    suffixes: list[str] = []
    column = inset = 0
    stack: list[tuple[int, bool, Doc]] = [(0, True, doc)]
    while stack:
        indent, breaks, item = stack.pop()
        if isinstance(item, str):
            out.append(item)
            newline = item.rfind("\n")
            column = column + len(item) if newline < 0 else len(item) - newline - 1
        elif isinstance(item, Concat):
            stack.extend((indent, breaks, part) for part in reversed(item.parts))
        elif isinstance(item, Indent):
            stack.append((indent + INDENT, breaks, item.content))
        elif isinstance(item, Group):
            flat = not item.broken and _fits(item.content, WIDTH - column, stack)
            stack.append((indent, not flat, item.content))
        elif isinstance(item, Suffix):
            suffixes.append(item.text)
        elif isinstance(item, IfBroken):
            out.append(item.text if breaks else "")
            column += len(item.text) if breaks else 0
        elif breaks or item.hard:
            _flush(out, suffixes, max(inset, indent))
            out.append("\n" + " " * indent)
            column = inset = indent
        else:
            out.append(item.flat)
            column += len(item.flat)
    _flush(out, suffixes, inset)
    return "".join(out)


def _flush(out: list[str], suffixes: list[str], indent: int) -> None:
    """Write the comments that end this line. What follows a `//` goes to a line of its own: it would be part of it."""
    while out and out[-1].strip(" ") == "":
        out.pop()
    empty = bool(out) and out[-1].startswith("\n") and out[-1].strip(" \n") == ""
    if suffixes:
        for text in suffixes:
            apart = "\n" + " " * indent if out and out[-1].lstrip().startswith("//") else "" if empty else " "
            out += [apart, text]
            empty = False
        suffixes.clear()
    elif empty:
        out[-1] = "\n"


def _fits(doc: Doc, room: int, rest: list[tuple[int, bool, Doc]]) -> bool:
    """Whether a document fits on the rest of the line, up to the next place where the text after it breaks."""
    stack: list[tuple[bool, Doc]] = [(False, doc)]
    following = len(rest)
    while room >= 0:
        if not stack:
            if not following:
                return True
            following -= 1
            _, breaks, item = rest[following]
            stack.append((breaks, item))
            continue
        breaks, item = stack.pop()
        if isinstance(item, str):
            room -= len(item) if "\n" not in item else item.index("\n")
            if "\n" in item:
                return room >= 0
        elif isinstance(item, Concat):
            stack.extend((breaks, part) for part in reversed(item.parts))
        elif isinstance(item, Indent | Group):
            stack.append((breaks and not isinstance(item, Group), item.content))
        elif isinstance(item, Line):
            if breaks or item.hard:
                return True
            room -= len(item.flat)
    return False
