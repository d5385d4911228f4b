"""One walk over the tree that fills the tables of `scope`, and refuses what can never be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from compiler.prism import tree as t
from compiler.prism.binding import assigned_names, binds, function_of
from compiler.prism.build import BuildError
from compiler.prism.numbers import find_numbers
from compiler.prism.resolve_expressions import MAX_DEPTH, ExpressionResolver
from compiler.prism.scope import Func, Names, Ref, Scope, Var, lookup

_NUMERIC_ASSIGNMENTS = frozenset({"=", "+=", "-=", "*=", "/=", "%="})


class Resolver(ExpressionResolver):
    """Resolves one file."""

    def program(self, program: t.Program) -> Names:
        """Resolve a whole file."""
        self.names.scopes[id(program)] = self.scope
        self.names.funcs[id(program)] = self.func
        for statement in program.body:
            function = function_of(statement)
            if function is not None:
                var = self._declare_function(function)
                var.hoisted = var.ready = not var.annotated
        self._hoist(program.body)
        if self.legacy:
            self.declare_assigned(program.body)
        self.statements(program.body)
        find_numbers(self.names)
        return self.names

    # -- declarations ------------------------------------------------------------------------------------------

    def _declare_function(self, node: t.Function) -> Var:
        existing = self.scope.names.get(node.name)
        if existing is not None and existing.kind == "function":
            existing.declared += 1
            self.names.decls[id(node)] = existing
            var = existing
        else:
            soft = self.scope.parent is not None
            var = self.declare(node.name, "function", node, soft=soft)
            self.names.decls[id(node)] = var
        direct = node.params.rest is None and node.annotation is None
        var.params = len(node.params.items) if direct else -1
        var.annotated = var.annotated or (node.annotation is not None and not isinstance(node.annotation, t.Number))
        return var

    def foresee(self, body: Iterable[Any]) -> None:
        for statement in body:
            inner = statement.statement if isinstance(statement, t.Export) else statement
            if isinstance(inner, t.Let):
                for bind in binds(inner.target):
                    self.names.decls[id(bind)] = self.declare(bind.name, "let", bind, const=inner.const, soft=True)
            elif isinstance(inner, t.Agents):
                for agent in inner.agents:
                    self.names.decls[id(agent)] = self.declare(agent.name, "agent", agent, soft=True)
            elif isinstance(inner, t.Function):
                self._declare_function(inner)

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
            elif isinstance(statement, t.Export) and isinstance(inner, t.Assign):
                self._declare_exported(inner)

    def _declare_exported(self, node: t.Assign) -> None:
        """`export name = value` declares the name, unless the file does so elsewhere."""
        if self.scope.parent is None and node.name not in self.scope.names:
            self.names.decls[id(node)] = self.declare(node.name, "let", node)

    def _declare_import(self, node: t.Import) -> None:
        named = [name for name in (node.default, node.namespace) if name]
        for name in [*named, *(spec.alias for spec in node.specs)]:
            holder = next((spec for spec in node.specs if spec.alias == name), node)
            key = id(holder) if holder is not node else id(node) + (1 if name == node.namespace else 0)
            self.names.decls[key] = self.declare(name, "import", holder, const=True)

    def declare_assigned(self, body: list[Any]) -> None:
        for name, node in assigned_names(body).items():
            if lookup(self.scope, name, self.func) is None:
                self.declare(name, "legacy", node).needs_init = True

    # -- statements --------------------------------------------------------------------------------------------

    def statements(self, body: Iterable[Any]) -> None:
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
        self.foresee(one for one in body if function_of(one) is not None)
        self.statements(body)
        self.scope = outer

    def _loop_body(self, node: Any, branches: dict[str, t.Block] | None, key: Any) -> None:
        self.loops += 1
        self.continues.append(False)
        for body in branches.values() if branches is not None else [node]:
            self.scoped(body)
        if self.continues.pop():
            self.names.continues.add(id(key))
        self.loops -= 1

    def visit_expression(self, node: t.Expression) -> None:
        self.expr(node.value)

    def visit_let(self, node: t.Let) -> None:
        is_function = isinstance(node.value, t.Lambda) and isinstance(node.target, t.Bind)
        if node.value is not None and not is_function:
            self.expr(node.value)
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

    def visit_assign(self, node: t.Assign) -> None:
        self.expr(node.value)
        if id(node) in self.names.decls:
            self.names.decls[id(node)].ready = True
        ref = self.names.refs[id(node)] = self.target(node.name, reads=node.op != "=")
        self._defined(ref.var, node)
        ref.var.number = ref.var.number and node.op in _NUMERIC_ASSIGNMENTS and ref.fallback is None

    def target(self, name: str, *, reads: bool = False) -> Ref:
        """A variable that is assigned."""
        ref = found = self.resolve(name, reads=reads)
        self._touched(ref.var)
        while found.fallback is not None:
            found = found.fallback
            self._touched(found.var)
            found.var.number = False
        return ref

    def _touched(self, var: Var) -> None:
        """Note that this function assigns a variable."""
        var.assigned = True
        if var.func is not self.func:
            self.func.assigns[var.py] = var
            self.names.unsteady.add(var.py)
        func: Func | None = self.func
        while func is not None and func is not var.func:
            func.touches[var.py] = var
            func = func.parent

    def visit_destructure(self, node: t.Destructure) -> None:
        if node.threshold is not None:
            self.expr(node.threshold)
        self.expr(node.value)
        self.pattern(node.target)
        for bind in binds(node.target):
            ref = self.names.refs[id(bind)] = self.target(bind.name)
            ref.var.number = False

    def visit_function(self, node: t.Function) -> None:
        if node.annotation is not None:
            self.expr(node.annotation)
        var = self.names.decls[id(node)]
        var.ready = True
        self.function(node, node.params, node.body, hoisted=var.hoisted)

    def visit_return(self, node: t.Return) -> None:
        if not self.functions:
            self.refuse("return outside function", node.pos, code="misplaced_return")
        if node.value is not None:
            self.expr(node.value)

    def visit_throw(self, node: t.Throw) -> None:
        self.expr(node.value)

    def visit_if(self, node: t.If) -> None:
        self.expr(node.test)
        self.scoped(node.yes)
        if node.no is not None:
            self.scoped(node.no)

    def visit_uncertain_if(self, node: t.UncertainIf) -> None:
        self.expr(node.test)
        for body in node.branches.values():
            self.scoped(body)

    def visit_while(self, node: t.While) -> None:
        self.func.loops += 1
        self.expr(node.test)
        self._loop_body(node.body, node.branches, node)
        self.func.loops -= 1

    def visit_do_while(self, node: t.DoWhile) -> None:
        self.func.loops += 1
        self._loop_body(node.body, None, node)
        self.expr(node.test)
        self.func.loops -= 1

    def visit_for(self, node: t.For) -> None:
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

    def visit_for_in(self, node: t.ForIn) -> None:
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

    def visit_context(self, node: t.Context) -> None:
        self.scoped(node.body)

    def visit_agents(self, node: t.Agents) -> None:
        for agent in node.agents:
            for entry in agent.fields:
                self.expr(entry.value)
            self.names.decls[id(agent)].ready = True

    def visit_break(self, node: Any) -> None:
        if not self.loops:
            word = "break" if isinstance(node, t.Break) else "continue"
            self.refuse(f"{word} outside loop", node.pos, code=f"misplaced_{word}")
        if isinstance(node, t.Continue) and self.continues:
            self.continues[-1] = True

    def visit_try(self, node: t.Try) -> None:
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

    def visit_import(self, node: t.Import) -> None:
        self._at_top(node)
        for key in (id(node), id(node) + 1, *(id(spec) for spec in node.specs)):
            if key in self.names.decls:
                self.names.decls[key].ready = True

    def visit_export(self, node: t.Export) -> None:
        self._at_top(node)
        if node.statement is not None:
            self.statement(node.statement)
            self._exported(node.statement)
        elif node.default is not None:
            self.expr(node.default)
        elif node.path is None:
            for spec in node.specs or []:
                self.names.refs[id(spec)] = self.resolve(spec.name)

    def _exported(self, statement: Any) -> None:
        """Who exports a variable uses it."""
        keys = binds(statement.target) if isinstance(statement, t.Let) else [statement]
        for key in keys:
            if id(key) in self.names.decls:
                self.names.decls[id(key)].used = True

    def _at_top(self, node: Any) -> None:
        if self.scope.parent is not None:
            word = "import" if isinstance(node, t.Import) else "export"
            hint = "move it to the top level of the file"
            self.refuse(f"{word} inside a block or function", node.pos, code="misplaced_module", hint=hint)


def _assign(resolver: Resolver, node: Any) -> None:
    resolver.visit_assign(node)


def _destructure(resolver: Resolver, node: Any) -> None:
    resolver.visit_destructure(node)


def _export(resolver: Resolver, node: Any) -> None:
    resolver.visit_export(node)


def _block(resolver: Resolver, node: Any) -> None:
    resolver.scoped(node)


R = Resolver
_STATEMENTS: dict[type, Callable[[Resolver, Any], None]] = {
    t.Empty: lambda resolver, node: None,
    t.Expression: R.visit_expression,
    t.Let: R.visit_let,
    t.Assign: _assign,
    t.Destructure: _destructure,
    t.Function: R.visit_function,
    t.Return: R.visit_return,
    t.Throw: R.visit_throw,
    t.If: R.visit_if,
    t.UncertainIf: R.visit_uncertain_if,
    t.While: R.visit_while,
    t.DoWhile: R.visit_do_while,
    t.For: R.visit_for,
    t.ForIn: R.visit_for_in,
    t.Context: R.visit_context,
    t.Agents: R.visit_agents,
    t.Break: R.visit_break,
    t.Continue: R.visit_break,
    t.Try: R.visit_try,
    t.Import: R.visit_import,
    t.Export: _export,
    t.Block: _block,
}
