"""`match`: each arm becomes a test that binds on the way, and a body."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.emit import Expr

if TYPE_CHECKING:
    from compiler.prism.bodies import BodyGenerator


def match_value(gen: BodyGenerator, node: t.Match) -> Expr:
    """Emit the statements of a match; the expression is its value."""
    result = gen.temp()
    gen.out.append(e.set_name(result, e.const(None)))
    emit_match(gen, node, result)
    return e.name(result)


def emit_match(gen: BodyGenerator, node: t.Match, want: str) -> None:
    """A match whose value goes to `want` (a temporary, or "return")."""
    subject = gen.spill_always(gen.expr(node.subject))
    done = gen.temp()
    gen.out.append(e.set_name(done, e.const(False)))
    for i, arm in enumerate(node.arms):
        if i == 0:
            _arm(gen, arm, subject, want, done)
        else:
            lines = gen.branch(lambda arm=arm: _arm(gen, arm, subject, want, done))
            gen.out.append(e.when(e.negate(e.name(done)), lines))


def _arm(gen: BodyGenerator, arm: t.Arm, subject: Expr, want: str, done: str) -> None:
    gen.cost += costs.ARM
    scope = gen.names.scopes[id(arm)]
    for var in scope.names.values():
        if var.boxed:
            gen.create(var)
    tests = pattern_tests(gen, arm.pattern, subject)
    if arm.threshold is not None:
        gen.cost += costs.THRESHOLD
        tests.append(lambda: e.call("r_enough", subject, gen.expr(arm.threshold), pos=arm.pos))
    if arm.guard is not None:
        tests.append(lambda: gen.test(arm.guard))

    def body() -> None:
        gen.out.append(e.set_name(done, e.const(True)))
        if isinstance(arm.body, t.Block):
            gen.block(arm.body, want)
        else:
            gen.value(arm.body, want)

    _nest(gen, tests, body)


def _nest(gen: BodyGenerator, tests: list[Callable[[], Expr]], body: Callable[[], None]) -> None:
    """Nested ifs: a test may need statements of its own, which must not run before the tests in front of it."""
    ready: list[Expr] = []
    for i, make in enumerate(tests):
        lines = gen.collect(lambda make=make: ready.append(make()))
        if lines:
            test = ready.pop()
            rest = tests[i + 1 :]

            def inner(lines: list[Any] = lines, test: Expr = test, rest: list[Callable[[], Expr]] = rest) -> None:
                gen.out.extend(lines)
                gen.out.append(e.when(test, gen.collect(lambda: _nest(gen, rest, body))))

            if ready:
                gen.out.append(e.when(e.both(*ready), gen.collect(inner)))
            else:
                inner()
            return
    lines = gen.branch(body)
    if ready:
        gen.out.append(e.when(e.both(*ready), lines))
    else:
        gen.out.extend(lines)


def pattern_tests(gen: BodyGenerator, pattern: Any, value: Expr) -> list[Callable[[], Expr]]:
    """Tests, in order, that hold when the pattern fits; they bind its names."""
    if isinstance(pattern, t.Wild):
        return []
    if isinstance(pattern, t.Bind):
        if id(pattern) in gen.names.redeclared:
            again = e.call("r_redeclared", e.const(pattern.name), pos=pattern.pos)
            return [lambda: again]
        var = gen.names.decls[id(pattern)]
        return [lambda: e.tuple_of([gen.bind_inline(var, value)])]
    gen.cost += costs.PARTS
    if isinstance(pattern, t.Literal):
        return [lambda: e.call("r_is", value, e.const(pattern.value))]
    if isinstance(pattern, t.ArrayPattern):
        return _array_tests(gen, pattern, value)
    return _object_tests(gen, pattern, value)


def _array_tests(gen: BodyGenerator, pattern: t.ArrayPattern, value: Expr) -> list[Callable[[], Expr]]:
    parts = gen.temp()
    count, has_rest = e.const(len(pattern.items)), e.const(pattern.rest is not None)
    taken = e.call("r_match_array", e.name("R"), value, count, has_rest, pos=pattern.pos)
    tests: list[Callable[[], Expr]] = [lambda: e.different(e.walrus(parts, taken), e.const(None))]
    for i, item in enumerate(pattern.items):
        gen.cost += costs.PART
        if item is not None:
            part = e.item(e.name(parts), i)
            tests.extend(_part_tests(gen, item, part))
    if pattern.rest is not None:
        gen.cost += costs.PARTS
        rest = gen.names.decls[id(pattern.rest)]
        left = e.call("r_rest", e.name("R"), e.name(parts), count, e.const(None))
        tests.append(lambda: e.tuple_of([gen.bind_inline(rest, left)]))
    return tests


def _object_tests(gen: BodyGenerator, pattern: t.ObjectPattern, value: Expr) -> list[Callable[[], Expr]]:
    parts = gen.temp()
    keys = e.tuple_of([e.const(prop.key) for prop in pattern.props])
    taken = e.call("r_match_object", e.name("R"), value, keys, pos=pattern.pos)
    tests: list[Callable[[], Expr]] = [lambda: e.different(e.walrus(parts, taken), e.const(None))]
    for prop in pattern.props:
        gen.cost += 2 * costs.PART + costs.name_length(prop.key)
        tests.extend(_part_tests(gen, prop, e.call("r_field", e.name(parts), e.const(prop.key))))
    if pattern.rest is not None:
        gen.cost += costs.PARTS
        rest = gen.names.decls[id(pattern.rest)]
        left = e.call("r_others", e.name("R"), e.name(parts), keys, e.const(None))
        tests.append(lambda: e.tuple_of([gen.bind_inline(rest, left)]))
    return tests


def _part_tests(gen: BodyGenerator, item: Any, part: Expr) -> list[Callable[[], Expr]]:
    if item.threshold is None and isinstance(item.target, t.Bind | t.Wild | t.Literal):
        return pattern_tests(gen, item.target, part)
    temp = gen.temp()
    held = e.tuple_of([e.walrus(temp, part)])
    tests: list[Callable[[], Expr]] = [lambda: held]
    tests.extend(pattern_tests(gen, item.target, e.name(temp)))
    if item.threshold is not None:
        gen.cost += costs.THRESHOLD
        tests.append(lambda: e.call("r_enough", e.name(temp), gen.expr(item.threshold), pos=item.pos))
    return tests
