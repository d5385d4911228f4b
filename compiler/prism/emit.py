"""Small pieces of Python syntax trees.

The line number of a call is the offset of the Prism expression it stands for, plus one: that is how an error found at
run time knows its place without costing anything while all goes well.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any, TypedDict

LOAD = ast.Load()
STORE = ast.Store()


class _Place(TypedDict):
    lineno: int
    col_offset: int
    end_lineno: int
    end_col_offset: int


AT: _Place = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}

Expr = ast.expr
Stmt = ast.stmt


@lru_cache(maxsize=4096)
def name(text: str) -> ast.Name:
    """A name that is read."""
    return ast.Name(id=text, ctx=LOAD, **AT)


@lru_cache(maxsize=4096)
def target(text: str) -> ast.Name:
    """A name that is written."""
    return ast.Name(id=text, ctx=STORE, **AT)


def const(value: Any) -> ast.Constant:
    """A constant."""
    return ast.Constant(value=value, **AT)


def call(function: str | Expr, *args: Expr, pos: int = 0) -> ast.Call:
    """A call, at an offset of the Prism text."""
    func = name(function) if isinstance(function, str) else function
    line = pos + 1
    return ast.Call(
        func=func, args=list(args), keywords=[], lineno=line, col_offset=0, end_lineno=line, end_col_offset=0
    )


def attr(value: Expr, field: str) -> ast.Attribute:
    """One of the few attributes generated code may read."""
    return ast.Attribute(value=value, attr=field, ctx=LOAD, **AT)


def walrus(variable: str, value: Expr) -> ast.NamedExpr:
    """`(variable := value)`."""
    return ast.NamedExpr(target=target(variable), value=value, **AT)


def both(*tests: Expr) -> Expr:
    """`a and b and ...`."""
    return tests[0] if len(tests) == 1 else ast.BoolOp(op=ast.And(), values=list(tests), **AT)


def either(*tests: Expr) -> Expr:
    """`a or b or ...`."""
    return ast.BoolOp(op=ast.Or(), values=list(tests), **AT)


def negate(test: Expr) -> Expr:
    """`not test`."""
    return ast.UnaryOp(op=ast.Not(), operand=test, **AT)


def choose(test: Expr, yes: Expr, no: Expr) -> Expr:
    """`yes if test else no`."""
    return ast.IfExp(test=test, body=yes, orelse=no, **AT)


def compare(left: Expr, op: ast.cmpop, right: Expr) -> Expr:
    """One comparison."""
    return ast.Compare(left=left, ops=[op], comparators=[right], **AT)


def same(*operands: Expr) -> Expr:
    """`a is b is c`."""
    ops: list[ast.cmpop] = [ast.Is() for _ in operands[1:]]
    return ast.Compare(left=operands[0], ops=ops, comparators=list(operands[1:]), **AT)


def different(left: Expr, right: Expr) -> Expr:
    """`a is not b`."""
    return ast.Compare(left=left, ops=[ast.IsNot()], comparators=[right], **AT)


def binary(left: Expr, op: ast.operator, right: Expr) -> Expr:
    """`left op right` on Python values known to fit."""
    return ast.BinOp(left=left, op=op, right=right, **AT)


def star(value: Expr) -> Expr:
    """`*value`."""
    return ast.Starred(value=value, ctx=LOAD, **AT)


def listing(items: list[Expr]) -> Expr:
    """`[...]`."""
    return ast.List(elts=items, ctx=LOAD, **AT)


def tuple_of(items: list[Expr]) -> Expr:
    """`(...)`."""
    return ast.Tuple(elts=items, ctx=LOAD, **AT)


def mapping(keys: list[Expr | None], values: list[Expr]) -> Expr:
    """`{...}`; a key None is a spread."""
    return ast.Dict(keys=keys, values=values, **AT)


def item(value: Expr, index: int) -> Expr:
    """`value[index]`."""
    return ast.Subscript(value=value, slice=const(index), ctx=LOAD, **AT)


def last(items: list[Expr]) -> Expr:
    """Evaluate in order, keep the last."""
    return item(tuple_of(items), -1)


def set_name(variable: str, value: Expr) -> Stmt:
    """`variable = value`."""
    return ast.Assign(targets=[target(variable)], value=value, **AT)


def set_box(variable: str, value: Expr) -> Stmt:
    """`variable[0] = value`."""
    place = ast.Subscript(value=name(variable), slice=const(0), ctx=STORE, **AT)
    return ast.Assign(targets=[place], value=value, **AT)


def do(value: Expr) -> Stmt:
    """An expression for its effects."""
    return ast.Expr(value=value, **AT)


def give(value: Expr) -> Stmt:
    """`return value`."""
    return ast.Return(value=value, **AT)


def when(test: Expr, body: list[Stmt], orelse: list[Stmt] | None = None) -> Stmt:
    """`if`."""
    return ast.If(test=test, body=body or [ast.Pass(**AT)], orelse=orelse or [], **AT)


def loop(test: Expr, body: list[Stmt]) -> Stmt:
    """`while`."""
    return ast.While(test=test, body=body or [ast.Pass(**AT)], orelse=[], **AT)


def each(variable: Expr, items: Expr, body: list[Stmt]) -> Stmt:
    """`for`."""
    return ast.For(target=variable, iter=items, body=body or [ast.Pass(**AT)], orelse=[], type_comment=None, **AT)


def leave() -> Stmt:
    """`break`."""
    return ast.Break(**AT)


def again() -> Stmt:
    """`continue`."""
    return ast.Continue(**AT)


def reraise() -> Stmt:
    """`raise`."""
    return ast.Raise(exc=None, cause=None, **AT)


def shared(names: list[str]) -> Stmt:
    """`nonlocal`."""
    return ast.Nonlocal(names=names, **AT)


def guarded(body: list[Stmt], handlers: list[tuple[str, str, list[Stmt]]], final: list[Stmt] | None = None) -> Stmt:
    """`try`; handlers are (exception, name or "", body)."""
    made = [
        ast.ExceptHandler(type=name(kind), name=variable or None, body=lines or [ast.Pass(**AT)], **AT)
        for kind, variable, lines in handlers
    ]
    return ast.Try(body=body or [ast.Pass(**AT)], handlers=made, orelse=[], finalbody=final or [], **AT)


def define(function: str, params: list[str], defaults: list[str], body: list[Stmt], pos: int) -> Stmt:
    """`def function(params, *, default=default)`."""
    line = pos + 1
    made = ast.FunctionDef(
        name=function,
        args=ast.arguments(
            posonlyargs=[],
            args=[ast.arg(arg=param, **AT) for param in params],
            kwonlyargs=[ast.arg(arg=default, **AT) for default in defaults],
            kw_defaults=[name(default) for default in defaults],
            defaults=[],
        ),
        body=body or [ast.Pass(**AT)],
        decorator_list=[],
        lineno=line,
        col_offset=0,
        end_lineno=line,
        end_col_offset=0,
    )
    made.__dict__["type_params"] = []  # asked for since Python 3.12, where a node without it does not compile
    return made


def charge(steps: int, pos: int = 0) -> ast.AugAssign:
    """Count steps, those of what stands at an offset; the next round or call looks whether there are any left."""
    left = ast.Attribute(value=name("R"), attr="left", ctx=STORE, **AT)
    counted = ast.AugAssign(target=left, op=ast.Sub(), value=const(steps), **AT)
    counted.lineno = counted.end_lineno = pos + 1
    return counted


def tick(counted: ast.AugAssign) -> list[Stmt]:
    """Count steps and look whether there are any left."""
    low = compare(attr(name("R"), "left"), ast.Lt(), const(0))
    return [counted, when(low, [do(call("r_tick", name("R"), pos=counted.lineno - 1))])]


def enter(deepest: int, steps: int) -> list[Stmt]:
    """Count steps and refuse too deep a call, at the start of a function.

    Depth counts up from 0: Python shares small integers, and each waiting frame holds one.
    """
    low = compare(attr(name("R"), "left"), ast.Lt(), const(0))
    deep = compare(name("d"), ast.Gt(), const(deepest))
    return [charge(steps), when(either(low, deep), [do(call("r_enter", name("R"), name("d")))])]
