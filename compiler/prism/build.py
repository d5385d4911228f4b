"""From reductions of the grammar to nodes of the tree: one function for each rule, given its children."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.prism import tree as t
from compiler.prism.errors import Kind

LEVELS: dict[str, int] = {
    op: level
    for level, ops in enumerate(
        ("~~", "|| ~|| ~||> ~@>", "??", "~??", "&& ~&&", "== != === !== ~== ~!=",
         "> >= < <= ~>= ~< ~<= instanceof", "+ - ~+ ~-", "* / % ~* ~/")
    )
    for op in ops.split()
}  # fmt: skip
"""Binding strength of the operators in a chain, loosest first."""

MAX_TREE_DEPTH = 500
Children = list[Any]
Method = Callable[[Children], Any]


class BuildError(Exception):
    """The tokens fit the grammar, but not the language."""

    def __init__(
        self, message: str, pos: int, *, kind: Kind = "ParseError", code: str = "syntax", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.pos = pos
        self.code = code
        self.hint = hint


class _Rest:
    """`...name` while its pattern is being read."""

    __slots__ = ("bind",)

    def __init__(self, bind: t.Bind) -> None:
        self.bind = bind


def _resolve(chain: Children) -> Any:
    """A flat list operand, operator token, operand, ... as nodes by precedence."""
    if len(chain) == 1:
        return chain[0]
    operands: Children = [chain[0]]
    ops: list[list[Any]] = []
    for i in range(1, len(chain), 2):
        op, level = chain[i], LEVELS[chain[i].value]
        while ops and ops[-1][0] > level:
            _fold(operands, ops)
        if ops and ops[-1][0] == level:
            ops[-1][1].append(op)
        else:
            ops.append([level, [op]])
        operands.append(chain[i + 1])
    while ops:
        _fold(operands, ops)
    return operands[0]


def _fold(operands: Children, ops: list[list[Any]]) -> None:
    tokens = ops.pop()[1]
    count = len(tokens) + 1
    items = operands[-count:]
    del operands[-count:]
    operands.append(t.Chain(items[0].pos, items, [token.value for token in tokens], [token.pos for token in tokens]))


def _link(c: Children) -> t.Chain:
    first = _resolve(c[0])
    return t.Chain(first.pos, [first, _resolve(c[2])], [c[1].value], [c[1].pos])


def _link_more(c: Children) -> t.Chain:
    linked: t.Chain = c[0]
    linked.items.append(_resolve(c[2]))
    linked.ops.append(c[1].value)
    linked.places.append(c[1].pos)
    return linked


def _params(c: Children) -> t.Params:
    return t.Params(c[0][0].pos if c else 0, c[0] if c else [])


def _add_branch(c: Children) -> Children:
    band, block = c[1], c[2]
    if any(name == band.value for name, _ in c[0]):
        message = f"Duplicate '{band.value}' branch"
        raise BuildError(message, band.pos, kind="CheckError", code="duplicate_branch", hint="keep one of them")
    c[0].append((band.value, block))
    return c[0]


def _let(token: Any, target: Any, value: Any) -> t.Let:
    const = token.value == "const"
    if const and value is None:
        raise BuildError("Expected '=' after const name", target.pos, hint="a const needs a value")
    return t.Let(token.pos, target, value, const)


def _array_pattern(c: Children) -> t.ArrayPattern:
    items, rest = _split_rest(c[1], c[0].pos)
    return t.ArrayPattern(c[0].pos, items, rest)


def _object_pattern(c: Children) -> t.ObjectPattern:
    items, rest = _split_rest(c[1], c[0].pos)
    return t.ObjectPattern(c[0].pos, items, rest)


def _split_rest(items: Children, pos: int) -> tuple[Children, t.Bind | None]:
    rest = items.pop().bind if items and isinstance(items[-1], _Rest) else None
    if any(isinstance(item, _Rest) for item in items):
        raise BuildError("Rest element must be last", pos, hint="nothing may follow ...name")
    return items, rest


def _prop(c: Children, target: Any = None, threshold: Any = None, default: Any = None) -> t.Prop:
    return t.Prop(c[0].pos, c[0].value, target or t.Bind(c[0].pos, c[0].value), threshold, default)


def _function(c: Children, annotation: Any, *, is_async: bool) -> t.Function:
    return t.Function(c[0].pos, c[1].value, c[3], annotation, c[-1], is_async)


def _for(token: Any, head: tuple[Any, Any, Any], body: Any, branches: dict[str, t.Block] | None = None) -> t.For:
    start, test, update = head
    return t.For(token.pos, start, test, update, body, branches)


def _append(c: Children, item: Any) -> Children:
    c[0].append(item)
    return c[0]


def _spec(c: Children) -> t.Spec:
    return t.Spec(c[0].pos, c[0].value, c[-1].value)


def _agent(c: Children) -> t.Agent:
    return t.Agent(c[0].pos, c[0].value, c[-2])


def _entry(c: Children) -> t.Entry:
    return t.Entry(c[0].pos, c[0].value, c[2])


def _export(c: Children) -> t.Export:
    made = c[1]
    return t.Export(c[0].pos, made.statement, made.default, made.specs, made.path)


def _import(c: Children, *, default: Any = None, namespace: Any = None, specs: list[t.Spec] | None = None) -> t.Import:
    return t.Import(c[0].pos, c[-1].value, default and default.value, namespace and namespace.value, specs or [])


def second_of(c: Children) -> Any:
    """What stands between brackets."""
    return c[1]


_LISTS: dict[str, Method] = {
    "start": lambda c: c[0],
    "new_list": lambda c: [],
    "add_to_list": lambda c: _append(c, c[1]),
    "add_after_comma": lambda c: _append(c, c[2]),
    "add_none": lambda c: _append(c, None),
    "list_of": lambda c: [c[0]],
    "list_of_none": lambda c: [None],
    "first": lambda c: c[0],
    "second": second_of,
    "nothing": lambda c: None,
    "label": lambda c: c[0],
    "band": lambda c: c[0],
    "separator": lambda c: c[0],
}

_STATEMENTS: dict[str, Method] = {
    "empty": lambda c: t.Empty(c[0].pos),
    "bare_return": lambda c: t.Return(c[0].pos, None),
    "return_value": lambda c: t.Return(c[0].pos, c[1]),
    "throw_value": lambda c: t.Throw(c[0].pos, c[1]),
    "uncertain_if": lambda c: t.UncertainIf(c[0].pos, c[3], dict(c[6])),
    "uncertain_while": lambda c: t.While(c[0].pos, c[2], None, dict(c[4])),
    "uncertain_for": lambda c: _for(c[0], c[2], None, dict(c[4])),
    "add_branch": _add_branch,
    "if_then": lambda c: t.If(c[0].pos, c[2], c[4], None),
    "if_else": lambda c: t.If(c[0].pos, c[2], c[4], c[6]),
    "for_in": lambda c: t.ForIn(c[0].pos, c[1].value, None, c[3], c[4]),
    "for_index_in": lambda c: t.ForIn(c[0].pos, c[1].value, c[3].value, c[5], c[6]),
    "for_loop": lambda c: _for(c[0], c[1], c[2]),
    "forhead": lambda c: (c[0], c[2], c[4]),
    "while_loop": lambda c: t.While(c[0].pos, c[1], c[2]),
    "do_while": lambda c: t.DoWhile(c[0].pos, c[1], c[3]),
    "in_context": lambda c: t.Context(c[0].pos, c[2].value, c[3], c[5].value if len(c) > 5 else None),
    "agents_block": lambda c: t.Agents(c[0].pos, c[2]),
    "agent": _agent,
    "field": _entry,
    "break_loop": lambda c: t.Break(c[0].pos),
    "continue_loop": lambda c: t.Continue(c[0].pos),
    "catch_all": lambda c: (None, c[1]),
    "catch_name": lambda c: (c[2].value, c[4]),
    "try_catch": lambda c: t.Try(c[0].pos, c[1], c[2][0], c[2][1], None),
    "try_finally": lambda c: t.Try(c[0].pos, c[1], None, None, c[3]),
    "try_both": lambda c: t.Try(c[0].pos, c[1], c[2][0], c[2][1], c[4]),
    "destructure": lambda c: t.Destructure(c[0].pos, c[0], None, c[2]),
    "destructure_above": lambda c: t.Destructure(c[0].pos, c[0], c[2], c[4]),
    "expression": lambda c: t.Expression(c[0].pos, c[0]),
    "block": lambda c: t.Block(c[0].pos, c[1], c[2].pos),
    "function": lambda c: _function(c, None, is_async=False),
    "async_function": lambda c: _function(c[1:], None, is_async=True),
    "function_above": lambda c: _function(c, c[6], is_async=False),
    "async_function_above": lambda c: _function(c[1:], c[7], is_async=True),
    "let_null": lambda c: _let(c[0], t.Bind(c[1].pos, c[1].value), None),
    "let_name": lambda c: _let(c[0], t.Bind(c[1].pos, c[1].value), c[3]),
    "let_pattern": lambda c: _let(c[0], c[1], c[3]),
    "assign": lambda c: t.Assign(c[0].pos, c[0].value, c[1].value, c[2]),
    "import_all": lambda c: _import(c, namespace=c[3]),
    "import_specs": lambda c: _import(c, specs=c[1]),
    "import_default": lambda c: _import(c, default=c[1]),
    "import_both": lambda c: _import(c, default=c[1], specs=c[3]),
    "export": _export,
    "export_default": lambda c: t.Export(c[0].pos, default=c[1]),
    "export_all": lambda c: t.Export(c[0].pos, path=c[2].value),
    "export_specs": lambda c: t.Export(0, specs=c[0]),
    "export_specs_from": lambda c: t.Export(0, specs=c[0], path=c[2].value),
    "export_statement": lambda c: t.Export(c[0].pos, statement=c[0]),
    "no_specs": lambda c: [],
    "spec": _spec,
}

_PATTERNS: dict[str, Method] = {
    "params": _params,
    "params_rest": lambda c: t.Params(c[0][0].pos, c[0], c[3]),
    "only_rest": lambda c: t.Params(c[0].pos, [], c[1]),
    "bind": lambda c: t.Bind(c[0].pos, c[0].value),
    "array_pattern": _array_pattern,
    "object_pattern": _object_pattern,
    "item": lambda c: t.Item(c[0].pos, c[0], c[2] if len(c) > 1 else None),
    "rest": lambda c: _Rest(t.Bind(c[1].pos, c[1].value)),
    "prop": _prop,
    "prop_default": lambda c: _prop(c, default=c[2]),
    "prop_above": lambda c: _prop(c, threshold=c[2]),
    "prop_above_default": lambda c: _prop(c, threshold=c[2], default=c[4]),
    "prop_as": lambda c: _prop(c, c[2]),
    "prop_as_default": lambda c: _prop(c, c[2], default=c[4]),
    "prop_as_above": lambda c: _prop(c, c[2], c[4]),
    "prop_as_above_default": lambda c: _prop(c, c[2], c[4], c[6]),
    "guard": lambda c: (None, None),
    "guard_above": lambda c: (c[1], None),
    "guard_if": lambda c: (None, c[1]),
    "guard_both": lambda c: (c[1], c[3]),
    "arm": lambda c: t.Arm(c[0].pos, c[0], c[1][0], c[1][1], c[3]),
    "literal": lambda c: t.Literal(c[0].pos, c[0].value),
    "negative": lambda c: t.Literal(c[0].pos, -c[1].value + 0.0),
    "literal_true": lambda c: t.Literal(c[0].pos, True),
    "literal_false": lambda c: t.Literal(c[0].pos, False),
    "literal_null": lambda c: t.Literal(c[0].pos, None),
    "wild": lambda c: t.Wild(c[0].pos),
}

_EXPRESSIONS: dict[str, Method] = {
    "pipe": lambda c: t.Pipe(c[0].pos, c[1].value, c[0], c[2]),
    "conditional": lambda c: t.Ternary(c[0].pos, c[1].value, c[0], c[2], c[4]),
    "resolve": lambda c: _resolve(c[0]),
    "attach": lambda c: t.Attach(c[0].pos, c[0], c[2]),
    "link": _link,
    "link_more": _link_more,
    "add_operator": lambda c: (c[0].append(c[1]), c[0].append(c[2]), c[0])[2],
    "prefix": lambda c: t.Unary(c[0].pos, c[0].value, c[1]),
    "power": lambda c: t.Power(c[0].pos, c[0], c[2]),
    "call": lambda c: t.Call(c[0].pos, c[0], c[2]),
    "member": lambda c: t.Member(c[0].pos, c[0], c[2].value, c[1].value),
    "index": lambda c: t.Index(c[0].pos, c[0], c[2]),
    "spread": lambda c: t.Spread(c[0].pos, c[1]),
    "number": lambda c: t.Number(c[0].pos, c[0].value),
    "string": lambda c: t.String(c[0].pos, c[0].value),
    "true": lambda c: t.Constant(c[0].pos, True),
    "false": lambda c: t.Constant(c[0].pos, False),
    "null": lambda c: t.Constant(c[0].pos, None),
    "hole": lambda c: t.Hole(c[0].pos),
    "name": lambda c: t.Name(c[0].pos, c[0].value),
    "lambda_one": lambda c: t.Lambda(c[0].pos, t.Params(c[0].pos, [t.Bind(c[0].pos, c[0].value)]), c[2]),
    "lambda_many": lambda c: t.Lambda(c[0].pos, c[1], c[4]),
    "no_array": lambda c: t.Array(c[0].pos, []),
    "array_one": lambda c: t.Array(c[0].pos, [c[1]]),
    "array_list": lambda c: t.Array(c[0].pos, c[1]),
    "array_more": lambda c: t.Array(c[0].pos, [*c[1], c[2]]),
    "no_object": lambda c: t.Object(c[0].pos, []),
    "object": lambda c: t.Object(c[0].pos, c[1]),
    "entry_short": lambda c: t.Entry(c[0].pos, c[0].value, t.Name(c[0].pos, c[0].value), shorthand=True),
    "entry": _entry,
    "match": lambda c: t.Match(c[0].pos, c[1], c[3]),
    "interpolation": lambda c: t.Interpolation(c[0].pos, c[1], c[0].value),
    "add_text": lambda c: _append(c, c[1].value),
    "add_part": lambda c: _append(c, c[2]),
}


def builder_methods() -> dict[str, Method]:
    """The function for each rule of the grammar."""
    return _LISTS | _STATEMENTS | _PATTERNS | _EXPRESSIONS
