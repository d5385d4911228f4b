"""Expressions to Python expressions.

Every expression becomes one Python expression, except `match`, whose arms are statements: what was evaluated before it
is then kept in temporaries, and conditional parts become `if` statements, so that the order of evaluation stays.
"""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.emit import Expr
from compiler.prism.resolve_expressions import LONG_CHAIN
from compiler.prism.scope import Ref, Var
from compiler.prism.writer import COMPARISONS, HELPERS, FunctionWriter

SHORT = frozenset({"&&", "||", "??"})


class Generator(FunctionWriter):
    """The expressions of one Python function. Statements are in `statements`."""

    # -- expressions -------------------------------------------------------------------------------------------

    def expr(self, node: Any) -> Expr:
        """One expression."""
        self.cost += costs.EXPRESSION[type(node)]
        return _EXPRESSIONS[type(node)](self, node)

    def make_number(self, node: Any) -> Expr:
        return e.const(node.value)

    def make_name(self, node: Any) -> Expr:
        return self.read(self.names.refs[id(node)], node.pos)

    def make_interpolation(self, node: t.Interpolation) -> Expr:
        nodes = [part for part in node.parts if not isinstance(part, str)]
        made = iter(self.operands(nodes))
        self.cost += costs.INTERPOLATED * len(node.parts)
        parts = [e.const(part) if isinstance(part, str) else next(made) for part in node.parts]
        return e.call("r_text", e.name("R"), e.tuple_of(parts), pos=node.pos)

    def _sequence(self, nodes: list[Any]) -> list[Expr]:
        plain = [node.value if isinstance(node, t.Spread) else node for node in nodes]
        self.cost += costs.ITEM * len(nodes)
        made = self.operands([node if node is not None else t.Constant(0, None) for node in plain])
        return [
            e.star(e.call("r_spread", e.name("R"), value, pos=node.pos)) if isinstance(node, t.Spread) else value
            for node, value in zip(nodes, made, strict=True)
        ]

    def make_array(self, node: t.Array) -> Expr:
        size = e.const(len(node.items))  # what is spread counts itself
        return e.call("r_array", e.name("R"), e.listing(self._sequence(node.items)), size, pos=node.pos)

    def make_object(self, node: t.Object) -> Expr:
        made = self.operands([entry.value for entry in node.entries])
        self.cost += costs.ENTRY * len(node.entries)
        keys: list[Expr | None] = []
        values: list[Expr] = []
        for entry, value in zip(node.entries, made, strict=True):
            if isinstance(entry, t.Entry):
                keys.append(e.const(entry.key))
                values.append(value)
            else:
                keys.append(None)
                values.append(e.call("r_entries", e.name("R"), value, pos=entry.pos))
        size = e.const(len(node.entries))
        return e.call("r_object", e.name("R"), e.mapping(keys, values), size, pos=node.pos)

    @abstractmethod
    def make_lambda(self, node: t.Lambda) -> Expr:
        """A function of its own, which holds statements."""

    @abstractmethod
    def make_match(self, node: t.Match) -> Expr:
        """The statements of a match; the expression is its value."""

    def make_call(self, node: t.Call) -> Expr:
        self.cost += costs.ARGUMENT * len(node.args)
        if isinstance(node.function, t.Name) and not any(isinstance(arg, t.Spread) for arg in node.args):
            direct = self._direct(node, self.names.refs[id(node.function)].var)
            if direct is not None:
                return direct
        branches = self._branches(node)
        function, *args = self.operands([node.function, *(a.value if isinstance(a, t.Spread) else a for a in branches)])
        deeper = e.binary(e.name("d"), ast.Add(), e.const(1))
        if any(isinstance(arg, t.Spread) for arg in branches):
            items = [
                e.star(e.call("r_spread", e.name("R"), value, pos=arg.pos)) if isinstance(arg, t.Spread) else value
                for arg, value in zip(branches, args, strict=True)
            ]
            return e.call("r_call", e.name("R"), e.name("d"), function, e.tuple_of(items), pos=node.pos)
        if self.compact or self._provided(node.function):
            return e.call("r_call", e.name("R"), e.name("d"), function, e.tuple_of(args), pos=node.pos)
        self.cost += costs.FOUND_FUNCTION
        count = e.const(len(args))
        temp = function.id if isinstance(function, ast.Name) else self.temp()
        held = function if isinstance(function, ast.Name) else e.walrus(temp, function)
        fits = e.both(
            e.same(e.call("T", held), e.name("Fn")), e.compare(e.attr(e.name(temp), "arity"), ast.Eq(), count)
        )
        slow = e.call("r_callee", e.name("R"), e.name(temp), count, pos=node.pos)
        return e.call(e.choose(fits, e.attr(e.name(temp), "code"), slow), deeper, *args, pos=node.pos)

    def _direct(self, node: t.Call, var: Var) -> Expr | None:
        """A call of a function that is declared once and never assigned goes straight to its code."""
        known = var.kind == "function" and var.hoisted and var.declared == 1 and not var.assigned
        if not known or var.params != len(node.args) or var.annotated or var.py not in self.names.direct:
            return None
        deeper = e.binary(e.name("d"), ast.Add(), e.const(1))
        return e.call(f"c_{var.py}", deeper, *self.operands(node.args), pos=node.pos)

    def _provided(self, function: Any) -> bool:
        """Whether a name belongs to the language or to the host, so that what it names is no function of the text."""
        return isinstance(function, t.Name) and self.names.refs[id(function)].var.kind == "global"

    def _branches(self, node: t.Call) -> list[Any]:
        """Elements of an array given to `parallel` are branches: each becomes a function that runs it."""
        if not isinstance(node.function, t.Name) or node.function.name != "parallel" or not node.args:
            return node.args
        return [self.names.lazy.get(id(node.args[0]), node.args[0]), *node.args[1:]]

    def make_member(self, node: t.Member) -> Expr:
        helper = {".": "r_member", "?.": "r_optional", "~.": "r_careful"}[node.op]
        self.cost += costs.name_length(node.name)
        return e.call(helper, e.name("R"), self.expr(node.object), e.const(node.name), pos=node.pos)

    def make_index(self, node: t.Index) -> Expr:
        value, index = self.operands([node.object, node.index])
        return e.call("r_index", e.name("R"), value, index, pos=node.pos)

    def make_unary(self, node: t.Unary) -> Expr:
        value = self.expr(node.operand)
        if node.op == "-" and isinstance(value, ast.Constant) and type(value.value) is float:
            return e.const(0.0 - value.value)
        if node.op == "await":
            return value
        helper = {"!": "r_not", "-": "r_neg", "<~": "r_extract", "typeof": "r_typeof"}[node.op]
        return e.call(helper, value, pos=node.pos)

    def make_power(self, node: t.Power) -> Expr:
        base, exponent = self.operands([node.base, node.exponent])
        return e.call("r_pow", e.name("R"), base, exponent, pos=node.pos)

    def make_attach(self, node: t.Attach) -> Expr:
        value, confidence = self.operands([node.value, node.confidence])
        return e.call("r_attach", value, confidence, pos=node.pos)

    # -- operators ---------------------------------------------------------------------------------------------

    def make_chain(self, node: t.Chain) -> Expr:
        if node.ops[0] in SHORT or any(op in SHORT for op in node.ops):
            return self._short_chain(node)
        if len(node.ops) > LONG_CHAIN:
            temp = self.temp()
            self.out.append(e.set_name(temp, self.expr(node.items[0])))
            for op, pos, item in zip(node.ops, node.places, node.items[1:], strict=True):
                self.cost += costs.operator(op, inline=False)
                value = e.call(HELPERS[op], e.name("R"), e.name(temp), self.expr(item), pos=pos)
                self.out.append(e.set_name(temp, value))
            return e.name(temp)
        items = self.operands(node.items)
        value = items[0]
        for op, pos, item in zip(node.ops, node.places, items[1:], strict=True):
            value = self.binary(op, value, item, pos)
        return value

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
        return self._guarded_member(item) if guarded else self.expr(item)

    def _guarded_member(self, node: Any) -> Expr:
        """In old scripts a member in front of `??` may be missing, and so may those on the way to it."""
        if isinstance(node, t.Member) and node.op == ".":
            self.cost += costs.EXPRESSION[t.Member]
            return e.call(
                "r_optional", e.name("R"), self._guarded_member(node.object), e.const(node.name), pos=node.pos
            )
        return self.expr(node)

    def _short_test(self, op: str, held: Expr, temp: str) -> Expr:
        """Whether the right side is needed."""
        if op == "??":
            self.cost += costs.TRUTH
            return e.call("r_missing", held)
        test = self.truth_of(held, temp)
        return test if op == "&&" else e.negate(test)

    def _short_heavy(self, op: str, value: Expr, right: Any) -> Expr:
        result = self.temp()
        self.out.append(e.set_name(result, value))
        test = self._short_test(op, e.name(result), result)
        body = self.branch(lambda: self.out.append(e.set_name(result, self.expr(right))))
        self.out.append(e.when(test, body))
        return e.name(result)

    def test(self, node: Any) -> Expr:
        """An expression for its truth."""
        if isinstance(node, t.Unary) and node.op == "!":
            return e.negate(self.test(node.operand))
        if isinstance(node, t.Constant):
            return e.const(node.value is True)
        if isinstance(node, t.Chain) and not self.heavy(node):
            if len(node.ops) == 1 and node.ops[0] in COMPARISONS:
                left, right = self.operands(node.items)
                return self.comparison(node.ops[0], left, right, node.places[0], truth=True)
            if set(node.ops) == {"&&"} or set(node.ops) == {"||"}:
                tests = [self.test(item) for item in node.items]
                return e.both(*tests) if node.ops[0] == "&&" else e.either(*tests)
        temp = self.temp()
        return self.truth_of(e.walrus(temp, self.expr(node)), temp)

    def make_ternary(self, node: t.Ternary) -> Expr:
        if self.heavy(node.yes) or self.heavy(node.no):
            return self._ternary_heavy(node)
        if node.op == "?":
            return self._choice(self.test(node.test), node)
        temp = self.temp()
        held = e.walrus(temp, self.expr(node.test))
        value = self._choice(self.truth_of(held, temp), node)
        self.cost += costs.WEIGHED
        chosen = self.temp()
        return e.last([e.walrus(chosen, value), e.call("r_weigh", e.name(temp), e.name(chosen), pos=node.pos)])

    def _choice(self, test: Expr, node: t.Ternary) -> Expr:
        """One of two expressions; the dearer one counts."""
        before = self.cost
        yes = self.expr(node.yes)
        first, self.cost = self.cost, before
        no = self.expr(node.no)
        self.cost = max(self.cost, first)
        return e.choose(test, yes, no)

    def _ternary_heavy(self, node: t.Ternary) -> Expr:
        result, test = self.temp(), self.temp()
        self.out.append(e.set_name(test, self.expr(node.test)))
        yes = self.branch(lambda: self.out.append(e.set_name(result, self.expr(node.yes))))
        no = self.branch(lambda: self.out.append(e.set_name(result, self.expr(node.no))))
        self.out.append(e.when(self.truth_of(e.name(test), test), yes, no))
        if node.op == "?":
            return e.name(result)
        self.cost += costs.WEIGHED
        return e.call("r_weigh", e.name(test), e.name(result), pos=node.pos)

    def make_pipe(self, node: t.Pipe) -> Expr:
        if node.op == "~?>":
            self.cost += costs.WEIGHED
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
            self.cost += costs.STAGED
            stage = e.call("r_stage", e.name("R"), e.name("d"), stage, flowing, pos=node.pos)
        if node.op == "~|>":
            self.cost += costs.CARRIED
            stage = e.call("r_carry", flowing, stage) if hole.stable else self._carry(steps, flowing, stage)
        return e.last([*steps, stage]) if steps else stage

    def _carry(self, steps: list[Expr], flowing: Expr, stage: Expr) -> Expr:
        temp = self.temp()
        steps.append(e.walrus(temp, stage))
        return e.call("r_carry", flowing, e.name(temp))


G = Generator
_EXPRESSIONS: dict[type, Callable[[Generator, Any], Expr]] = {
    t.Number: G.make_number,
    t.String: G.make_number,
    t.Constant: G.make_number,
    t.Hole: G.make_name,
    t.Name: G.make_name,
    t.Interpolation: G.make_interpolation,
    t.Array: G.make_array,
    t.Object: G.make_object,
    t.Lambda: lambda gen, node: gen.make_lambda(node),
    t.Call: G.make_call,
    t.Member: G.make_member,
    t.Index: G.make_index,
    t.Unary: G.make_unary,
    t.Power: G.make_power,
    t.Chain: G.make_chain,
    t.Attach: G.make_attach,
    t.Ternary: G.make_ternary,
    t.Pipe: G.make_pipe,
    t.Match: lambda gen, node: gen.make_match(node),
}
