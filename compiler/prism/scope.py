"""Which variable each name means, and how it must be kept in the generated Python.

A variable of a block is local to its Python function under a name of its own. One that a lambda captures and that is
declared inside a loop lives in a box made anew in each round, which the lambda takes along as a default argument; the
others are ordinary Python closure variables. A read is checked only where it may come before the declaration.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

UNCHECKED_KINDS = frozenset({"param", "hole", "loop", "catch", "match"})


class Var:
    """One variable."""

    __slots__ = ("annotated", "assigned", "boxed", "captured", "const", "declared", "defs", "func", "hoisted",
                 "in_loop", "kind", "name", "needs_init", "number", "params", "pos", "py", "ready", "soft",
                 "used")  # fmt: skip

    def __init__(self, name: str, py: str, kind: str, func: Func, pos: int, *, const: bool, soft: bool) -> None:
        self.name = name
        self.py = py
        self.kind = kind
        self.func = func
        self.pos = pos
        self.const = const
        self.soft = soft
        self.in_loop = func.loops > 0
        self.ready = kind in UNCHECKED_KINDS
        self.hoisted = False
        self.captured = False
        self.assigned = False
        self.boxed = False
        self.needs_init = False
        self.used = False
        self.declared = 1
        self.annotated = False
        self.params = -1
        self.defs: list[Any] = []
        self.number = kind == "let"

    @property
    def stable(self) -> bool:
        """Whether evaluating something else cannot change it."""
        return not (self.captured and self.assigned) and not self.boxed


class Func:
    """One Python function to be generated: the program or a function in it."""

    __slots__ = ("assigns", "captures", "hoisted", "loops", "parent", "touches")

    def __init__(self, parent: Func | None, *, hoisted: bool = False) -> None:
        self.parent = parent
        self.hoisted = hoisted or (parent is not None and parent.hoisted)
        self.loops = 0
        self.captures: dict[str, Var] = {}
        self.assigns: dict[str, Var] = {}
        self.touches: dict[str, Var] = {}


class Ref(Struct):
    """A use of a variable. `check`: it may be unset; then `fallback` is tried, or it is an error."""

    var: Var
    check: bool = False
    fallback: Ref | None = None


class Scope:
    """The names of one block. `hoists`: its let and const exist, unset, from its beginning."""

    __slots__ = ("func", "hoists", "names", "parent")

    def __init__(self, parent: Scope | None, func: Func, *, hoists: bool) -> None:
        self.parent = parent
        self.func = func
        self.hoists = hoists
        self.names: dict[str, Var] = {}


class Names:
    """Tables the resolver fills and the generator reads, by the identity of nodes."""

    def __init__(self) -> None:
        self.refs: dict[int, Ref] = {}
        self.decls: dict[int, Var] = {}
        self.scopes: dict[int, Scope] = {}
        self.funcs: dict[int, Func] = {}
        self.holes: dict[int, Var] = {}
        self.heavy: set[int] = set()
        self.redeclared: set[int] = set()
        self.continues: set[int] = set()
        self.globals: dict[str, Var] = {}
        self.unsteady: set[str] = set()
        self.numbers: set[str] = set()
        self.direct: set[str] = set()
        self.lazy: dict[int, Any] = {}
        self.paths: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        self.vars: list[Var] = []
        self.counter = 0

    def fresh(self, name: str) -> str:
        """A Python name for a Prism name, never the same twice."""
        self.counter += 1
        return f"v_{name}_{self.counter}"


def lookup(scope: Scope | None, name: str, func: Func) -> Ref | None:
    """What a name means here; marks captures on the way."""
    while scope is not None:
        var = scope.names.get(name)
        if var is not None:
            inner = func is not var.func
            unsure = not var.ready or (inner and func.hoisted and not var.func.hoisted and _late(var))
            fallback = None
            if unsure and var.soft:
                if not inner and var.func.loops == 0 and not var.ready:
                    scope = scope.parent
                    continue
                fallback = lookup(scope.parent, name, func)
            if unsure:
                var.needs_init = True
            if inner:
                _capture(var, func)
            return Ref(var, unsure, fallback)
        scope = scope.parent
    return None


def _late(var: Var) -> bool:
    """Whether a hoisted function may run before this variable of the program has its value."""
    return not var.hoisted and var.kind not in UNCHECKED_KINDS


def _capture(var: Var, func: Func) -> None:
    var.captured = True
    if var.in_loop:
        var.boxed = True
    inner: Func | None = func
    while inner is not None and inner is not var.func:
        inner.captures[var.py] = var
        inner = inner.parent
