"""Checks of calls and confidences that are written out: what could never work is said before the program runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from compiler.prism import tree as t
from compiler.prism.builtin_names import BUILTIN_ARITIES
from compiler.prism.effect_signatures import Signature
from compiler.prism.findings import Findings
from compiler.prism.nearest import did_you_mean
from compiler.prism.scope import Names, Var
from compiler.prism.values import number_text

_KINDS: dict[type[Any], str] = {
    t.Number: "number", t.String: "string", t.Interpolation: "string", t.Array: "array", t.Object: "object",
    t.Lambda: "function",
}  # fmt: skip


def children(node: Any) -> Iterator[Any]:
    """The nodes directly in a node, in the order of its fields."""
    for name in node.__struct_fields__:
        value = getattr(node, name)
        if isinstance(value, t.Node):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, t.Node))  # pyright: ignore[reportUnknownVariableType] - nodes of any kind
        elif isinstance(value, dict):
            yield from cast("dict[str, Any]", value).values()


def every(root: Any) -> Iterator[Any]:
    """All nodes of a tree."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(list(children(node))))


def literal_number(node: Any) -> float | None:
    """The number that is written out, or None."""
    if isinstance(node, t.Number):
        return node.value
    if isinstance(node, t.Unary) and node.op == "-" and isinstance(node.operand, t.Number):
        return -node.operand.value
    return None


def kind_of_literal(node: Any) -> str:
    """The kind of value that is written out, or "" where that is open."""
    if isinstance(node, t.Constant):
        return "null" if node.value is None else "boolean"
    if isinstance(node, t.Attach):
        return kind_of_literal(node.value)
    return "number" if literal_number(node) is not None else _KINDS.get(cast("type[Any]", type(node)), "")


class CallChecker:
    """Looks at every call and every confidence of one resolved tree."""

    def __init__(self, names: Names, findings: Findings, effects: Mapping[str, Signature]) -> None:
        self.names = names
        self.findings = findings
        self.effects = effects

    def run(self, tree: t.Program) -> None:
        """Note everything that is wrong."""
        for node in every(tree):
            if isinstance(node, t.Call):
                self._call(node)
            elif isinstance(node, t.Attach):
                self._confidence(node.confidence)
            elif isinstance(node, t.Item | t.Prop | t.Arm | t.Destructure) and node.threshold is not None:
                self._confidence(node.threshold)
            elif isinstance(node, t.Function) and node.annotation is not None:
                self._confidence(node.annotation)
            elif isinstance(node, t.Pipe) and node.op == "~?>":
                stage = node.stage
                self._confidence(stage.items[0] if isinstance(stage, t.Array) and stage.items else stage)

    def _confidence(self, node: Any) -> None:
        value = literal_number(node)
        if value is not None and not 0 <= value <= 1:
            message = f"A confidence lies between 0 and 1, not {number_text(value)}"
            hint = f"write {number_text(value / 100)} for {number_text(value)} percent" if 2 <= value <= 100 else ""
            self.findings.error("confidence_out_of_range", message, node.pos, hint or "write a number from 0 to 1")

    # -- calls -------------------------------------------------------------------------------------------------

    def _call(self, node: t.Call) -> None:
        if not isinstance(node.function, t.Name):
            return
        ref = self.names.refs.get(id(node.function))
        if ref is None:
            return
        name = node.function.name
        if ref.var.kind != "global":
            self._own_function(node, ref.var)
        elif name in self.effects:
            self._effect(node, name, self.effects[name])
        elif name in BUILTIN_ARITIES:
            self._count(node, name, *BUILTIN_ARITIES[name])
            if name in ("confidence", "threshold") and len(node.args) == 1:
                self._confidence(node.args[0])

    def _own_function(self, node: t.Call, var: Var) -> None:
        """A call of a function that is declared once and never assigned."""
        if var.kind == "function" and var.declared == 1 and not var.assigned and var.params >= 0:
            line = self.findings.source.locate(var.pos)[0]
            self._count(node, var.name, var.params, var.params, f"it is declared in line {line}")

    def _count(self, node: t.Call, name: str, least: int, most: int | None, hint: str = "") -> bool:
        count = len(node.args)
        if any(isinstance(arg, t.Spread) for arg in node.args) or (count >= least and (most is None or count <= most)):
            return True
        wanted = str(least) if least == most else f"{least} to {most}" if most is not None else f"at least {least}"
        message = f"{name}() takes {wanted} argument{'' if wanted == '1' else 's'}, not {count}"
        self.findings.error("wrong_arguments", message, node.pos, hint)
        return False

    def _effect(self, node: t.Call, name: str, signature: Signature) -> None:
        shown = f"write {signature.shown(name)}"
        fits = self._count(node, name, signature.needed, signature.most, shown)
        if not fits or any(isinstance(arg, t.Spread) for arg in node.args):
            return
        for number, (arg, wanted) in enumerate(zip(node.args, signature.kinds, strict=False), 1):
            kind = kind_of_literal(arg)
            if wanted and kind and kind not in wanted.split("|"):
                options = " or ".join(wanted.split("|"))
                message = f"{name}() takes {_a(options)} as its argument {number}, not {_a(kind)}"
                self.findings.error("wrong_arguments", message, arg.pos, shown)
        if signature.written_out and not isinstance(node.args[0], t.String):
            message = f"{name}() takes a text that is written out as its argument 1"
            hint = "what a program calls is found when it is compiled"
            self.findings.error("not_written_out", message, node.args[0].pos, hint)
        if signature.options is not None and len(node.args) > len(signature.kinds):
            self._options(node.args[-1], name, signature.options)

    def _options(self, node: Any, name: str, known: Mapping[str, str]) -> None:
        kind = kind_of_literal(node)
        if kind not in ("", "object", "null"):
            message = f"The options of {name}() are an object, not {_a(kind)}"
            self.findings.error("wrong_arguments", message, node.pos, f"its options are {', '.join(sorted(known))}")
        if not isinstance(node, t.Object):
            return
        for entry in node.entries:
            if isinstance(entry, t.Entry):
                self._option(entry, name, known)

    def _option(self, entry: t.Entry, name: str, known: Mapping[str, str]) -> None:
        if entry.key not in known:
            message = f"{name}() has no option '{entry.key}'"
            self.findings.error("unknown_option", message, entry.pos, did_you_mean(entry.key, known))
            return
        wanted, kind = known[entry.key], kind_of_literal(entry.value)
        choices = wanted.split("|")
        if len(choices) > 1:
            written = entry.value.value if isinstance(entry.value, t.String) else None
            if (kind and kind != "string") or (written is not None and written not in choices):
                message = f"The option '{entry.key}' of {name}() is one of {', '.join(choices)}"
                self.findings.error("wrong_arguments", message, entry.value.pos, did_you_mean(written or "", choices))
        elif wanted and kind not in ("", "null", wanted):
            message = f"The option '{entry.key}' of {name}() is {_a(wanted)}, not {_a(kind)}"
            self.findings.error("wrong_arguments", message, entry.value.pos, f"give {_a(wanted)}")


def _a(kind: str) -> str:
    return kind if kind == "null" else f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"
