"""Writing the call of a host function for each type of step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from compiler.patterns.gating import Gates
from compiler.patterns.literals import key, literal, quoted, without_parentheses
from compiler.patterns.model import HUMAN, OrgChart, Step
from compiler.patterns.nesting import renamed_oracles
from compiler.patterns.oracles import TEMPLATED
from compiler.patterns.places import Place, Variable
from compiler.patterns.reader import Node
from compiler.patterns.references import Scope
from compiler.patterns.report import Report
from compiler.patterns.shapes import BY_TYPE, Shape
from compiler.patterns.templates import Rendered, Templates

SIMPLE = frozenset({"assign", "select", "approve", "aggregate", "wait", "verify"})
"""Steps that are one call and nothing else."""

WORKS = frozenset({"assign", "parallel", "sequential", "condition", "pattern"})
"""Steps whose result is work that can be reviewed."""


def written_oracles(oracles: list[dict[str, Any]], nodes: list[Node], templates: Templates, scope: Scope) -> str:
    """Oracles as Prism; their texts may refer to what is known in the scope."""
    made: list[str] = []
    for oracle, node in zip(oracles, nodes, strict=True):
        places = {name.raw: value for name, value in node.pairs}
        entries = [
            f"{key(name)}: {templates.text(msgspec.structs.replace(places[name], value=value), scope).code}"
            if name in TEMPLATED and "${" in str(value)
            else f"{key(name)}: {literal(value)}"
            for name, value in oracle.items()
        ]
        made.append("{" + ", ".join(entries) + "}")
    return "[" + ", ".join(made) + "]"


@dataclass(slots=True)
class Written:
    """A call, the shape of its result, the variables that a review may revise, or those that go into an aggregate."""

    code: str
    shape: Shape
    of: list[Variable] = field(default_factory=list[Variable])


class Calls:
    """Writes calls; what is wrong with their arguments goes to the report."""

    def __init__(
        self, chart: OrgChart, report: Report, templates: Templates, roles: dict[str, str], prefix: str = ""
    ) -> None:
        self._report = report
        self._templates = templates
        self._roles = roles
        self._prefix = f"{prefix}." if prefix else ""
        self.gates = Gates(chart, self._prefix)

    def write(self, step: Step, place: Place) -> Written:
        """The call of a step that is one call."""
        made = getattr(self, f"_{step.type}")(step, place)
        return made if isinstance(made, Written) else Written(made, BY_TYPE[step.type])

    def options(self, step: Step, **more: str | None) -> str:
        """The options of a call; what has its default is left out."""
        entries: dict[str, str | None] = {"id": quoted(self._prefix + step.id)}
        if step.max_concurrency is not None:
            entries["max"] = str(step.max_concurrency)
        if step.strategy != "all":
            entries["strategy"] = quoted(step.strategy)
        if step.min_results is not None:
            entries["minResults"] = str(step.min_results)
        if step.timeout_ms is not None and step.type != "wait":
            entries["timeoutMs"] = str(step.timeout_ms)
        if step.on_error != "fail":
            entries["onError"] = quoted(step.on_error)
        entries.update(more)
        return "{" + ", ".join(f"{name}: {code}" for name, code in entries.items() if code is not None) + "}"

    def check(self, step: Step, place: Place) -> str:
        """The check of a condition as code; `false` where it is wrong, which is reported."""
        if step.check is None:
            return "false"
        resolved = self._templates.expression(step.check, place.scope)
        if resolved is None:
            return "false"
        if resolved.shape.kind in {"number", "list", "record", "null"}:
            kinds = {"number": "a number", "list": "a list", "record": "an object", "null": "null"}
            message = f"a check is true or false, not {kinds[resolved.shape.kind]}"
            hint = (
                "Compare it, for example with > 0.8." if resolved.shape.kind == "number" else "Name one of its fields."
            )
            self._report.error("bad-check", step.check.line, step.check.column, message, hint)
        return without_parentheses(resolved.code)

    # -- one method for each type -------------------------------------------------------------------------------------

    def _assign(self, step: Step, place: Place) -> str:
        text = self._templates.text(step.text, place.scope) if step.text is not None else Rendered(quoted(""))
        given = None if step.input is None else self._templates.value(step.input, place.scope)
        more: dict[str, str | None] = {
            "input": None if given is None else given.code,
            "session": self._session(step, place),
            **self._gate(step, []),
            "revises": self.gates.revises(step, [text] if given is None else [text, given], place),
        }
        return f"assign({self._role(step)}, {text.code}, {self.options(step, **more)})"

    def _select(self, step: Step, place: Place) -> str:
        del place
        criteria = None if step.criteria == "availability" else quoted(step.criteria)
        return f"select({self._role(step)}, {self.options(step, criteria=criteria)})"

    def _review(self, step: Step, place: Place) -> Written:
        subject = self._subject(step, place)
        of = self._reviewed(subject, place)
        listed = "[" + ", ".join(one.code for one in of) + "]"
        rounds = None if step.max_iterations in {None, 1} else str(step.max_iterations)
        session = self._session(step, place)
        options = self.options(step, of=listed, maxIterations=rounds, session=session, **self._gate(step, of))
        return Written(f"review({self._role(step)}, {subject.code}, {options})", BY_TYPE["review"], of)

    def _approve(self, step: Step, place: Place) -> str:
        approver = quoted(HUMAN) if step.role == HUMAN else self._role(step)
        subject = self._subject(step, place)
        of = self._reviewed(subject, place)
        gate = self._gate(step, of)
        listed = "[" + ", ".join(one.code for one in of) + "]" if "gate" in gate and gate["gate"] != "false" else None
        options = self.options(step, of=listed, session=self._session(step, place), **gate)
        return f"approve({approver}, {subject.code}, {options})"

    def _aggregate(self, step: Step, place: Place) -> Written:
        of: list[Variable] = []
        if step.sources is not None:
            sources, roots = self._sources(step, place)
            of = [place.variables[root] for root in roots if root in place.variables]
        elif place.last_parallel is not None:
            sources, of = place.last_parallel.code, [place.last_parallel]
        else:
            message = "the aggregate has no sources, and no parallel step comes before it"
            self._report.error("missing-sources", step.line, step.column, message, 'sources: ["${first}", "${second}"]')
            sources = "[]"
        weights = literal(step.weights) if step.weights else None
        code = f"aggregate({sources}, {self.options(step, method=quoted(step.method), weights=weights)})"
        return Written(code, BY_TYPE["aggregate"], of)

    def _sources(self, step: Step, place: Place) -> tuple[str, list[str]]:
        """The sources as values, and the names they refer to; a bare name of a step counts as a reference to it."""
        node = step.sources
        assert node is not None
        codes: list[str] = []
        roots: list[str] = []
        for item in node.items if node.kind == "list" else [node]:
            if item.kind == "text" and "${" not in item.raw:
                resolved = self._templates.expression(item, place.scope)
                codes.append("null" if resolved is None else resolved.code)
                roots += [] if resolved is None else resolved.roots
            else:
                value = self._templates.value(item, place.scope)
                codes.append(value.code)
                roots += value.roots
        if not codes:
            self._report.error("missing-sources", node.line, node.column, "the aggregate has no sources")
        return "[" + ", ".join(codes) + "]" if node.kind == "list" else codes[0], roots

    def _wait(self, step: Step, place: Place) -> Written:
        del place
        if not step.signal:
            return Written(f"sleep({step.timeout_ms})", Shape("null"))
        limit = None if step.timeout_ms is None else str(step.timeout_ms)
        return Written(f"wait({quoted(step.signal)}, {self.options(step, timeoutMs=limit)})", BY_TYPE["wait"])

    def _verify(self, step: Step, place: Place) -> str:
        subject = self._subject(step, place) if step.input is not None else Rendered("null")
        of = self._reviewed(subject, place)
        if not of:
            message = "the verify step has nothing to verify: no task comes before it"
            self._report.error("missing-sources", step.line, step.column, message, "Put it behind an assign step.")
        listed = "[" + ", ".join(one.code for one in of) + "]"
        gate = self._gate(step, of)
        combine = None if step.combine == "min" else quoted(step.combine)
        around = self._prefix.removesuffix(".")
        oracles = renamed_oracles(step.oracles, around) if around else step.oracles
        listed_oracles = written_oracles(oracles, step.oracle_nodes, self._templates, place.scope)
        return f"verify({listed_oracles}, {self.options(step, of=listed, combine=combine, **gate)})"

    # -- parts --------------------------------------------------------------------------------------------------------

    def _role(self, step: Step) -> str:
        return self._roles.get(step.role, "null")

    def _gate(self, step: Step, of: list[Variable]) -> dict[str, str | None]:
        """The options by which a step is a gate. That `onReject` changes nothing is said."""
        made = self.gates.options(step, of)
        place = step.on_reject_node
        if place is not None and made.get("gate") in {None, "false"}:
            if step.type == "assign" and not self.gates.verified(step):
                message = f"'onReject' has no effect: the work of role {step.role!r} is not verified"
                hint = "Give the role a verify, or remove onReject."
            else:
                message = "'onReject' has no effect: a condition reads the verdict and decides"
                hint = "Remove onReject, or the condition."
            self._report.warning("no-effect", place.line, place.column, message, hint)
        return made

    def _session(self, step: Step, place: Place) -> str | None:
        bound = place.bound.get(step.role)
        return None if bound is None else f"{bound}.session"

    def _subject(self, step: Step, place: Place) -> Rendered:
        if step.input is None:
            return Rendered("null")
        return self._templates.value(step.input, place.scope)

    def _reviewed(self, subject: Rendered, place: Place) -> list[Variable]:
        """The work that a subject is about; where it names none, the nearest work before it.

        A text names what it is about last, and mentions what else the reviewer should know; steps of one parallel
        step belong together. In a branch, work of the branch comes before work from outside.
        """
        named = [place.variables[root] for root in subject.roots if root in place.variables]
        works = list({one.code: one for one in named if one.works}.values())
        here = [one for one in works if one.function == place.function]
        works = here or works
        if subject.shape.kind == "text" and works:
            latest = max(works, key=lambda one: one.number)
            works = [one for one in works if one is latest or (one.parent is not None and one.parent is latest.parent)]
        if not works and place.last_works is not None:
            works = [place.last_works]
        return works
