"""Loops: each round counts a step, and the value of the last body that came to its end is the value of the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.bodies import BodyGenerator, Want
from compiler.prism.emit import Expr, Stmt


class LoopGenerator(BodyGenerator):
    """The loops of one Python function."""

    def nested(self, make: Callable[[], None]) -> None:
        """A loop or try statement of Python, of which only so many may nest in one function."""
        self.blocks += 1
        self.deepest = max(self.deepest, self.blocks)
        make()
        self.blocks -= 1

    def rounds(self, pos: int, make: Callable[[], None]) -> None:
        """A loop, each round of which counts what the code of a round costs."""
        outer_cost, self.cost = self.cost, costs.ROUND
        outer_round, self.round = self.round, e.charge(1, pos)
        self.nested(make)
        self.round.value = e.const(costs.steps(self.cost))
        self.cost, self.round = outer_cost + costs.TRIED, outer_round

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
        self.out.extend(e.tick(self.round))
        if target is None:
            body(None)
        else:
            value = self.temp()
            body(value)
            self.out.append(e.set_name(target, e.name(value)))

    def emit_while(self, node: t.While, want: Want) -> None:
        target = self._target(want)
        if node.branches is not None:
            self.rounds(node.pos, lambda: self._uncertain_loop(node.test, node.branches or {}, target, None, None))
        else:
            self.rounds(node.pos, lambda: self._plain_loop(node.test, node.body, target))
        self._loop_end(target, want)

    def emit_do_while(self, node: t.DoWhile, want: Want) -> None:
        target = self._target(want)

        def make() -> None:
            again = self.temp()
            self.out.append(e.set_name(again, e.const(False)))
            lines = self.collect(lambda: self._do_round(node, target, again))
            self.out.append(_endless(lines))

        self.rounds(node.pos, make)
        self._loop_end(target, want)

    def _do_round(self, node: t.DoWhile, target: Want, again: str) -> None:
        check = self.collect(lambda: self._leave_unless(node.test))
        self.out.append(e.when(e.name(again), check))
        self.out.append(e.set_name(again, e.const(True)))
        self._round(lambda want: self.block(node.body, want), target)

    def _leave_unless(self, test: Any) -> None:
        self.out.append(e.when(e.negate(self.test(test)), [e.leave()]))

    def _plain_loop(self, test: Any, body: Any, target: Want) -> None:
        found: list[Expr] = []
        before = self.collect(lambda: found.append(self.test(test)))
        lines = self.collect(lambda: self._round(lambda want: self.block(body, want), target))
        self.out.append(_endless([*before, e.when(e.negate(found[0]), [e.leave()]), *lines]))

    def emit_for(self, node: t.For, want: Want) -> None:
        target = self._target(want)
        scope = self.names.scopes[id(node)]
        for var in scope.names.values():
            self.create(var)
        if node.start is not None:
            self.statement(node.start, None)
        self.rounds(node.pos, lambda: self._for_rounds(node, target))
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
            self.out.append(_endless([*head, e.when(e.negate(found[0]), [e.leave()]), *lines]))
        else:
            self.out.append(_endless([*before, e.when(e.negate(found[0]), [e.leave()]), *lines, *step]))

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
                self.cost += costs.TRUTH
                temp = self.temp()
                self.out.append(e.set_name(temp, self.expr(test)))
                held = e.name(temp)
                self.out.append(e.when(e.negate(self.truth_of(held, temp)), [e.leave()]))
                default = e.name(score) if kind == "for" else e.const(1.0)
                sure = e.same(e.call("T", held), e.name("Confident"))
                self.out.append(e.set_name(score, e.choose(sure, e.attr(held, "confidence"), default)))
            self.out.extend(e.tick(self.round))
            value = self.temp() if target is not None else None
            self.bands(e.name(score), branches, value, lambda: self.out.append(e.leave()))
            if target is not None and value is not None:
                self.out.append(e.set_name(target, e.name(value)))

        self.out.append(_endless(self.collect(lines)))

    def emit_for_in(self, node: t.ForIn, want: Want) -> None:
        if id(node) in self.names.redeclared:
            self.out.append(e.do(e.call("r_redeclared", e.const(node.name), pos=node.pos)))
        items = self.spill(e.call("r_iterate", e.name("R"), self.expr(node.items), pos=node.pos))
        target = self._target(want)
        self.rounds(node.pos, lambda: self._for_in_rounds(node, items, target))
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
            self.cost += costs.NUMBERED
            pair = e.ast.Tuple(elts=[e.target(name) for name, _ in made], ctx=e.STORE, **e.AT)
            self.out.append(e.each(pair, e.call("r_numbered", items), body))
        else:
            self.out.append(e.each(e.target(made[0][0]), items, body))


def _endless(lines: list[Stmt]) -> Stmt:
    """A loop that something in it leaves.

    Python makes code fast once it jumped back unconditionally a few times: a test at the end of a loop would keep a
    program that runs once slow.
    """
    return e.loop(e.const(True), lines)
