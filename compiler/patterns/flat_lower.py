"""From a flat pattern to Prism: who is asked, how the answers become one, and what is handed out."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.orchestration.values import readable
from compiler.patterns.callees import Call, Callees, check_input
from compiler.patterns.expressions import FUNCTIONS, ExpressionError, parse_expression
from compiler.patterns.flat_model import FlatPattern, FlatStep
from compiler.patterns.literals import RESERVED, comment, key, literal, quoted
from compiler.patterns.reader import Node
from compiler.patterns.references import Resolved, Scope, resolve
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.shapes import ANY, NUMBER, SCORE, Shape, Symbol, of_schema, record
from compiler.patterns.templates import Templates
from compiler.patterns.writing import Writer

_INPUT_FIELD = re.compile(r"\$(?:\{ *)?input\.([A-Za-z_][\w-]*)(?: *\})?")
_AVERAGE = "Write $results, whose entries have their confidence, or use consensus and $consensus.confidence."
_OLDER_REFERENCE = re.compile(r"\{\{\s*\$?([^{}]+?)\s*\}\}")
_LOCALS = ("results", "began", "task")
_TAKEN = (
    RESERVED | frozenset(HOST_FUNCTION_NAMES) | frozenset(PROGRAM_GLOBALS) | frozenset(FUNCTIONS) | frozenset(_LOCALS)
)
_VOTE = record(result=ANY, confidence=SCORE, distribution=ANY, agreed=ANY)
_CONSENSUS = record(result=ANY, confidence=SCORE, agreement=NUMBER, disputed=ANY)
_EXECUTION = record(agentCount=NUMBER, duration=Shape("number", nullable=True))
_LIST = Shape("list")


class FlatLowering(Writer):
    """Writes the program of one flat pattern."""

    def __init__(self, pattern: FlatPattern, report: Report, source: str, callees: Callees | None = None) -> None:
        super().__init__(_TAKEN)
        self._callees = callees
        self._pattern = pattern
        self._report = report
        self._source = source
        self._templates = Templates(report, source)
        self._scope = Scope({"input": Symbol("input", self._input(), self._defaults())})
        self._agents: dict[str, str] = {}
        self._last = "null"
        self.roles: dict[str, dict[str, Any]] = {}

    def program(self) -> str:
        """The program. What is wrong with references goes to the report."""
        pattern = self._pattern
        self._emit("", f"// {comment(pattern.name)} {comment(pattern.version)}, compiled from a flat pattern")
        if pattern.description:
            self._emit("", f"// {comment(pattern.description)}")
        self._emit("", "")
        self._emit("", "agents {")
        for step in flat_steps(pattern.steps):
            if step.kind == "work":
                self._role(step)
        self._emit("", "}")
        for step in flat_steps(pattern.steps):
            for word in filter(None, (step.id, step.alias)):
                self._scope.later[word] = f"step {step.id!r} runs later"
        made = ""
        for step in pattern.steps:
            self._emit("", "")
            made = self._step(step, "", self._scope)
        self._emit("", "")
        if pattern.output is not None:
            self._emit("", f"// line {pattern.output.line}: output")
            self._emit("", f"graded({self._output(pattern.output, self._scope)}, {self._last})")
        elif made:
            whole = made != self._last or pattern.steps[-1].kind in {"parallel", "call"}
            self._emit("", f"graded({made if whole else f'{made}.result'}, {self._last})")
        return "\n".join(self._lines) + "\n"

    def _input(self) -> Shape:
        schema = self._pattern.input
        if not schema and not self._pattern.no_input:
            return Shape("record")
        return Shape("record", fields={name: of_schema(rules) for name, rules in schema.items()})

    def _defaults(self) -> dict[str, Any]:
        return {name: rules["default"] for name, rules in self._pattern.input.items() if "default" in rules}

    def _role(self, step: FlatStep) -> None:
        role_id = "agents" if step.id == "result" else step.id
        variable = self._allocate(step.id, "agents")
        self._agents[step.id] = variable
        fields = {"id": role_id, "name": role_id, **step.agents}
        self.roles[role_id] = fields
        self._emit("  ", f"// line {step.line}")
        self._emit(
            "  ", f"{variable}: Agent {{{', '.join(f'{key(name)}: {literal(v)}' for name, v in fields.items())}}},"
        )

    # -- steps --------------------------------------------------------------------------------------------------------

    def _step(self, step: FlatStep, indent: str, scope: Scope) -> str:
        """Writes a step; gives the name of the variable that holds its record."""
        name = self._allocate(step.id if step.id != "result" else "outcome", "step")
        part = step.kind in {"parallel", "switch"}
        reason = (
            f"step {step.id!r} is not done yet: this is a part of it" if part else f"step {step.id!r} refers to itself"
        )
        for word in filter(None, (step.id, step.alias)):
            if word in scope.later:
                scope.later[word] = reason
        self._emit(indent, f"// line {step.line}: {step.id}")
        if step.kind == "work":
            self._work(step, name, indent, scope)
        elif step.kind == "parallel":
            self._parallel(step, name, indent, scope)
        elif step.kind == "switch":
            self._switch(step, name, indent, scope)
        elif step.kind == "call":
            self._emit(indent, f"let {name} = {self._call(step, scope)}")
        else:
            sources = "[]" if step.sources is None else self._value(step.sources, scope)
            self._emit(indent, f"let {name} = combine({sources}, {literal({'id': step.id, **step.aggregation})})")
        self._know(step, name, scope)
        self._last = name
        if step.alias:
            scope.later.pop(step.alias, None)
            scope.symbols[step.alias] = Symbol(name, ANY)
        if step.output is None or step.alias:
            return name
        shown = self._allocate(name, "output")
        self._emit(indent, f"let {shown} = graded({self._output(step.output, scope)}, {name})")
        scope.symbols[step.id] = Symbol(shown, ANY)
        return shown

    def _know(self, step: FlatStep, name: str, scope: Scope) -> None:
        """What later texts may say about a step: `$vote` and its like mean the latest step that has them."""
        strategy = step.aggregation.get("strategy", "best")
        scope.later.pop(step.id, None)
        scope.symbols[step.id] = Symbol(name, ANY)
        for word in ("results", "validResults", "vote", "consensus", "merged", "first", "execution"):
            scope.symbols.pop(word, None)
        if step.kind not in {"work", "merge"}:
            return
        scope.symbols["results"] = Symbol(f"{name}.results", _LIST)
        scope.symbols["validResults"] = Symbol(f"{name}.validResults", _LIST)
        scope.symbols["first"] = Symbol(f"{name}.first", ANY)
        scope.symbols["execution"] = Symbol(f"{name}.execution", _EXECUTION)
        for unsure in ("vote", "consensus", "merged") if not strategy else ():
            scope.symbols[unsure] = Symbol("null", ANY)  # the strategy is misspelt, which is reported already
        own = {"voting": ("vote", _VOTE), "weighted": ("vote", _VOTE), "consensus": ("consensus", _CONSENSUS)}
        word, shape = own.get(strategy, ("merged", ANY) if strategy == "merge" else ("", ANY))
        if word and "fallback" in step.validation:
            scope.symbols[word] = Symbol(f"{name}?.{word}", Shape(shape.kind, fields=shape.fields, nullable=True))
        elif word:
            scope.symbols[word] = Symbol(f"{name}.{word}", shape)

    def _work(self, step: FlatStep, name: str, indent: str, scope: Scope) -> None:
        execution, validated = step.execution, bool(step.validation)
        inner = indent + "  "
        opening = f"let {name} = validated(() => {{" if validated else f"fn {name}_run() {{"
        self._emit(indent, opening)
        timed = "$execution.duration" in self._source
        if timed:
            self._emit(inner, "const began = now()")
        task, given = self._task(step, scope)
        options: dict[str, str] = {"id": quoted(step.id), "input": given}
        if step.task_timeout is not None:
            options["timeoutMs"] = str(step.task_timeout)
        strategy = execution.get("strategy", "parallel")
        if strategy == "sequential" and not execution.get("stopOnError", False):
            options["onError"] = '"continue"'
        self._emit(inner, f"const task = {task}")
        call = f"assign({self._agents[step.id]}, task, {_object(options)})"
        many = _manner(step)
        function = "sequential" if strategy == "sequential" else "parallel"
        self._emit(inner, f"const results = {function}([")
        for _ in range(step.count):
            self._emit(inner + "  ", f"() => {call},")
        self._emit(inner, f"], {_object(many)})")
        rules = {"id": step.id, **(step.aggregation or {"strategy": "best"})}
        for rule in ("minConfidence", "minResults"):
            if rule in execution:
                rules[rule] = execution[rule]
        text = literal(rules)
        self._emit(inner, f"return combine(results, {text[:-1] + ', duration: now() - began}' if timed else text})")
        if validated:
            self._emit(indent, f"}}, {literal({'id': step.id, **step.validation})})")
        else:
            self._emit(indent, "}")
            self._emit(indent, f"let {name} = {name}_run()")

    def _task(self, step: FlatStep, scope: Scope) -> tuple[str, str]:
        given = "input" if step.input is None else self._value(step.input, scope)
        if step.task is not None:
            return self._text(step.task, scope), given
        words = self._pattern.description or self._pattern.name
        return f"{quoted(words)} + {quoted(chr(10) * 2)} + text({given})", given

    def _parallel(self, step: FlatStep, name: str, indent: str, scope: Scope) -> None:
        self._emit(indent, f"let {name} = parallel([")
        for inner in step.steps:
            there = scope.inner()
            for other in step.steps:
                if other is not inner:
                    for word in filter(None, (other.id, other.alias)):
                        reason = f"step {other.id!r} runs at the same time, in another branch of this parallel step"
                        there.later[word] = reason
            self._emit(indent + "  ", "() => {")
            made = self._step(inner, indent + "    ", there)
            self._emit(indent + "    ", f"return {made}")
            self._emit(indent + "  ", "},")
        self._emit(indent, f"], {{id: {quoted(step.id)}}})")
        for position, inner in enumerate(step.steps):
            scope.later.pop(inner.id, None)
            scope.symbols[inner.id] = Symbol(f"{name}[{position}]", ANY)
            if inner.alias:
                scope.later.pop(inner.alias, None)
                scope.symbols[inner.alias] = scope.symbols[inner.id]

    def _call(self, step: FlatStep, scope: Scope) -> str:
        node, pattern = step.pattern, self._pattern
        if node is None or self._callees is None:
            return "null"
        call = Call(reference=node.raw, step=step.id, line=node.line, column=node.column)
        callers = (*self._callees.around, f"{pattern.name}@{pattern.version}")
        given = "{}" if step.input is None else self._value(step.input, scope)
        source = self._callees.find(call, callers, self._report)
        made = None
        if source is not None:
            works = pattern.workspace.enabled
            made = self._callees.add(call, source, callers, self._report, workspace=works)
        if made is None:
            return "null"
        check_input(made.name, made.input, step.input, call, self._report)
        return f"call({quoted(call.reference)}, {given}, {{id: {quoted(step.id)}}})"

    def _switch(self, step: FlatStep, name: str, indent: str, scope: Scope) -> None:
        looked = "null" if step.on is None else self._value(step.on, scope)
        self._impossible_cases(step)
        self._emit(indent, f"let {name} = null")
        chosen = self._allocate(name, "on")
        self._emit(indent, f"const {chosen} = text({looked})")
        branches = [(f"if ({chosen} == {quoted(value)}) {{", inner) for value, inner in step.cases.items()]
        for position, (head, inner) in enumerate(branches):
            self._emit(indent, head if position == 0 else f"}} else {head}")
            self._case(inner, name, indent, scope)
        if step.default is not None:
            self._emit(indent, "} else {")
            self._case(step.default, name, indent, scope)
        else:
            self._emit(indent, "} else {")
            known = ", ".join(step.cases)
            message = f"step {step.id!r}: no case for the value, only for {known}"
            self._emit(indent + "  ", f"throw {quoted(message)}")
        self._emit(indent, "}")

    def _impossible_cases(self, step: FlatStep) -> None:
        """Reports cases for values that the input's `enum` does not have."""
        named = None if step.on is None else _INPUT_FIELD.fullmatch(step.on.raw)
        if named is None:
            return
        rules: dict[str, Any] = self._pattern.input.get(named[1]) or {}
        known = [readable(value) for value in rules.get("enum", [])]
        for value, inner in step.cases.items() if known else ():
            if value not in known:
                message = f"step {inner.id!r} can never run: no {named[1]} is {value!r}"
                hint = did_you_mean(value, known)
                self._report.error("unreachable-step", inner.line, inner.column, message, hint)

    def _case(self, inner: FlatStep, name: str, indent: str, scope: Scope) -> None:
        made = self._step(inner, indent + "  ", scope.inner())
        self._emit(indent + "  ", f"{name} = {made}")
        for word in filter(None, (inner.id, inner.alias)):
            scope.later[word] = f"step {inner.id!r} may not have run; refer to the switch"

    # -- values -------------------------------------------------------------------------------------------------------

    def _output(self, node: Node, scope: Scope) -> str:
        """What is handed out: values with `$…` in them, or one text under `$template`."""
        if node.kind == "map" and len(node.pairs) == 1 and node.pairs[0][0].raw == "$template":
            return self._text(_template(node.pairs[0][1]), scope)
        return self._value(node, scope)

    def _value(self, node: Node, scope: Scope) -> str:
        if node.kind == "text" and node.raw.startswith("$") and not node.raw.startswith(("${", "$$")):
            return self._reference(node, node.raw[1:], scope)
        if node.kind == "list":
            return "[" + ", ".join(self._value(item, scope) for item in node.items) + "]"
        if node.kind == "map":
            for name, _ in node.pairs:
                if name.raw.startswith("$") and name.raw != "$template":
                    message = f"there is no {name.raw!r}; a key that begins with '$' says what the value is made of"
                    hint = "Did you mean '$template'?"
                    self._report.error("unknown-key", name.line, name.column, message, hint)
                if name.raw == "$template" and len(node.pairs) > 1:
                    message = "'$template' stands alone: it is all of the value"
                    self._report.error("bad-value", name.line, name.column, message, "Remove the other keys.")
            if len(node.pairs) == 1 and node.pairs[0][0].raw == "$template":
                return self._text(_template(node.pairs[0][1]), scope)
            entries = [f"{key(name.raw)}: {self._value(value, scope)}" for name, value in node.pairs]
            return "{" + ", ".join(entries) + "}"
        return self._templates.value(node, scope).code

    def _text(self, node: Node, scope: Scope) -> str:
        if node.kind != "text":
            self._report.error("wrong-type", node.line, node.column, "a text is expected here")
            return '""'
        if node.raw.startswith("$") and not node.raw.startswith(("${", "$$")) and " " not in node.raw.strip():
            return f"text({self._reference(node, node.raw[1:].strip(), scope)})"
        return self._templates.text(node, scope).code

    def _reference(self, node: Node, text: str, scope: Scope) -> str:
        try:
            made: Resolved = resolve(parse_expression(text, scope.names()), scope)
        except ExpressionError as error:
            code = "unknown-output" if error.code == "unknown-reference" else error.code
            quote = 1 if node.raw and not self._plain(node) else 0
            hint = _AVERAGE if code == "unknown-output" and "'avgConfidence'" in error.message else error.hint
            self._report.error(code, node.line, node.column + quote + 1 + error.offset, error.message, hint)
            return "null"
        return made.code

    def _plain(self, node: Node) -> bool:
        line = self._source.split("\n")[node.line - 1]
        return line[node.column - 1 : node.column] not in {'"', "'"}


def _template(node: Node) -> Node:
    """A template, in which older files write `{{$vote.result}}` for `${vote.result}`."""
    if node.kind != "text" or "{{" not in node.raw:
        return node
    text = _OLDER_REFERENCE.sub(lambda match: f"${{{match[1]}}}", node.raw)
    return msgspec.structs.replace(node, value=text, raw=text)


def _object(entries: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {code}" for name, code in entries.items()) + "}"


def _manner(step: FlatStep) -> dict[str, str]:
    """The options of the call that asks the agents."""
    execution = step.execution
    strategy, stops = execution.get("strategy", "parallel"), execution.get("stopOnError", False)
    many: dict[str, str] = {"id": quoted(step.id)}
    if execution.get("timeout") is not None:
        many["timeoutMs"] = str(execution["timeout"])
    if strategy == "race":
        many["strategy"] = '"race"'
    elif strategy == "parallel" and not stops:
        few = execution.get("waitForAll") is False
        many["strategy"] = '"quorum"' if few else '"all_settled"'
        if few:
            many["minResults"] = str(execution.get("minResults", 1))
    return many


def flat_steps(steps: list[FlatStep]) -> list[FlatStep]:
    """The steps and all steps inside them, in the order of the file."""
    found: list[FlatStep] = []
    for step in steps:
        inner = [*step.steps, *step.cases.values(), *([step.default] if step.default else [])]
        found += [step, *flat_steps(inner)]
    return found
