"""Text to tokens, in one pass of one compiled expression.

Strings with `${...}` become ISTART (ITEXT | IOPEN tokens ICLOSE)* IEND, so that the grammar sees what they hold and a
quote inside an interpolation does not end the string around it.
"""

from __future__ import annotations

import math
import re

from compiler.prism.options import Limits
from compiler.prism.source import Source
from compiler.prism.tokens import KEYWORDS, OPERATORS, TYPES, Tok

_MASTER = re.compile(
    r"""(?P<skip>[ \t\r\n]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*+\*/)"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"""
    r"""|(?P<string>"[^"\\\n$]*"|'[^'\\\n$]*')"""
    r"""|(?P<open>/\*|```|["'])"""
    r"""|(?P<op>""" + "|".join(re.escape(op) for op in OPERATORS) + ")"
)
_PLAIN = {'"': re.compile(r'[^"\\\n$]+'), "'": re.compile(r"[^'\\\n$]+"), "```": re.compile(r"[^`$]+")}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "$": "$"}
_UNICODE = re.compile(r"\{([0-9A-Fa-f]{1,6})\}")


class _Quoted:
    """A string whose interpolation is being read: its quote, where it began, and the braces open inside."""

    __slots__ = ("braces", "quote", "start")

    def __init__(self, quote: str, start: int) -> None:
        self.quote = quote
        self.start = start
        self.braces = 0


def tokenize(source: Source, limits: Limits) -> list[Tok]:
    """All tokens of a text. Raises PrismError (LexError, LimitError)."""
    lexer = _Lexer(source, limits)
    lexer.run()
    return lexer.tokens


class _Lexer:
    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.text = source.text
        self.limits = limits
        self.tokens: list[Tok] = []
        self.open: list[_Quoted] = []

    def run(self) -> None:
        """Read to the end of the text."""
        text, match, tokens, keywords, types = self.text, _MASTER.match, self.tokens, KEYWORDS, TYPES
        add = tokens.append
        limit = self.limits.tokens
        pos, end = 0, len(text)
        while pos < end:
            found = match(text, pos)
            if found is None:
                raise self._unexpected(pos)
            group, start, pos = found.lastgroup, pos, found.end()
            if group == "skip":
                if self.open:
                    self._refuse_newline(start, pos)
                continue
            if group == "name":
                word = found.group()
                add(Tok(keywords.get(word, "NAME"), word, start, pos))
            elif group == "op":
                op = found.group()
                if self.open and op in "{}":
                    pos = self._brace(op, start, pos)
                else:
                    add(Tok(types[op], op, start, pos))
            else:
                pos = self._literal(group, found.group(), start, pos)
            if len(tokens) > limit:
                message = f"The program has more than {limit} tokens"
                raise self.source.error("LimitError", message, start, code="tokens_exceeded", hint="split it up")
        if self.open:
            self._unterminated(self.open[0].quote, self.open[0].start)

    def _literal(self, group: str | None, found: str, start: int, end: int) -> int:
        """A number, a string, or whatever begins here."""
        if group == "number":
            self.tokens.append(Tok("NUMBER", self._number(found, start), start, end))
        elif group == "string":
            self.tokens.append(Tok("STRING", found[1:-1], start, end))
        else:
            return self._begin(found, start)
        return end

    def _begin(self, opener: str, start: int) -> int:
        if opener == "/*":
            raise self.source.error(
                "LexError", "Unterminated comment", start, code="unterminated", hint="close it with */"
            )
        return self._string(opener, start, start + len(opener), started=False)

    def _brace(self, op: str, start: int, pos: int) -> int:
        quoted = self.open[-1]
        if op == "{":
            quoted.braces += 1
        elif quoted.braces:
            quoted.braces -= 1
        else:
            self.open.pop()
            if self.tokens[-1].type == "IOPEN":
                raise self.source.error(
                    "ParseError", "Empty interpolation expression", start, hint="write ${expression}"
                )
            self.tokens.append(Tok("ICLOSE", "}", start, pos))
            return self._string(quoted.quote, quoted.start, pos, started=True)
        self.tokens.append(Tok(TYPES[op], op, start, pos))
        return pos

    def _string(self, quote: str, start: int, pos: int, *, started: bool) -> int:
        """Read a string from `pos` to its end or to the next `${`; `started` when parts of it were read before."""
        parts: list[str] = []
        end = self._read_text(quote, start, pos, parts)
        opens = self.text[end] == "$"
        value = "".join(parts)
        if opens and not started:
            self.tokens.append(Tok("ISTART", quote, start, start + len(quote)))
        if (opens or started) and value:
            self.tokens.append(Tok("ITEXT", value, pos, end))
        if opens:
            self.tokens.append(Tok("IOPEN", "${", end, end + 2))
            self.open.append(_Quoted(quote, start))
            return end + 2
        after = end + len(quote)
        if started:
            self.tokens.append(Tok("IEND", quote, end, after))
        else:
            self.tokens.append(Tok("STRING", value, start, after))
        return after

    def _read_text(self, quote: str, start: int, pos: int, parts: list[str]) -> int:
        """Gather the text up to the closing quote or the next `${`; where that stands."""
        text, size = self.text, len(self.text)
        plain, raw = _PLAIN[quote], quote == "```"
        while True:
            found = plain.match(text, pos)
            if found is not None:
                parts.append(found.group())
                pos = found.end()
            if pos >= size:
                self._unterminated(quote, start)
            if text.startswith((quote, "${"), pos):
                return pos
            char = text[pos]
            if char == "\n" and not raw:
                self._newline_inside(start)
            if char == "\\" and not raw:
                piece, pos = self._escape(pos)
                parts.append(piece)
            else:
                parts.append(char)
                pos += 1

    def _escape(self, pos: int) -> tuple[str, int]:
        char = self.text[pos + 1 : pos + 2]
        if not char:
            line = self.source.locate(pos)[0]
            raise self.source.error(
                "LexError", f"Unterminated escape sequence at line {line}", pos, code="unterminated"
            )
        if char in _ESCAPES:
            return _ESCAPES[char], pos + 2
        if char == "u":
            found = _UNICODE.match(self.text, pos + 2)
            if found is not None:
                number = int(found.group(1), 16)
                if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF:
                    return chr(number), found.end()
            hint = "write the code point in braces, as in \\u{1F600}"
        else:
            hint = "known escapes: \\n \\t \\r \\\\ \\\" \\' \\$ \\u{...}"
        raise self.source.error("LexError", f"Unknown escape sequence '\\{char}'", pos, code="bad_escape", hint=hint)

    def _number(self, text: str, start: int) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise self.source.error("LexError", "This number is too large", start, code="number_too_large")
        return value

    def _refuse_newline(self, start: int, end: int) -> None:
        quoted = self.open[-1]
        if quoted.quote != "```" and "\n" in self.text[start:end]:
            self._newline_inside(quoted.start)

    def _newline_inside(self, start: int) -> None:
        message = f"Unexpected newline in string at line {self.source.locate(start)[0]}"
        hint = "a string of several lines stands between ``` and ```"
        raise self.source.error("LexError", message, start, code="newline_in_string", hint=hint)

    def _unterminated(self, quote: str, start: int) -> None:
        line, column = self.source.locate(start)
        what = "Unterminated multiline string starting" if quote == "```" else "Unterminated string"
        message = f"{what} at line {line}, column {column - 1}"
        raise self.source.error("LexError", message, start, code="unterminated", hint=f"close it with {quote}")

    def _unexpected(self, pos: int) -> Exception:
        line, column = self.source.locate(pos)
        char = self.text[pos]
        char = char if char.isprintable() else f"\\u{{{ord(char):x}}}"
        message = f"Unexpected character '{char}' at line {line}, column {column - 1}"
        hints = {
            "&": "write && for and",
            "|": "write || for or",
            "~": "there is no prefix ~",
            "`": "use ``` or a quote",
        }
        return self.source.error("LexError", message, pos, code="unexpected_character", hint=hints.get(char, ""))
