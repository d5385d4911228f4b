"""Resolving an expression: what its names mean, whether its types fit, and how it is written in Prism."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from compiler.patterns.expressions import (
    COMPARISONS,
    Binary,
    Call,
    Choice,
    Expression,
    ExpressionError,
    Index,
    Literal,
    Member,
    Name,
    Unary,
)
from compiler.patterns.literals import RESERVED, literal, number, scalar, without_parentheses
from compiler.patterns.report import did_you_mean, nearest
from compiler.patterns.shapes import ANY, FLAG, NULL, NUMBER, TEXT, WORDS, Shape, Symbol

_EQUALITY = frozenset({"==", "!=", "===", "!==", "~==", "~!="})
_LOGIC = frozenset({"||", "~||", "&&", "~&&", "??", "~??"})
_TEXT_FUNCTIONS = frozenset({"upper", "lower", "trim"})
_NUMBER_FUNCTIONS = frozenset({"len", "round", "abs", "floor", "sum", "average"})


class Scope:
    """The names that are known at one place of the workflow.

    `symbols` are those that can be used, `later` those of steps that have not run there, with the reason.
    """

    def __init__(self, symbols: dict[str, Symbol], later: dict[str, str] | None = None) -> None:
        self.symbols = symbols
        self.later = later or {}

    def names(self) -> list[str]:
        """Every name that means something here, and the fields of the input."""
        given = self.symbols["input"].shape.fields if "input" in self.symbols else None
        return [*self.symbols, *self.later, *(given or ())]

    def inner(self) -> Scope:
        """A scope inside this one: what it learns stays inside."""
        return Scope(dict(self.symbols), dict(self.later))


class Resolved:
    """An expression in Prism, its shape, and the steps it refers to."""

    def __init__(self, code: str, shape: Shape, roots: list[str]) -> None:
        self.code = code
        self.shape = shape
        self.roots = roots


def resolve(expression: Expression, scope: Scope) -> Resolved:
    """The expression in Prism. Raises `ExpressionError` where it cannot be right."""
    roots: list[str] = []
    code, shape = _Resolver(scope, roots).visit(expression)
    return Resolved(code, shape, list(dict.fromkeys(roots)))


class _Resolver:
    def __init__(self, scope: Scope, roots: list[str]) -> None:
        self._scope = scope
        self._roots = roots

    def visit(self, node: Expression) -> tuple[str, Shape]:
        match node:
            case Literal():
                return _literal(node)
            case Name():
                return self._name(node)
            case Member():
                return self._member(node.base, node.name, node.offset)
            case Index():
                return self._index(node)
            case Unary():
                return self._unary(node)
            case Binary():
                return self._binary(node)
            case Choice():
                return self._choice(node)
            case Call():
                return self._call(node)

    def _name(self, node: Name) -> tuple[str, Shape]:
        symbol = self._scope.symbols.get(node.name)
        if symbol is not None:
            self._roots.append(node.name)
            return symbol.code, symbol.shape
        if node.name in self._scope.later:
            raise ExpressionError(self._scope.later[node.name], node.offset, "Refer to earlier steps.", "later-step")
        known = [name for name in self._scope.symbols if not name.endswith("_result")]
        hint = did_you_mean(node.name, self._scope.symbols, f"Known here: {', '.join(known)}.")
        raise ExpressionError(f"nothing is called {node.name!r} here", node.offset, hint, "unknown-reference")

    def _member(self, base: Expression, name: str, offset: int) -> tuple[str, Shape]:
        code, shape = self.visit(base)
        if isinstance(base, Name) and base.name == "input" and shape.fields is not None and name not in shape.fields:
            message = f"the pattern declares no input {name!r}"
            hint = did_you_mean(name, shape.fields, _declare(name, shape.fields))
            raise ExpressionError(message, offset, hint, "unknown-field")
        defaults = self._scope.symbols[base.name].defaults if isinstance(base, Name) else {}
        if name in defaults and shape.fields is not None:
            field = f"{code}?.{name}" if _plain(name) else f"({code} ?? {{}})[{scalar(name)}]"
            return f"({field} ?? {literal(defaults[name])})", replace(shape.fields[name], nullable=False)
        return self._member_of(code, shape, name, offset)

    @staticmethod
    def _member_of(code: str, shape: Shape, name: str, offset: int) -> tuple[str, Shape]:
        if shape.kind in {"list", "text"} and name == "length":
            return (f"{code}?.length", replace(NUMBER, nullable=True)) if shape.nullable else (f"{code}.length", NUMBER)
        if shape.kind not in {"any", "record"}:
            message = f"{WORDS[shape.kind]} has no field {name!r}"
            raise ExpressionError(message, offset, _list_hint(shape), "unknown-field")
        if shape.fields is None:
            return f"{code}?.{name}" if _plain(name) else f'({code} ?? {{}})["{name}"]', replace(ANY, nullable=True)
        field = shape.fields.get(name)
        if field is None:
            hint = _field_hint(name, shape.fields)
            raise ExpressionError(f"there is no {name!r} here", offset, hint, "unknown-field")
        optional = shape.nullable or field.missing
        if not _plain(name):
            made = f"({code} ?? {{}})[{scalar(name)}]" if optional else f"{code}[{scalar(name)}]"
            return made, replace(field, nullable=field.nullable or optional)
        return f"{code}{'?.' if optional else '.'}{name}", replace(field, nullable=field.nullable or optional)

    def _index(self, node: Index) -> tuple[str, Shape]:
        if isinstance(node.index, Literal) and isinstance(node.index.value, str):
            if _plain(node.index.value):
                return self._member(node.base, node.index.value, node.offset)
            code, _ = self.visit(node.base)
            return f"({code} ?? {{}})[{scalar(node.index.value)}]", replace(ANY, nullable=True)
        code, shape = self.visit(node.base)
        index_code, index_shape = self.visit(node.index)
        if shape.kind not in {"any", "list"}:
            raise ExpressionError(f"{WORDS[shape.kind]} has no elements", node.offset, "", "unknown-field")
        if index_shape.kind not in {"any", "number"}:
            raise ExpressionError("an index is a number", node.offset)
        made = shape.item or ANY
        if shape.items is not None:
            made = _element(shape.items, node)
        if shape.kind == "any" and index_shape.kind == "number":
            return f"elementOf({without_parentheses(code)}, {index_code})", replace(made, nullable=True)
        if shape.nullable:
            return f"({code} == null ? null : {code}[{index_code}])", replace(made, nullable=True)
        return f"{code}[{index_code}]", made

    def _unary(self, node: Unary) -> tuple[str, Shape]:
        code, shape = self.visit(node.operand)
        if node.op == "!":
            return f"!{_wrapped(code)}", FLAG
        if node.op == "<~" and shape.fields is not None and "confidence" in shape.fields:
            return self._member_of(code, shape, "confidence", node.offset)
        if node.op == "<~":
            return f"(<~ {_wrapped(code)})", NUMBER
        self._number(shape, "-", node.offset)
        return f"-{_wrapped(code)}", NUMBER

    def _binary(self, node: Binary) -> tuple[str, Shape]:
        left, left_shape = self.visit(node.left)
        right, right_shape = self.visit(node.right)
        op = node.op
        if op in COMPARISONS:
            left, right = _comparable(left, left_shape, right, right_shape, node)
            return f"({left} {op} {right})", FLAG
        if op in _EQUALITY:
            self._equal(left_shape, right_shape, node)
            return f"({left} {op} {right})", FLAG
        if op in _LOGIC:
            if op in {"??", "~??"}:
                same = left_shape.kind == right_shape.kind
                return f"({left} {op} {right})", replace(left_shape, nullable=right_shape.nullable) if same else ANY
            both = left_shape.kind == right_shape.kind == "boolean"
            return f"({left} {op} {right})", FLAG if both or op.startswith("~") else ANY
        if op == "+" and "text" in {left_shape.kind, right_shape.kind}:
            return f"({left} + {right})", TEXT
        for shape in (left_shape, right_shape):
            self._number(shape, op, node.offset)
        left, right = _zeroed(left, left_shape), _zeroed(right, right_shape)
        return f"({left} {op} {right})", ANY if "any" in {left_shape.kind, right_shape.kind} else NUMBER

    def _choice(self, node: Choice) -> tuple[str, Shape]:
        test, _ = self.visit(node.test)
        yes, yes_shape = self.visit(node.yes)
        no, no_shape = self.visit(node.no)
        return f"({test} ? {yes} : {no})", yes_shape if yes_shape.kind == no_shape.kind else ANY

    def _call(self, node: Call) -> tuple[str, Shape]:
        arguments = ", ".join(self.visit(argument)[0] for argument in node.arguments)
        shape = TEXT if node.name in _TEXT_FUNCTIONS else NUMBER if node.name in _NUMBER_FUNCTIONS else ANY
        return f"{node.name}({arguments})", FLAG if node.name == "includes" else shape

    def _number(self, shape: Shape, op: str, offset: int) -> None:
        if shape.kind not in {"any", "number"}:
            raise ExpressionError(f"{op!r} needs numbers, not {WORDS[shape.kind]}", offset, "", "type-mismatch")

    def _equal(self, left: Shape, right: Shape, node: Binary) -> None:
        kinds = {left.kind, right.kind}
        if "any" in kinds or len(kinds) == 1 or kinds == {"number", "text"}:
            return
        if "null" in kinds:
            return
        message = f"{WORDS[left.kind]} and {WORDS[right.kind]} are never equal"
        raise ExpressionError(message, node.offset, "", "type-mismatch")


def _literal(node: Literal) -> tuple[str, Shape]:
    if node.value is None:
        return "null", NULL
    if isinstance(node.value, bool):
        return scalar(node.value), FLAG
    if isinstance(node.value, float):
        return number(node.value), NUMBER
    return scalar(node.value), TEXT


def _element(items: tuple[Shape, ...], node: Index) -> Shape:
    if not isinstance(node.index, Literal) or not isinstance(node.index.value, float):
        kinds = {shape.kind for shape in items}
        return items[0] if len(kinds) == 1 and items.count(items[0]) == len(items) else ANY
    position = node.index.value
    if not position.is_integer() or not 0 <= position < len(items):
        message = f"there is no element {number(position)}: the list has {len(items)}, counted from 0"
        raise ExpressionError(message, node.offset, f"The last one is [{len(items) - 1}].", "unknown-field")
    return items[int(position)]


def _comparable(left: str, left_shape: Shape, right: str, right_shape: Shape, node: Binary) -> tuple[str, str]:
    kinds = (left_shape.kind, right_shape.kind)
    for kind in kinds:
        if kind not in {"any", "number", "text"}:
            message = f"{node.op!r} compares numbers, not {WORDS[kind]}"
            raise ExpressionError(message, node.offset, "", "type-mismatch")
    if "any" not in kinds and kinds[0] != kinds[1]:
        message = f"{node.op!r} cannot compare {WORDS[kinds[0]]} with {WORDS[kinds[1]]}"
        raise ExpressionError(message, node.offset, "", "type-mismatch")
    if "text" in kinds:
        return left, right
    return _zeroed(left, left_shape), _zeroed(right, right_shape)


def _zeroed(code: str, shape: Shape) -> str:
    """A number that may be missing counts as 0: what has no confidence is never above a bound."""
    return f"({code} ?? 0)" if shape.nullable else code


def _list_hint(shape: Shape) -> str:
    return "It is a list: name one element, for example [0]." if shape.kind == "list" else ""


def _declare(name: str, fields: Mapping[str, Shape]) -> str:
    declared = f"Declared: {', '.join(fields)}. " if fields else ""
    return f"{declared}To add it, write {name}: {{type: string}} under input."


def _field_hint(name: str, fields: Mapping[str, Shape]) -> str:
    """What was probably meant by a field that there is not. The number of things is not proposed for one of them."""
    one = name.rstrip("s")
    named = [field for field, shape in fields.items() if shape.kind != "number" or field.rstrip("s") != one]
    if (near := nearest(name, named)) is not None:
        return f"Did you mean {near!r}?"
    inner = fields.get("result")
    if inner is not None and inner.kind == "any":
        return f"What an agent gave stands under result: write result.{name}."
    if inner is not None and inner.fields is not None and name in inner.fields:
        return f"It stands under result: write result.{name}."
    return f"Known here: {', '.join(fields)}."


def _plain(name: str) -> bool:
    return name.isascii() and name.isidentifier() and name not in RESERVED


def _wrapped(code: str) -> str:
    simple = all(char.isalnum() or char in '_.?[]"' for char in code) or code.startswith("(")
    return code if simple else f"({code})"
