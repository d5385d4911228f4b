"""Where the values of statements go, and the bodies that hold statements.

`want` says where the value of a statement goes: None (nobody asks), "return" (it is the value of the function), or the
name of a temporary.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.emit import Expr, Stmt
from compiler.prism.functions import function_value
from compiler.prism.generate import Generator
from compiler.prism.matching import emit_match, match_value
from compiler.prism.scope import Ref

ZERO, NULL = 0.0, None
Want = str | None


def _leaves(node: Any) -> bool:
    """Whether what stands behind a body is not reached through it."""
    while isinstance(node, t.Block):
        if not node.body:
            return False
        node = node.body[-1]
    return isinstance(node, t.Return | t.Break | t.Continue | t.Throw)


class BodyGenerator(Generator):
    """Statement lists of one Python function."""

    @abstractmethod
    def statement(self, node: Any, want: Want) -> None:
        """One statement."""

    def make_lambda(self, node: t.Lambda) -> Expr:
        return function_value(self, node, node.params, node.body, "lambda")

    def make_match(self, node: t.Match) -> Expr:
        return match_value(self, node)

    # -- values of statements ----------------------------------------------------------------------------------

    def give(self, value: Expr, want: Want) -> None:
        """Send a value where it is wanted; evaluated also when nobody wants it."""
        if want is None:
            self.out.append(e.do(value))
        elif want == "return":
            self.out.append(e.give(value))
        else:
            self.out.append(e.set_name(want, value))

    def constant(self, value: float | None, want: Want) -> None:
        """A value that needs no evaluation."""
        if want is not None:
            self.give(e.const(value), want)

    def value(self, node: Any, want: Want) -> None:
        """An expression whose value is wanted."""
        if isinstance(node, t.Ternary) and node.op == "?":
            test = self.test(node.test)
            yes, no = (self.branch(lambda part=part: self.value(part, want)) for part in (node.yes, node.no))
            self.out.append(e.when(test, yes, no))
        elif isinstance(node, t.Match):
            self.constant(NULL, want) if want not in (None, "return") else None
            emit_match(self, node, want or self.temp())
            if want == "return":
                self.constant(NULL, want)
        else:
            self.give(self.expr(node), want)

    def spill_always(self, value: Expr) -> Expr:
        """Evaluate into a temporary, also a constant."""
        temp = self.temp()
        self.out.append(e.set_name(temp, value))
        return e.name(temp)

    def body(self, statements: list[Any], want: Want) -> None:
        """Statements in order; the last one that has a value is the value.

        What stands behind an `if` that leaves counts its own steps, as a branch does.
        """
        valued = [i for i, node in enumerate(statements) if not isinstance(node, t.Empty)]
        final = valued[-1] if valued else -1
        regions: list[tuple[int, int]] = []
        for i, node in enumerate(statements):
            self.statement(node, want if i == final else None)
            if isinstance(node, t.If) and node.no is None and _leaves(node.yes):
                regions.append((len(self.out), self.cost))
                self.cost = 0
        if final < 0:
            self.constant(ZERO, want)
        for place, outer in reversed(regions):
            if self.cost > costs.SMALL_BRANCH:
                self.out.insert(place, e.charge(costs.steps(self.cost)))
                self.cost = 0
            self.cost += outer

    def block(self, node: Any, want: Want) -> None:
        """A body with a scope of its own: a block, or a single statement."""
        for var in self.names.scopes[id(node)].names.values():
            self.create(var)
        self.body(node.body if isinstance(node, t.Block) else [node], want)

    def inner(self, node: Any, want: Want) -> list[Stmt]:
        """The statements of a body that runs only sometimes."""
        return self.branch(lambda: self.block(node, want))

    def assign(self, ref: Ref, value: Expr, pos: int) -> None:
        """Assign a variable that exists already, or fail as the language says."""
        var = ref.var
        if ref.fallback is not None and var.kind not in ("global", "legacy"):
            self._assign_first_set(ref, ref.fallback, value, pos)
        elif var.kind == "global":
            self.out.append(e.do(value))
            unknown = e.call("r_unassignable", e.name("R"), e.const(var.name), pos=pos)
            self.out.append(e.do(unknown))
        elif var.const:
            self.out.append(e.do(value))
            self.out.append(e.do(e.call("r_constant", e.const(var.name), pos=pos)))
        elif ref.check and var.kind != "legacy":
            held = self.spill_always(value)
            current = e.item(e.name(var.py), 0) if var.boxed else e.name(var.py)
            early = e.do(e.call("r_early", e.const(var.name), pos=pos))
            self.out.append(e.when(e.same(current, e.name("U")), [early]))
            self.write(var, held)
        else:
            self.write(var, value)

    def _assign_first_set(self, ref: Ref, fallback: Ref, value: Expr, pos: int) -> None:
        """Assign the variable if it is there already, else the one further out."""
        held = self.spill_always(value)
        current = e.item(e.name(ref.var.py), 0) if ref.var.boxed else e.name(ref.var.py)
        outer = self.collect(lambda: self.assign(fallback, held, pos))
        inner = self.collect(lambda: self.assign(Ref(ref.var), held, pos))
        self.out.append(e.when(e.same(current, e.name("U")), outer, inner))

    def bands(self, score: Expr, branches: dict[str, t.Block], want: Want, otherwise: Callable[[], None]) -> None:
        """The branch that a confidence picks. Each is written once: copies would double at each level of nesting."""
        self.cost += costs.BANDS
        present = [band for band in ("high", "medium", "low") if band in branches]
        high, medium = e.const(self.options.high), e.const(self.options.medium)
        not_high = [] if "high" in branches else [e.compare(score, e.ast.Lt(), high)]
        tests = {
            "high": e.compare(score, e.ast.GtE(), high),
            "medium": e.both(e.compare(score, e.ast.GtE(), medium), *not_high),
            "low": e.compare(score, e.ast.Lt(), medium),
        }

        def chosen(bands: list[str]) -> list[Stmt]:
            if not bands:
                default = branches.get("default")
                return self.collect(otherwise) if default is None else self.inner(default, want)
            lines = self.inner(branches[bands[0]], want)
            is_last = bands == ["low"] and len(present) == 3
            return lines if is_last else [e.when(tests[bands[0]], lines, chosen(bands[1:]))]

        self.out.extend(chosen(present))
