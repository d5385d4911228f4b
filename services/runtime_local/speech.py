"""What a `command` agent says on its standard output, and what is left of it when it has ended.

JSON lines of a known `type` are the protocol; everything else is text that it also says. Whatever is written, nothing
here raises. What counts is taken whole or refused by name and size: no part of a text ever stands for all of it.
`docs/reference/command-protocol.md` states each rule.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal, NamedTuple, cast

import msgspec

from schemas.base import Json, Model
from schemas.json_text import clean_value, mended
from shared.shortening import ending

MAX_LINE = 16 << 20
"""Bytes of the longest line that is read whole. Of a longer one its size, beginning and end are known."""

MAX_RESULT = 8 << 20
"""Bytes of JSON that a result may have, and bytes of text where the text is the result."""

MAX_QUESTION = 256 << 10
"""Bytes of JSON that a question may have, its options included: it becomes a fact that people are shown."""

MAX_OPTIONS = 50
"""Options that a question may have."""

_KEPT_ENDING = 64 * 1024
_LONG_LINE_ENDS = 64 * 1024

_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")
_TYPE_FIRST = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-z]+)"')
_TYPE_LAST = re.compile(rb'"type"\s*:\s*"([a-z]+)"\s*(?:,\s*"confidence"\s*:\s*[^,}"]*)?\}\s*\Z')


class Line(NamedTuple):
    """One line without its end. Of one longer than `MAX_LINE`, `text` is the beginning and `end` the end."""

    text: bytes
    size: int
    end: bytes = b""

    @property
    def whole(self) -> bool:
        """Whether `text` is all of it."""
        return len(self.text) == self.size


class Said(Model, frozen=True, kw_only=True):
    """One line of an agent. A `refused` one is of the protocol, and cannot be taken: `code` and `text` say why.

    `bytes` is how long a line of text was that is not held whole.
    """

    type: Literal["progress", "message", "question", "result", "output", "refused"]
    text: str = ""
    question: str = ""
    options: list[str] = msgspec.field(default_factory=list[str])
    result: Json = None
    confidence: float | None = None
    note: str = ""
    code: str = ""
    bytes: int = 0


class _Line(msgspec.Struct):
    type: Literal["progress", "message", "question", "result"]
    text: Json = ""
    question: Json = ""
    options: Json = None
    result: Json = None
    confidence: Json = None


_decoder = msgspec.json.Decoder(_Line)


def clean(line: bytes) -> str:
    """A line as text without terminal sequences."""
    return _TERMINAL.sub("", line.decode("utf-8", "replace"))


class Lines:
    """Puts lines together that come in pieces, holding no more of one than `MAX_LINE` bytes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._end = b""

    def add(self, piece: bytes, ends: bool) -> Line | None:
        """Takes a piece; gives the line that ends with it."""
        self._size += len(piece)
        if self._size <= MAX_LINE:
            self._pieces.append(piece)
        else:
            self._end = (self._end or b"".join(self._pieces)[-_LONG_LINE_ENDS:]) + piece
            self._end = self._end[-_LONG_LINE_ENDS:]
            self._pieces = [b"".join(self._pieces)[:_LONG_LINE_ENDS]]
        if not ends:
            return None
        line = Line(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces), self._size, self._end)
        self._pieces, self._size, self._end = [], 0, b""
        return line


def understand(line: Line) -> Said:
    """What a line of standard output says."""
    if not line.whole:
        return _understand_long(line)
    text = line.text
    if text.lstrip(b"\xef\xbb\xbf \t")[:1] == b"{":
        text = mended(text)
        try:
            return _typed(_decoder.decode(text))
        except RecursionError:
            return _too_deep(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            lenient = _lenient(text)
            if lenient is not None:
                return lenient
    return Said(type="output", text=clean(line.text))


def _understand_long(line: Line) -> Said:
    """A line too long to be read. One that begins as JSON does may be a result, and is never taken for less."""
    if line.text.lstrip()[:1] != b"{":
        return Said(type="output", text=clean(line.text), bytes=line.size)
    found = _TYPE_FIRST.match(line.text) or _TYPE_LAST.search(line.end)
    kind = found[1] if found is not None else b"result"
    if kind in (b"progress", b"message"):
        return Said(type="output", text=clean(line.text), bytes=line.size)
    if kind == b"question":
        return _refused("question_too_large", f"The question has {line.size:,} bytes; {MAX_QUESTION:,} is the limit.")
    return _refused(
        "result_too_large",
        f"The result came in a line of {line.size:,} bytes; {MAX_LINE:,} are read, and a result may have "
        f"{MAX_RESULT:,}. {_TOO_LARGE_HINT}",
    )


_TOO_LARGE_HINT = "Write what is that large to a file in the worktree and name the file in the result."


def _too_deep(line: bytes) -> Said:
    found = _TYPE_FIRST.match(line) or _TYPE_LAST.search(line[-_LONG_LINE_ENDS:])
    kind = found[1] if found is not None else b""
    if kind in (b"result", b"question"):
        what = kind.decode()
        return _refused(f"{what}_too_large", f"The {what} is nested too deeply to be read.")
    return Said(type="output", text=clean(line))


def _refused(code: str, text: str) -> Said:
    return Said(type="refused", code=code, text=text)


def _typed(line: _Line, note: str = "") -> Said:
    match line.type:
        case "question":
            return _question(line)
        case "result":
            confidence, unread = _confidence(line.confidence)
            said = "; ".join(part for part in (note, unread) if part)
            return Said(type="result", result=line.result, confidence=confidence, note=said)
        case _:
            return Said(type=line.type, text=_plain(line.text))


def _question(line: _Line) -> Said:
    given = cast("list[Json]", line.options) if isinstance(line.options, list) else []
    said = Said(
        type="question", question=_plain(line.question or line.text), options=[_plain(option) for option in given]
    )
    size = len(msgspec.json.encode([said.question, said.options]))
    if size > MAX_QUESTION:
        return _refused("question_too_large", f"The question has {size:,} bytes; {MAX_QUESTION:,} is the limit.")
    if len(given) > MAX_OPTIONS:
        return _refused("question_too_large", f"The question has {len(given):,} options; {MAX_OPTIONS} is the limit.")
    return said


def _lenient(line: bytes) -> Said | None:
    """A line that is JSON but for what Python's own `json` and JavaScript write beyond it.

    NaN, Infinity, and numbers that no double can hold are read as null; control characters in texts are taken.
    """
    unread: dict[str, None] = {}

    def nothing(name: str) -> None:
        unread[name if len(name) <= 40 else f"a number of {len(name):,} digits"] = None

    def number(text: str) -> float | None:
        made = float(text)
        return made if math.isfinite(made) else nothing(text)

    def integer(text: str) -> int | None:
        try:
            return int(text)
        except ValueError:  # Python reads no more than 4,300 digits
            return nothing(text)

    try:
        read: Any = json.JSONDecoder(
            parse_constant=nothing, parse_float=number, parse_int=integer, strict=False
        ).decode(line.decode())
        known = msgspec.convert(clean_value(read), _Line)
    except RecursionError:
        return _too_deep(line)
    except (ValueError, msgspec.MsgspecError):
        return None
    names = ", ".join(unread)
    note = f"said {names}, which is no number in JSON; it was read as null" if unread else ""
    return _typed(known, note)


def _plain(value: Json) -> str:
    return _TERMINAL.sub("", value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _confidence(value: Json) -> tuple[float | None, str]:
    """A self-report. One that is no number in [0, 1] is none: what cannot be read is never made up."""
    if value is None:
        return None, ""
    if not _is_number(value) or not 0.0 <= cast("float", value) <= 1.0:
        which = "is not between 0 and 1" if _is_number(value) else "is no number"
        return None, f"said a confidence of {_shown(value)}, which {which}; it was left out"
    return float(cast("float", value)), ""


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]} … ({len(text):,} characters)"


class Transcript:
    """What is kept of an agent's words: its text, the end of its error output, and the result if it gave one.

    `result` is the last result line, and may be a refused one: an earlier draft never stands for it.
    """

    def __init__(self) -> None:
        self.result: Said | None = None
        self._text: list[str] = []
        self._bytes = 0
        self._whole = True
        self._ending = ""
        self._errors = ""
        self._errors_lost = 0

    def add(self, said: Said) -> None:
        """Keeps a line of standard output."""
        if said.type == "result" or said.code == "result_too_large":
            self.result = said
        elif said.type in ("output", "message"):
            self._add_text(said)

    def _add_text(self, said: Said) -> None:
        line = said.text + "\n"
        self._bytes += said.bytes or len(line.encode("utf-8", "replace"))
        self._ending = (self._ending + line)[-_KEPT_ENDING:]
        self._whole = self._whole and not said.bytes and self._bytes <= MAX_RESULT
        if self._whole:
            self._text.append(line)
        else:
            self._text.clear()

    def add_error(self, text: str) -> None:
        """Keeps a line of standard error."""
        kept = self._errors + text + "\n"
        self._errors = kept[-_KEPT_ENDING:]
        self._errors_lost += len(kept) - len(self._errors)

    def outcome(self) -> Said:
        """The result: the last one that was given, else the whole text; `refused` where it is too large."""
        if self.result is None:
            if self._whole:
                return _fitting(Said(type="result", result="".join(self._text).strip()), "text")
            return _refused(
                "result_too_large",
                f"The agent gave no result line, and its text of {self._bytes:,} bytes is larger than a result may be "
                f"({MAX_RESULT:,}). Print a result line, and write what is that large to a file in the worktree.",
            )
        return self.result if self.result.type == "refused" else _fitting(self.result, "result")

    def reason(self, most: int = 2000) -> str:
        """The end of what it wrote to standard error, or of its text, for people."""
        return ending(self._errors.strip() or self._ending.strip(), most)


def _fitting(said: Said, what: str) -> Said:
    size = len(msgspec.json.encode(said.result))
    if size <= MAX_RESULT:
        return said
    message = f"The {what} has {size:,} bytes; {MAX_RESULT:,} is the limit. {_TOO_LARGE_HINT}"
    return _refused("result_too_large", message)
