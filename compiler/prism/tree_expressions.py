"""The syntax tree of expressions and patterns. Every node knows the offset `pos` of the text it came from.

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
