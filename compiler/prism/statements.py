"""Statements to Python statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.binding import binds
from compiler.prism.bodies import ZERO, Want
from compiler.prism.emit import Expr
from compiler.prism.functions import function_value
from compiler.prism.loops import LoopGenerator
from compiler.prism.modules import emit_export, emit_import
from compiler.prism.patterns import take_apart
from compiler.prism.scope import Ref


class StatementGenerator(LoopGenerator):
    """Generates one Python function whole."""

    def statement(self, node: Any, want: Want) -> None:
        """One statement. Its temporaries and unnamed functions are free again behind it."""
        temps, lambdas = self.temps, self.lambdas
        self.cost += costs.STATEMENT
        _STATEMENTS[type(node)](self, node, want)
        self.temps, self.lambdas = temps, lambdas

    # -- simple statements -------------------------------------------------------------------------------------

    def emit_empty(self, _node: t.Empty, want: Want) -> None:
        self.constant(ZERO, want)

    def emit_expression(self, node: t.Expression, want: Want) -> None:
        self.value(node.value, want)

    def emit_let(self, node: t.Let, want: Want) -> None:
        value = e.const(None) if node.value is None else self.expr(node.value)
        self.cost += costs.VARIABLE
        self._declare(node.target, value)
        self.constant(ZERO, want)

    def _declare(self, target: Any, value: Expr) -> None:
        again = [bind for bind in _all_binds(target) if id(bind) in self.names.redeclared]
        if again:
            self.out.append(e.do(value))
            self.out.append(e.do(e.call("r_redeclared", e.const(again[0].name), pos=again[0].pos)))
        else:
            take_apart(self, target, value, None, declare=True)

    def emit_assign(self, node: t.Assign, want: Want) -> None:
        decl = self.names.decls.get(id(node))
        ref = self.names.refs[id(node)]
        if node.op == "=":
            value = self.expr(node.value)
        else:
            op = node.op[:-1]
            current = self.read(ref, node.pos)
            if self.heavy(node.value):
                current = self.spill(current)
            value = self.binary(op, current, self.expr(node.value), node.pos)
        if want is not None:
            value = self.spill_always(value)
        if decl is not None:
            self.write(decl, value)
        else:
            self.assign(ref, value, node.pos)
        if want is not None:
            self.give(value, want)

    def emit_destructure(self, node: t.Destructure, want: Want) -> None:
        threshold = None
        if node.threshold is not None:
            threshold = self.spill_always(e.call("r_level", self.expr(node.threshold), pos=node.pos))
        value = self.spill_always(self.expr(node.value))
        take_apart(self, node.target, value, threshold, declare=False)
        if want is not None:
            self.give(value, want)

    def hoist(self, node: t.Function) -> None:
        """Define a top-level function before the program starts."""
        var = self.names.decls[id(node)]
        if var.annotated:
            return
        self.names.direct.add(var.py)
        code = f"c_{var.py}" if var.declared == 1 else ""
        value = function_value(self, node, node.params, node.body, node.name, code)
        if node.annotation is not None:
            value = e.call("r_annotate", value, self.expr(node.annotation), pos=node.pos)
        held = f"h{var.py}_{node.pos}"
        self.out.append(e.set_name(held, value))
        self.write(var, e.name(held))

    def emit_function(self, node: t.Function, want: Want) -> None:
        var = self.names.decls[id(node)]
        if id(node) in self.names.redeclared:
            self.out.append(e.do(e.call("r_redeclared", e.const(node.name), pos=node.pos)))
            return
        if var.hoisted:
            self.write(var, e.name(f"h{var.py}_{node.pos}"))
        else:
            value = function_value(self, node, node.params, node.body, node.name)
            if node.annotation is not None:
                value = e.call("r_annotate", value, self.expr(node.annotation), pos=node.pos)
            self.write(var, value)
        if want is not None:
            self.give(self.read(Ref(var), node.pos), want)

    def emit_return(self, node: t.Return, _want: Want) -> None:
        if node.value is None:
            self.out.append(e.give(e.const(None)))
        else:
            self.value(node.value, "return")

    def emit_throw(self, node: t.Throw, _want: Want) -> None:
        self.out.append(e.do(e.call("r_throw", e.name("R"), self.expr(node.value), pos=node.pos)))

    def emit_block(self, node: t.Block, want: Want) -> None:
        self.block(node, want)

    def emit_context(self, node: t.Context, want: Want) -> None:
        self.block(node.body, want)

    def emit_agents(self, node: t.Agents, want: Want) -> None:
        for agent in node.agents:
            value = self.expr(t.Object(agent.pos, list(agent.fields)))
            self._declare(agent, value) if id(agent) in self.names.redeclared else self.write(
                self.names.decls[id(agent)], value
            )
        if node.agents:
            last = self.names.decls[id(node.agents[-1])]
            if want is not None:
                self.give(self.read(Ref(last), node.pos), want)
        else:
            self.constant(ZERO, want)

    # -- branches ----------------------------------------------------------------------------------------------

    def emit_if(self, node: t.If, want: Want) -> None:
        test = self.test(node.test)
        yes = self.inner(node.yes, want)
        untaken = self.collect(lambda: self.constant(ZERO, want))
        self.out.append(e.when(test, yes, untaken if node.no is None else self.inner(node.no, want)))

    def emit_uncertain_if(self, node: t.UncertainIf, want: Want) -> None:
        self.cost += costs.HELPED
        band = e.call("r_certainty", self.expr(node.test), pos=node.pos)
        self.bands(self.spill(band), node.branches, want, lambda: self.constant(ZERO, want))

    def emit_break(self, _node: t.Break, _want: Want) -> None:
        self.out.append(e.leave())

    def emit_continue(self, _node: t.Continue, _want: Want) -> None:
        self.out.append(e.again())

    # -- try ---------------------------------------------------------------------------------------------------

    def emit_try(self, node: t.Try, want: Want) -> None:
        self.nested(lambda: self._guarded(node, want))

    def _guarded(self, node: t.Try, want: Want) -> None:
        self.cost += costs.TRIED
        if node.final is None:
            self._caught(node, want)
            return
        self.finals = True
        clean = self.temp()
        self.out.append(e.set_name(clean, e.const(True)))
        body = self.collect(lambda: self._caught(node, want))
        final = e.when(e.name(clean), self.inner(node.final, None))
        stopped = ("Stop", "", [e.set_name(clean, e.const(False)), e.reraise()])
        self.out.append(e.guarded(body, [stopped], [final]))

    def _caught(self, node: t.Try, want: Want) -> None:
        if node.handler is None:
            self.block(node.body, want)
            return
        body = self.inner(node.body, want)
        caught = self.temp()

        def handler() -> None:
            failure = e.call("r_caught", e.name("R"), e.name(caught))
            if node.name is None:
                self.out.append(e.do(failure))
            else:
                self.create(self.names.decls[id(node)], failure)
            assert node.handler is not None
            self.block(node.handler, want)

        self.out.append(e.guarded(body, [("Raised", caught, self.branch(handler))]))

    def emit_import(self, node: t.Import, want: Want) -> None:
        emit_import(self, node)
        self.constant(ZERO, want)

    def emit_export(self, node: t.Export, want: Want) -> None:
        emit_export(self, node, want)


def _all_binds(target: Any) -> list[Any]:
    return [target] if isinstance(target, t.Agent) else list(binds(target))


S = StatementGenerator
_STATEMENTS: dict[type, Callable[[StatementGenerator, Any, Want], None]] = {
    t.Empty: S.emit_empty,
    t.Expression: S.emit_expression,
    t.Let: S.emit_let,
    t.Assign: S.emit_assign,
    t.Destructure: S.emit_destructure,
    t.Function: S.emit_function,
    t.Return: S.emit_return,
    t.Throw: S.emit_throw,
    t.If: S.emit_if,
    t.UncertainIf: S.emit_uncertain_if,
    t.While: S.emit_while,
    t.DoWhile: S.emit_do_while,
    t.For: S.emit_for,
    t.ForIn: S.emit_for_in,
    t.Context: S.emit_context,
    t.Agents: S.emit_agents,
    t.Break: S.emit_break,
    t.Continue: S.emit_continue,
    t.Try: S.emit_try,
    t.Import: S.emit_import,
    t.Export: S.emit_export,
    t.Block: S.emit_block,
}
