"""Expressions and patterns as text: the fewest parentheses that give the same tree, and breaks where lines get long."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from compiler.prism import tree as t
from compiler.prism.build import LEVELS
from compiler.prism.comments import Comment, Trivia
from compiler.prism.layout import HARD, SOFT, SPACE, Concat, Doc, Group, IfBroken, Indent, Line, Suffix, join
from compiler.prism.tokens import KEYWORDS
from compiler.prism.values import number_text

PIPE, TERNARY, CONF, CHAIN, UNARY, POWER, POSTFIX, PRIMARY = 0, 1, 2, 3, 20, 21, 22, 23
"""How tightly expressions bind; the levels of chains lie between CHAIN and UNARY."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SPECIAL = re.compile(r'[\\"\x00-\x1f\x7f]|\$(?=\{)')
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"', "$": "\\$"}
_HUGGED = (t.Lambda, t.Object, t.Array, t.Match)


def binding(node: Any) -> int:
    """How tightly an expression binds."""
    if isinstance(node, t.Chain):
        return CHAIN + LEVELS[node.ops[0]]
    return _BINDING.get(cast("type[Any]", type(node)), PRIMARY)


_BINDING: dict[type[Any], int] = {
    t.Pipe: PIPE, t.Lambda: PIPE, t.Ternary: TERNARY, t.Attach: CONF, t.Unary: UNARY, t.Power: POWER, t.Call: POSTFIX,
    t.Member: POSTFIX, t.Index: POSTFIX,
}  # fmt: skip


def quoted(text: str) -> str:
    """A string literal."""
    return '"' + _escaped(text) + '"'


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found.group(), f"\\u{{{ord(found.group()[0]):x}}}"), text)


def is_name(text: str) -> bool:
    """Whether a text can stand as a variable or bare label."""
    return _NAME.match(text) is not None and text not in KEYWORDS


def key_text(key: str) -> str:
    """A key of an object; reserved words may stand bare before a colon."""
    return key if _NAME.match(key) is not None else quoted(key)


def first_sign(doc: Doc) -> str:
    """The first character of a document."""
    while not isinstance(doc, str):
        if isinstance(doc, Concat):
            parts = [part for part in doc.parts if not isinstance(part, str) or part]
            if not parts:
                return ""
            doc = parts[0]
        elif isinstance(doc, Indent | Group):
            doc = doc.content
        else:
            return ""
    return doc[:1]


class ExpressionPrinter(ABC):
    """Expressions and patterns; blocks are in `printer`. Without `trivia` a tree is printed by itself."""

    def __init__(self, trivia: Trivia | None = None, ends: dict[int, int] | None = None) -> None:
        self.trivia = trivia
        self.ends = ends or {}

    @abstractmethod
    def block(self, node: t.Block) -> Doc:
        """A block."""

    # -- small things ------------------------------------------------------------------------------------------

    def expr(self, node: Any, least: int = PIPE) -> Doc:
        """An expression, in parentheses when it binds less tightly than its place asks for."""
        made = _PRINTERS[type(node)](self, node)
        return Concat(("(", made, ")")) if binding(node) < least else made

    def value(self, node: Any) -> Doc:
        """An expression where a `{` would be taken for a block."""
        made = self.expr(node)
        return Concat(("(", made, ")")) if first_sign(made) == "{" else made

    def operand(self, node: Any) -> Doc:
        """An expression in the middle of something: a lambda would swallow what follows it."""
        return self.expr(node, TERNARY if isinstance(node, t.Lambda) else PIPE)

    def end_of(self, node: Any) -> int:
        """The offset behind a node, or 0 where nobody knows."""
        return self.ends.get(id(node), 0)

    def pending(self, pos: int) -> bool:
        """Whether a comment stands before an offset."""
        return self.trivia is not None and self.trivia.any_before(pos)

    def comments(self, pos: int) -> list[Comment]:
        """The comments before an offset."""
        return self.trivia.before(pos) if self.trivia is not None else []

    def listed(self, opening: str, items: list[tuple[int, Callable[[], Doc]]], closing: str, **more: Any) -> Doc:
        """Elements between brackets, one a line when they do not fit. `items` are offsets and what prints them.

        `end` is the offset of the closing bracket, `pad` what stands inside the brackets on one line, `broken` makes
        it break.
        """
        end, pad = more.get("end", 0), more.get("pad", SOFT)
        if not items and not self.pending(end):
            return opening + closing
        lines: list[Doc] = []
        commented = self.pending(end)
        for number, (pos, make) in enumerate(items):
            self.comment_lines(pos, lines)
            made = make()
            last = number == len(items) - 1
            lines.append(Concat((made, "," if not last or first_sign(made) == "" else IfBroken(","))))
        self.comment_lines(end, lines)
        broken = more.get("broken", False) or commented
        return Group(opening, Indent(pad, join(SPACE, lines)), pad, closing, broken=broken)

    def comment_lines(self, pos: int, lines: list[Doc]) -> None:
        """The comments before an offset: at the end of the line they stood on, or on lines of their own."""
        for comment in self.comments(pos):
            if comment.own_line or not lines:
                lines.append(comment.text)
            else:
                lines[-1] = Concat((lines[-1], Suffix(comment.text)))

    # -- primaries ---------------------------------------------------------------------------------------------

    def literal(self, node: Any, otherwise: str) -> Doc:
        """A literal, as it was written if that is known."""
        written = self.trivia.literal(node.pos) if self.trivia is not None else None
        return otherwise if written is None else written

    def number(self, node: t.Number) -> Doc:
        return self.literal(node, number_text(node.value))

    def string(self, node: t.String) -> Doc:
        return self.literal(node, quoted(node.value))

    def constant(self, node: t.Constant) -> Doc:
        return self.literal(node, "null" if node.value is None else "true" if node.value else "false")

    def interpolation(self, node: t.Interpolation) -> Doc:
        written = self.trivia.literal(node.pos) if self.trivia is not None else None
        if written is not None:
            return written
        pieces = [
            _escaped(part) if isinstance(part, str) else Concat(("${", flat(self.expr(part)), "}"))
            for part in node.parts
        ]
        return Concat(('"', *pieces, '"'))

    def array(self, node: t.Array) -> Doc:
        items = [self._place(item) for item in node.items]
        return self.listed("[", items, "]", end=self.end_of(node) - 1, broken=self._was_broken(node))

    def _place(self, item: Any) -> tuple[int, Callable[[], Doc]]:
        if item is None:
            return 0, lambda: ""
        return item.pos, lambda: self.expr(item)

    def _was_broken(self, node: Any) -> bool:
        return self.trivia is not None and self.trivia.opens_line(node.pos)

    def object(self, node: t.Object) -> Doc:
        items = [(entry.pos, lambda entry=entry: self.expr(entry)) for entry in node.entries]
        return self.listed("{", items, "}", end=self.end_of(node) - 1, broken=self._was_broken(node))

    def entry(self, node: t.Entry) -> Doc:
        return node.key if node.shorthand else Concat((f"{key_text(node.key)}: ", self.expr(node.value)))

    def spread(self, node: t.Spread) -> Doc:
        return Concat(("...", self.expr(node.value)))

    def lambda_(self, node: t.Lambda) -> Doc:
        params = node.params
        single = len(params.items) == 1 and params.rest is None and isinstance(params.items[0], t.Bind)
        head = params.items[0].name if single else Concat(("(", self.params(params), ")"))
        if isinstance(node.body, t.Block):
            return Concat((head, " => ", self.block(node.body)))
        made = self.expr(node.body, PIPE if isinstance(node.body, t.Lambda) else TERNARY)
        return Concat((head, " => ", Concat(("(", made, ")")) if first_sign(made) == "{" else made))

    def params(self, params: t.Params) -> Doc:
        """Parameters without their parentheses."""
        items = [self.pattern(item) for item in params.items]
        if params.rest is not None:
            items.append(Concat(("...", self.pattern(params.rest))))
        return join(", ", items)

    # -- postfix and operators ---------------------------------------------------------------------------------

    def call(self, node: t.Call) -> Doc:
        function = self._callee(node.function)
        end = self.end_of(node) - 1
        if self._hugs(node, end):
            return Concat((function, "(", join(", ", [self.expr(arg) for arg in node.args]), ")"))
        items = [(arg.pos, lambda arg=arg: self.expr(arg)) for arg in node.args]
        return Concat((function, self.listed("(", items, ")", end=end)))

    def _hugs(self, node: t.Call, end: int) -> bool:
        """Whether the last argument opens on the line of the call, as a function body or a table of options does."""
        if not node.args or not isinstance(node.args[-1], _HUGGED):
            return False
        simple = all(isinstance(arg, t.Name | t.String | t.Number | t.Constant | t.Member) for arg in node.args[:-1])
        return simple and not self.pending(node.args[-1].pos) and not self._comment_after(node.args[-1], end)

    def _comment_after(self, node: Any, end: int) -> bool:
        last = self.end_of(node)
        return self.trivia is not None and any(last <= one.pos < end for one in self.trivia.comments)

    def _callee(self, node: Any) -> Doc:
        made = self.expr(node, POSTFIX)
        return Concat(("(", made, ")")) if isinstance(node, t.Match | t.Number) else made

    def member(self, node: t.Member) -> Doc:
        return Concat((self._callee(node.object), node.op + node.name))

    def index(self, node: t.Index) -> Doc:
        return Concat((self._callee(node.object), "[", self.expr(node.index), "]"))

    def unary(self, node: t.Unary) -> Doc:
        op = node.op if node.op in ("!", "-") else node.op + " "
        operand = self.expr(node.operand, UNARY)
        if op == "-" and first_sign(operand) == "-":
            op = "- "
        return Concat((op, operand))

    def power(self, node: t.Power) -> Doc:
        return Concat((self.expr(node.base, POSTFIX), " ** ", self.expr(node.exponent, UNARY)))

    def chain(self, node: t.Chain) -> Doc:
        level = binding(node)
        first, *others = [self.expr(item, level + 1) for item in node.items]
        rest = [Concat((SPACE, f"{op} ", item)) for op, item in zip(node.ops, others, strict=True)]
        return Group(first, Indent(*rest))

    def attach(self, node: t.Attach) -> Doc:
        ends_in_chain = isinstance(node.value, t.Chain) and node.value.ops[0] == "~~"
        value = self.expr(node.value, UNARY if ends_in_chain else CONF)
        return Concat((value, " ~> ", self.expr(node.confidence, UNARY)))

    def ternary(self, node: t.Ternary) -> Doc:
        test = self.expr(node.test, CONF)
        yes = self.expr(node.yes, CONF if isinstance(node.yes, t.Ternary | t.Lambda) else PIPE)
        no = self.operand(node.no)
        return Group(test, Indent(SPACE, f"{node.op} ", yes, SPACE, ": ", no))

    def pipe(self, node: t.Pipe) -> Doc:
        stages: list[tuple[str, Any]] = []
        left: Any = node
        while isinstance(left, t.Pipe):
            stages.append((left.op, left.stage))
            left = left.left
        first = self.expr(left, CONF)
        parts: list[Doc] = []
        for op, stage in reversed(stages):
            for comment in self.comments(stage.pos):
                parts += [HARD, comment.text] if comment.own_line else [Suffix(comment.text)]
            parts += [SPACE, f"{op} ", self.expr(stage, CONF)]
        return Group(first, Indent(*parts))

    def match(self, node: t.Match) -> Doc:
        subject = self.operand(node.subject)
        items = [(arm.pos, lambda arm=arm: self.arm(arm)) for arm in node.arms]
        behind = self.end_of(node.subject) or node.pos
        one_line = self.trivia is None or "\n" not in self.trivia.text[behind : self.end_of(node)]
        body = self.listed("{", items, "}", end=self.end_of(node) - 1, pad=SPACE, broken=not one_line)
        return Concat(("match ", subject, " ", body))

    def arm(self, node: t.Arm) -> Doc:
        """One arm of a match."""
        parts: list[Doc] = [self.pattern(node.pattern)]
        if node.threshold is not None:
            parts += [" ~> ", self.operand(node.threshold)]
        if node.guard is not None:
            parts += [" if ", self.operand(node.guard)]
        body = self.block(node.body) if isinstance(node.body, t.Block) else self.value(node.body)
        return Concat((*parts, " => ", body))

    # -- patterns ----------------------------------------------------------------------------------------------

    def pattern(self, node: Any) -> Doc:
        """A pattern, or the name it is."""
        match node:
            case t.Bind():
                return node.name
            case t.Wild():
                return "_"
            case t.Literal():
                return self._literal_pattern(node)
            case t.ArrayPattern():
                return self._array_pattern(node)
            case _:
                return self._object_pattern(node)

    def _literal_pattern(self, node: t.Literal) -> Doc:
        if isinstance(node.value, str):
            return self.literal(node, quoted(node.value))
        if isinstance(node.value, float):
            return self.literal(node, number_text(node.value))
        return "null" if node.value is None else "true" if node.value else "false"

    def _array_pattern(self, node: t.ArrayPattern) -> Doc:
        items: list[Doc] = ["" if item is None else self._item(item) for item in node.items]
        if node.rest is not None:
            items.append("..." + node.rest.name)
        elif node.items and node.items[-1] is None:
            items.append("")
        return Concat(("[", join(", ", items[:-1]), *(self._last(items)), "]"))

    def _last(self, items: list[Doc]) -> list[Doc]:
        if not items:
            return []
        if len(items) == 1:
            return items
        return [", " if items[-1] != "" else ",", items[-1]]

    def _item(self, item: t.Item) -> Doc:
        made = self.pattern(item.target)
        return made if item.threshold is None else Concat((made, " ~> ", self.operand(item.threshold)))

    def _object_pattern(self, node: t.ObjectPattern) -> Doc:
        items = [self._prop(prop) for prop in node.props]
        if node.rest is not None:
            items.append("..." + node.rest.name)
        return Concat(("{", join(", ", items), "}"))

    def _prop(self, prop: t.Prop) -> Doc:
        short = isinstance(prop.target, t.Bind) and prop.target.name == prop.key
        parts: list[Doc] = [prop.key] if short else [f"{prop.key}: ", self.pattern(prop.target)]
        if prop.threshold is not None:
            parts += [" ~> ", self.operand(prop.threshold)]
        if prop.default is not None:
            parts += [" = ", self.expr(prop.default, TERNARY)]
        return Concat(parts)


def flat(doc: Doc) -> Doc:
    """A document of an interpolation: it never breaks."""
    if isinstance(doc, Concat):
        return Concat(flat(part) for part in doc.parts)
    if isinstance(doc, Indent | Group):
        return flat(doc.content)
    if isinstance(doc, str):
        return doc
    return doc.flat if isinstance(doc, Line) else ""


P = ExpressionPrinter
_PRINTERS: dict[type[Any], Callable[[Any, Any], Doc]] = {
    t.Number: P.number, t.String: P.string, t.Constant: P.constant, t.Interpolation: P.interpolation, t.Array: P.array,
    t.Object: P.object, t.Entry: P.entry, t.Spread: P.spread, t.Lambda: P.lambda_, t.Call: P.call, t.Member: P.member,
    t.Index: P.index, t.Unary: P.unary, t.Power: P.power, t.Chain: P.chain, t.Attach: P.attach, t.Ternary: P.ternary,
    t.Pipe: P.pipe, t.Match: P.match, t.Hole: lambda _printer, _node: "_", t.Name: lambda _printer, node: node.name,
}  # fmt: skip
