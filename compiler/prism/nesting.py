"""Code that Python would refuse or copy, moved into functions of its own.

Python nests at most 20 loops and try statements in one function. It compiles the code of `finally` once for each way
out of its `try`, so that nested ones double with each level. Here a statement too deep becomes a function that is
called in its place; a `finally` that holds more than a few statements is one too, and so is the body of a `try` with
many ways out. Such a function shares the variables of the one around it, and says by what it returns how it was left:
with U at its end, with LEAVE and AGAIN for a `break` and a `continue`, else with what the function around it returns.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from compiler.prism import emit as e
from compiler.prism.emit import Stmt

DEEPEST = 15
"""Blocks in one function; Python allows 20, of which a try statement takes up to three."""
_TRY = 3
_WAYS_OUT = 8
_SMALL = 60
"""Nodes of a `finally` that may be copied."""
_PREFIX = "o_"


class Exits(NamedTuple):
    """How many statements leave a piece of code."""

    returns: int = 0
    breaks: int = 0
    continues: int = 0

    def plus(self, other: Exits) -> Exits:
        """Of both pieces."""
        return Exits(*(one + more for one, more in zip(self, other, strict=True)))


def fitted(lines: list[Stmt]) -> list[Stmt]:
    """The body of a function, with what Python would refuse or copy moved out."""
    fitter = _Fitter(count(1))
    made, _ = fitter.lines(lines, 0)
    if not fitter.shared:
        return made
    at = 1 if made and isinstance(made[0], ast.Nonlocal) else 0
    return [*made[:at], _bound(fitter.shared), *made[at:]]


def _bound(names: Iterable[str]) -> Stmt:
    """Makes names variables of this function without giving them a value."""
    return e.when(e.const(False), [e.set_name(name, e.const(None)) for name in sorted(names)])


class _Fitter:
    """Fits the body of one Python function. `shared` are the variables that moved code assigns."""

    def __init__(self, numbers: count[int]) -> None:
        self.numbers = numbers
        self.shared: set[str] = set()

    def lines(self, lines: list[Stmt], depth: int) -> tuple[list[Stmt], Exits]:
        """Statements inside `depth` blocks of Python, and how they are left."""
        made: list[Stmt] = []
        exits = Exits()
        for line in lines:
            fit, leaves = self.statement(line, depth)
            made += fit
            exits = exits.plus(leaves)
        return made, exits

    def statement(self, line: Stmt, depth: int) -> tuple[list[Stmt], Exits]:
        match line:
            case ast.Return():
                return [line], Exits(returns=1)
            case ast.Break():
                return [line], Exits(breaks=1)
            case ast.Continue():
                return [line], Exits(continues=1)
            case ast.If():
                line.body, yes = self.lines(line.body, depth)
                line.orelse, no = self.lines(line.orelse, depth)
                return [line], yes.plus(no)
            case ast.While() | ast.For():
                if depth >= DEEPEST:
                    return self.in_place([line])
                line.body, exits = self.lines(line.body, depth + 1)
                return [line], Exits(returns=exits.returns)
            case ast.Try():
                return self.in_place([line]) if depth > DEEPEST - _TRY else self.attempt(line, depth)
            case _:
                return [line], Exits()

    def attempt(self, line: ast.Try, depth: int) -> tuple[list[Stmt], Exits]:
        """A try statement."""
        before: list[Stmt] = []
        inside = depth + bool(line.finalbody)
        line.body, exits = self.lines(line.body, inside + 1)
        if line.finalbody and sum(exits) > _WAYS_OUT:
            defined, line.body, exits = self.moved(line.body, exits)
            before.append(defined)
        for handler in line.handlers:
            handler.body, caught = self.lines(handler.body, inside + 2)
            if line.finalbody and sum(caught) > _WAYS_OUT:
                defined, handler.body, caught = self.moved(handler.body, caught)
                before.append(defined)
            exits = exits.plus(caught)
        line.finalbody, last = self.lines(line.finalbody, depth + 2)
        if _is_copied_dearly(line.finalbody):
            defined, line.finalbody, last = self.moved(line.finalbody, last)
            before.append(defined)
        return [*before, line], exits.plus(last)

    def in_place(self, lines: list[Stmt]) -> tuple[list[Stmt], Exits]:
        """Statements that are too deep, as a function and its call."""
        inner = _Fitter(self.numbers)
        made, exits = inner.lines(lines, 0)
        defined, called, exits = self.moved(([_bound(inner.shared)] if inner.shared else []) + made, exits)
        return [defined, *called], exits

    def moved(self, lines: list[Stmt], exits: Exits) -> tuple[Stmt, list[Stmt], Exits]:
        """The function that holds statements, the statements that call it, and how these are left."""
        name = f"{_PREFIX}{next(self.numbers)}"
        if exits.breaks or exits.continues:
            _replace_jumps(lines)
        assigned = sorted(_assigned(lines))
        self.shared.update(assigned)
        body = [*([e.shared(assigned)] if assigned else []), *lines, e.give(e.name("U"))]
        defined = e.define(name, [], [], body, 0)
        if not any(exits):
            return defined, [e.do(e.call(name))], exits
        left = f"{name}_left"
        called: list[Stmt] = [e.set_name(left, e.call(name))]
        if exits.breaks:
            called.append(e.when(e.same(e.name(left), e.name("LEAVE")), [e.leave()]))
        if exits.continues:
            called.append(e.when(e.same(e.name(left), e.name("AGAIN")), [e.again()]))
        if exits.returns:
            called.append(e.when(e.different(e.name(left), e.name("U")), [e.give(e.name(left))]))
        return defined, called, Exits(*(min(one, 1) for one in exits))


def _replace_jumps(lines: list[Stmt]) -> None:
    """Let a `break` or `continue` of a loop further out end the function that the statements move to."""
    stack = [lines]
    while stack:
        here = stack.pop()
        for number, line in enumerate(here):
            if isinstance(line, ast.Break | ast.Continue):
                here[number] = e.give(e.name("LEAVE" if isinstance(line, ast.Break) else "AGAIN"))
            elif isinstance(line, ast.If):
                stack += [line.body, line.orelse]
            elif isinstance(line, ast.Try):
                stack += [line.body, line.finalbody, *(handler.body for handler in line.handlers)]


def _assigned(lines: list[Stmt]) -> set[str]:
    """Variables that statements assign, without those of this module and of functions inside."""
    found: set[str] = set()
    stack: list[ast.AST] = list(lines)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        stack.extend(ast.iter_child_nodes(node))
    return {name for name in found if not name.startswith(_PREFIX)}


def _is_copied_dearly(lines: list[Stmt]) -> bool:
    """Whether copies of a `finally` are large, or hold what is copied in turn."""
    stack: list[ast.AST] = list(lines)
    seen = 0
    while stack:
        node = stack.pop()
        seen += 1
        if seen > _SMALL or isinstance(node, ast.Try | ast.FunctionDef | ast.While | ast.For):
            return True
        stack.extend(ast.iter_child_nodes(node))
    return False
