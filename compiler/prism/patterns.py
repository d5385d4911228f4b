"""Destructuring: `let [a, {b}] = ...`, patterns in parameters, and assignment through patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.emit import Expr

if TYPE_CHECKING:
    from compiler.prism.bodies import BodyGenerator


def take_apart(gen: BodyGenerator, target: Any, value: Expr, threshold: Expr | None, *, declare: bool) -> None:
    """Bind or assign everything in a pattern. `threshold`: values less confident than that become null."""
    if isinstance(target, t.Bind):
        _give(gen, target, value, declare=declare)
    elif isinstance(target, t.ArrayPattern):
        _array(gen, target, value, threshold, declare=declare)
    else:
        _object(gen, target, value, threshold, declare=declare)


def _give(gen: BodyGenerator, bind: t.Bind, value: Expr, *, declare: bool) -> None:
    if declare:
        gen.write(gen.names.decls[id(bind)], value)
    else:
        gen.assign(gen.names.refs[id(bind)], value, bind.pos)


def _filtered(gen: BodyGenerator, value: Expr, threshold: Expr | None, own: Any, pos: int) -> Expr:
    gen.cost += costs.PART + costs.THRESHOLD * ((threshold is not None) + (own is not None))
    if threshold is not None:
        value = e.call("r_above", value, threshold, pos=pos)
    if own is not None:
        value = gen.spill(value)
        value = e.call("r_above", value, gen.expr(own), pos=own.pos)
    return value


def _array(gen: BodyGenerator, target: t.ArrayPattern, value: Expr, threshold: Expr | None, *, declare: bool) -> None:
    count = e.const(len(target.items))
    gen.cost += costs.PARTS
    parts = gen.spill(e.call("r_parts", e.name("R"), value, count, pos=target.pos))
    for i, item in enumerate(target.items):
        if item is not None:
            part = _filtered(gen, e.item(parts, i), threshold, item.threshold, item.pos)
            part = part if isinstance(item.target, t.Bind) else gen.spill(part)
            take_apart(gen, item.target, part, threshold, declare=declare)
    if target.rest is not None:
        gen.cost += costs.PARTS
        limit = threshold or e.const(None)
        _give(
            gen, target.rest, e.call("r_rest", e.name("R"), parts, count, limit, pos=target.rest.pos), declare=declare
        )


def _object(gen: BodyGenerator, target: t.ObjectPattern, value: Expr, threshold: Expr | None, *, declare: bool) -> None:
    gen.cost += costs.PARTS
    parts = gen.spill(e.call("r_fields", e.name("R"), value, pos=target.pos))
    for prop in target.props:
        gen.cost += costs.PART + costs.name_length(prop.key)
        part = e.call("r_field", parts, e.const(prop.key))
        part = _filtered(gen, part, threshold, prop.threshold, prop.pos)
        if prop.default is not None:
            result = gen.temp()
            present = gen.collect(lambda part=part, result=result: gen.out.append(e.set_name(result, part)))
            default = prop.default
            absent = gen.collect(
                lambda default=default, result=result: gen.out.append(e.set_name(result, gen.expr(default)))
            )
            gen.out.append(e.when(e.call("r_has", parts, e.const(prop.key)), present, absent))
            part = e.name(result)
        elif not isinstance(prop.target, t.Bind):
            part = gen.spill(part)
        take_apart(gen, prop.target, part, threshold, declare=declare)
    if target.rest is not None:
        gen.cost += costs.PARTS + costs.PART * len(target.props)
        keys = e.tuple_of([e.const(prop.key) for prop in target.props])
        limit = threshold or e.const(None)
        _give(
            gen, target.rest, e.call("r_others", e.name("R"), parts, keys, limit, pos=target.rest.pos), declare=declare
        )
