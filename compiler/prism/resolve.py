"""One walk over the tree that fills the tables of `scope`, and refuses what can never be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from compiler.prism import tree as t
from compiler.prism.build import BuildError
from compiler.prism.builtin_names import BUILTIN_NAMES
from compiler.prism.numbers import find_numbers
from compiler.prism.scope import Func, Names, Ref, Scope, Var, lookup

MAX_DEPTH = 420
LONG_CHAIN = 24
_NUMERIC_ASSIGNMENTS = frozenset({"=", "+=", "-=", "*=", "/=", "%="})


class Resolver:
    """Resolves one file. `legacy`: an assignment to an unknown name declares it."""

    def __init__(self, *, legacy: bool = False) -> None:
        self.names = Names()
        self.legacy = legacy
        self.func = Func(None)
        self.scope = Scope(None, self.func, hoists=True)
        self.loops = 0
        self.functions = 0
        self.depth = 0
        self.hole: Var | None = None
        self.continues: list[bool] = []
        self.host_uses: list[tuple[str, int]] = []

    def program(self, program: t.Program) -> Names:
        """Resolve a whole file."""
        self.names.scopes[id(program)] = self.scope
        self.names.funcs[id(program)] = self.func
        for statement in program.body:
            function = _function_of(statement)
            if function is not None:
                var = self._declare_function(function)
                var.hoisted = var.ready = not var.annotated
        self._hoist(program.body)
        if self.legacy:
            self._declare_assigned(program.body)
        self._statements(program.body)
        find_numbers(self.names)
        return self.names

    # -- declarations ------------------------------------------------------------------------------------------

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

    def _declare_function(self, node: t.Function) -> Var:
        existing = self.scope.names.get(node.name)
        if existing is not None and existing.kind == "function":
            existing.declared += 1
            self.names.decls[id(node)] = existing
            var = existing
        else:
            soft = not (self.scope.parent is None)
            var = self.declare(node.name, "function", node, soft=soft)
            self.names.decls[id(node)] = var
        direct = node.params.rest is None and node.annotation is None
        var.params = len(node.params.items) if direct else -1
        var.annotated = var.annotated or (node.annotation is not None and not isinstance(node.annotation, t.Number))
        return var

    def _hoist(self, body: Iterable[Any]) -> None:
        """Declare the let and const of a block, unset."""
        for statement in body:
            inner = statement.statement if isinstance(statement, t.Export) else statement
            if isinstance(inner, t.Let):
                for bind in binds(inner.target):
                    self.names.decls[id(bind)] = self.declare(bind.name, "let", bind, const=inner.const)
            elif isinstance(inner, t.Agents):
                for agent in inner.agents:
                    self.names.decls[id(agent)] = self.declare(agent.name, "agent", agent)
            elif isinstance(inner, t.Import):
                self._declare_import(inner)
            elif isinstance(statement, t.Export) and isinstance(inner, t.Assign) and self.scope.parent is None:
                if inner.name not in self.scope.names:
                    self.names.decls[id(inner)] = self.declare(inner.name, "let", inner)

    def _declare_import(self, node: t.Import) -> None:
        named = [name for name in (node.default, node.namespace) if name]
        for name in [*named, *(spec.alias for spec in node.specs)]:
            holder = next((spec for spec in node.specs if spec.alias == name), node)
            key = id(holder) if holder is not node else id(node) + (1 if name == node.namespace else 0)
            self.names.decls[key] = self.declare(name, "import", holder, const=True)

    def _declare_assigned(self, body: list[Any]) -> None:
        for name, node in assigned_names(body).items():
            if lookup(self.scope, name, self.func) is None:
                self.declare(name, "legacy", node, soft=True).needs_init = True

    # -- statements --------------------------------------------------------------------------------------------

    def _statements(self, body: Iterable[Any]) -> None:
        for statement in body:
            self.statement(statement)

    def statement(self, node: Any) -> None:
        """One statement."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BuildError("The program is nested too deeply", node.pos, kind="LimitError", code="nesting_too_deep")
        _STATEMENTS[type(node)](self, node)
        self.depth -= 1

    def scoped(self, node: Any, *, hoists: bool = True) -> None:
        """A body with a scope of its own."""
        outer, self.scope = self.scope, Scope(self.scope, self.func, hoists=hoists)
        self.names.scopes[id(node)] = self.scope
        body = node.body if isinstance(node, t.Block) else [node]
        self._hoist(body)
        self._statements(body)
        self.scope = outer

    def _loop_body(self, node: Any, branches: dict[str, t.Block] | None, key: Any) -> None:
        self.loops += 1
        self.continues.append(False)
        for body in branches.values() if branches is not None else [node]:
            self.scoped(body)
        if self.continues.pop():
            self.names.continues.add(id(key))
        self.loops -= 1

    def _expression(self, node: t.Expression) -> None:
        self.expr(node.value)

    def _let(self, node: t.Let) -> None:
        is_function = isinstance(node.value, t.Lambda) and isinstance(node.target, t.Bind)
        if node.value is not None and not is_function:
            self.expr(node.value)
        for bind in binds(node.target):
            if id(bind) not in self.names.decls:
                self.names.decls[id(bind)] = self.declare(bind.name, "let", bind, const=node.const, soft=True)
        if is_function:
            self.names.decls[id(node.target)].ready = True
            self.expr(node.value)
        self.pattern(node.target)
        for bind in binds(node.target):
            self.names.decls[id(bind)].ready = True
        self._defined(self.names.decls[id(node.target)] if isinstance(node.target, t.Bind) else None, node)

    def _defined(self, var: Var | None, node: t.Let | t.Assign) -> None:
        """Note what a variable is given, so that one that only ever holds numbers is found."""
        if var is not None:
            var.defs.append(node.value)
            var.number = var.number and node.value is not None
        elif isinstance(node, t.Let):
            for bind in binds(node.target):
                self.names.decls[id(bind)].number = False

    def _assign(self, node: t.Assign) -> None:
        self.expr(node.value)
        if id(node) in self.names.decls:
            self.names.decls[id(node)].ready = True
        ref = self.names.refs[id(node)] = self.target(node.name, reads=node.op != "=")
        self._defined(ref.var, node)
        ref.var.number = ref.var.number and node.op in _NUMERIC_ASSIGNMENTS and ref.fallback is None

    def target(self, name: str, *, reads: bool = False) -> Ref:
        """A variable that is assigned."""
        ref = self.resolve(name)
        ref.var.used = ref.var.used or reads
        ref.var.assigned = True
        if ref.var.func is not self.func:
            self.func.assigns[ref.var.py] = ref.var
            self.names.unsteady.add(ref.var.py)
        func: Func | None = self.func
        while func is not None and func is not ref.var.func:
            func.touches[ref.var.py] = ref.var
            func = func.parent
        return ref

    def _destructure(self, node: t.Destructure) -> None:
        if node.threshold is not None:
            self.expr(node.threshold)
        self.expr(node.value)
        self.pattern(node.target)
        for bind in binds(node.target):
            ref = self.names.refs[id(bind)] = self.target(bind.name)
            ref.var.number = False

    def _function(self, node: t.Function) -> None:
        if node.annotation is not None:
            self.expr(node.annotation)
        var = self.names.decls.get(id(node))
        if var is None:
            var = self._declare_function(node)
        var.ready = True
        self.function(node, node.params, node.body, hoisted=var.hoisted)

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
                self._declare_assigned(body.body)
            self._statements(body.body)
        else:
            self.expr(body)
        self.functions -= 1
        self.func, self.scope, self.loops, self.continues = outer

    def _return(self, node: t.Return) -> None:
        if not self.functions:
            raise BuildError("return outside function", node.pos, kind="CheckError", code="misplaced_return")
        if node.value is not None:
            self.expr(node.value)

    def _throw(self, node: t.Throw) -> None:
        self.expr(node.value)

    def _if(self, node: t.If) -> None:
        self.expr(node.test)
        self.scoped(node.yes)
        if node.no is not None:
            self.scoped(node.no)

    def _uncertain_if(self, node: t.UncertainIf) -> None:
        self.expr(node.test)
        for body in node.branches.values():
            self.scoped(body)

    def _while(self, node: t.While) -> None:
        self.func.loops += 1
        self.expr(node.test)
        self._loop_body(node.body, node.branches, node)
        self.func.loops -= 1

    def _do_while(self, node: t.DoWhile) -> None:
        self.func.loops += 1
        self._loop_body(node.body, None, node)
        self.expr(node.test)
        self.func.loops -= 1

    def _for(self, node: t.For) -> None:
        outer, self.scope = self.scope, Scope(self.scope, self.func, hoists=True)
        self.names.scopes[id(node)] = self.scope
        self.func.loops += 1
        if node.start is not None:
            self._hoist([node.start])
            self.statement(node.start)
        if node.test is not None:
            self.expr(node.test)
        self._loop_body(node.body, node.branches, node)
        if node.update is not None:
            self.statement(node.update)
        self.func.loops -= 1
        self.scope = outer

    def _for_in(self, node: t.ForIn) -> None:
        self.expr(node.items)
        outer, self.scope = self.scope, Scope(self.scope, self.func, hoists=True)
        self.func.loops += 1
        self.names.decls[id(node)] = self.declare(node.name, "loop", node)
        if node.index is not None:
            self.names.decls[id(node) + 1] = self.declare(node.index, "loop", node)
        self.names.scopes[id(node)] = self.scope
        self._loop_body(node.body, None, node)
        self.func.loops -= 1
        self.scope = outer

    def _context(self, node: t.Context) -> None:
        self.scoped(node.body)

    def _agents(self, node: t.Agents) -> None:
        for agent in node.agents:
            for entry in agent.fields:
                self.expr(entry.value)
            if id(agent) not in self.names.decls:
                self.names.decls[id(agent)] = self.declare(agent.name, "agent", agent, soft=True)
            self.names.decls[id(agent)].ready = True

    def _break(self, node: Any) -> None:
        if not self.loops:
            word = "break" if isinstance(node, t.Break) else "continue"
            raise BuildError(f"{word} outside loop", node.pos, kind="CheckError", code=f"misplaced_{word}")
        if isinstance(node, t.Continue):
            self.continues[-1] = True

    def _try(self, node: t.Try) -> None:
        self.scoped(node.body)
        if node.handler is not None:
            outer, self.scope = self.scope, Scope(self.scope, self.func, hoists=True)
            if node.name is not None:
                self.names.decls[id(node)] = self.declare(node.name, "catch", node)
            self.names.scopes[id(node)] = self.scope
            self.scoped(node.handler)
            self.scope = outer
        if node.final is not None:
            self.scoped(node.final)

    def _import(self, node: t.Import) -> None:
        self._at_top(node)
        for key in (id(node), id(node) + 1, *(id(spec) for spec in node.specs)):
            if key in self.names.decls:
                self.names.decls[key].ready = True

    def _export(self, node: t.Export) -> None:
        self._at_top(node)
        if node.statement is not None:
            self.statement(node.statement)
        elif node.default is not None:
            self.expr(node.default)
        elif node.path is None:
            for spec in node.specs or []:
                self.names.refs[id(spec)] = self.resolve(spec.name)

    def _at_top(self, node: Any) -> None:
        if self.scope.parent is not None:
            word = "import" if isinstance(node, t.Import) else "export"
            hint = "move it to the top level of the file"
            raise BuildError(f"{word} inside a block or function", node.pos, kind="CheckError", code="misplaced_module",
                             hint=hint)  # fmt: skip

    # -- names and patterns ------------------------------------------------------------------------------------

    def resolve(self, name: str) -> Ref:
        """What a name means here; a global when nothing in the file declares it."""
        ref = lookup(self.scope, name, self.func)
        if ref is not None:
            ref.var.used = True
            if ref.fallback is None and ref.check and ref.var.soft:
                ref.fallback = Ref(self._global(name), check=True)
            return ref
        return Ref(self._global(name), check=True)

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

    def _name(self, node: t.Name) -> bool:
        ref = self.names.refs[id(node)] = self.resolve(node.name)
        if ref.var.kind == "global" and node.name not in BUILTIN_NAMES:
            self.host_uses.append((node.name, node.pos))
        return False

    def _hole(self, node: t.Hole) -> bool:
        if self.hole is None:
            message = "Placeholder (_) can only be used within pipeline expressions"
            raise BuildError(message, node.pos, kind="CheckError", code="misplaced_placeholder")
        ref = lookup(self.scope, self.hole.name, self.func)
        assert ref is not None
        self.names.refs[id(node)] = ref
        ref.var.used = True
        return False

    def _chain(self, node: t.Chain) -> bool:
        """A long chain becomes statements, which keeps the Python tree flat."""
        return self.each(node.items) or len(node.ops) > LONG_CHAIN

    def _lambda(self, node: t.Lambda) -> bool:
        self.function(node, node.params, node.body)
        return False

    def _call(self, node: t.Call) -> bool:
        heavy = self.expr(node.function)
        first = node.args[0] if node.args else None
        if isinstance(first, t.Array) and isinstance(node.function, t.Name) and node.function.name == "parallel":
            if self.names.refs[id(node.function)].var.kind == "global":
                branches = t.Array(first.pos, [_branch(item) for item in first.items])
                self.names.lazy[id(first)] = branches
                heavy = self.each([branches, *node.args[1:]]) or heavy
                self._unshared(branches)
                return heavy
        return self.each(node.args) or heavy

    def _unshared(self, branches: t.Array) -> None:
        """Refuse a variable that one branch assigns and another uses."""
        funcs = [(item, self.names.funcs.get(id(item))) for item in branches.items]
        for item, func in funcs:
            for var in func.touches.values() if func is not None else ():
                if any(other is not None and other is not func and var.py in other.captures for _, other in funcs):
                    message = f"Branches of parallel share the variable '{var.name}', which one of them assigns"
                    hint = "let each branch return its value and combine the results"
                    raise BuildError(message, item.pos, kind="CheckError", code="shared_variable", hint=hint)

    def _pipe(self, node: t.Pipe) -> bool:
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

    def _match(self, node: t.Match) -> bool:
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


def binds(target: Any) -> list[t.Bind]:
    """The names a pattern binds, in order."""
    if isinstance(target, t.Bind):
        return [target]
    if isinstance(target, t.ArrayPattern):
        inner = [bind for item in target.items if item is not None for bind in binds(item.target)]
    elif isinstance(target, t.ObjectPattern):
        inner = [bind for prop in target.props for bind in binds(prop.target)]
    else:
        return []
    return [*inner, target.rest] if target.rest is not None else inner


def _function_of(statement: Any) -> t.Function | None:
    inner = statement.statement if isinstance(statement, t.Export) else statement
    return inner if isinstance(inner, t.Function) else None


def assigned_names(body: Any) -> dict[str, Any]:
    """Names assigned in a piece of code, not looking into functions (for old scripts)."""
    found: dict[str, Any] = {}
    stack: list[Any] = [body]
    while stack:
        node = stack.pop()
        if isinstance(node, t.Assign):
            found.setdefault(node.name, node)
        elif isinstance(node, t.Destructure):
            for bind in binds(node.target):
                found.setdefault(bind.name, bind)
        if isinstance(node, list):
            stack.extend(node)  # pyright: ignore[reportUnknownArgumentType] - a list of nodes of any kind
        elif isinstance(node, dict):
            stack.extend(node.values())  # pyright: ignore[reportUnknownArgumentType] - branches by band
        elif isinstance(node, t.Node) and not isinstance(node, t.Lambda | t.Function):
            stack.extend(getattr(node, name) for name in node.__struct_fields__)
    return found


def _items(*names: str) -> Callable[[Resolver, Any], bool]:
    def visit(resolver: Resolver, node: Any) -> bool:
        heavy = False
        for name in names:
            child = getattr(node, name)
            if isinstance(child, list):
                heavy = resolver.each(child) or heavy
            elif not isinstance(child, str):
                heavy = resolver.expr(child) or heavy
        return heavy

    return visit


def _nothing(_resolver: Resolver, _node: Any) -> bool:
    return False


def _block(resolver: Resolver, node: Any) -> None:
    resolver.scoped(node)


R = Resolver
_STATEMENTS: dict[type, Callable[[Resolver, Any], None]] = {
    t.Empty: lambda resolver, node: None, t.Expression: R._expression, t.Let: R._let, t.Assign: R._assign,
    t.Destructure: R._destructure, t.Function: R._function, t.Return: R._return, t.Throw: R._throw, t.If: R._if,
    t.UncertainIf: R._uncertain_if, t.While: R._while, t.DoWhile: R._do_while, t.For: R._for, t.ForIn: R._for_in,
    t.Context: R._context, t.Agents: R._agents, t.Break: R._break, t.Continue: R._break, t.Try: R._try,
    t.Import: R._import, t.Export: R._export, t.Block: _block,
}  # fmt: skip
_EXPRESSIONS: dict[type, Callable[[Resolver, Any], bool]] = {
    t.Number: _nothing, t.String: _nothing, t.Constant: _nothing, t.Hole: R._hole, t.Name: R._name,
    t.Interpolation: lambda resolver, node: resolver.each(p for p in node.parts if not isinstance(p, str)),
    t.Array: _items("items"), t.Object: _items("entries"), t.Entry: _items("value"), t.Spread: _items("value"),
    t.Lambda: R._lambda, t.Call: R._call, t.Member: _items("object"),
    t.Index: _items("object", "index"), t.Unary: _items("operand"), t.Power: _items("base", "exponent"),
    t.Chain: R._chain, t.Attach: _items("value", "confidence"), t.Ternary: _items("test", "yes", "no"),
    t.Pipe: R._pipe, t.Match: R._match,
}  # fmt: skip
