"""What a `command` agent says on its standard output, and what is left of it when it has ended.

JSON lines of a known `type` are the protocol; everything else is text that it also says. Whatever is written, nothing
here raises: bad UTF-8 is replaced, terminal sequences are taken out, a line that is no JSON is text.
"""

from __future__ import annotations

import json
import re
from typing import Literal, cast

import msgspec

from schemas.base import Json, Model

MAX_TEXT = 64 * 1024
"""So many bytes of the text are kept; the beginning gives way to the end."""

MAX_QUESTION = 8 * 1024
MAX_OPTIONS = 50
"""A question and its options are cut to so many characters and so many options: they become a fact of the log."""

MAX_RESULT = 512 * 1024
"""A result has at most so many bytes."""

_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")


class Said(Model, frozen=True, kw_only=True):
    """One line of an agent."""

    type: Literal["progress", "message", "question", "result", "output"]
    text: str = ""
    question: str = ""
    options: list[str] = msgspec.field(default_factory=list[str])
    result: Json = None
    confidence: float | None = None
    note: str = ""


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


def understand(line: bytes, *, whole: bool = True) -> Said:
    """What a line of standard output says."""
    if whole and line.lstrip()[:1] == b"{":
        try:
            return _typed(_decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            lenient = _without_nan(line)
            if lenient is not None:
                return lenient
    return Said(type="output", text=clean(line))


def _typed(line: _Line) -> Said:
    match line.type:
        case "question":
            given = cast("list[Json]", line.options) if isinstance(line.options, list) else []
            options = [_plain(option)[:MAX_QUESTION] for option in given[:MAX_OPTIONS]]
            question = _plain(line.question or line.text)[:MAX_QUESTION]
            return Said(type="question", question=question, options=options)
        case "result":
            confidence, note = _confidence(line.confidence)
            return Said(type="result", result=line.result, confidence=confidence, note=note)
        case _:
            return Said(type=line.type, text=_plain(line.text))


def _without_nan(line: bytes) -> Said | None:
    """A line that is JSON but for NaN and Infinity, which Python's own `json` writes: they are read as null."""
    if b"NaN" not in line and b"Infinity" not in line:
        return None
    try:
        read = json.loads(line, parse_constant=lambda _name: None)
        said = _typed(msgspec.convert(read, _Line))
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return msgspec.structs.replace(said, note=said.note or "NaN and Infinity are no JSON and were read as null")


def _plain(value: Json) -> str:
    return _TERMINAL.sub("", value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _confidence(value: Json) -> tuple[float | None, str]:
    """A self-report. One that is no number in [0, 1] is none: what cannot be read is never made up."""
    if value is None:
        return None, ""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        return None, f"the confidence {value!r} is no number from 0 to 1 and was left out"
    return float(value), ""


class Transcript:
    """What is kept of an agent's words: the last text, the last error output, and the result if it gave one."""

    def __init__(self) -> None:
        self.result: Said | None = None
        self._text = ""
        self._errors = ""

    def add(self, said: Said) -> None:
        """Keeps a line of standard output."""
        if said.type == "result":
            self.result = said
        elif said.type in ("output", "message"):
            self._text = _tail(self._text + said.text + "\n")

    def add_error(self, text: str) -> None:
        """Keeps a line of standard error."""
        self._errors = _tail(self._errors + text + "\n")

    @property
    def text(self) -> str:
        """The text that stands for a result where none was given."""
        return self._text.strip()

    def reason(self, most: int = 2000) -> str:
        """The end of what it wrote to standard error, or of its text, for people."""
        return (self._errors.strip() or self.text)[-most:]


def _tail(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[-MAX_TEXT:]
