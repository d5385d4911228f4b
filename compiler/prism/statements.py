"""Statements to Python statements.

`want` says where the value of a statement goes: None (nobody asks), "return" (it is the value of the function), or the
name of a temporary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.build import BuildError
from compiler.prism.emit import Expr, Stmt
from compiler.prism.functions import function_value
from compiler.prism.generate import Generator
from compiler.prism.matching import emit_match
from compiler.prism.modules import emit_export, emit_import
from compiler.prism.patterns import take_apart
from compiler.prism.scope import Ref

MAX_PYTHON_BLOCKS = 17
"""Python itself nests at most 20 loops and try statements in one function."""

ZERO, NULL = 0.0, None
Want = str | None


class StatementGenerator(Generator):
    """Generates one Python function whole."""

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
        if isinstance(node, t.Match):
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
        """Statements in order; the last one that has a value is the value."""
        valued = [i for i, node in enumerate(statements) if not isinstance(node, t.Empty)]
        final = valued[-1] if valued else -1
        for i, node in enumerate(statements):
            self.statement(node, want if i == final else None)
        if final < 0:
            self.constant(ZERO, want)

    def block(self, node: Any, want: Want) -> None:
        """A body with a scope of its own: a block, or a single statement."""
        for var in self.names.scopes[id(node)].names.values():
            self.create(var)
        self.body(node.body if isinstance(node, t.Block) else [node], want)

    def inner(self, node: Any, want: Want) -> list[Stmt]:
        """The statements of a body."""
        return self.collect(lambda: self.block(node, want))

    def statement(self, node: Any, want: Want) -> None:
        """One statement."""
        _STATEMENTS[type(node)](self, node, want)

    # -- simple statements -------------------------------------------------------------------------------------

    def _empty(self, _node: t.Empty, want: Want) -> None:
        self.constant(ZERO, want)

    def _expression(self, node: t.Expression, want: Want) -> None:
        self.value(node.value, want)

    def _let(self, node: t.Let, want: Want) -> None:
        value = e.const(None) if node.value is None else self.expr(node.value)
        self._declare(node.target, value)
        self.constant(ZERO, want)

    def _declare(self, target: Any, value: Expr) -> None:
        again = [bind for bind in _all_binds(target) if id(bind) in self.names.redeclared]
        if again:
            self.out.append(e.do(value))
            self.out.append(e.do(e.call("r_redeclared", e.const(again[0].name), pos=again[0].pos)))
        else:
            take_apart(self, target, value, None, declare=True)

    def assign(self, ref: Ref, value: Expr, pos: int) -> None:
        """Assign a variable that exists already, or fail as the language says."""
        var = ref.var
        if var.kind == "global":
            self.out.append(e.do(value))
            unknown = e.call("r_unassignable", e.name("R"), e.const(var.name), pos=pos)
            self.out.append(e.do(unknown))
        elif var.const:
            self.out.append(e.do(value))
            self.out.append(e.do(e.call("r_constant", e.const(var.name), pos=pos)))
        elif ref.check and not (self.options.legacy and var.soft):
            held = self.spill_always(value)
            current = e.item(e.name(var.py), 0) if var.boxed else e.name(var.py)
            early = e.do(e.call("r_early", e.const(var.name), pos=pos))
            self.out.append(e.when(e.same(current, e.name("U")), [early]))
            self.write(var, held)
        else:
            self.write(var, value)

    def _assign(self, node: t.Assign, want: Want) -> None:
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

    def _destructure(self, node: t.Destructure, want: Want) -> None:
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

    def _function(self, node: t.Function, want: Want) -> None:
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

    def _return(self, node: t.Return, _want: Want) -> None:
        if node.value is None:
            self.out.append(e.give(e.const(None)))
        else:
            self.value(node.value, "return")

    def _throw(self, node: t.Throw, _want: Want) -> None:
        self.out.append(e.do(e.call("r_throw", self.expr(node.value), pos=node.pos)))

    def _block(self, node: t.Block, want: Want) -> None:
        self.block(node, want)

    def _context(self, node: t.Context, want: Want) -> None:
        self.block(node.body, want)

    def _agents(self, node: t.Agents, want: Want) -> None:
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

    def _if(self, node: t.If, want: Want) -> None:
        test = self.test(node.test)
        yes = self.inner(node.yes, want)
        if node.no is not None:
            no = self.inner(node.no, want)
        else:
            no = self.collect(lambda: self.constant(ZERO, want))
        self.out.append(e.when(test, yes, no))

    def _uncertain_if(self, node: t.UncertainIf, want: Want) -> None:
        band = e.call("r_certainty", self.expr(node.test), pos=node.pos)
        self._bands(self.spill(band), node.branches, want, lambda: self.constant(ZERO, want))

    def _bands(self, score: Expr, branches: dict[str, t.Block], want: Want, otherwise: Callable[[], None]) -> None:
        default = branches.get("default")

        def lines(band: str) -> list[Stmt]:
            chosen = branches.get(band, default)
            return self.collect(otherwise) if chosen is None else self.inner(chosen, want)

        high = e.compare(score, e.ast.GtE(), e.const(self.options.high))
        medium = e.compare(score, e.ast.GtE(), e.const(self.options.medium))
        self.out.append(e.when(high, lines("high"), [e.when(medium, lines("medium"), lines("low"))]))

    # -- loops -------------------------------------------------------------------------------------------------

    def nested(self, pos: int, make: Callable[[], None]) -> None:
        """A loop or try statement of Python, of which only so many may nest."""
        self.blocks += 1
        if self.blocks > MAX_PYTHON_BLOCKS:
            message = f"Loops and try statements are nested more than {MAX_PYTHON_BLOCKS} deep in one function"
            raise BuildError(message, pos, kind="LimitError", code="nesting_too_deep", hint="move the inner ones into a function")
        make()
        self.blocks -= 1

    def _target(self, want: Want) -> Want:
        """Where a loop collects its value."""
        if want is None:
            return None
        target = self.temp() if want == "return" else want
        self.out.append(e.set_name(target, e.const(None)))
        return target

    def _loop_end(self, target: Want, want: Want) -> None:
        if want == "return" and target is not None:
            self.out.append(e.give(e.name(target)))

    def _round(self, body: Callable[[Want], None], target: Want) -> None:
        """One round: the value of the body counts only when the body came to its end."""
        self.out.extend(e.tick())
        if target is None:
            body(None)
        else:
            value = self.temp()
            body(value)
            self.out.append(e.set_name(target, e.name(value)))

    def _while(self, node: t.While, want: Want) -> None:
        target = self._target(want)
        if node.branches is not None:
            self.nested(node.pos, lambda: self._uncertain_loop(node.test, node.branches or {}, target, None, None))
        else:
            self.nested(node.pos, lambda: self._plain_loop(node.test, node.body, target, first=True))
        self._loop_end(target, want)

    def _do_while(self, node: t.DoWhile, want: Want) -> None:
        target = self._target(want)

        def make() -> None:
            again = self.temp()
            self.out.append(e.set_name(again, e.const(False)))
            lines = self.collect(lambda: self._do_round(node, target, again))
            self.out.append(e.loop(e.const(True), lines))

        self.nested(node.pos, make)
        self._loop_end(target, want)

    def _do_round(self, node: t.DoWhile, target: Want, again: str) -> None:
        check = self.collect(lambda: self._leave_unless(node.test))
        self.out.append(e.when(e.name(again), check))
        self.out.append(e.set_name(again, e.const(True)))
        self._round(lambda want: self.block(node.body, want), target)

    def _leave_unless(self, test: Any) -> None:
        self.out.append(e.when(e.negate(self.test(test)), [e.leave()]))

    def _plain_loop(self, test: Any, body: Any, target: Want, *, first: bool) -> None:
        del first
        found: list[Expr] = []
        before = self.collect(lambda: found.append(self.test(test)))
        lines = self.collect(lambda: self._round(lambda want: self.block(body, want), target))
        if before:
            lines = [*before, e.when(e.negate(found[0]), [e.leave()]), *lines]
            self.out.append(e.loop(e.const(True), lines))
        else:
            self.out.append(e.loop(found[0], lines))

    def _for(self, node: t.For, want: Want) -> None:
        target = self._target(want)
        scope = self.names.scopes[id(node)]
        for var in scope.names.values():
            self.create(var)
        if node.start is not None:
            self.statement(node.start, None)
        self.nested(node.pos, lambda: self._for_rounds(node, target))
        self._loop_end(target, want)

    def _for_rounds(self, node: t.For, target: Want) -> None:
        boxes = [var for var in self.names.scopes[id(node)].names.values() if var.boxed]

        def update() -> None:
            for var in boxes:
                self.out.append(e.set_name(var.py, e.listing([e.item(e.name(var.py), 0)])))
            if node.update is not None:
                self.statement(node.update, None)

        if node.branches is not None:
            self._uncertain_loop(node.test, node.branches, target, update, "for")
            return
        again = self.temp()
        skips = id(node) in self.names.continues
        found: list[Expr] = []
        test = node.test if node.test is not None else t.Constant(node.pos, True)
        before = self.collect(lambda: found.append(self.test(test)))
        lines = self.collect(lambda: self._round(lambda want: self.block(node.body, want), target))
        step = self.collect(update)
        if skips:
            self.out.append(e.set_name(again, e.const(False)))
            head = [e.when(e.name(again), step), e.set_name(again, e.const(True)), *before]
            lines = [*head, e.when(e.negate(found[0]), [e.leave()]), *lines]
            self.out.append(e.loop(e.const(True), lines))
        elif before:
            lines = [*before, e.when(e.negate(found[0]), [e.leave()]), *lines, *step]
            self.out.append(e.loop(e.const(True), lines))
        else:
            self.out.append(e.loop(found[0], [*lines, *step]))

    def _uncertain_loop(
        self, test: Any, branches: dict[str, t.Block], target: Want, update: Callable[[], None] | None, kind: str | None
    ) -> None:
        """The condition's truth goes on, its confidence picks the branch; no branch to pick ends the loop."""
        again, score = self.temp(), self.temp()
        self.out.append(e.set_name(again, e.const(False)))
        self.out.append(e.set_name(score, e.const(1.0)))

        def lines() -> None:
            if update is not None:
                self.out.append(e.when(e.name(again), self.collect(update)))
                self.out.append(e.set_name(again, e.const(True)))
            if test is not None:
                held = self.spill_always(self.expr(test))
                self.out.append(e.when(e.negate(e.call("r_truth", held)), [e.leave()]))
                default = e.name(score) if kind == "for" else e.const(1.0)
                self.out.append(e.set_name(score, e.call("r_score", held, default)))
            self.out.extend(e.tick())
            value = self.temp() if target is not None else None
            self._bands(e.name(score), branches, value, lambda: self.out.append(e.leave()))
            if target is not None and value is not None:
                self.out.append(e.set_name(target, e.name(value)))

        self.out.append(e.loop(e.const(True), self.collect(lines)))

    def _for_in(self, node: t.ForIn, want: Want) -> None:
        items = self.spill(e.call("r_iterate", self.expr(node.items), pos=node.pos))
        target = self._target(want)
        self.nested(node.pos, lambda: self._for_in_rounds(node, items, target))
        self._loop_end(target, want)

    def _for_in_rounds(self, node: t.ForIn, items: Expr, target: Want) -> None:
        var = self.names.decls[id(node)]
        index = self.names.decls.get(id(node) + 1) if node.index is not None else None
        made: list[tuple[str, Any]] = []
        if index is not None:
            made.append((self.temp() if index.boxed else index.py, index))
        made.append((self.temp() if var.boxed else var.py, var))

        def lines() -> None:
            for name, one in made:
                if one.boxed:
                    self.create(one, e.name(name))
            self._round(lambda want: self.block(node.body, want), target)

        body = self.collect(lines)
        if index is not None:
            pair = e.ast.Tuple(elts=[e.target(name) for name, _ in made], ctx=e.STORE, **e.AT)
            self.out.append(e.each(pair, e.call("r_numbered", items), body))
        else:
            self.out.append(e.each(e.target(made[0][0]), items, body))

    def _break(self, _node: t.Break, _want: Want) -> None:
        self.out.append(e.leave())

    def _continue(self, _node: t.Continue, _want: Want) -> None:
        self.out.append(e.again())

    # -- try ---------------------------------------------------------------------------------------------------

    def _try(self, node: t.Try, want: Want) -> None:
        self.nested(node.pos, lambda: self._guarded(node, want))

    def _guarded(self, node: t.Try, want: Want) -> None:
        if node.final is None:
            self._caught(node, want)
            return
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
            if node.name is not None:
                self.create(self.names.decls[id(node)], e.call("r_caught", e.name(caught)))
            assert node.handler is not None
            self.block(node.handler, want)

        self.out.append(e.guarded(body, [("Raised", caught, self.collect(handler))]))

    def _import(self, node: t.Import, want: Want) -> None:
        emit_import(self, node)
        self.constant(ZERO, want)

    def _export(self, node: t.Export, want: Want) -> None:
        emit_export(self, node, want)


def _all_binds(target: Any) -> list[Any]:
    from compiler.prism.resolve import binds  # noqa: PLC0415 - only needed for the rare double declaration

    return [target] if isinstance(target, t.Agent) else list(binds(target))


S = StatementGenerator
_STATEMENTS: dict[type, Callable[[StatementGenerator, Any, Want], None]] = {
    t.Empty: S._empty, t.Expression: S._expression, t.Let: S._let, t.Assign: S._assign, t.Destructure: S._destructure,
    t.Function: S._function, t.Return: S._return, t.Throw: S._throw, t.If: S._if, t.UncertainIf: S._uncertain_if,
    t.While: S._while, t.DoWhile: S._do_while, t.For: S._for, t.ForIn: S._for_in, t.Context: S._context,
    t.Agents: S._agents, t.Break: S._break, t.Continue: S._continue, t.Try: S._try, t.Import: S._import,
    t.Export: S._export, t.Block: S._block,
}  # fmt: skip
