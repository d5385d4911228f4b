"""Expressions to Python expressions.

Every expression becomes one Python expression, except `match`, whose arms are statements: what was evaluated before it
is then kept in temporaries, and conditional parts become `if` statements, so that the order of evaluation stays.
Arithmetic and comparison of two plain numbers happen inline; everything else is a call of the runtime.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, cast

from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.builtin_names import BUILTIN_NAMES
from compiler.prism.emit import Expr, Stmt
from compiler.prism.options import Options
from compiler.prism.resolve import LONG_CHAIN
from compiler.prism.scope import Func, Names, Ref, Var

_INLINE: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div}
_COMPARE: dict[str, type[ast.cmpop]] = {
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
SHORT = frozenset({"&&", "||", "??"})


class Generator:
    """The state of generating one Python function, and the expressions. Statements are in `statements`."""

    def __init__(self, names: Names, options: Options, func: Func) -> None:
        self.names = names
        self.options = options
        self.func = func
        self.out: list[Stmt] = []
        self.temps = 0
        self.blocks = 0
        self.known: dict[int, Expr] = {}
        self.loop_update: list[Callable[[], None] | None] = []

    # -- small things ------------------------------------------------------------------------------------------

    def temp(self) -> str:
        """A new temporary of this function."""
        self.temps += 1
        return f"t{self.temps}"

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

    def operands(self, nodes: list[Any]) -> list[Expr]:
        """Several expressions, evaluated in order."""
        final = max((i for i, node in enumerate(nodes) if self.heavy(node)), default=-1)
        made: list[Expr] = []
        for i, node in enumerate(nodes):
            value = self.expr(node)
            made.append(self.spill(value) if i < final else value)
        return made

    # -- variables ---------------------------------------------------------------------------------------------

    def read(self, ref: Ref, pos: int) -> Expr:
        """The value of a variable."""
        var = ref.var
        value: Expr = e.item(e.name(var.py), 0) if var.boxed else e.name(var.py)
        if var.boxed and var.number:
            self.known[id(value)] = value
        if not ref.check:
            return value
        if ref.fallback is not None:
            otherwise = self.read(ref.fallback, pos)
        else:
            helper = "r_undefined" if var.kind == "global" else "r_unset"
            otherwise = e.call(helper, e.const(var.name), pos=pos)
        if var.kind == "global" and var.name in BUILTIN_NAMES:
            return value
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

    # -- expressions -------------------------------------------------------------------------------------------

    def expr(self, node: Any) -> Expr:
        """One expression."""
        return _EXPRESSIONS[type(node)](self, node)

    def _number(self, node: Any) -> Expr:
        return e.const(node.value)

    def _name(self, node: Any) -> Expr:
        return self.read(self.names.refs[id(node)], node.pos)

    def _interpolation(self, node: t.Interpolation) -> Expr:
        nodes = [part for part in node.parts if not isinstance(part, str)]
        made = iter(self.operands(nodes))
        parts = [e.const(part) if isinstance(part, str) else next(made) for part in node.parts]
        return e.call("r_text", e.name("R"), e.tuple_of(parts), pos=node.pos)

    def _sequence(self, nodes: list[Any]) -> list[Expr]:
        plain = [node.value if isinstance(node, t.Spread) else node for node in nodes]
        made = self.operands([node if node is not None else t.Constant(0, None) for node in plain])
        return [
            e.star(e.call("r_spread", value, pos=node.pos)) if isinstance(node, t.Spread) else value
            for node, value in zip(nodes, made, strict=True)
        ]

    def _array(self, node: t.Array) -> Expr:
        return e.call("r_array", e.name("R"), e.listing(self._sequence(node.items)), pos=node.pos)

    def _object(self, node: t.Object) -> Expr:
        made = self.operands([entry.value for entry in node.entries])
        keys: list[Expr | None] = []
        values: list[Expr] = []
        for entry, value in zip(node.entries, made, strict=True):
            if isinstance(entry, t.Entry):
                keys.append(e.const(entry.key))
                values.append(value)
            else:
                keys.append(None)
                values.append(e.call("r_entries", value, pos=entry.pos))
        return e.call("r_object", e.name("R"), e.mapping(keys, values), pos=node.pos)

    def _lambda(self, node: t.Lambda) -> Expr:
        from compiler.prism.functions import function_value  # noqa: PLC0415 - the two halves of one recursion

        return function_value(self, node, node.params, node.body, "lambda")

    def _call(self, node: t.Call) -> Expr:
        if isinstance(node.function, t.Name) and not any(isinstance(arg, t.Spread) for arg in node.args):
            direct = self._direct(node, self.names.refs[id(node.function)].var)
            if direct is not None:
                return direct
        branches = self._branches(node)
        function, *args = self.operands([node.function, *(a.value if isinstance(a, t.Spread) else a for a in branches)])
        down = e.binary(e.name("d"), ast.Sub(), e.const(1))
        if any(isinstance(arg, t.Spread) for arg in branches):
            items = [
                e.star(e.call("r_spread", value, pos=arg.pos)) if isinstance(arg, t.Spread) else value
                for arg, value in zip(branches, args, strict=True)
            ]
            return e.call("r_call", e.name("R"), e.name("d"), function, e.tuple_of(items), pos=node.pos)
        count = e.const(len(args))
        temp = function.id if isinstance(function, ast.Name) else self.temp()
        held = function if isinstance(function, ast.Name) else e.walrus(temp, function)
        fits = e.both(
            e.same(e.call("T", held), e.name("Fn")), e.compare(e.attr(e.name(temp), "arity"), ast.Eq(), count)
        )
        slow = e.call("r_callee", e.name("R"), e.name(temp), count, pos=node.pos)
        return e.call(e.choose(fits, e.attr(e.name(temp), "code"), slow), down, *args, pos=node.pos)

    def _direct(self, node: t.Call, var: Var) -> Expr | None:
        """A call of a function that is declared once and never assigned goes straight to its code."""
        known = var.kind == "function" and var.hoisted and var.declared == 1 and not var.assigned
        if not known or var.params != len(node.args) or var.annotated or var.py not in self.names.direct:
            return None
        down = e.binary(e.name("d"), ast.Sub(), e.const(1))
        return e.call(f"c_{var.py}", down, *self.operands(node.args), pos=node.pos)

    def _branches(self, node: t.Call) -> list[Any]:
        """Elements of an array given to `parallel` are branches: each becomes a function that runs it."""
        if not isinstance(node.function, t.Name) or node.function.name != "parallel" or not node.args:
            return node.args
        return [self.names.lazy.get(id(node.args[0]), node.args[0]), *node.args[1:]]

    def _member(self, node: t.Member) -> Expr:
        helper = {".": "r_member", "?.": "r_optional", "~.": "r_careful"}[node.op]
        return e.call(helper, self.expr(node.object), e.const(node.name), pos=node.pos)

    def _index(self, node: t.Index) -> Expr:
        value, index = self.operands([node.object, node.index])
        return e.call("r_index", value, index, pos=node.pos)

    def _unary(self, node: t.Unary) -> Expr:
        value = self.expr(node.operand)
        if node.op == "-" and isinstance(value, ast.Constant) and type(value.value) is float:
            return e.const(0.0 - value.value)
        if node.op == "await":
            return value
        helper = {"!": "r_not", "-": "r_neg", "<~": "r_extract", "typeof": "r_typeof"}[node.op]
        return e.call(helper, value, pos=node.pos)

    def _power(self, node: t.Power) -> Expr:
        base, exponent = self.operands([node.base, node.exponent])
        return e.call("r_pow", e.name("R"), base, exponent, pos=node.pos)

    def _attach(self, node: t.Attach) -> Expr:
        value, confidence = self.operands([node.value, node.confidence])
        return e.call("r_attach", value, confidence, pos=node.pos)

    # -- operators ---------------------------------------------------------------------------------------------

    def _chain(self, node: t.Chain) -> Expr:
        if node.ops[0] in SHORT or any(op in SHORT for op in node.ops):
            return self._short_chain(node)
        if len(node.ops) > LONG_CHAIN:
            temp = self.temp()
            self.out.append(e.set_name(temp, self.expr(node.items[0])))
            for op, pos, item in zip(node.ops, node.places, node.items[1:], strict=True):
                value = e.call(HELPERS[op], e.name("R"), e.name(temp), self.expr(item), pos=pos)
                self.out.append(e.set_name(temp, value))
            return e.name(temp)
        items = self.operands(node.items)
        value = items[0]
        for op, pos, item in zip(node.ops, node.places, items[1:], strict=True):
            value = self.binary(op, value, item, pos)
        return value

    def binary(self, op: str, left: Expr, right: Expr, pos: int) -> Expr:
        """One operator; two plain numbers are done inline."""
        if op in _COMPARE:
            return self.comparison(op, left, right, pos, truth=False)
        numeric = self._is_number(left) and self._is_number(right)
        fast = self._numbers(left, right) if op in _INLINE else None
        if fast is None:
            return e.call(HELPERS[op], e.name("R"), left, right, pos=pos)
        tests, left, right = fast
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
        fast = self._numbers(left, right)
        if fast is None:
            slow = e.call(HELPERS[op], e.name("R"), left, right, pos=pos)
            return e.call("r_truth", slow) if truth else slow
        tests, left, right = fast
        slow = e.call(HELPERS[op], e.name("R"), left, right, pos=pos)
        quick = e.compare(left, _COMPARE[op](), right)
        if not tests:
            return quick
        return e.choose(e.both(*tests), quick, e.call("r_truth", slow) if truth else slow)

    def _numbers(self, left: Expr, right: Expr) -> tuple[list[Expr], Expr, Expr] | None:
        """Tests that both are plain numbers, and how to name them once the tests ran; evaluates left before right."""
        left_number, right_number = self._is_number(left), self._is_number(right)
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            return None
        if (isinstance(left, ast.Constant) and not left_number) or (isinstance(right, ast.Constant) and not right_number):
            return None
        held_left, left = self._hold(left)
        held_right, right = self._hold(right)
        kind = e.name("F")
        if left_number and right_number:
            started = [held for held in (held_left, held_right) if isinstance(held, ast.NamedExpr)]
            return [e.tuple_of([cast(Expr, held)]) for held in started], left, right
        if right_number and held_left is not left and held_right is not right:
            return [e.both(e.tuple_of([held_left]), e.tuple_of([held_right])), e.same(e.call("T", left), kind)], left, right
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

    def _short_chain(self, node: t.Chain) -> Expr:
        value = self._short_item(node, 0)
        for i, op in enumerate(node.ops):
            right = node.items[i + 1]
            if op not in SHORT:
                held = self.spill(value) if self.heavy(right) else value
                value = self.binary(op, held, self.expr(right), node.places[i])
                continue
            if self.heavy(right) or len(node.ops) > LONG_CHAIN:
                value = self._short_heavy(op, value, right)
                continue
            temp = self.temp()
            test = self._short_test(op, e.walrus(temp, value), temp)
            right_value = self._short_item(node, i + 1)
            value = e.choose(test, right_value, e.name(temp))
        return value

    def _short_item(self, node: t.Chain, index: int) -> Expr:
        item = node.items[index]
        guarded = self.options.legacy and index < len(node.ops) and node.ops[index] == "??"
        if guarded and isinstance(item, t.Member) and item.op == ".":
            return e.call("r_optional", self.expr(item.object), e.const(item.name), pos=item.pos)
        return self.expr(item)

    def _short_test(self, op: str, held: Expr, temp: str) -> Expr:
        """Whether the right side is needed."""
        if op == "??":
            return e.call("r_missing", held)
        test = self.truth_of(held, temp)
        return test if op == "&&" else e.negate(test)

    def truth_of(self, held: Expr, temp: str) -> Expr:
        """The truth of a value that `held` puts into `temp`."""
        rest = e.both(e.different(e.name(temp), e.const(False)), e.call("r_truth", e.name(temp)))
        return e.either(e.same(held, e.const(True)), rest)

    def _short_heavy(self, op: str, value: Expr, right: Any) -> Expr:
        result = self.temp()
        self.out.append(e.set_name(result, value))
        test = self._short_test(op, e.name(result), result)
        body = self.collect(lambda: self.out.append(e.set_name(result, self.expr(right))))
        self.out.append(e.when(test, body))
        return e.name(result)

    def test(self, node: Any) -> Expr:
        """An expression for its truth."""
        if isinstance(node, t.Unary) and node.op == "!":
            return e.negate(self.test(node.operand))
        if isinstance(node, t.Constant):
            return e.const(node.value is True)
        if isinstance(node, t.Chain) and not self.heavy(node):
            if len(node.ops) == 1 and node.ops[0] in _COMPARE:
                left, right = self.operands(node.items)
                return self.comparison(node.ops[0], left, right, node.places[0], truth=True)
            if set(node.ops) == {"&&"} or set(node.ops) == {"||"}:
                tests = [self.test(item) for item in node.items]
                return e.both(*tests) if node.ops[0] == "&&" else e.either(*tests)
        temp = self.temp()
        return self.truth_of(e.walrus(temp, self.expr(node)), temp)

    def _ternary(self, node: t.Ternary) -> Expr:
        if self.heavy(node.yes) or self.heavy(node.no):
            return self._ternary_heavy(node)
        if node.op == "?":
            return e.choose(self.test(node.test), self.expr(node.yes), self.expr(node.no))
        temp = self.temp()
        held = e.walrus(temp, self.expr(node.test))
        value = e.choose(self.truth_of(held, temp), self.expr(node.yes), self.expr(node.no))
        chosen = self.temp()
        return e.last([e.walrus(chosen, value), e.call("r_weigh", e.name(temp), e.name(chosen), pos=node.pos)])

    def _ternary_heavy(self, node: t.Ternary) -> Expr:
        result, test = self.temp(), self.temp()
        self.out.append(e.set_name(test, self.expr(node.test)))
        yes = self.collect(lambda: self.out.append(e.set_name(result, self.expr(node.yes))))
        no = self.collect(lambda: self.out.append(e.set_name(result, self.expr(node.no))))
        self.out.append(e.when(self.truth_of(e.name(test), test), yes, no))
        if node.op == "?":
            return e.name(result)
        return e.call("r_weigh", e.name(test), e.name(result), pos=node.pos)

    def _pipe(self, node: t.Pipe) -> Expr:
        if node.op == "~?>":
            left, stage = self.operands([node.left, node.stage])
            return e.call("r_threshold", left, stage, pos=node.pos)
        hole = self.names.holes[id(node)]
        if hole.boxed:
            self.create(hole)
        value = self.expr(node.left)
        if self.heavy(node.stage):
            self.write(hole, value)
            steps: list[Expr] = []
        else:
            steps = [self.bind_inline(hole, value)]
        stage = self.expr(node.stage)
        flowing = self.read(Ref(hole), node.pos)
        if not hole.used:
            stage = e.call("r_stage", e.name("R"), e.name("d"), stage, flowing, pos=node.pos)
        if node.op == "~|>":
            stage = e.call("r_carry", flowing, stage) if hole.stable else self._carry(steps, flowing, stage)
        return e.last([*steps, stage]) if steps else stage

    def _carry(self, steps: list[Expr], flowing: Expr, stage: Expr) -> Expr:
        temp = self.temp()
        steps.append(e.walrus(temp, stage))
        return e.call("r_carry", flowing, e.name(temp))

    def _match(self, node: t.Match) -> Expr:
        from compiler.prism.matching import match_value  # noqa: PLC0415 - the arms hold statements

        return match_value(self, node)


G = Generator
_EXPRESSIONS: dict[type, Callable[[Generator, Any], Expr]] = {
    t.Number: G._number, t.String: G._number, t.Constant: G._number, t.Hole: G._name, t.Name: G._name,
    t.Interpolation: G._interpolation, t.Array: G._array, t.Object: G._object, t.Lambda: G._lambda, t.Call: G._call,
    t.Member: G._member, t.Index: G._index, t.Unary: G._unary, t.Power: G._power, t.Chain: G._chain,
    t.Attach: G._attach, t.Ternary: G._ternary, t.Pipe: G._pipe, t.Match: G._match,
}  # fmt: skip
