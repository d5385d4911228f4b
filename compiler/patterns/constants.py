"""Checks that always come out the same way, and the steps that can therefore never run."""

from __future__ import annotations

from typing import Any, cast

from compiler.patterns.expressions import (
    Binary,
    Choice,
    Expression,
    ExpressionError,
    Literal,
    Member,
    Name,
    Unary,
    parse_expression,
)
from compiler.patterns.model import Step
from compiler.patterns.report import Report

_UNKNOWN = object()
"""What depends on the execution."""


def report_unreachable(step: Step, schema: dict[str, Any], report: Report) -> None:
    """Reports the branch of a condition that no execution can take."""
    if step.check is None:
        return
    try:
        value = _fold(parse_expression(step.check.raw), schema)
    except ExpressionError:
        return
    if value is _UNKNOWN:
        return
    holds = _truthy(value)
    branch = step.else_steps if holds else step.then_steps
    if branch:
        first = branch[0]
        word = "true" if holds else "false"
        message = f"step {first.id!r} can never run: the check in line {step.check.line} is always {word}"
        hint = "Remove the step, or compare something that an execution decides."
        report.error("unreachable-step", first.line, first.column, message, hint)


def _truthy(value: Any) -> bool:
    return value not in (None, False, 0, "")


def _fold(node: Expression, schema: dict[str, Any]) -> Any:
    """The value of an expression where it has only one, else `_UNKNOWN`."""
    match node:
        case Literal():
            return node.value
        case Unary(op="!"):
            inner = _fold(node.operand, schema)
            return _UNKNOWN if inner is _UNKNOWN else not _truthy(inner)
        case Unary(op="-"):
            inner = _fold(node.operand, schema)
            return -inner if isinstance(inner, float) else _UNKNOWN
        case Choice():
            test = _fold(node.test, schema)
            return _UNKNOWN if test is _UNKNOWN else _fold(node.yes if _truthy(test) else node.no, schema)
        case Binary():
            return _binary(node, schema)
        case _:
            return _UNKNOWN


def _binary(node: Binary, schema: dict[str, Any]) -> Any:
    left, right = _fold(node.left, schema), _fold(node.right, schema)
    if node.op in {"&&", "||"}:
        return _logic(node.op, left, right)
    if _UNKNOWN in (left, right):
        return _impossible(node, schema)
    if node.op in {"==", "===", "!=", "!=="}:
        if type(left) is not type(right):
            return _UNKNOWN
        return (left == right) is node.op.startswith("=")
    if isinstance(left, float) and isinstance(right, float):
        orders = {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}
        return orders.get(node.op, _UNKNOWN)
    return _UNKNOWN


def _logic(op: str, left: Any, right: Any) -> Any:
    decided = op == "||"
    for side in (left, right):
        if side is not _UNKNOWN and _truthy(side) is decided:
            return decided
    if _UNKNOWN in (left, right):
        return _UNKNOWN
    return not decided


def _impossible(node: Binary, schema: dict[str, Any]) -> Any:
    """A comparison of an input field with a word that its `enum` does not have."""
    if node.op not in {"==", "===", "!=", "!=="}:
        return _UNKNOWN
    for one, other in ((node.left, node.right), (node.right, node.left)):
        if not isinstance(one, Member) or not isinstance(other, Literal) or one.base != Name("input", one.base.offset):
            continue
        rules = cast("dict[str, Any]", schema.get(one.name) or {})
        if "enum" in rules and other.value is not None and other.value not in rules["enum"]:
            return node.op.startswith("!")
    return _UNKNOWN
