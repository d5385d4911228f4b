"""How things fail in Prism.

PrismError              the only exception that leaves the public API
  kind LexError         the text is not made of tokens
  kind ParseError       the tokens are not a program
  kind CheckError       the program can never be right (a `return` outside a function, a duplicate branch)
  kind RuntimeError     the program failed while it ran; a Prism `catch` could have caught it
  kind ModuleError      an import could not be resolved or loaded
  kind LimitError       a deterministic counter ran out; no Prism `catch` catches it
EffectFailed            how a host tells a program that an effect failed; a Prism `catch` catches it

Raised and Stop travel inside the generated code only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from compiler.prism.excerpt import marked

if TYPE_CHECKING:
    from compiler.prism.program import Unit

Kind = Literal["LexError", "ParseError", "CheckError", "RuntimeError", "ModuleError", "LimitError"]


class PrismError(Exception):
    """A Prism program could not be read, linked or run to its end. Lines and columns count from 1; 0 means unknown."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        line: int = 0,
        column: int = 0,
        code: str = "",
        hint: str = "",
        file: str = "",
        source_line: str = "",
        value: Any = None,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.line = line
        self.column = column
        self.code = code or _DEFAULT_CODES[kind]
        self.hint = hint
        self.file = file
        self.source_line = source_line
        self.value = value

    def __str__(self) -> str:
        where = f"{self.file or 'program'}:{self.line}:{self.column}: " if self.line else ""
        return f"{where}{self.kind}: {self.message}"

    def show(self) -> str:
        """The error as a person wants to read it: place, message, the line with a mark under it, hint."""
        text = "\n".join((str(self), *marked(self.source_line, self.column)))
        return f"{text}\n    hint: {self.hint}" if self.hint else text


_DEFAULT_CODES: dict[Kind, str] = {
    "LexError": "bad_token",
    "ParseError": "syntax",
    "CheckError": "check",
    "RuntimeError": "runtime",
    "ModuleError": "module",
    "LimitError": "limit",
}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing the checker found. Lines and columns count from 1."""

    code: str
    message: str
    line: int
    column: int
    severity: Literal["error", "warning"] = "error"
    hint: str = ""
    file: str = ""
    source_line: str = ""


class Raised(Exception):
    """A failure inside a running program that its `catch` may bind. `value` is what `catch (e)` binds.

    `module` is the module that was being loaded when nobody caught it, `place` where it came from in a called program.
    """

    module = ""
    place: tuple[Unit, int] | None = None

    def __init__(self, message: str, *, code: str = "runtime", hint: str = "", value: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.value: Any = message if value is None else value


class Thrown(Raised):
    """What `throw` throws; unlike `Raised` it may carry null. `text` writes it, once somebody wants to read it."""

    def __init__(self, value: Any, text: Callable[[Any], str]) -> None:
        super().__init__("", code="thrown")
        self.value = value
        self._text = text

    @property
    def message(self) -> str:
        try:
            return f"Uncaught: {self._text(self.value)}"
        except (Raised, LimitHit):
            return "Uncaught: a value too large to be written"

    @message.setter
    def message(self, _message: str) -> None:
        """It follows from the value."""

    def __str__(self) -> str:
        return self.message


class EffectFailed(Raised):
    """An effect ended badly. Programs catch its message; uncaught it ends the program with `code`."""

    def __init__(self, code: str, message: str, data: Any = None) -> None:
        super().__init__(message, code=code)
        self.data = data


class Stop(BaseException):
    """Ends a program or a branch from outside; nothing inside the language can hold it up."""


class LimitHit(Stop):
    """A counter ran out; `place` is where, in a called program."""

    place: tuple[Unit, int] | None = None

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Killed(Stop):
    """The machine was closed, or a branch lost its race."""
