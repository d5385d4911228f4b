"""Writing one Python function: its temporaries, its variables, and arithmetic done inline.

Arithmetic and comparison of two plain numbers happen inline; everything else is a call of the runtime.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism.builtin_names import BUILTIN_NAMES
from compiler.prism.emit import Expr, Stmt
from compiler.prism.nesting import DEEPEST, fitted
from compiler.prism.options import Options
from compiler.prism.scope import Func, Names, Ref, Var

_INLINE: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div}
COMPARISONS: dict[str, type[ast.cmpop]] = {
    "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE, "==": ast.Eq, "===": ast.Eq, "!=": ast.NotEq,
    "!==": ast.NotEq,
}  # fmt: skip
HELPERS: dict[str, str] = {
    "+": "r_add", "-": "r_sub", "*": "r_mul", "/": "r_div", "%": "r_mod", "<": "r_lt", "<=": "r_le", ">": "r_gt",
    ">=": "r_ge", "==": "r_eq", "!=": "r_ne", "===": "r_same", "!==": "r_differ", "instanceof": "r_instanceof",
    "~+": "r_cadd", "~-": "r_csub", "~*": "r_cmul", "~/": "r_cdiv", "~==": "r_ceq", "~!=": "r_cne", "~<": "r_clt",
    "~<=": "r_cle", "~>=": "r_cge", "~&&": "r_cand", "~||": "r_cor", "~~": "r_chain", "~??": "r_ccoalesce",
    "~||>": "r_better", "~@>": "r_gate",
}  # fmt: skip


class FunctionWriter(ABC):
    """The state of one Python function while it is written.

    `compact`: nothing is done inline, as in a very long program, whose code would take too much memory. `cost` adds up
    what the code that is being written costs when it runs, in hundredths of a step.
    """

    def __init__(self, names: Names, options: Options, func: Func, *, compact: bool = False) -> None:
        self.names = names
        self.options = options
        self.func = func
        self.out: list[Stmt] = []
        self.cost: int = 0
        self.temps = 0
        self.lambdas = 0
        self.compact = compact
        self.blocks = self.deepest = 0
        self.finals = False
        self.round = e.charge(1)
        self.known: dict[int, Expr] = {}
        self.loop_update: list[Callable[[], None] | None] = []

    # -- small things ------------------------------------------------------------------------------------------

    def temp(self) -> str:
        """A new temporary of this function."""
        self.temps += 1
        return f"t{self.temps}"

    def fitted(self, lines: list[Stmt]) -> list[Stmt]:
        """The body of the function, as Python takes it."""
        return fitted(lines) if self.finals or self.deepest > DEEPEST // 3 else lines

    def spill(self, value: Expr) -> Expr:
        """Evaluate now, into a temporary."""
        if isinstance(value, ast.Constant):
            return value
        temp = self.temp()
        self.out.append(e.set_name(temp, value))
        return e.name(temp)

    def heavy(self, node: Any) -> bool:
        """Whether the expression needs statements."""
        return id(node) in self.names.heavy

    def collect(self, make: Callable[[], None]) -> list[Stmt]:
        """The statements that `make` emits."""
        outer, self.out = self.out, []
        make()
        made, self.out = self.out, outer
        return made

    def measured(self, make: Callable[[], None]) -> tuple[list[Stmt], int]:
        """The statements that `make` emits, and what they cost."""
        outer, self.cost = self.cost, 0
        lines = self.collect(make)
        cost, self.cost = self.cost, outer
        return lines, cost

    def branch(self, make: Callable[[], None]) -> list[Stmt]:
        """Statements that run only sometimes: they count their steps themselves, unless these are few."""
        lines, cost = self.measured(make)
        if cost <= costs.SMALL_BRANCH:
            self.cost += cost
            return lines
        return [e.charge(costs.steps(cost)), *lines]

    def operands(self, nodes: list[Any]) -> list[Expr]:
        """Several expressions, evaluated in order."""
        final = max((i for i, node in enumerate(nodes) if self.heavy(node)), default=-1)
        made: list[Expr] = []
        for i, node in enumerate(nodes):
            value = self.expr(node)
            made.append(self.spill(value) if i < final else value)
        return made

    @abstractmethod
    def expr(self, node: Any) -> Expr:
        """One expression."""

    # -- variables ---------------------------------------------------------------------------------------------

    def read(self, ref: Ref, pos: int) -> Expr:
        """The value of a variable."""
        var = ref.var
        value: Expr = e.item(e.name(var.py), 0) if var.boxed else e.name(var.py)
        if var.boxed and var.number:
            self.known[id(value)] = value
        if not ref.check or (var.kind == "global" and var.name in BUILTIN_NAMES):
            return value
        if ref.fallback is not None:
            otherwise = self.read(ref.fallback, pos)
        else:
            helper = "r_undefined" if var.kind == "global" else "r_unset"
            if self.compact:
                return e.call("r_held", value, e.name(helper), e.const(var.name), pos=pos)
            otherwise = e.call(helper, e.const(var.name), pos=pos)
        return e.choose(e.different(value, e.name("U")), value, otherwise)

    def write(self, var: Var, value: Expr) -> None:
        """Give a variable its value."""
        self.out.append(e.set_box(var.py, value) if var.boxed else e.set_name(var.py, value))

    def create(self, var: Var, value: Expr | None = None) -> None:
        """Bring a variable into being: a new box, or unset where somebody may look too early."""
        if var.boxed:
            self.out.append(e.set_name(var.py, e.listing([value or e.name("U")])))
        elif value is not None:
            self.out.append(e.set_name(var.py, value))
        elif var.needs_init:
            self.out.append(e.set_name(var.py, e.name("U")))

    def bind_inline(self, var: Var, value: Expr) -> Expr:
        """An expression that binds a variable; its box, if any, was created before."""
        if var.boxed:
            return e.call("r_fill", e.name(var.py), value)
        return e.walrus(var.py, value)

    # -- operators ---------------------------------------------------------------------------------------------

    def binary(self, op: str, left: Expr, right: Expr, pos: int) -> Expr:
        """One operator; two plain numbers are done inline."""
        if op in COMPARISONS:
            return self.comparison(op, left, right, pos, truth=False)
        self.cost += costs.operator(op, inline=not self.compact)
        numeric = self._is_number(left) and self._is_number(right)
        fast = self._numbers(left, right) if op in _INLINE and not self.compact else None
        if fast is None:
            return e.call(HELPERS[op], e.name("R"), left, right, pos=pos)
        tests, left, right = fast
        self.cost += costs.TESTED * bool(tests)
        result = self.temp()
        value = e.binary(left, _INLINE[op](), right)
        if op in "*/":
            value = e.binary(value, ast.Add(), e.const(0.0))
        if op == "/":
            tests.append(right)
        tests.append(e.negate(e.binary(e.walrus(result, value), ast.Sub(), e.name(result))))
        made = e.choose(e.both(*tests), e.name(result), e.call(HELPERS[op], e.name("R"), left, right, pos=pos))
        if numeric:
            self.known[id(made)] = made
        return made

    def comparison(self, op: str, left: Expr, right: Expr, pos: int, *, truth: bool) -> Expr:
        """One comparison; with `truth` the Python result is only good for a test."""
        fast = None if self.compact else self._numbers(left, right)
        self.cost += costs.HELPED if fast is None else costs.COMPARED
        if fast is None:
            slow = e.call(HELPERS[op], e.name("R"), left, right, pos=pos)
            return e.call("r_truth", slow) if truth else slow
        tests, left, right = fast
        self.cost += costs.TESTED * bool(tests)
        slow = e.call(HELPERS[op], e.name("R"), left, right, pos=pos)
        quick = e.compare(left, COMPARISONS[op](), right)
        if not tests:
            return quick
        return e.choose(e.both(*tests), quick, e.call("r_truth", slow) if truth else slow)

    def _numbers(self, left: Expr, right: Expr) -> tuple[list[Expr], Expr, Expr] | None:
        """Tests that both are plain numbers, and how to name them once the tests ran; evaluates left before right."""
        left_number, right_number = self._is_number(left), self._is_number(right)
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            return None
        if (isinstance(left, ast.Constant) and not left_number) or (
            isinstance(right, ast.Constant) and not right_number
        ):
            return None
        held_left, left = self._hold(left)
        held_right, right = self._hold(right)
        kind = e.name("F")
        if left_number and right_number:
            started = [held for held in (held_left, held_right) if isinstance(held, ast.NamedExpr)]
            return [e.tuple_of([cast(Expr, held)]) for held in started], left, right
        if right_number and held_left is not left and held_right is not right:
            return (
                [e.both(e.tuple_of([held_left]), e.tuple_of([held_right])), e.same(e.call("T", left), kind)],
                left,
                right,
            )
        if left_number and held_left is not left and held_right is not right:
            return [e.tuple_of([held_left]), e.same(e.call("T", held_right), kind)], left, right
        if right_number:
            return [e.same(e.call("T", held_left), kind)], left, right
        if left_number:
            return [e.same(e.call("T", held_right), kind)], left, right
        if held_left is not left and held_right is not right:
            return [e.same(e.call("T", held_left), e.call("T", held_right), kind)], left, right
        first, second = (held_left, held_right) if held_right is right else (held_right, held_left)
        return [e.same(e.call("T", first), kind), e.same(e.call("T", second), kind)], left, right

    def _is_number(self, value: Expr) -> bool:
        if isinstance(value, ast.Constant):
            return type(cast(Any, value.value)) is float
        return id(value) in self.known or (isinstance(value, ast.Name) and value.id in self.names.numbers)

    def _hold(self, value: Expr) -> tuple[Expr, Expr]:
        """How to evaluate a value once, and its name afterwards."""
        if isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and self._steady(value.id)):
            return value, value
        temp = self.temp()
        return e.walrus(temp, value), e.name(temp)

    def _steady(self, python_name: str) -> bool:
        return python_name.startswith("t") or python_name not in self.names.unsteady

    def truth_of(self, held: Expr, temp: str) -> Expr:
        """The truth of a value that `held` puts into `temp`."""
        self.cost += costs.TRUTH
        if self.compact:
            return e.call("r_truth", held)
        rest = e.both(e.different(e.name(temp), e.const(False)), e.call("r_truth", e.name(temp)))
        return e.either(e.same(held, e.const(True)), rest)
