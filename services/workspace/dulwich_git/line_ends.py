"""Line ends between a worktree and a commit, as attributes ask for them.

The rules are git's own, for a git whose settings ask for nothing (`core.autocrlf` off, `core.eol` LF).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.workspace.dulwich_git.attributes import Value

_ODD = bytes(code for code in range(256) if code in (0, 127) or (code < 32 and code not in b"\b\t\x1b\f\r\n"))
_LONE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class LineEnds:
    """What becomes of the line ends of a file: nothing where it is not `text`; `auto` where the content decides."""

    text: bool = False
    auto: bool = False
    crlf: bool = False

    def stored(self, content: bytes, former: bytes | None) -> bytes:
        """The content of a commit for that of a worktree. `former` is what the last commit had there."""
        if not self.text or b"\r\n" not in content:
            return content
        if self.auto and (_is_binary(content) or (former is not None and _has_crlf(former))):
            return content
        return content.replace(b"\r\n", b"\n")

    def written(self, content: bytes) -> bytes:
        """The content of a worktree for that of a commit."""
        if not self.crlf or not _LONE_LF.search(content):
            return content
        if self.auto and (b"\r" in content or _is_binary(content)):
            return content
        return _LONE_LF.sub(b"\r\n", content)


AS_IT_IS = LineEnds()


def line_ends(said: Mapping[bytes, Value]) -> LineEnds:
    """The line ends that the attributes of a file ask for."""
    text = _text(said.get(b"text"))
    if text is None:
        text = _text(said.get(b"crlf"))
    if text == "binary":
        return AS_IT_IS
    end = said.get(b"eol")
    if end not in (b"lf", b"crlf"):
        return AS_IT_IS if text is None else LineEnds(text=True, auto=text == "auto")
    return LineEnds(text=True, auto=text == "auto", crlf=end == b"crlf")


def _text(value: Value) -> str | None:
    if value is True:
        return "text"
    if value is False:
        return "binary"
    return value.decode() if value in (b"auto", b"input") else None


def _has_crlf(content: bytes) -> bool:
    return b"\r\n" in content and not _is_binary(content)


def _is_binary(content: bytes) -> bool:
    """Git's guess: a CR alone, a NUL, or more than one odd byte in 128."""
    if b"\0" in content or content.count(b"\r") != content.count(b"\r\n"):
        return True
    ends = content.count(b"\r\n") + content.count(b"\n")
    odd = len(content) - len(content.translate(None, _ODD))
    printable = len(content) - odd - ends
    odd -= content.endswith(b"\x1a")
    return printable >> 7 < odd
