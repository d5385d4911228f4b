"""The standard streams of a command, whatever the caller made of them.

A closed descriptor, a full disk, a reader that went away, a locale that cannot spell a tick: none of them is a fault of
the work, and none of them may end a command in a traceback or change what its exit code says. `guard` puts streams in
the place of Python's own that take every text and remember that something could not be written.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import IO, cast

_PLAIN = {
    "…": "...", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "·": "-", "→": "->",
    "✔": "+", "✘": "x", "●": "*", "○": "o", "■": "#", "▰": "#", "▱": ".", "≥": ">=", "≤": "<=", "�": "?",
}  # fmt: skip
"""What stands for the characters of our own texts where the encoding has none of them."""

_ASCII = "parallax-ascii"
_ERRORS = "parallax-plain"


class ReaderGone(Exception):
    """Nobody reads standard output any more. No BrokenPipeError: click and rich end the process at one, with code 1."""


class _Output(io.RawIOBase):
    """A descriptor that swallows what cannot be written, and remembers why."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.trouble: OSError | None = None
        self.outlives_reader = False

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def fileno(self) -> int:
        return self.descriptor

    def write(self, data: object, /) -> int:
        left = memoryview(cast("bytes", data))
        whole = left.nbytes
        if self.trouble is not None:
            return whole
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
        except BrokenPipeError as error:
            self.trouble = error
            if not self.outlives_reader:
                raise ReaderGone from error
        except OSError as error:
            self.trouble = error
        return whole


_outputs: dict[int, _Output] = {}


def open_missing_descriptors() -> None:
    """Opens the null device for each of the descriptors 0, 1, 2 that the caller closed.

    Without it the next file or socket of the process would take its number, and be written to as if it were a stream.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)  # the lowest free number is this one


def guard() -> None:
    """Puts guarded streams in the place of `sys.stdout` and `sys.stderr`. A second call does nothing."""
    if _outputs:
        return
    codecs.register_error(_ERRORS, _plain)
    codecs.register(_ascii_codec)
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
    sys.stdout = _guarded(sys.stdout, 1)
    sys.stderr = _guarded(sys.stderr, 2)


def outlive_reader() -> None:
    """The command goes on when nobody reads its output any more: its exit code is that of the work it waits for."""
    for output in _outputs.values():
        output.outlives_reader = True


def outlives_reader() -> bool:
    """Whether `outlive_reader` was called."""
    return any(output.outlives_reader for output in _outputs.values())


def trouble() -> OSError | None:
    """Why standard output could not be written, None when it could. A reader that went away is no trouble."""
    output = _outputs.get(1)
    found = output.trouble if output is not None else None
    return None if isinstance(found, BrokenPipeError) else found


def flush() -> None:
    """Writes what is buffered. Raises ReaderGone when the reader is gone and the command does not outlive it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def abandon() -> None:
    """Drops what is buffered, after the reader went away, so that nothing more is tried at the process's end."""
    for output in _outputs.values():
        output.outlives_reader = True
        output.trouble = output.trouble or BrokenPipeError()


def write_json_line(text: str) -> None:
    """Writes one line of JSON in UTF-8, which is what JSON is, whatever the locale says."""
    sys.stdout.flush()
    buffer = cast("IO[bytes] | None", getattr(sys.stdout, "buffer", None))
    if buffer is None:  # a test that captures texts
        sys.stdout.write(text + "\n")
    else:
        buffer.write(text.encode("utf-8", "replace") + b"\n")
        buffer.flush()
    sys.stdout.flush()


def _guarded(stream: IO[str] | None, descriptor: int) -> IO[str]:
    if stream is not None and not _is_own(stream, descriptor):
        return stream  # somebody captures it
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if codecs.lookup(encoding).name == "ascii":
        encoding = _ASCII
    if stream is not None:
        stream.flush()
    output = _outputs[descriptor] = _Output(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=encoding,
        errors=_ERRORS,
        line_buffering=output.isatty() or descriptor == 2,
    )


def _is_own(stream: IO[str], descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


class _AsciiEncoder(codecs.IncrementalEncoder):
    def encode(self, input: str, final: bool = False) -> bytes:  # noqa: A002 - the name in the base class
        return input.encode("ascii", _ERRORS)


def _ascii_codec(name: str) -> codecs.CodecInfo | None:
    """ASCII under another name: libraries take one that is called so for a mistake, and write UTF-8 instead."""
    if name.replace("_", "-") != _ASCII:
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(found.encode, found.decode, incrementalencoder=_AsciiEncoder, name=_ASCII)
