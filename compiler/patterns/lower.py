"""From an org chart to a Prism program that a reviewer can follow line by line.

Every step becomes a variable. Comments name the line of the file. Texts of the file enter the program as literals only
(`literals`), references as code that `references` has written; so nothing in a file can become code by itself, and the
same file always gives the same program.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from compiler.orchestration import HOST_FUNCTION_NAMES, PROGRAM_GLOBALS
from compiler.patterns.callees import Call, Callees, Inlined, first_error, refuse
from compiler.patterns.calls import SIMPLE, WORKS, Calls, written_oracles
from compiler.patterns.expressions import FUNCTIONS
from compiler.patterns.literals import RESERVED, comment, key, literal, quoted, without_parentheses
from compiler.patterns.model import OrgChart, Step
from compiler.patterns.nesting import Caller, renamed
from compiler.patterns.orgchart import every_step, inside_conditions
from compiler.patterns.places import Place, Variable, globals_of
from compiler.patterns.references import Scope
from compiler.patterns.report import Report
from compiler.patterns.shapes import ANY, Shape, optional
from compiler.patterns.templates import Templates
from compiler.patterns.writing import Writer, element

_TAKEN = RESERVED | frozenset(HOST_FUNCTION_NAMES) | frozenset(PROGRAM_GLOBALS) | frozenset(FUNCTIONS)


def _enter(step: Step, scope: Scope, names: list[str]) -> None:
    """What a reference to a step means inside of that very step."""
    whole = step.type in {"parallel", "sequential", "condition"}
    reason = (
        f"step {step.id!r} is not done yet: this is a part of it" if whole else f"step {step.id!r} refers to itself"
    )
    for name in names:
        if name in scope.later:
            scope.later[name] = reason


class Lowering(Writer):
    """Writes the program of one org chart."""

    def __init__(
        self, chart: OrgChart, report: Report, source: str, callees: Callees | None = None, caller: Caller | None = None
    ) -> None:
        super().__init__(_TAKEN)
        self._callees = callees
        self._caller = caller or Caller()
        self._identity = f"{chart.name}@{chart.version}"
        self._chart = chart
        self._report = report
        self._source = source
        self._templates = Templates(report, source, plain_input=not self._caller.prefix)
        self._roles: dict[str, str] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        """The roles of the program by their ids, those of called patterns too."""
        self._functions = 0
        self._calls = Calls(chart, report, self._templates, self._roles, self._caller.prefix)

    def program(self) -> str:
        """The program. What is wrong with references and expressions goes to the report."""
        chart = self._chart
        if not self._caller.prefix:
            self._emit("", f"// {comment(chart.name)} {comment(chart.version)}, compiled from an org chart")
        if chart.description:
            self._emit("", f"// {comment(chart.description)}")
        self._agents()
        around = self._caller
        place = Place(
            scope=Scope(globals_of(chart)), variables={}, in_branch=around.in_branch, integrates=around.integrates
        )
        self._announce(chart.steps, place.scope, "step {id!r} runs later", top=True)
        self._block(chart.steps, place, top=True)
        self._output(place)
        return "\n".join(map(self._calls.gates.settled, self._lines)) + "\n"

    # -- names --------------------------------------------------------------------------------------------------------

    def _announce(self, steps: list[Step], scope: Scope, reason: str, *, top: bool = False) -> None:
        """Tells a scope of steps that cannot be referred to yet; also finds ids that are used twice."""
        own = {step.id for step in every_step(steps) if step.explicit}
        seen: dict[str, Step] = {}
        for position, step in enumerate(steps):
            for name in self._names(step, position if top else None, own):
                scope.later[name] = reason.format(id=step.id)
        if not top:
            return
        for step in every_step(steps):
            if step.id in seen:
                message = f"two steps are called {step.id!r}; the first is in line {seen[step.id].line}"
                self._report.error("duplicate-step", step.line, step.column, message, "Give one of them another id.")
            seen.setdefault(step.id, step)
            for name in (step.id, f"{step.id}_result"):
                scope.later.setdefault(name, reason.format(id=step.id))

    @staticmethod
    def _names(step: Step, position: int | None, own: set[str]) -> list[str]:
        names = [step.id, f"{step.id}_result"]
        if position is not None and f"step_{position}" not in own:
            names += [f"step_{position}", f"step_{position}_result"]
        return list(dict.fromkeys(names))

    def _line(self, line: int, what: str = "") -> str:
        """The comment that leads back to the file; `origin` reads it."""
        return f"// line {line}{f' of {comment(self._caller.file)}' if self._caller.file else ''}{what}"

    # -- structure ----------------------------------------------------------------------------------------------------

    def _agents(self) -> None:
        self._emit("", "")
        self._emit("", "agents {")
        for role in self._chart.roles.values():
            variable = self._allocate(role.id, "role")
            self._roles[role.id] = variable
            self._emit("  ", self._line(role.line))
            self._emit("  ", f"{variable}: Agent {{")
            fields = renamed(role.fields, self._caller.prefix)
            self.roles[str(fields["id"])] = fields
            for name, value in fields.items():
                code = literal(value)
                if name == "verify":
                    scope = Scope(globals_of(self._chart))
                    oracles = written_oracles(value["oracles"], role.oracle_nodes, self._templates, scope)
                    code = f"{{oracles: {oracles}, combine: {quoted(value['combine'])}}}"
                self._emit("    ", f"{key(name)}: {code},")
            self._emit("  ", "},")
        self._emit("", "}")

    def _output(self, place: Place) -> None:
        node = self._chart.output
        self._emit("", "")
        if node is not None:
            resolved = self._templates.expression(node, place.scope)
            if resolved is not None:
                self._emit("", self._line(node.line, ": output"))
                self._emit("", without_parentheses(resolved.code))
        elif self._chart.steps:
            last = place.variables.get(self._chart.steps[-1].id)
            self._emit("", last.code if last is not None else "null")

    def _block(self, steps: list[Step], place: Place, *, top: bool = False) -> list[Variable]:
        own = {step.id for step in every_step(self._chart.steps) if step.explicit}
        made: list[Variable] = []
        for position, step in enumerate(steps):
            if top:
                self._emit("", "")
            if position and place.in_branch and place.integrates and made[-1].works:
                self._emit(place.indent, "integrate()")
            variable = self._step(step, place, self._names(step, position if top else None, own))
            made.append(variable)
        return made

    def _step(self, step: Step, place: Place, names: list[str]) -> Variable:
        self._emit(place.indent, self._line(step.line, f": {step.type}"))
        _enter(step, place.scope, names)
        if step.type in {"condition", "sequential"} and (step.on_error != "fail" or step.timeout_ms is not None):
            return self._group(step, place, names)
        if step.type == "condition":
            return self._condition(step, place, names)
        if step.type == "sequential":
            return self._sequential(step, place, names)
        if step.type == "parallel":
            return self._parallel(step, place, names)
        if step.type == "pattern":
            return self._bind(step, place, names, self._pattern(step, place), ANY)
        call = self._calls.write(step, place)
        variable = self._bind(step, place, names, call.code, call.shape)
        variable.made_by, variable.made_of = call.code, [one.code for one in call.of if step.type == "aggregate"]
        if step.type == "review" and step.max_iterations != 0:
            self._take_revisions(call.of, variable, place)
        if step.type == "select":
            place.bound[step.role] = variable.code
        return variable

    def _bind(self, step: Step, place: Place, names: list[str], code: str, shape: Shape) -> Variable:
        known = place.variables.get(step.id) if place.declared else None
        if known is not None:
            known.shape = shape
            variable = known
            self._emit(place.indent, f"{variable.code} = {code}")
        else:
            variable = Variable(self._variable_name(step), shape, place.function, names)
            self._emit(place.indent, f"let {variable.code} = {code}")
        variable.works = step.type in WORKS
        place.know(variable)
        if variable.works:
            place.last_works = variable
        return variable

    def _aliases(self, steps: list[Step], container: Variable, place: Place) -> None:
        """Names for the steps inside a parallel step, taken out of its array."""
        items = container.shape.items or ()
        for position, step in enumerate(steps):
            inner = step.steps if step.type in {"parallel", "sequential"} else []
            if not (self._mentioned(step) or any(map(self._mentioned, every_step(inner)))):
                continue
            shape = items[position] if position < len(items) else ANY
            shape = optional(shape) if container.shape.nullable else shape
            known = place.variables.get(step.id) if place.declared else None
            code = element(container, position)
            if known is not None:
                alias = known
                alias.shape = shape
                self._emit(place.indent, f"{alias.code} = {code}")
            else:
                alias = Variable(self._variable_name(step), shape, place.function, self._names(step, None, set()))
                self._emit(place.indent, f"let {alias.code} = {code}")
            alias.parent, alias.index, alias.works = container, position, step.type in WORKS
            container.children.append(alias)
            place.know(alias)
            self._aliases(inner, alias, place)

    def _mentioned(self, step: Step) -> bool:
        return step.explicit or re.search(rf"\b{re.escape(step.id)}(_result)?\b", self._source) is not None

    # -- patterns that are called --------------------------------------------------------------------------------------

    def _pattern(self, step: Step, place: Place) -> str:
        """The call of another pattern, or of the function that an org chart becomes."""
        node, callers = step.pattern, (*self._caller.callers, self._identity)
        if node is None or self._callees is None:
            return "null"
        around = f"{self._caller.prefix}." if self._caller.prefix else ""
        call = Call(reference=node.raw, step=around + step.id, line=node.line, column=node.column)
        works = self._chart.workspace.enabled
        found = self._callees.for_workflow(call, callers, step.input, self._report, workspace=works)
        if found is None:
            return "null"
        given = "{}" if step.input is None else self._templates.value(step.input, place.scope).code
        if isinstance(found, Inlined):
            return self._inline(step, call, found, given, place)
        return f"call({quoted(call.reference)}, {given}, {self._calls.options(step)})"

    def _inline(self, step: Step, call: Call, found: Inlined, given: str, place: Place) -> str:
        source, chart = found.source, found.chart
        inner = Report(source.file, source.text)
        around = Caller(
            prefix=f"{self._caller.prefix}-{step.id}" if self._caller.prefix else step.id,
            callers=(*self._caller.callers, self._identity),
            in_branch=place.in_branch,
            integrates=place.integrates,
            file=PurePath(source.file).name,
        )
        lowered = Lowering(chart, inner, source.text, self._callees, around)
        body = lowered.program().rstrip("\n").split("\n")
        self.roles.update(lowered.roles)
        if inner.failed:
            refuse(call, source, first_error(inner), self._report)
            return "null"
        name = self._allocate(step.id, "pattern" if step.explicit else "step")
        self._emit(place.indent, f"// {comment(source.name)} {comment(source.version)}")
        self._emit(place.indent, f"fn {name}(input) {{")
        if chart.input:
            self._emit(place.indent + "  ", f"checkInput(input, {literal(chart.input)})")
        for line in body:
            self._emit(place.indent + "  " if line else "", line)
        self._emit(place.indent, "}")
        timeout = step.timeout_ms if step.timeout_ms is not None else chart.timeout_ms
        # a "no" that stands at its end is the end of the caller, too
        gate = "true" if any("gate: true" in line for line in body) else None
        if timeout is None and step.on_error == "fail" and gate is None:
            return f"{name}({given})"
        limit = None if timeout is None else str(timeout)
        return f"group(() => {name}({given}), {self._calls.options(step, timeoutMs=limit, gate=gate)})"

    # -- steps made of steps ------------------------------------------------------------------------------------------

    def _parallel(self, step: Step, place: Place, names: list[str]) -> Variable:
        known = place.variables.get(step.id) if place.declared else None
        variable = known or Variable(self._variable_name(step), ANY, place.function, names)
        hoisted = self._hoist(step.steps, place)
        self._emit(place.indent, f"{'' if known else 'let '}{variable.code} = parallel([")
        shapes: list[Shape] = []
        sure = step.strategy == "all" and step.on_error == "fail"
        together = "step {id!r} runs at the same time, in another branch of this parallel step"
        for branch in step.steps:
            self._functions += 1
            there = place.inside(
                indent=place.indent + "  ", declared=False, in_branch=True, integrates=sure, function=self._functions
            )
            there.hoisted = place.hoisted | hoisted
            for one in every_step([branch]):
                if one.id in hoisted:
                    hoisted[one.id].function = self._functions
            self._announce(list(every_step([one for one in step.steps if one is not branch])), there.scope, together)
            shape = self._branch(branch, there)
            shapes.append(shape if sure or shape.kind == "record" else optional(ANY))
        self._emit(place.indent, f"], {self._calls.options(step)})")
        variable.shape = Shape("list", items=tuple(shapes) or None)
        variable.names, variable.works = names, True
        place.know(variable)
        place.last_works = place.last_parallel = variable
        self._aliases(step.steps, variable, place)
        for inner in hoisted.values():
            inner.function, inner.shape = place.function, optional(inner.shape)
            place.know(inner)
        return variable

    def _hoist(self, branches: list[Step], place: Place) -> dict[str, Variable]:
        """Variables for steps inside conditions inside branches, so that later steps can refer to them."""
        made: dict[str, Variable] = {}
        for step in inside_conditions(branches):
            if step.id in made or not self._mentioned(step):
                continue
            variable = place.hoisted.get(step.id) or (place.variables.get(step.id) if place.declared else None)
            if variable is None:
                variable = Variable(self._variable_name(step), ANY, place.function, self._names(step, None, set()))
                self._emit(place.indent, f"let {variable.code} = null")
            made[step.id] = variable
        return made

    def _branch(self, step: Step, place: Place) -> Shape:
        if step.type in SIMPLE:
            self._emit(place.indent, self._line(step.line, f": {step.type}"))
            _enter(step, place.scope, self._names(step, None, set()))
            call = self._calls.write(step, place)
            self._emit(place.indent, f"() => {call.code},")
            return call.shape
        self._emit(place.indent, "() => {")
        inner = place.inside(indent=place.indent + "  ")
        variable = self._step(step, inner, self._names(step, None, set()))
        self._emit(inner.indent, f"return {variable.code}")
        self._emit(place.indent, "},")
        return variable.shape

    def _sequential(self, step: Step, place: Place, names: list[str]) -> Variable:
        inner = self._block(step.steps, place)
        shape = Shape("list", items=tuple(one.shape for one in inner) or None)
        variable = self._bind(step, place, names, "[" + ", ".join(one.code for one in inner) + "]", shape)
        for position, one in enumerate(inner):
            if one.function == variable.function:
                one.parent, one.index = variable, position
                variable.children.append(one)
        return variable

    def _declare(self, steps: list[Step], place: Place) -> list[Variable]:
        """Variables for steps that may not run, so that they are null where they did not."""
        made: list[Variable] = []
        for step in every_step(steps):
            if place.declared and step.id in place.variables:
                made.append(place.variables[step.id])
                continue
            if (variable := place.hoisted.get(step.id)) is not None:
                place.variables.update(dict.fromkeys(variable.names, variable))
                made.append(variable)
                continue
            variable = Variable(self._variable_name(step), ANY, place.function, self._names(step, None, set()))
            self._emit(place.indent, f"let {variable.code} = null")
            for name in variable.names:
                place.variables[name] = variable
            made.append(variable)
        return made

    def _condition(self, step: Step, place: Place, names: list[str]) -> Variable:
        inner_steps = [*step.then_steps, *step.else_steps]
        known = place.variables.get(step.id) if place.declared else None
        result = known or Variable(self._variable_name(step), ANY, place.function, names)
        if known is None:
            self._emit(place.indent, f"let {result.code} = null")
        inner = self._declare(inner_steps, place)
        check = self._calls.check(step, place)
        shapes: list[Shape] = []
        for branch, many, head in (
            (step.then_steps, step.then_is_list, f"if ({check}) {{"),
            (step.else_steps, step.else_is_list, "} else {"),
        ):
            if branch or head.startswith("if"):
                self._emit(place.indent, head)
                there = place.inside(indent=place.indent + "  ", declared=True)
                other = step.else_steps if branch is step.then_steps else step.then_steps
                self._announce(every_step(other), there.scope, "step {id!r} runs only where this one does not")
                made = self._block(branch, there)
                value = "[" + ", ".join(one.code for one in made) + "]" if many else (made[-1].code if made else "null")
                self._emit(there.indent, f"{result.code} = {value}")
                listed = Shape("list", items=tuple(one.shape for one in made))
                shapes.append(listed if many else made[-1].shape if made else ANY)
        self._emit(place.indent, "}")
        same = all(shape == shapes[0] for shape in shapes)
        result.shape = optional(shapes[0] if same else ANY) if not step.else_steps or not same else shapes[0]
        result.works, result.names = True, names
        place.know(result)
        for variable in inner:
            variable.shape = optional(variable.shape)
            place.know(variable)
        place.last_works = result
        return result

    def _group(self, step: Step, place: Place, names: list[str]) -> Variable:
        """A composite with a time limit, or that may fail: code in a function over variables that begin as null."""
        made = self._declare([step], place)
        made[0].names = names
        there = place.inside(indent=place.indent + "  ", declared=True)
        there.variables.update(dict.fromkeys(names, made[0]))
        self._emit(place.indent, "group(() => {")
        (self._condition if step.type == "condition" else self._sequential)(step, there, names)
        self._emit(place.indent, f"}}, {self._calls.options(step)})")
        for variable in made:
            variable.shape = optional(variable.shape)
            place.know(variable)
        place.last_works = made[0]
        return made[0]

    # -- revisions ----------------------------------------------------------------------------------------------------

    def _take_revisions(self, of: list[Variable], review: Variable, place: Place) -> None:
        """After a review, the names of the reviewed steps mean the revised work, and aggregates are made of it."""
        for position, variable in enumerate(of):
            self._set(variable, f"revised({review.code}, {position})", place)
            current = place.variables[variable.names[0]]
            self._refresh(current, place)
            self._update_parent(current, place)
        self._make_again(of, place)
