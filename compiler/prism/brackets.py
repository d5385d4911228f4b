"""What each bracket is, decided before parsing, so that the grammar stays LALR(1).

One scan pairs the brackets; a second goes over the tokens once and tells calls from parentheses, indexes from arrays
and patterns, and blocks from objects, patterns and match arms, by their neighbours and their closer. It also frees
reserved words where they are only keys, and finds out which `=>` belongs to a match arm.
"""

from __future__ import annotations

from compiler.prism.options import Limits
from compiler.prism.source import Source
from compiler.prism.tokens import KEYWORDS, Tok

_CLOSERS = {"RPAR": "(", "RSQB": "[", "RBRACE": "{", "ICLOSE": "${"}
_WANTED = {"(": ")", "[": "]", "{": "}", "${": "}"}
_VALUE_ENDS = frozenset({"NAME", "NUMBER", "STRING", "TRUE", "FALSE", "NULL", "HOLE", "IEND"})
_BODY_WORDS = frozenset(
    {"ELSE", "DO", "TRY", "FINALLY", "CATCH", "HIGH", "MEDIUM", "LOW", "DEFAULT", "FATARM", "ARROW"}
)
_STARTS_STATEMENT = frozenset({"SEMI", "LBLOCK", "BREAK", "CONTINUE"})
_BEGINS_OPERAND = frozenset(
    [
        "NAME",
        "NUMBER",
        "STRING",
        "TRUE",
        "FALSE",
        "NULL",
        "HOLE",
        "ISTART",
        "PREFIX",
        "MATCH",
        "LPAR",
        "LARR",
        "LPA",
        "LPARAMS",
        "LET",
        "IF",
        "FOR",
        "RETURN",
        "FUNCTION",
        "ASYNC",
        "UNCERTAIN",
        "DO",
        "TRY",
        "IN",
        "AGENTS",
        "BREAK",
        "CONTINUE",
        "THROW",
        "IMPORT",
        "EXPORT",
    ]
)
_TEXTS = frozenset({"NAME", "STRING", "ITEXT", "NUMBER"})
_OPENERS = frozenset({"LPAR", "LARR", "LBRACE", "IOPEN"})


def pair(tokens: list[Tok], source: Source, limits: Limits) -> dict[int, int]:
    """The index of each closing bracket, by the index of its opening one."""
    pairs: dict[int, int] = {}
    stack: list[int] = []
    for index, token in enumerate(tokens):
        kind = token.type
        if kind in _OPENERS:
            stack.append(index)
            if len(stack) > limits.nesting:
                message = f"Brackets are nested more than {limits.nesting} deep"
                raise source.error("LimitError", message, token.pos, code="nesting_too_deep", hint="use functions")
        elif kind in _CLOSERS:
            if not stack:
                message = f"Expected expression, found '{token.value}'"
                raise source.error("ParseError", message, token.pos, hint="nothing is open that it could close")
            opener = tokens[stack[-1]]
            if opener.value != _CLOSERS[kind]:
                line, column = source.locate(opener.pos)
                message = f"Expected '{_WANTED[opener.value]}', found '{token.value}'"
                raise source.error(
                    "ParseError", message, token.pos, hint=f"'{opener.value}' was opened at {line}:{column}"
                )
            pairs[stack.pop()] = index
    if stack:
        opener = tokens[stack[-1]]
        where = source.locate(opener.pos)
        message = f"Expected '{_WANTED[opener.value]}' to close '{opener.value}' of line {where[0]}, column {where[1]}"
        raise source.error("ParseError", message, opener.pos, code="unclosed")
    return pairs


class _Level:
    """One bracket that is open: what it is, what its statements still wait for, and where a match arm stands."""

    __slots__ = ("arm", "body_after", "dos", "kind", "pending", "semis", "value_after")

    def __init__(self, kind: str, *, value_after: bool, body_after: bool = False) -> None:
        self.kind = kind
        self.value_after = value_after
        self.body_after = body_after
        self.pending: list[str] = []
        self.dos = 0
        self.semis = 0
        self.arm = "pattern" if kind == "LMATCH" else ""


class Classifier:
    """The second scan. `run` rewrites the types of the tokens in place."""

    def __init__(self, tokens: list[Tok], pairs: dict[int, int], text: str) -> None:
        self.tokens = tokens
        self.pairs = pairs
        self.text = text
        self.levels = [_Level("LBLOCK", value_after=False)]
        self.value_ended = False
        self.body_next = False

    def run(self) -> None:
        """Classify every token."""
        tokens = self.tokens
        previous: Tok | None = None
        for index, token in enumerate(tokens):
            kind = token.type
            if kind in _CLOSERS:
                level = self.levels.pop()
                self.value_ended, self.body_next = level.value_after, level.body_after
                previous = token
                continue
            if previous is not None and kind not in _TEXTS and token.value in KEYWORDS:
                kind = self._free_word(index, token, previous)
            if kind in _OPENERS:
                self._open(index, token, kind, previous)
                self.value_ended = self.body_next = False
            else:
                self._plain(index, token, kind, previous)
            previous = token

    # -- words and operators -----------------------------------------------------------------------------------

    def _free_word(self, index: int, token: Tok, previous: Tok) -> str:
        """A reserved word after a dot, or as a key before a colon, is an ordinary name."""
        if previous.type == "DOT":
            token.type = "NAME"
        elif self.levels[-1].kind in ("LOBJ", "LPO", "LMPO", "LAGENT") and self._type(index + 1) == "COLON":
            at_key = previous.type == "COMMA" or previous.type == self.levels[-1].kind
            if at_key or self.levels[-1].kind == "LAGENT":
                token.type = "NAME"
        return token.type

    def _plain(self, index: int, token: Tok, kind: str, previous: Tok | None) -> None:
        level = self.levels[-1]
        goes_on = (kind == "IF" and level.arm == "pattern") or (kind == "IN" and self._type(index + 1) != "CONTEXT")
        if self.value_ended and kind in _BEGINS_OPERAND and not goes_on:
            self._juxtaposed()
        if kind in ("WHILE", "FOR", "FUNCTION", "CONTEXT", "MATCH", "DO"):
            self._header(kind, previous)
        elif level.arm:
            self._arm(token, kind, level)
        if kind == "SEMI" and level.pending and level.pending[-1] == "FOR":
            level.semis += 1
        elif kind == "BINOP" and token.value == "*" and previous is not None and previous.type in ("IMPORT", "EXPORT"):
            token.type = kind = "STAR"
        self.value_ended = kind in _VALUE_ENDS
        self.body_next = kind in _BODY_WORDS or (token.type == "FATARM")
        if kind == "DEFAULT" and previous is not None and previous.type == "EXPORT":
            self.body_next = False

    def _header(self, kind: str, previous: Tok | None) -> None:
        level = self.levels[-1]
        pending = level.pending
        first_of_body = self.body_next or (previous is not None and previous.type == "DO")
        if kind == "WHILE" and level.dos and not first_of_body:
            while pending.pop() != "DO":
                pass
            level.dos -= 1
            return
        if kind == "FOR":
            level.semis = 0
        level.dos += kind == "DO"
        pending.append(kind)

    def _juxtaposed(self) -> None:
        """Two values side by side: the header that was being read has ended, and its body is a single statement."""
        pending = self.levels[-1].pending
        while pending and pending[-1] in ("WHILE", "FOR"):
            pending.pop()

    def _arm(self, token: Tok, kind: str, level: _Level) -> None:
        if kind == "ARROW" and level.arm in ("pattern", "guard"):
            token.type = "FATARM"
            level.arm = "body"
        elif (kind == "IF" and level.arm == "pattern") or (kind == "ATTACH" and level.arm == "pattern"):
            level.arm = "guard"
        elif kind in ("COMMA", "SEMI") and level.arm == "body":
            level.arm = "pattern"

    # -- brackets ----------------------------------------------------------------------------------------------

    def _open(self, index: int, token: Tok, kind: str, previous: Tok | None) -> None:
        fresh = previous is None or "\n" in self.text[previous.end : token.pos]
        if kind == "IOPEN":
            self.levels.append(_Level("IOPEN", value_after=False))
            return
        if kind == "LPAR":
            self._paren(index, token, previous, fresh)
        elif kind == "LARR":
            self._square(index, token, previous, fresh)
        else:
            self._brace(index, token, previous)

    def _paren(self, index: int, token: Tok, previous: Tok | None, fresh: bool) -> None:
        before = previous.type if previous is not None else ""
        if self._is_function_head(index):
            token.type = "LPARAMS"
            self.levels.append(_Level("PARAMS", value_after=False))
        elif self.value_ended and not fresh:
            token.type = "LCALL"
            self.levels.append(_Level("LCALL", value_after=True))
        elif self._type(self.pairs[index] + 1) == "ARROW" and self.levels[-1].arm not in ("pattern", "guard"):
            self._operand()
            token.type = "LPARAMS"
            self.levels.append(_Level("PARAMS", value_after=False))
        else:
            header = before in ("IF", "CATCH") and self.levels[-1].arm != "guard"
            self._operand()
            self.levels.append(_Level("LPAR", value_after=not header, body_after=header))

    def _is_function_head(self, index: int) -> bool:
        return index >= 2 and self.tokens[index - 1].type == "NAME" and self.tokens[index - 2].type == "FUNCTION"

    def _operand(self) -> None:
        if self.value_ended:
            self._juxtaposed()

    def _square(self, index: int, token: Tok, previous: Tok | None, fresh: bool) -> None:
        level = self.levels[-1]
        if self.value_ended and not fresh:
            token.type = "LINDEX"
        else:
            self._operand()
            if self._in_pattern(previous):
                token.type = "LPA"
            elif level.arm == "pattern" or self._in_match_pattern(previous):
                token.type = "LMPA"
            elif self._assigned(self.pairs[index]):
                token.type = "LPA"
        self.levels.append(_Level(token.type, value_after=token.type in ("LINDEX", "LARR")))
        if token.type == "LMPA":
            self.levels[-1].value_after = False

    def _in_pattern(self, previous: Tok | None) -> bool:
        before = previous.type if previous is not None else ""
        if before == "LET":
            return True
        return (
            self.levels[-1].kind in ("LPA", "LPO", "PARAMS") and before not in ("EQ", "ATTACH") and not self.value_ended
        )

    def _in_match_pattern(self, previous: Tok | None) -> bool:
        before = previous.type if previous is not None else ""
        return self.levels[-1].kind in ("LMPA", "LMPO") and before != "ATTACH"

    def _brace(self, index: int, token: Tok, previous: Tok | None) -> None:
        token.type = kind = self._brace_kind(index, previous)
        value_after = kind in ("LOBJ", "LMATCH")
        if kind == "LBLOCK" and previous is not None and previous.type == "ARROW":
            value_after = True
        self.levels.append(_Level(kind, value_after=value_after))

    def _brace_kind(self, index: int, previous: Tok | None) -> str:
        before = previous.type if previous is not None else ""
        level = self.levels[-1]
        if before in ("IMPORT", "EXPORT") or (before == "COMMA" and self._type(index - 3) == "IMPORT"):
            return "LSPEC"
        if before == "AGENTS":
            return "LAGENTS"
        if before == "AGENT" or (level.kind == "LAGENTS" and before == "COLON"):
            return "LAGENT"
        if self._in_pattern(previous):
            return "LPO"
        if self.body_next:
            return "LBLOCK"
        if (level.arm == "pattern" and not self.value_ended) or self._in_match_pattern(previous):
            return "LMPO"
        return self._after_value(index, before, level)

    def _after_value(self, index: int, before: str, level: _Level) -> str:
        pending = level.pending
        header_done = self.value_ended or before == "RPAR"
        if pending and pending[-1] == "FOR" and before == "SEMI" and level.semis >= 2:
            header_done = True
        if pending and header_done and pending[-1] != "DO":
            return "LMATCH" if pending.pop() == "MATCH" else "LBLOCK"
        starts = before in ("", "RBRACE") or before in _STARTS_STATEMENT or self.value_ended
        if not starts and not (before == "RPAR" and not self.value_ended):
            return "LOBJ"
        return self._at_statement(index)

    def _at_statement(self, index: int) -> str:
        """Rule for a `{` at the start of a statement: destructuring, object or block."""
        closer = self.pairs[index]
        if self._assigned(closer):
            return "LPO"
        first, second = self._type(index + 1), self._type(index + 2)
        if first in ("RBRACE", "ELLIPSIS"):
            return "LOBJ"
        word = first in ("NAME", "STRING") or (
            index + 1 < len(self.tokens) and self.tokens[index + 1].value in KEYWORDS
        )
        if word and (second == "COLON" or (first == "NAME" and second == "COMMA")):
            return "LOBJ"
        return "LBLOCK"

    def _type(self, index: int) -> str:
        return self.tokens[index].type if 0 <= index < len(self.tokens) else ""

    def _assigned(self, closer: int) -> bool:
        """Whether what ends at `closer` is followed by `=`, or by `~> expression =`."""
        kind = self._type(closer + 1)
        if kind == "EQ":
            return True
        if kind != "ATTACH":
            return False
        at, operand = closer + 2, True
        while at < len(self.tokens):
            token = self.tokens[at]
            kind = token.type
            if kind in _OPENERS:
                if not operand and "\n" in self.text[self.tokens[at - 1].end : token.pos]:
                    return False
                at, operand = self.pairs[at] + 1, False
                continue
            if operand:
                if kind not in ("PREFIX", "MINUS"):
                    if kind not in _VALUE_ENDS:
                        return False
                    operand = False
            elif kind in ("BINOP", "LINK", "MINUS", "POW", "DOT"):
                operand = True
            else:
                return kind == "EQ"
            at += 1
        return False
