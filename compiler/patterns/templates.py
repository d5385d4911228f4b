"""Texts with `${…}` in them: finding the references, where they stand in the file, and writing them as Prism."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from compiler.patterns.expressions import ExpressionError, parse_expression, parse_reference
from compiler.patterns.literals import escaped, key, scalar, without_parentheses
from compiler.patterns.reader import Node
from compiler.patterns.references import Resolved, Scope, resolve
from compiler.patterns.report import Report
from compiler.patterns.shapes import ANY, NULL, TEXT, Shape
from compiler.patterns.view import report_trap

_GLOBALS = frozenset({"input", "workspace", "context"})
"""What every program is given as plain values; a called pattern may get an input with confidences."""


@dataclass(slots=True)
class Rendered:
    """A value in Prism, its shape, and the names it refers to, in order."""

    code: str
    shape: Shape = TEXT
    roots: list[str] = field(default_factory=list[str])


class Templates:
    """Renders the values of one file; what is wrong goes to its report. `plain_input`: it has no confidences."""

    def __init__(self, report: Report, source: str, *, plain_input: bool = True) -> None:
        self._plain = _GLOBALS if plain_input else _GLOBALS - {"input"}
        self._report = report
        self._lines = source.split("\n")

    def expression(self, node: Node, scope: Scope) -> Resolved | None:
        """A whole text as one expression, with or without `${}` around it."""
        try:
            return resolve(parse_expression(node.raw, scope.names()), scope)
        except ExpressionError as error:
            self._fail(node, error)
            return None

    def text(self, node: Node, scope: Scope) -> Rendered:
        """A text in which every reference reads as a person would write its value."""
        parts, roots = self._parts(node, scope)
        return Rendered(_joined(parts, self._plain), TEXT, roots)

    def value(self, node: Node, scope: Scope) -> Rendered:
        """Any value. A text that is nothing but one reference is that reference's value."""
        if node.kind == "text":
            report_trap(node, self._report)
            parts, roots = self._parts(node, scope)
            if len(parts) == 1 and isinstance(parts[0], Resolved):
                return Rendered(parts[0].code, parts[0].shape, roots)
            return Rendered(_joined(parts, self._plain), TEXT, roots)
        if node.kind == "list":
            items = [self.value(item, scope) for item in node.items]
            shape = Shape("list", items=tuple(item.shape for item in items))
            return Rendered("[" + ", ".join(item.code for item in items) + "]", shape, _all(items))
        if node.kind == "map":
            entries = [(name.raw, self.value(inner, scope)) for name, inner in node.pairs]
            code = "{" + ", ".join(f"{key(name)}: {made.code}" for name, made in entries) + "}"
            return Rendered(code, Shape("record"), _all(made for _, made in entries))
        return Rendered(scalar(node.value), NULL if node.value is None else ANY)

    def _parts(self, node: Node, scope: Scope) -> tuple[list[str | Resolved], list[str]]:
        text, parts, roots, position = str(node.value), list[str | Resolved](), list[str](), 0
        names = scope.names()
        plain: list[str] = []
        while (found := text.find("${", position)) >= 0:
            if found > position and text[found - 1] == "\\":
                plain.append(text[position : found - 1] + "${")
                position = found + 2
                continue
            plain.append(text[position:found])
            try:
                expression, after = parse_reference(text, found + 2, names)
                made = resolve(expression, scope)
            except ExpressionError as error:
                position = self._broken(node, text, found, error)
                continue
            if joined := "".join(plain):
                parts.append(joined)
            plain, position = [], after
            parts.append(made)
            roots += made.roots
        if rest := "".join([*plain, text[position:]]):
            parts.append(rest)
        return parts, list(dict.fromkeys(roots))

    def _broken(self, node: Node, text: str, found: int, error: ExpressionError) -> int:
        """Reports a reference that cannot be read; gives where to go on.

        What is broken up to its end is one mistake; what is never closed ends nowhere.
        """
        nested = text.startswith("${", error.offset) and not text[error.offset - 1].isspace()
        if error.code == "unclosed-reference" or (not nested and _is_open(text, found + 2)):
            self._fail(node, ExpressionError("this `${` is never closed", found, "Add a `}`.", "unclosed-reference"))
            return found + 2
        self._fail(node, error)
        end = text.find("}", max(error.offset, found + 2))
        return found + 2 if end < 0 else end + 1

    def _fail(self, node: Node, error: ExpressionError) -> None:
        line, column = self._place(node, error.offset)
        self._report.error(error.code, line, column, error.message, error.hint)

    def _place(self, node: Node, offset: int) -> tuple[int, int]:
        """Where character `offset` of a text stands in the file."""
        value = str(node.raw)
        before = value.rfind("${", 0, offset + 2)
        if before >= 0:
            found = self._nth(node, value[: before + 2].count("${"))
            if found is not None:
                return found[0], found[1] + max(0, offset - before)
        if node.block or "\n" in value or value not in self._lines[node.line - 1]:
            return self._over_lines(node, value, offset)
        shown = self._lines[node.line - 1] if node.line <= len(self._lines) else ""
        quote = 1 if shown[node.column - 1 : node.column] in {"'", '"'} else 0
        return node.line, node.column + quote + offset

    def _over_lines(self, node: Node, value: str, offset: int) -> tuple[int, int]:
        """Where a character of a text stands that goes over several lines, folded into one or not."""
        passed = 0
        for number in range(node.line + 1 if node.block else node.line, len(self._lines) + 1):
            line = self._lines[number - 1]
            begins = node.column - 1 if number == node.line else 0
            words = line[begins:].strip().strip("\"'" if not node.block else "")
            at = value.find(words, passed)
            if at < 0:
                break
            if words and offset <= at + len(words):
                return number, line.index(words, begins) + 1 + max(0, offset - at)
            passed = at + len(words)
        return node.line, node.column

    def _nth(self, node: Node, number: int) -> tuple[int, int] | None:
        line, column = node.line, node.column - 1
        while line <= len(self._lines):
            found = self._lines[line - 1].find("${", column)
            if found < 0:
                line, column = line + 1, 0
                continue
            number -= 1
            if number == 0:
                return line, found + 1
            column = found + 2
        return None


def _is_open(text: str, start: int) -> bool:
    """Whether no `}` follows before the line ends or the next reference begins."""
    ends = [at for at in (text.find("${", start), text.find("\n", start)) if at >= 0]
    return "}" not in text[start : min(ends, default=len(text))]


def _all(rendered: Iterable[Rendered]) -> list[str]:
    return list(dict.fromkeys(root for made in rendered for root in made.roots))


def _joined(parts: list[str | Resolved], plain: frozenset[str]) -> str:
    """The parts as Prism strings, one for each line of a longer text; code with quotes stands outside of them.

    What a step left may be a value with a confidence, which the language would write into the text; `text` does not.
    """
    pieces: list[str] = []
    inside = ""

    def close() -> None:
        nonlocal inside
        if inside:
            pieces.append(f'"{inside}"')
            inside = ""

    for part in parts:
        if isinstance(part, str):
            for line in part.splitlines(keepends=True) if "\n" in part else [part]:
                inside += escaped(line)
                if line.endswith("\n"):
                    close()
            continue
        bare = without_parentheses(part.code)
        is_text = part.shape.kind == "text" and not part.shape.nullable
        code = bare if is_text and set(part.roots) <= plain else f"text({bare})"
        if any(char in code for char in '"{}\\'):
            close()
            pieces.append(f"text({bare})")
        else:
            inside += f"${{{code}}}"
    close()
    if len(pieces) <= 1:
        return pieces[0] if pieces else '""'
    wide = sum(map(len, pieces)) > 80
    return " +\n    ".join(pieces) if wide else " + ".join(pieces)
