"""The syntax tree: statements, and under the same name the expressions and patterns they are made of."""

from __future__ import annotations

from typing import Any

from compiler.prism.tree_expressions import (
    Arm,
    Array,
    ArrayPattern,
    Attach,
    Bind,
    Call,
    Chain,
    Constant,
    Entry,
    Hole,
    Index,
    Interpolation,
    Item,
    Lambda,
    Literal,
    Match,
    Member,
    Name,
    Node,
    Number,
    Object,
    ObjectPattern,
    Params,
    Pipe,
    Power,
    Prop,
    Spread,
    String,
    Ternary,
    Unary,
    Wild,
)

__all__ = [
    "Agent", "Agents", "Arm", "Array", "ArrayPattern", "Assign", "Attach", "Bind", "Block", "Break", "Call",
    "Chain", "Constant", "Context", "Continue", "Destructure", "DoWhile", "Empty", "Entry", "Export",
    "Expression", "For", "ForIn", "Function", "Hole", "If", "Import", "Index", "Interpolation", "Item",
    "Lambda", "Let", "Literal", "Match", "Member", "Name", "Node", "Number", "Object", "ObjectPattern",
    "Params", "Pipe", "Power", "Program", "Prop", "Return", "Spec", "Spread", "String", "Ternary", "Throw",
    "Try", "Unary", "UncertainIf", "While", "Wild",
]  # fmt: skip


class Block(Node, frozen=True):
    """`{ statements }`. `end` is the offset of the closing brace."""

    body: list[Any]
    end: int = 0


class Empty(Node, frozen=True):
    """A lone `;`."""


class Expression(Node, frozen=True):
    """An expression as a statement."""

    value: Any


class Let(Node, frozen=True):
    """`let` or `const`. The target is a Bind or a pattern; without a value it is null."""

    target: Any
    value: Any
    const: bool


class Assign(Node, frozen=True):
    """`name = value` and the compound ones."""

    name: str
    op: str
    value: Any


class Destructure(Node, frozen=True):
    """`pattern ~> threshold = value` to variables that exist."""

    target: Any
    threshold: Any
    value: Any


class Function(Node, frozen=True):
    """A function declaration; `annotation` is the confidence after its parameters."""

    name: str
    params: Params
    annotation: Any
    body: Block
    is_async: bool = False


class Return(Node, frozen=True):
    """`return value`; None is a bare one."""

    value: Any


class Throw(Node, frozen=True):
    """`throw value`."""

    value: Any


class If(Node, frozen=True):
    """`if (test) yes else no`."""

    test: Any
    yes: Any
    no: Any


class UncertainIf(Node, frozen=True):
    """`uncertain if`: branches by band."""

    test: Any
    branches: dict[str, Block]


class While(Node, frozen=True):
    """`while test body`; with branches it is `uncertain while`."""

    test: Any
    body: Any
    branches: dict[str, Block] | None = None


class DoWhile(Node, frozen=True):
    """`do body while test`."""

    body: Any
    test: Any


class For(Node, frozen=True):
    """`for start; test; update body`; with branches it is `uncertain for`."""

    start: Any
    test: Any
    update: Any
    body: Any
    branches: dict[str, Block] | None = None


class ForIn(Node, frozen=True):
    """`for name, index in items body`."""

    name: str
    index: str | None
    items: Any
    body: Any


class Context(Node, frozen=True):
    """`in context name { } -> target`."""

    name: str
    body: Block
    target: str | None


class Agent(Node, frozen=True):
    """One agent of an `agents` block."""

    name: str
    fields: list[Entry]


class Agents(Node, frozen=True):
    """`agents { name: Agent { ... } }`."""

    agents: list[Agent]


class Break(Node, frozen=True):
    """`break`."""


class Continue(Node, frozen=True):
    """`continue`."""


class Try(Node, frozen=True):
    """`try`, `catch (name)`, `finally`."""

    body: Block
    name: str | None
    handler: Block | None
    final: Block | None


class Spec(Node, frozen=True):
    """`name as alias` of an import or export."""

    name: str
    alias: str


class Import(Node, frozen=True):
    """`import`: a default name, a namespace name, specs."""

    path: str
    default: str | None
    namespace: str | None
    specs: list[Spec]


class Export(Node, frozen=True):
    """`export`: a statement, a default expression, specs (perhaps of another module), or everything of one."""

    statement: Any = None
    default: Any = None
    specs: list[Spec] | None = None
    path: str | None = None


class Program(Node, frozen=True):
    """A whole file."""

    body: list[Any]
