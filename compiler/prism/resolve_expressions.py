"""Resolving expressions: what each name in them means, and which of them need statements of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, cast

from compiler.prism import tree as t
from compiler.prism.binding import binds
from compiler.prism.build import BuildError
from compiler.prism.builtin_names import BUILTIN_NAMES
from compiler.prism.errors import Kind
from compiler.prism.scope import Func, Names, Ref, Scope, Var, lookup

MAX_DEPTH = 420
LONG_CHAIN = 24
MOST_FALLBACKS = 10_000
"""How often, in all, uses may have to look further out because a function around them declares the name later."""


class ExpressionResolver(ABC):
    """The state of resolving one file, and the expressions in it; statements are in `resolve`.

    `legacy`: an assignment to an unknown name declares it.
    """

    def __init__(self, *, legacy: bool = False) -> None:
        self.names = Names()
        self.legacy = legacy
        self.func = Func(None)
        self.scope: Scope = Scope(None, self.func, hoists=True)
        self.loops: int = 0
        self.functions = 0
        self.depth = 0
        self.fallbacks = 0
        self.hole: Var | None = None
        self.continues: list[bool] = []
        self.host_uses: list[tuple[str, int]] = []

    def refuse(self, message: str, pos: int, *, kind: Kind = "CheckError", code: str, hint: str = "") -> None:
        """Something that can never be right. The checker goes on after it; a run does not begin."""
        raise BuildError(message, pos, kind=kind, code=code, hint=hint)

    @abstractmethod
    def statements(self, body: Iterable[Any]) -> None:
        """Statements of one scope, in order."""

    @abstractmethod
    def scoped(self, node: Any) -> None:
        """A body with a scope of its own."""

    @abstractmethod
    def foresee(self, body: Iterable[Any]) -> None:
        """What a function body will declare when it gets there: a closure made before sees it from then on."""

    @abstractmethod
    def declare_assigned(self, body: list[Any]) -> None:
        """Old scripts: a name that is assigned and known nowhere is a variable of the function."""

    def declare(self, name: str, kind: str, node: Any, *, const: bool = False, soft: bool = False) -> Var:
        """A new variable in the current scope; a second one of the name is noted as an error of that place."""
        existing = self.scope.names.get(name)
        if existing is not None:
            self.names.redeclared.add(id(node))
            return existing
        var = Var(name, self.names.fresh(name), kind, self.func, node.pos, const=const, soft=soft)
        self.scope.names[name] = var
        self.names.vars.append(var)
        return var

    def function(self, key: Any, params: t.Params, body: Any, *, hoisted: bool = False) -> None:
        """A function or lambda: its own Python function and scope, which holds parameters and body alike."""
        outer = self.func, self.scope, self.loops, self.continues
        self.func = Func(self.func, hoisted=hoisted)
        self.scope = Scope(self.scope, self.func, hoists=False)
        self.loops, self.continues = 0, []
        self.functions += 1
        self.names.funcs[id(key)] = self.func
        self.names.scopes[id(key)] = self.scope
        targets = [*params.items, *([params.rest] if params.rest is not None else [])]
        for bind in (bind for target in targets for bind in binds(target)):
            self.names.decls[id(bind)] = self.declare(bind.name, "param", bind)
        for target in targets:
            self.pattern(target)
        if isinstance(body, t.Block):
            if self.legacy:
                self.declare_assigned(body.body)
            self.foresee(body.body)
            self.statements(body.body)
        else:
            self.expr(body)
        self.functions -= 1
        self.func, self.scope, self.loops, self.continues = outer

    # -- names and patterns ------------------------------------------------------------------------------------

    def resolve(self, name: str, *, reads: bool = True) -> Ref:
        """What a name means here; a global when nothing in the file declares it."""
        ref = lookup(self.scope, name, self.func)
        if ref is not None:
            ref.var.used = ref.var.used or reads
            if ref.fallback is None and ref.check and (ref.var.soft or ref.var.kind == "legacy"):
                ref.fallback = Ref(self._global(name), check=True)
            self._count_fallbacks(ref)
            return ref
        return Ref(self._global(name), check=True)

    def _count_fallbacks(self, ref: Ref) -> None:
        """Bound the code of uses that have to look whether a name is declared by now, and further out if not."""
        further = ref.fallback if ref.var.kind != "legacy" else None
        while further is not None:
            self.fallbacks += 1
            further = further.fallback
        if self.fallbacks > MOST_FALLBACKS:
            message = f"Too many uses of names such as '{ref.var.name}' that functions around them declare later"
            hint = "declare the names before the functions that use them"
            raise BuildError(message, ref.var.pos, kind="LimitError", code="nesting_too_deep", hint=hint)

    def _global(self, name: str) -> Var:
        var = self.names.globals.get(name)
        if var is None:
            top = self.func
            while top.parent is not None:
                top = top.parent
            var = Var(name, self.names.fresh(name), "global", top, 0, const=True, soft=False)
            var.in_loop = False
            self.names.globals[name] = var
        func: Func | None = self.func
        while func is not None and func is not var.func:
            var.captured = True
            func = func.parent
        return var

    def pattern(self, node: Any) -> None:
        """The expressions inside a pattern."""
        if isinstance(node, t.ArrayPattern):
            for item in node.items:
                if item is not None:
                    self.pattern(item.target)
                    self.maybe(item.threshold)
        elif isinstance(node, t.ObjectPattern):
            for prop in node.props:
                self.pattern(prop.target)
                self.maybe(prop.threshold)
                self.maybe(prop.default)

    # -- expressions -------------------------------------------------------------------------------------------

    def maybe(self, node: Any) -> bool:
        """An expression that may be absent."""
        return node is not None and self.expr(node)

    def expr(self, node: Any) -> bool:
        """One expression; whether it holds a `match`, which needs statements of its own."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BuildError("The program is nested too deeply", node.pos, kind="LimitError", code="nesting_too_deep")
        heavy = _EXPRESSIONS[type(node)](self, node)
        self.depth -= 1
        if heavy:
            self.names.heavy.add(id(node))
        return heavy

    def each(self, nodes: Iterable[Any]) -> bool:
        """Several expressions in order."""
        heavy = False
        for node in nodes:
            if node is not None:
                heavy = self.expr(node) or heavy
        return heavy

    def visit_name(self, node: t.Name) -> bool:
        ref = self.names.refs[id(node)] = self.resolve(node.name)
        if ref.var.kind == "global" and node.name not in BUILTIN_NAMES:
            self.host_uses.append((node.name, node.pos))
        return False

    def visit_hole(self, node: t.Hole) -> bool:
        if self.hole is None:
            message = "Placeholder (_) can only be used within pipeline expressions"
            self.refuse(message, node.pos, code="misplaced_placeholder")
            return False
        ref = lookup(self.scope, self.hole.name, self.func)
        assert ref is not None
        self.names.refs[id(node)] = ref
        ref.var.used = True
        return False

    def visit_chain(self, node: t.Chain) -> bool:
        """A long chain becomes statements, which keeps the Python tree flat."""
        return self.each(node.items) or len(node.ops) > LONG_CHAIN

    def visit_lambda(self, node: t.Lambda) -> bool:
        self.function(node, node.params, node.body)
        return False

    def visit_call(self, node: t.Call) -> bool:
        heavy = self.expr(node.function)
        first = node.args[0] if node.args else None
        if isinstance(first, t.Array) and self._is_parallel(node.function):
            branches = t.Array(first.pos, [_branch(item) for item in first.items])
            self.names.lazy[id(first)] = branches
            heavy = self.each([branches, *node.args[1:]]) or heavy
            self._unshared(branches)
            return heavy
        return self.each(node.args) or heavy

    def _is_parallel(self, node: Any) -> bool:
        """Whether a function is the effect that runs branches side by side."""
        named = isinstance(node, t.Name) and node.name == "parallel"
        return named and self.names.refs[id(node)].var.kind == "global"

    def _unshared(self, branches: t.Array) -> None:
        """Refuse a variable that one branch assigns and another uses."""
        funcs = [(item, self.names.funcs.get(id(item))) for item in branches.items]
        for item, func in funcs:
            for var in func.touches.values() if func is not None else ():
                if any(other is not None and other is not func and var.py in other.captures for _, other in funcs):
                    message = f"Branches of parallel share the variable '{var.name}', which one of them assigns"
                    hint = "let each branch return its value and combine the results"
                    self.refuse(message, item.pos, code="shared_variable", hint=hint)

    def visit_pipe(self, node: t.Pipe) -> bool:
        heavy = self.expr(node.left)
        if node.op == "~?>":
            return self.expr(node.stage) or heavy
        outer_scope, outer_hole = self.scope, self.hole
        self.scope = Scope(self.scope, self.func, hoists=False)
        self.hole = self.declare(f"hole{self.names.counter}", "hole", node)
        self.names.holes[id(node)] = self.hole
        heavy = self.expr(node.stage) or heavy
        self.scope, self.hole = outer_scope, outer_hole
        return heavy

    def visit_match(self, node: t.Match) -> bool:
        self.expr(node.subject)
        for arm in node.arms:
            outer, self.scope = self.scope, Scope(self.scope, self.func, hoists=True)
            self.names.scopes[id(arm)] = self.scope
            for bind in binds(arm.pattern):
                self.names.decls[id(bind)] = self.declare(bind.name, "match", bind)
            self.pattern(arm.pattern)
            self.maybe(arm.threshold)
            self.maybe(arm.guard)
            if isinstance(arm.body, t.Block):
                self.scoped(arm.body)
            else:
                self.expr(arm.body)
            self.scope = outer
        return True


def _branch(item: Any) -> Any:
    """An element of the array given to `parallel`, as the function that runs it."""
    if item is None or isinstance(item, t.Lambda | t.Name | t.Spread):
        return item
    return t.Lambda(item.pos, t.Params(item.pos, []), item)


def _items(*names: str) -> Callable[[ExpressionResolver, Any], bool]:
    def visit(resolver: ExpressionResolver, node: Any) -> bool:
        heavy = False
        for name in names:
            child = getattr(node, name)
            if isinstance(child, list):
                heavy = resolver.each(cast("list[Any]", child)) or heavy
            elif not isinstance(child, str):
                heavy = resolver.expr(child) or heavy
        return heavy

    return visit


def _nothing(_resolver: ExpressionResolver, _node: Any) -> bool:
    return False


R = ExpressionResolver
_EXPRESSIONS: dict[type, Callable[[ExpressionResolver, Any], bool]] = {
    t.Number: _nothing,
    t.String: _nothing,
    t.Constant: _nothing,
    t.Hole: R.visit_hole,
    t.Name: R.visit_name,
    t.Interpolation: lambda resolver, node: resolver.each(p for p in node.parts if not isinstance(p, str)),
    t.Array: _items("items"),
    t.Object: _items("entries"),
    t.Entry: _items("value"),
    t.Spread: _items("value"),
    t.Lambda: R.visit_lambda,
    t.Call: R.visit_call,
    t.Member: _items("object"),
    t.Index: _items("object", "index"),
    t.Unary: _items("operand"),
    t.Power: _items("base", "exponent"),
    t.Chain: R.visit_chain,
    t.Attach: _items("value", "confidence"),
    t.Ternary: _items("test", "yes", "no"),
    t.Pipe: R.visit_pipe,
    t.Match: R.visit_match,
}
