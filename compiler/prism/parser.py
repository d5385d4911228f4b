"""Text to tree: tokens, bracket pass, the LALR tables driven by a small loop, and errors that say what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from compiler.prism import tree as t
from compiler.prism.brackets import Classifier, pair
from compiler.prism.build import BuildError, builder_methods, second_of
from compiler.prism.collector import held_off
from compiler.prism.errors import PrismError
from compiler.prism.expected import describe
from compiler.prism.lexer import tokenize
from compiler.prism.options import Limits
from compiler.prism.source import Source
from compiler.prism.tokens import Tok

Rule = tuple[str, int, Callable[[list[Any]], Any] | None]
States = list[dict[str, int]]


@cache
def tables() -> tuple[States, list[Rule]]:
    """The states and rules of the grammar; read once."""
    raw = json.loads(files("compiler.prism").joinpath("tables.json").read_text("utf-8"))
    methods = builder_methods()
    rules: list[Rule] = [(origin, size, methods[name] if name else None) for origin, size, name in raw["rules"]]
    return raw["states"], rules


def parse(text: str, name: str = "program", limits: Limits | None = None) -> t.Program:
    """The tree of a program. Raises PrismError (LexError, ParseError, CheckError, LimitError)."""
    return parse_source(Source(text, name), limits or Limits())


def parse_source(source: Source, limits: Limits) -> t.Program:
    """As `parse`, for a text whose places are needed later."""
    with held_off():
        return _build(read_tokens(source, limits), source, None)


def _build(tokens: list[Tok], source: Source, ends: dict[int, int] | None) -> t.Program:
    try:
        return t.Program(0, _drive(tokens, source, ends))
    except BuildError as failure:
        raise source.error(failure.kind, failure.message, failure.pos, code=failure.code, hint=failure.hint) from None
    except RecursionError:
        raise source.error("LimitError", "The program is nested too deeply", 0, code="nesting_too_deep") from None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A tree with its tokens, and the offset behind each node, by the node's id."""

    tree: t.Program
    tokens: list[Tok]
    ends: dict[int, int]


def parse_with_places(source: Source, limits: Limits) -> Parsed:
    """As `parse_source`, for whoever prints the program again."""
    tokens = read_tokens(source, limits)
    ends: dict[int, int] = {}
    made = _build(tokens, source, ends)
    return Parsed(made, tokens[:-1], ends)


def read_tokens(source: Source, limits: Limits) -> list[Tok]:
    """The classified tokens of a text."""
    size = len(source.text)
    if size > limits.source or (size < limits.source < size * 4 and _size(source.text) > limits.source):
        message = f"The program is larger than {limits.source} bytes"
        raise PrismError("LimitError", message, code="source_too_large", hint="split it up", file=source.name)
    tokens = tokenize(source, limits)
    pairs = pair(tokens, source, limits)
    Classifier(tokens, pairs, source.text).run()
    return tokens


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _drive(tokens: list[Tok], source: Source, ends: dict[int, int] | None) -> list[Any]:
    states, rules = tables()
    row = states[0]
    rows: list[dict[str, int]] = [row]
    values: list[Any] = []
    end = len(source.text)
    tokens.append(Tok("$END", "", end, end))
    reached = 0
    for token in tokens:
        kind = token.type
        while True:
            action = row.get(kind)
            if action is None:
                raise _unexpected(token, [*rows], source, tokens)
            if action >= 0:
                row = states[action]
                rows.append(row)
                values.append(token)
                reached = token.end
                break
            origin, size, make = rules[~action]
            if make is None:
                rows.pop()
            elif size:
                children = values[-size:]
                del values[-size:]
                del rows[-size:]
                made = make(children)
                values.append(made)
                if ends is not None and make is not second_of:
                    ends[id(made)] = reached
            else:
                values.append(make([]))
            if origin == "start":
                return values[-1]
            row = states[rows[-1][origin]]
            rows.append(row)
    raise AssertionError("the end token always ends the parse")


def _unexpected(token: Tok, rows: list[dict[str, int]], source: Source, tokens: list[Tok]) -> PrismError:
    index = next(i for i, other in enumerate(tokens) if other is token)
    message, hint = describe(token, rows, tokens[max(0, index - 3) : index], tables()[0], tables()[1])
    return source.error("ParseError", message, token.pos, code="syntax", hint=hint)
