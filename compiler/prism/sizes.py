"""How much code a tree becomes, before it does: the memory of compiling goes by that, not by the text.

Counted are the nodes of Python's syntax tree, as the compact form of the code has them. A table of literals is one or
two for a token, an ordinary pattern four, a row of tiny functions ten.
"""

from __future__ import annotations

from typing import Any, cast

from compiler.prism import tree as t

_SIZES: dict[type, int] = {
    t.Name: 5, t.Hole: 3, t.Interpolation: 7, t.Spread: 4, t.Array: 8, t.Object: 8, t.Entry: 1, t.Lambda: 46,
    t.Call: 13, t.Member: 8, t.Index: 7, t.Unary: 6, t.Power: 7, t.Attach: 6, t.Ternary: 16, t.Pipe: 18, t.Match: 12,
    t.Arm: 24, t.Bind: 1, t.Literal: 4, t.Item: 9, t.Prop: 11, t.ArrayPattern: 16, t.ObjectPattern: 16, t.Let: 3,
    t.Assign: 4, t.Destructure: 14, t.Function: 58, t.Throw: 7, t.If: 9, t.UncertainIf: 22, t.While: 36, t.DoWhile: 46,
    t.For: 52, t.ForIn: 44, t.Agent: 12, t.Try: 36, t.Import: 20, t.Spec: 12, t.Export: 10,
}  # fmt: skip
_OPERATOR, _SHORT = 8, 13
_BRANCH = 8
_LOOKS, _MANY = 100, 4000
"""Python looks at the variables of a function again for each function in it: how many looks take the time of a node,
and from how many variables on each look takes longer."""


def generated_size(tree: t.Program) -> int:
    """Nodes of the code of a file, roughly."""
    size = functions = variables = 0
    stack: list[Any] = [tree.body]
    while stack:
        node = stack.pop()
        kind = cast("type[Any]", type(node))
        if kind is list:
            stack.extend(node)
        elif kind is dict:
            size += _BRANCH * len(node)
            stack.extend(node.values())
        elif isinstance(node, t.Chain):
            size += sum(_SHORT if op in ("&&", "||", "??") else _OPERATOR for op in node.ops)
            stack.extend(node.items)
        elif isinstance(node, t.Node):
            size += _SIZES.get(kind, 1)
            functions += kind is t.Lambda or kind is t.Function
            variables += kind is t.Bind or 3 * (kind is t.Function)
            if isinstance(node, t.Params):
                variables -= len(node.items)  # they belong to the function itself
            stack.extend([getattr(node, name) for name in node.__struct_fields__[1:]])
    return size + functions * variables * (_MANY + variables) // (_LOOKS * _MANY)
