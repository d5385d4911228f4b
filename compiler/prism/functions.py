"""Functions and lambdas: their Python definitions, parameters and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.binding import binds
from compiler.prism.emit import Expr, Stmt
from compiler.prism.patterns import take_apart

if TYPE_CHECKING:
    from compiler.prism.bodies import BodyGenerator


def function_value(outer: BodyGenerator, key: Any, params: t.Params, body: Any, name: str, code: str = "") -> Expr:
    """Emit the Python function of a lambda or declaration; the expression makes the Prism function from it."""
    outer.lambdas += 1
    code = code or f"f{outer.lambdas}"
    held = len(outer.names.funcs[id(key)].captures)
    outer.cost += costs.NEW_FUNCTION + costs.CAPTURED * held
    outer.out.append(_definition(outer, key, params, body, code))
    arity = e.const(len(params.items))
    rest, is_lambda = e.const(params.rest is not None), e.const(isinstance(key, t.Lambda))
    size = e.const(held)
    return e.call("r_fn", e.name("R"), e.name(code), arity, rest, e.const(name), is_lambda, size, pos=key.pos)


def _definition(outer: BodyGenerator, key: Any, params: t.Params, body: Any, code: str) -> Stmt:
    func = outer.names.funcs[id(key)]
    inner = type(outer)(outer.names, outer.options, func, compact=outer.compact)
    names = ["d"]
    names_of = [bind for target in (*params.items, params.rest) for bind in binds(target)]
    again = [bind for bind in names_of if id(bind) in outer.names.redeclared]
    if again:
        inner.out.append(e.do(e.call("r_redeclared", e.const(again[0].name), pos=again[0].pos)))
    declared: set[str] = set()
    targets = [*params.items, *([params.rest] if params.rest is not None else [])]
    inner.cost += costs.FUNCTION + costs.PARAMETER * len(targets)
    for i, target in enumerate(targets):
        if isinstance(target, t.Bind) and target.name not in declared:
            names.append(outer.names.decls[id(target)].py)
            declared.add(target.name)
        else:
            names.append(f"a{i}")
    for name, target in zip(names[1:], targets, strict=True):
        if not isinstance(target, t.Bind):
            take_apart(inner, target, e.name(name), None, declare=True)
    scope = outer.names.scopes[id(key)]
    for var in scope.names.values():
        if var.kind != "param":
            inner.create(var)
    if isinstance(body, t.Block):
        inner.body(body.body, "return")
    else:
        inner.value(body, "return")
    boxes = sorted(var.py for var in func.captures.values() if var.boxed)
    assigned = sorted(var.py for var in func.assigns.values() if not var.boxed and var.kind != "global")
    counted = e.enter(outer.options.limits.depth, costs.steps(inner.cost))
    lines = [*([e.shared(assigned)] if assigned else []), *counted, *inner.out]
    return e.define(code, names, boxes, inner.fitted(lines), key.pos)
