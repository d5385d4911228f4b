"""Finds variables that can never hold anything but plain numbers, so that arithmetic on them needs no checks."""

from __future__ import annotations

from typing import Any

from compiler.prism import tree as t
from compiler.prism.scope import Names, Var

_ARITHMETIC = frozenset("+-*/%")


def find_numbers(names: Names) -> None:
    """Start from all variables that could be numbers; drop those given something else until nothing changes."""
    candidates = {id(var): var for var in names.vars if var.number and var.defs}
    for var in names.vars:
        var.number = False
    changed = True
    while changed:
        changed = False
        for key, var in list(candidates.items()):
            if not all(_is_number(node, names, candidates) for node in var.defs):
                del candidates[key]
                changed = True
    for var in candidates.values():
        var.number = True
    names.numbers.update(var.py for var in candidates.values() if not var.boxed)


def _is_number(node: Any, names: Names, candidates: dict[int, Var]) -> bool:
    if isinstance(node, t.Number):
        return True
    if isinstance(node, t.Name):
        ref = names.refs[id(node)]
        return id(ref.var) in candidates and ref.fallback is None
    if isinstance(node, t.Chain):
        return _ARITHMETIC.issuperset(node.ops) and all(_is_number(item, names, candidates) for item in node.items)
    if isinstance(node, t.Power):
        return _is_number(node.base, names, candidates) and _is_number(node.exponent, names, candidates)
    if isinstance(node, t.Unary):
        return node.op == "-" and _is_number(node.operand, names, candidates)
    if isinstance(node, t.Ternary):
        return node.op == "?" and all(_is_number(part, names, candidates) for part in (node.yes, node.no))
    return False
