"""What a piece of the tree binds or assigns, found without resolving anything."""

from __future__ import annotations

from typing import Any

from compiler.prism import tree as t


def binds(target: Any) -> list[t.Bind]:
    """The names a pattern binds, in order."""
    if isinstance(target, t.Bind):
        return [target]
    if isinstance(target, t.ArrayPattern):
        inner = [bind for item in target.items if item is not None for bind in binds(item.target)]
    elif isinstance(target, t.ObjectPattern):
        inner = [bind for prop in target.props for bind in binds(prop.target)]
    else:
        return []
    return [*inner, target.rest] if target.rest is not None else inner


def function_of(statement: Any) -> t.Function | None:
    inner = statement.statement if isinstance(statement, t.Export) else statement
    return inner if isinstance(inner, t.Function) else None


def assigned_names(body: Any) -> dict[str, Any]:
    """Names assigned in a piece of code, not looking into functions (for old scripts)."""
    found: dict[str, Any] = {}
    stack: list[Any] = [body]
    while stack:
        node = stack.pop()
        if isinstance(node, t.Assign):
            found.setdefault(node.name, node)
        elif isinstance(node, t.Destructure):
            for bind in binds(node.target):
                found.setdefault(bind.name, bind)
        if isinstance(node, list):
            stack.extend(node)  # pyright: ignore[reportUnknownArgumentType] - a list of nodes of any kind
        elif isinstance(node, dict):
            stack.extend(node.values())  # pyright: ignore[reportUnknownArgumentType] - branches by band
        elif isinstance(node, t.Node) and not isinstance(node, t.Lambda | t.Function):
            stack.extend(getattr(node, name) for name in node.__struct_fields__)
    return found
