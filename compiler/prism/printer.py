"""Programs as text: the formatter, and the printer of trees that have no text.

The text of a tree parses to the same tree again, up to empty statements and parentheses that change nothing. Comments
stay where they stood between statements, elements, arms and pipeline stages; one inside a smaller expression moves to
the end of its line. Literals stay as they were written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from compiler.prism import tree as t
from compiler.prism.comments import Trivia
from compiler.prism.layout import HARD, SPACE, STATEMENT_END, Concat, Doc, Group, Indent, Line, Suffix, join, render
from compiler.prism.options import Limits
from compiler.prism.parser import parse_with_places
from compiler.prism.print_expressions import ExpressionPrinter, binding, is_name, key_text, quoted
from compiler.prism.source import Source

RECURSION = 12_000
_SETTLED = 4
"""Passes after which every comment has come to rest."""
_EXPRESSION_ENDS = (t.Expression, t.Let, t.Assign, t.Destructure, t.Return, t.Throw, t.DoWhile)


def print_program(tree: t.Program) -> str:
    """The text of a tree."""
    return _within(Source("", "program"), lambda: _text(Printer(), tree))


def format_source(text: str, name: str = "program.prism", limits: Limits | None = None) -> str:
    """A program as everybody writes it. Raises PrismError when it is no program."""
    made = _format(Source(text, name), limits or Limits())
    for _ in range(_SETTLED if "//" in made or "/*" in made else 0):
        again = _format(Source(made, name), limits or Limits())
        if again == made:
            break
        made = again
    return made


def _format(source: Source, limits: Limits) -> str:
    """One pass. A comment that moved may have to move once more from where it came to stand."""
    parsed = parse_with_places(source, limits)
    return _within(source, lambda: _text(Printer(Trivia(source, parsed.tokens), parsed.ends), parsed.tree))


def _text(printer: Printer, tree: t.Program) -> str:
    made = render(printer.body(tree.body, sys.maxsize))
    return made.strip("\n") + "\n" if made.strip() else ""


def _within(source: Source, make: Callable[[], str]) -> str:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, RECURSION))
    try:
        return make()
    except RecursionError:
        raise source.error("LimitError", "The program is nested too deeply", 0, code="nesting_too_deep") from None
    finally:
        sys.setrecursionlimit(limit)


class Printer(ExpressionPrinter):
    """Prints statements."""

    # -- lists of statements -----------------------------------------------------------------------------------

    def body(self, statements: list[Any], end: int) -> Doc:
        """Statements and the comments between them. `end` is the offset behind the last."""
        lines: list[Doc] = []
        last = 0
        kept = [node for node in statements if not isinstance(node, t.Empty)]
        for number, node in enumerate(kept):
            last = self._comments(lines, node.pos, last)
            following = kept[number + 1] if number + 1 < len(kept) else None
            self._line(lines, Concat((self.statement(node), self._end(node, following))), node.pos, last)
            last = self.end_of(node)
        self._comments(lines, end, last)
        return Concat(lines)

    def _comments(self, lines: list[Doc], pos: int, last: int) -> int:
        for comment in self.comments(pos):
            if lines and not comment.own_line:
                lines.append(Suffix(comment.text))
            else:
                self._line(lines, comment.text, comment.pos, last)
            last = max(last, comment.end)
        return last

    def _line(self, lines: list[Doc], made: Doc, pos: int, last: int) -> None:
        if lines:
            lines.append(STATEMENT_END)
            if self.trivia is not None and self.trivia.blank_line(last, pos):
                lines.append(HARD)
        lines.append(made)

    def _end(self, node: Any, following: Any) -> str:
        """A semicolon where the next statement would be read as going on with this one."""
        if following is None:
            return ""
        inner = _innermost(node)
        if isinstance(inner, t.Return) and inner.value is None:
            return ";"
        return ";" if isinstance(inner, _EXPRESSION_ENDS) and _begins_with_minus(following) else ""

    def block(self, node: t.Block) -> Doc:
        """A block. One that holds only a semicolon keeps it: without it a statement `{}` would be an object."""
        hollow = all(isinstance(one, t.Empty) for one in node.body)
        if hollow and not self.pending(node.end):
            return "{ ; }" if node.body else "{}"
        kept: list[Doc] = [HARD, ";"] if hollow and node.body else []
        return Concat(("{", Indent(HARD, self.body(node.body, node.end), *kept), HARD, "}"))

    def inner(self, node: Any) -> Doc:
        """A body behind its head: a block on the same line, anything else set in on the next."""
        if isinstance(node, t.Block):
            return Concat((" ", self.block(node)))
        return Indent(HARD, self.statement(node))

    def statement(self, node: Any) -> Doc:
        """One statement."""
        return _PRINTERS[type(node)](self, node)

    # -- simple statements -------------------------------------------------------------------------------------

    def expression(self, node: t.Expression) -> Doc:
        return self.value(node.value)

    def let(self, node: t.Let) -> Doc:
        word = "const" if node.const else "let"
        target = self.pattern(node.target)
        if node.value is None:
            return Concat((f"{word} ", target))
        return Concat((f"{word} ", target, " = ", self.expr(node.value)))

    def assign(self, node: t.Assign) -> Doc:
        return Concat((f"{node.name} {node.op} ", self.expr(node.value)))

    def destructure(self, node: t.Destructure) -> Doc:
        threshold = [] if node.threshold is None else [" ~> ", self.operand(node.threshold)]
        return Concat((self.pattern(node.target), *threshold, " = ", self.expr(node.value)))

    def function(self, node: t.Function) -> Doc:
        head = f"{'async ' if node.is_async else ''}fn {node.name}("
        annotation = [] if node.annotation is None else [" ~> ", self.operand(node.annotation)]
        return Concat((head, self.params(node.params), ")", *annotation, " ", self.block(node.body)))

    def return_(self, node: t.Return) -> Doc:
        return "return" if node.value is None else Concat(("return ", self.expr(node.value)))

    def throw(self, node: t.Throw) -> Doc:
        return Concat(("throw ", self.expr(node.value)))

    # -- branches ----------------------------------------------------------------------------------------------

    def if_(self, node: t.If) -> Doc:
        parts: list[Doc] = ["if (", self.expr(node.test), ")"]
        if isinstance(node.yes, t.Block):
            parts += [" ", self.block(node.yes)]
        else:
            alone = isinstance(node.yes, t.Return) and node.yes.value is None and node.no is not None
            parts += [" ", self.statement(node.yes), ";" if alone else ""]
        if node.no is None:
            return Concat(parts)
        parts.append(" " if isinstance(node.yes, t.Block) else HARD)
        parts += ["else ", self.block(node.no) if isinstance(node.no, t.Block) else self.statement(node.no)]
        return Concat(parts)

    def branches(self, head: Doc, branches: dict[str, t.Block], end: int) -> Doc:
        """The bands of an `uncertain` statement."""
        lines: list[Doc] = []
        for band, block in branches.items():
            self.comment_lines(block.pos, lines)
            lines.append(Concat((f"{band} ", self.block(block))))
        self.comment_lines(end, lines)
        body = Concat(("{", Indent(HARD, join(HARD, lines)), HARD, "}")) if lines else "{}"
        return Concat((head, " ", body))

    def uncertain_if(self, node: t.UncertainIf) -> Doc:
        head = Concat(("uncertain if (", self.expr(node.test), ")"))
        return self.branches(head, node.branches, self.end_of(node) - 1)

    # -- loops -------------------------------------------------------------------------------------------------

    def while_(self, node: t.While) -> Doc:
        test = self.operand(node.test)
        if node.branches is not None:
            return self.branches(Concat(("uncertain while ", test)), node.branches, self.end_of(node) - 1)
        return Concat(("while ", test, self.inner(node.body)))

    def do_while(self, node: t.DoWhile) -> Doc:
        break_ = " " if isinstance(node.body, t.Block) else HARD
        return Concat(("do", self.inner(node.body), break_, "while ", self.expr(node.test)))

    def for_(self, node: t.For) -> Doc:
        start = "" if node.start is None else self.statement(node.start)
        test = "" if node.test is None else Concat((" ", self.operand(node.test)))
        update = "" if node.update is None else Concat((" ", self._update(node.update)))
        head = Concat(("for ", start, ";", test, ";", update))
        if node.branches is not None:
            return self.branches(Concat(("uncertain ", head)), node.branches, self.end_of(node) - 1)
        return Concat((head, self.inner(node.body)))

    def _update(self, node: Any) -> Doc:
        if isinstance(node, t.Assign):
            return Concat((f"{node.name} {node.op} ", self.operand(node.value)))
        return self.operand(node.value)

    def for_in(self, node: t.ForIn) -> Doc:
        names = node.name if node.index is None else f"{node.name}, {node.index}"
        return Concat((f"for {names} in ", self.operand(node.items), self.inner(node.body)))

    # -- blocks with names -------------------------------------------------------------------------------------

    def context(self, node: t.Context) -> Doc:
        target = "" if node.target is None else f" -> {_label(node.target)}"
        return Concat((f"in context {_label(node.name)} ", self.block(node.body), target))

    def agents(self, node: t.Agents) -> Doc:
        lines: list[Doc] = []
        for agent in node.agents:
            self.comment_lines(agent.pos, lines)
            lines.append(self.agent(agent))
        self.comment_lines(self.end_of(node) - 1, lines)
        return Concat(("agents {", Indent(HARD, join(HARD, lines)), HARD, "}")) if lines else "agents {}"

    def agent(self, node: t.Agent) -> Doc:
        """One agent of an `agents` block."""
        lines: list[Doc] = []
        for entry in node.fields:
            self.comment_lines(entry.pos, lines)
            lines.append(Concat((f"{key_text(entry.key)}: ", self.expr(entry.value), ",")))
        self.comment_lines(self.end_of(node) - 1, lines)
        body = Concat(("{", Indent(HARD, join(HARD, lines)), HARD, "}")) if lines else "{}"
        return Concat((f"{node.name}: Agent ", body))

    def try_(self, node: t.Try) -> Doc:
        parts: list[Doc] = ["try ", self.block(node.body)]
        if node.handler is not None:
            name = "" if node.name is None else f"({node.name}) "
            parts += [f" catch {name}", self.block(node.handler)]
        if node.final is not None:
            parts += [" finally ", self.block(node.final)]
        return Concat(parts)

    # -- modules -----------------------------------------------------------------------------------------------

    def import_(self, node: t.Import) -> Doc:
        names: list[Doc] = []
        if node.namespace is not None:
            names.append(f"* as {node.namespace}")
        if node.default is not None:
            names.append(node.default)
        if node.specs or not names:
            names.append(_specs(node.specs))
        return Concat(("import ", join(", ", names), f" from {quoted(node.path)}"))

    def export(self, node: t.Export) -> Doc:
        if node.statement is not None:
            return Concat(("export ", self.statement(node.statement)))
        if node.default is not None:
            return Concat(("export default ", self.expr(node.default)))
        source = "" if node.path is None else f" from {quoted(node.path)}"
        return Concat(("export ", "*" if node.specs is None else _specs(node.specs), source))


def _specs(specs: list[t.Spec]) -> Doc:
    if not specs:
        return "{}"
    names = [one.name if one.name == one.alias else f"{one.name} as {one.alias}" for one in specs]
    return Group("{", Indent(Line(""), join(Concat((",", SPACE)), names)), Line(""), "}")


def _label(text: str) -> str:
    return text if is_name(text) else quoted(text)


def _innermost(node: Any) -> Any:
    """The statement at the very end of a statement whose body is no block."""
    while True:
        if isinstance(node, t.If):
            node = node.yes if node.no is None else node.no
        elif isinstance(node, t.While | t.For | t.ForIn) and node.body is not None:
            node = node.body
        elif isinstance(node, t.Export):
            return t.Expression(node.pos, node.default) if node.statement is None else node.statement
        else:
            return node


def _begins_with_minus(node: Any) -> bool:
    """Whether the text of a statement begins with a minus, which would go on with the statement before it."""
    if not isinstance(node, t.Expression):
        return False
    value = node.value
    while not (isinstance(value, t.Unary) and value.op == "-"):
        match value:
            case t.Chain() if binding(value.items[0]) > binding(value):
                value = value.items[0]
            case t.Pipe():
                value = value.left
            case t.Attach():
                value = value.value
            case t.Ternary():
                value = value.test
            case _:
                return False
    return True


P = Printer
_PRINTERS: dict[type[Any], Callable[[Any, Any], Doc]] = {
    t.Expression: P.expression, t.Let: P.let, t.Assign: P.assign, t.Destructure: P.destructure, t.Function: P.function,
    t.Return: P.return_, t.Throw: P.throw, t.If: P.if_, t.UncertainIf: P.uncertain_if, t.While: P.while_,
    t.DoWhile: P.do_while, t.For: P.for_, t.ForIn: P.for_in, t.Context: P.context, t.Agents: P.agents, t.Try: P.try_,
    t.Import: P.import_, t.Export: P.export, t.Block: P.block, t.Break: lambda _printer, _node: "break",
    t.Continue: lambda _printer, _node: "continue", t.Empty: lambda _printer, _node: ";",
}  # fmt: skip
