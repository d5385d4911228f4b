"""The syntax tree. Every node knows the offset `pos` of the text it came from.

Chains of operators of one level stay flat (`a + b - c` is one node), so that a long sum is not a deep tree.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Node(Struct, frozen=True):
    """Base of all nodes."""

    pos: int


# -- expressions -----------------------------------------------------------------------------------------------


class Number(Node, frozen=True):
    """A number literal."""

    value: float


class String(Node, frozen=True):
    """A string literal without interpolation."""

    value: str


class Constant(Node, frozen=True):
    """`true`, `false` or `null`."""

    value: bool | None


class Hole(Node, frozen=True):
    """`_`, what flows into a pipeline stage."""


class Name(Node, frozen=True):
    """A variable."""

    name: str


class Interpolation(Node, frozen=True):
    """A string with `${...}`: texts and expressions in turn. `quote` is how it was written."""

    parts: list[Any]
    quote: str


class Spread(Node, frozen=True):
    """`...value` in an array, an object or a call."""

    value: Any


class Array(Node, frozen=True):
    """`[...]`; None is an empty place."""

    items: list[Any]


class Entry(Node, frozen=True):
    """`key: value` of an object."""

    key: str
    value: Any
    shorthand: bool = False


class Object(Node, frozen=True):
    """`{...}` as a value: entries and spreads."""

    entries: list[Any]


class Params(Node, frozen=True):
    """Parameters: plain names or patterns, and where the rest goes."""

    items: list[Any]
    rest: Any = None


class Lambda(Node, frozen=True):
    """`params => body`; the body is a Block or an expression."""

    params: Params
    body: Any


class Call(Node, frozen=True):
    """`function(args)`."""

    function: Any
    args: list[Any]


class Member(Node, frozen=True):
    """`object.name`, `?.` or `~.`."""

    object: Any
    name: str
    op: str


class Index(Node, frozen=True):
    """`object[index]`."""

    object: Any
    index: Any


class Unary(Node, frozen=True):
    """A prefix operator: `! - <~ typeof await`."""

    op: str
    operand: Any


class Power(Node, frozen=True):
    """`base ** exponent`."""

    base: Any
    exponent: Any


class Chain(Node, frozen=True):
    """Operators of one level between operands, evaluated from the left. `places` are the operators' offsets."""

    items: list[Any]
    ops: list[str]
    places: list[int]


class Attach(Node, frozen=True):
    """`value ~> confidence`."""

    value: Any
    confidence: Any


class Ternary(Node, frozen=True):
    """`test ? yes : no`, or `~?`."""

    op: str
    test: Any
    yes: Any
    no: Any


class Pipe(Node, frozen=True):
    """`left |> stage`, `~|>` or `~?>`."""

    op: str
    left: Any
    stage: Any


class Arm(Node, frozen=True):
    """One arm of a match."""

    pattern: Any
    threshold: Any
    guard: Any
    body: Any


class Match(Node, frozen=True):
    """`match subject { arms }`."""

    subject: Any
    arms: list[Arm]


# -- patterns --------------------------------------------------------------------------------------------------


class Bind(Node, frozen=True):
    """A name in a pattern."""

    name: str


class Literal(Node, frozen=True):
    """A literal in a match pattern."""

    value: Any


class Wild(Node, frozen=True):
    """`_` in a match pattern, or an empty place."""


class Item(Node, frozen=True):
    """An element of an array pattern: what it binds and the confidence it needs."""

    target: Any
    threshold: Any = None


class Prop(Node, frozen=True):
    """An entry of an object pattern."""

    key: str
    target: Any
    threshold: Any = None
    default: Any = None


class ArrayPattern(Node, frozen=True):
    """`[a, , b, ...rest]`; None is an empty place."""

    items: list[Any]
    rest: Bind | None


class ObjectPattern(Node, frozen=True):
    """`{a, b: c, ...rest}`."""

    props: list[Prop]
    rest: Bind | None


# -- statements ------------------------------------------------------------------------------------------------


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
