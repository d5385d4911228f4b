"""Finding code that can never run: behind a return, under a constant test, in a band or arm that cannot be chosen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

from compiler.prism import tree as t
from compiler.prism.check_calls import children, every, literal_number
from compiler.prism.findings import Findings

_LEAVES: dict[type[Any], str] = {t.Return: "return", t.Throw: "throw", t.Break: "break", t.Continue: "continue"}
_CODE = "unreachable"


def find_unreachable(tree: t.Program, findings: Findings, high: float, medium: float) -> None:
    """Note every statement, branch and arm that nothing leads to. `high` and `medium` are where the bands begin."""
    for node in every(tree):
        match node:
            case t.Program() | t.Block():
                _after_leaving(node.body, findings)
            case t.If():
                _constant_if(node, findings)
            case t.While() | t.For():
                _loop(node, findings, high, medium)
            case t.Ternary() if node.op == "?":
                _constant_choice(node, findings)
            case t.UncertainIf():
                _bands(node.test, node.branches, findings, high, medium)
            case t.Match():
                _arms(node, findings)
            case _:
                pass


def _after_leaving(statements: list[Any], findings: Findings) -> None:
    for node, following in pairwise(statements):
        word = _leaves(node)
        if word and not isinstance(following, t.Function | t.Empty):
            findings.warning(
                _CODE, f"Nothing gets here: {word} leaves before", following.pos, "remove it, or move it up"
            )
            return


def _leaves(node: Any) -> str:
    """The word by which a statement always leaves, or ""."""
    match node:
        case t.Block():
            return next((word for inner in node.body if (word := _leaves(inner))), "")
        case t.Context():
            return _leaves(node.body)
        case t.If() if node.no is not None:
            return _all_leave([node.yes, node.no])
        case t.UncertainIf() if "default" in node.branches or {"high", "medium", "low"} <= node.branches.keys():
            return _all_leave(list(node.branches.values()))
        case t.Try():
            tried = [part for part in (node.body, node.handler) if part is not None]
            return (_leaves(node.final) if node.final is not None else "") or _all_leave(tried)
        case t.Expression(value=t.Match(arms=[*_, t.Arm(pattern=t.Wild() | t.Bind(), threshold=None, guard=None)])):
            return _all_leave([arm.body for arm in node.value.arms])
        case t.DoWhile():
            word = _leaves(node.body)
            return word if word in ("return", "throw") else ""
        case t.While() | t.For() if node.branches is None:
            endless = node.test is None or _constant(node.test) is True
            return "an endless loop" if endless and not _breaks(node.body) else ""
        case _:
            return _LEAVES.get(cast("type[Any]", type(node)), "")


def _all_leave(parts: list[Any]) -> str:
    """The word by which the first of some parts leaves, if all of them do."""
    words = [_leaves(part) for part in parts]
    return words[0] if words and all(words) else ""


def _breaks(body: Any) -> bool:
    """Whether a `break` in a body ends the loop around it."""
    stack = [body]
    while stack:
        node = stack.pop()
        if isinstance(node, t.Break):
            return True
        if not isinstance(node, t.While | t.For | t.ForIn | t.DoWhile | t.Function | t.Lambda):
            stack.extend(children(node))
    return False


def _constant(node: Any) -> bool | None:
    """The truth of a test that is written out, or None."""
    if isinstance(node, t.Unary) and node.op == "!":
        inner = _constant(node.operand)
        return None if inner is None else not inner
    if isinstance(node, t.Attach):
        return _constant(node.value)
    if isinstance(node, t.Constant):
        return node.value is True
    if isinstance(node, t.Number):
        return node.value != 0
    if isinstance(node, t.String):
        return node.value != ""
    return True if isinstance(node, t.Array | t.Object | t.Lambda) else None


def _constant_if(node: t.If, findings: Findings) -> None:
    truth = _constant(node.test)
    if truth is False:
        findings.warning(_CODE, "This branch never runs: its test is always false", node.yes.pos)
    elif truth is True and node.no is not None:
        findings.warning(_CODE, "The else branch never runs: the test is always true", node.no.pos)


def _loop(node: t.While | t.For, findings: Findings, high: float, medium: float) -> None:
    if node.test is not None and _constant(node.test) is False:
        inside = node.body if node.branches is None else next(iter(node.branches.values()), node)
        findings.warning(_CODE, "This loop never runs: its test is always false", inside.pos)
    elif node.branches is not None:
        _bands(node.test, node.branches, findings, high, medium)


def _constant_choice(node: t.Ternary, findings: Findings) -> None:
    truth = _constant(node.test)
    if truth is not None:
        dead = node.no if truth else node.yes
        findings.warning(_CODE, f"This is never chosen: the test is always {str(truth).lower()}", dead.pos)


def _bands(test: Any, branches: dict[str, t.Block], findings: Findings, high: float, medium: float) -> None:
    if "default" in branches and {"high", "medium", "low"} <= branches.keys():
        pos = branches["default"].pos
        findings.warning(_CODE, "The default branch never runs: high, medium and low are all there", pos)
    level = literal_number(test.confidence) if isinstance(test, t.Attach) else None
    if level is None:
        return
    band = "high" if level >= high else "medium" if level >= medium else "low"
    taken = band if band in branches else "default"
    for name, block in branches.items():
        if name != taken:
            findings.warning(_CODE, f"The {name} branch never runs: the confidence is always {band}", block.pos)


def _arms(node: t.Match, findings: Findings) -> None:
    seen: set[tuple[str, Any]] = set()
    for number, arm in enumerate(node.arms):
        if arm.threshold is not None or arm.guard is not None:
            continue
        if isinstance(arm.pattern, t.Wild | t.Bind):
            if number + 1 < len(node.arms):
                later = node.arms[number + 1]
                findings.warning(_CODE, "This arm never runs: the one before it takes everything", later.pos)
            return
        if isinstance(arm.pattern, t.Literal):
            key = (type(arm.pattern.value).__name__, arm.pattern.value)
            if key in seen:
                findings.warning(_CODE, "This arm never runs: an arm above takes the same value", arm.pos)
            seen.add(key)
