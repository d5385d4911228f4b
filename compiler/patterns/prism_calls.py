"""The calls of other patterns in a Prism program: `call("name@1.x", {…}, {id: "…"})`, written out."""

from __future__ import annotations

from typing import Any

from compiler.patterns.callees import Call, Callees, check_fields, check_value
from compiler.patterns.reader import Node
from compiler.patterns.report import Report
from compiler.patterns.view import to_json
from compiler.patterns.written_out import NotWrittenOut, written_out
from compiler.prism import Program
from compiler.prism import tree as t
from compiler.prism.check_calls import every, kind_of_literal
from compiler.prism.program import Unit

_CALL = "call"


def resolve_calls(
    program: Program, callees: Callees, callers: tuple[str, ...], report: Report, *, workspace: bool
) -> None:
    """Finds and compiles what a program and its modules call. What is wrong goes to the report."""
    for unit in program.units.values():
        places = {pos for word, pos in unit.globals if word == _CALL}
        if not places:
            continue
        reader = _Calls(unit, callees, callers, report, own=unit is program.unit, workspace=workspace)
        for node in every(unit.tree):
            if isinstance(node, t.Call) and isinstance(node.function, t.Name) and node.function.pos in places:
                places.discard(node.function.pos)
                reader.read(node)
        for pos in sorted(places):
            reader.error("bad-call", pos, "`call` is called where it stands; it is no value", 'call("name@1.x", {…})')


class _Calls:
    """Reads the calls of one file. The report is about the program's own; a module is named in the message."""

    def __init__(
        self, unit: Unit, callees: Callees, callers: tuple[str, ...], report: Report, *, own: bool, workspace: bool
    ) -> None:
        self._unit = unit
        self._callees = callees
        self._callers = callers
        self._own = own
        self._workspace = workspace
        self._report = report if own else Report(unit.source.name, unit.source.text)
        self._outer = report

    def error(self, code: str, pos: int, message: str, hint: str = "") -> None:
        """Something wrong at an offset of the file."""
        line, column = self._unit.source.locate(pos)
        self._report.error(code, line, column, message, hint)
        self._hand_on()

    def read(self, node: t.Call) -> None:
        """One call."""
        name = node.args[0] if node.args else None
        if not isinstance(name, t.String):
            hint = 'For example call("name@1.x", {…}). Which patterns a program calls is known before it runs.'
            message = "the name of a called pattern is a text that is written out"
            self.error("not-constant", node.pos if name is None else name.pos, message, hint)
            return
        step = self._step(node.args[2] if len(node.args) > 2 else None)
        if step is None:
            return
        line, column = self._unit.source.locate(name.pos)
        call = Call(reference=name.value, step=step, line=line, column=column)
        source = self._callees.find(call, self._callers, self._report)
        if source is not None:
            made = self._callees.add(call, source, self._callers, self._report, workspace=self._workspace)
            if made is not None:
                self._input(made.name, made.input, call, node.args[1] if len(node.args) > 1 else None)
        self._hand_on()

    def _step(self, options: Any) -> str | None:
        """The id in the options of a call; None when it is not written out, which is said."""
        if options is None or (isinstance(options, t.Constant) and options.value is None):
            return ""
        if isinstance(options, t.Object) and all(isinstance(one, t.Entry) for one in options.entries):
            ids = [one.value for one in options.entries if one.key == "id"]
            if not ids:
                return ""
            if isinstance(ids[-1], t.String):
                return ids[-1].value
        message = "the options of a call, and the id in them, are written out: the roles are named after it"
        self.error("not-constant", options.pos, message, '{id: "first"}')
        return None

    def _input(self, name: str, schema: dict[str, Any], call: Call, given: Any) -> None:
        if given is None or (isinstance(given, t.Constant) and given.value is None):
            check_fields(name, schema, {}, call, self._report)
            return
        if not isinstance(given, t.Object):
            if (kind := kind_of_literal(given)) not in ("", "object"):
                self.error("bad-input", given.pos, f"the input of a pattern is an object, not {kind}", "{task: …}")
            return
        keys: dict[str, Node] = {}
        for entry in given.entries:
            if isinstance(entry, t.Entry):
                line, column = self._unit.source.locate(entry.pos)
                keys[entry.key] = Node(kind="text", value=entry.key, raw=entry.key, line=line, column=column)
                try:
                    value = written_out(entry.value, self._unit.source)
                except NotWrittenOut:
                    continue
                check_value(name, schema, entry.key, to_json(value), value, self._report)
        check_fields(name, schema, keys, call, self._report, open_=len(keys) < len(given.entries))

    def _hand_on(self) -> None:
        if self._own:
            return
        for one in self._report.sorted():
            message = f"{one.file}:{one.line}:{one.column}: {one.message}"
            self._outer.error(one.code, 0, 0, message, one.hint)
