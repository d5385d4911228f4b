"""Which steps of an org chart are gates, and what that means where they stand.

A "no" ends the execution as failed, unless the step says `onReject: continue`, a condition reads the verdict (then the
chart decides, and the step is no gate), or a later gate passes the same work or what is made of it. The steps behind a
rejected review run all the same, as they may be there to mend it; nothing runs behind a closed `approve` or `verify`
that no later gate may pass. Both are read off the chart, and the program says so: `gate: true`, `mayPassLater: true`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from compiler.patterns.literals import quoted
from compiler.patterns.model import OrgChart, Role, Step
from compiler.patterns.orgchart import every_step
from compiler.patterns.places import Place, Variable
from compiler.patterns.templates import Rendered

GATES = frozenset({"review", "approve", "verify", "assign"})
"""Types of steps that may be gates; an assign is one where its role's work is verified."""

_OF_NO_VERDICT = frozenset({"critique", "role", "session", "iterations", "files_ignored", "review_id", "oracles"})
"""Fields of a verdict that do not say what it is: a condition on them does not decide about it."""

_OF_EVIDENCE = frozenset({"confidence", "verification", "warning"})
"""Fields of an assign's result that say what its checks found."""

_WORK = frozenset({"assign", "pattern"})
_MARK = re.compile(r"\x00([^\x00]*)\x00")

Where = tuple[tuple[str, str, bool], ...]
"""The steps around a step: the id of each, which of its branches, and whether only one of those runs, or all at once"""


@dataclass(frozen=True, slots=True)
class _Gate:
    """A gate, the steps whose work it is about, and the oracles that it asks."""

    step: Step
    work: frozenset[str]
    checks: frozenset[str]


class Gates:
    """The gates of one chart, in the order in which they are written. `prefix` begins the names of its steps."""

    def __init__(self, chart: OrgChart, prefix: str = "") -> None:
        self._chart = chart
        self._prefix = prefix
        self._steps = {step.id: step for step in every_step(chart.steps)}
        self._order = {name: number for number, name in enumerate(self._steps)}
        self._around: dict[str, Where] = {}
        self._enter(chart.steps, ())
        self._checks = [step.check.raw for step in self._steps.values() if step.check is not None]
        self._names = {step.id: [step.id, f"{step.id}_result"] for step in self._steps.values()}
        for position, step in enumerate(chart.steps):
            if f"step_{position}" not in self._steps or self._steps[f"step_{position}"] is step:
                self._names[step.id] += [f"step_{position}", f"step_{position}_result"]
        self._held: dict[str, _Gate] = {}
        self._answers: dict[str, set[str]] = {}

    def _enter(self, steps: list[Step], around: Where) -> None:
        for step in steps:
            self._around[step.id] = around
            apart = step.type == "parallel"
            for place, inner in enumerate(step.steps):
                self._enter([inner], (*around, (step.id, str(place), apart)))
            self._enter(step.then_steps, (*around, (step.id, "then", True)))
            self._enter(step.else_steps, (*around, (step.id, "else", True)))

    # -- what a step's call says --------------------------------------------------------------------------------------

    def options(self, step: Step, of: Iterable[Variable]) -> dict[str, str | None]:
        """The options by which a step is a gate about the work in these variables; none where it is no gate."""
        if step.type == "assign" and not self.verified(step):
            return {}
        if self.decided(step):
            return {} if step.type in {"review", "assign"} else {"gate": "false"}
        work = {step.id} if step.type == "assign" else self._work(variable.names[0] for variable in of)
        self._held[step.id] = _Gate(step, frozenset(work), self._oracles(step))
        stops = step.type in {"approve", "verify"} and step.on_reject != "continue"
        mark = f"\x00{step.id}\x00" if stops else ""
        return {"gate": f"true{mark}", "onReject": quoted("continue") if step.on_reject == "continue" else None}

    def revises(self, step: Step, read: Iterable[Rendered], place: Place) -> str | None:
        """The gates before an assign whose verdicts it is given, so that its work answers them."""
        names = {place.variables[root].names[0] for one in read for root in one.roots if root in place.variables}
        raw = "" if step.text is None else step.text.raw
        told = [
            inner.id
            for name in names
            if name in self._steps
            for inner in every_step([self._steps[name]])
            if inner.id in self._held and (inner.type != "assign" or self._tells(inner, raw))
        ]
        if not told:
            return None
        self._answers[step.id] = set(told)
        ordered = sorted(told, key=lambda name: self._order[name])
        return "[" + ", ".join(quoted(self._prefix + name) for name in ordered) + "]"

    def settled(self, line: str) -> str:
        """A line of the program with what is known about its gates once all of them are written."""
        return _MARK.sub(lambda found: ", mayPassLater: true" if self._may_pass_later(found[1]) else "", line)

    # -- what the chart says ------------------------------------------------------------------------------------------

    def verified(self, step: Step) -> bool:
        """Whether the work of an assign is verified: by the oracles of its role, or of a role that it may go up to."""
        return any(role.fields.get("verify") for role in self._upwards(step.role))

    def decided(self, step: Step) -> bool:
        """Whether a condition reads a step's verdict: then the chart decides what a "no" means."""
        names, inside = list(self._names[step.id]), ""
        for name, branch, _ in reversed(self._around[step.id]):
            outer = self._steps[name]
            if outer.type == "condition":
                steps, listed = (
                    (outer.then_steps, outer.then_is_list)
                    if branch == "then"
                    else (outer.else_steps, outer.else_is_list)
                )
                if listed or not steps or steps[-1].id not in {step.id, inside}:
                    break
                names += self._names[name]
            else:
                position = next(i for i, one in enumerate(outer.steps) if one.id in {step.id, inside})
                names += [f"{one}\x00{position}" for one in self._names[name]]
            inside = name
        return any(self._reads(check, name, step.type) for check in self._checks for name in names)

    @staticmethod
    def _reads(check: str, name: str, kind: str) -> bool:
        """Whether a check reads the verdict under a name, or an element of a step around it, `name NUL position`."""
        name, _, position = name.partition("\x00")
        for found in re.finditer(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", check):
            rest = check[found.end() :]
            if position:
                index = re.match(r"\s*(?:\[\s*(\d+)\s*\]|\.(\d+))", rest)
                if index is not None and (index[1] or index[2]) != position:
                    continue
                rest = rest[index.end() :] if index is not None else ""
            field = re.match(r"\s*\??\.\s*([A-Za-z_]\w*)", rest)
            if kind == "assign":
                if field is not None and field[1] in _OF_EVIDENCE:
                    return True
            elif field is None or field[1] not in _OF_NO_VERDICT:
                return True
        return False

    def _tells(self, step: Step, text: str) -> bool:
        return any(
            re.search(rf"(?<![\w.-]){re.escape(name)}\.(?:verification|warning)\b", text)
            for name in self._names[step.id]
        )

    def _may_pass_later(self, name: str) -> bool:
        """Whether gates behind this one are about all of its work, as it is or as it has become."""
        gate = self._held[name]
        passed: set[str] = set()
        for other in self._held.values():
            if self._order[other.step.id] <= self._order[name] or self._apart(name, other.step.id):
                continue
            passed |= self._made_of(other.work)
            if gate.step.type == "approve" and other.step.type in {"verify", "assign"}:
                passed -= other.work  # checks do not outvote whoever was asked about the same work
            elif gate.checks and gate.checks <= other.checks:
                passed |= gate.work
        return bool(gate.work) and gate.work <= passed

    def _made_of(self, work: Iterable[str]) -> set[str]:
        """The steps, and those whose refused work they are made of."""
        found: set[str] = set()
        waiting = list(work)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [one for gate in self._answers.get(name, ()) for one in self._held[gate].work]
        return found

    def _apart(self, one: str, other: str) -> bool:
        """Whether two steps run at the same time, or only one of them does."""
        for mine, theirs in zip(self._around[one], self._around[other], strict=False):
            if mine != theirs:
                return mine[0] == theirs[0] and mine[2]
        return False

    def _work(self, names: Iterable[str]) -> set[str]:
        found = [self._steps[name] for name in names if name in self._steps]
        return {step.id for step in every_step(found) if step.type in _WORK}

    def _oracles(self, step: Step) -> frozenset[str]:
        oracles: list[dict[str, Any]] = step.oracles
        if step.type != "verify":
            role = self._chart.roles.get(step.role)
            oracles = role.fields.get("verify", {}).get("oracles", []) if role is not None else []
        return frozenset(json.dumps(one, sort_keys=True, default=str) for one in oracles)

    def _upwards(self, name: str) -> list[Role]:
        found: dict[str, Role] = {}
        while name in self._chart.roles and name not in found:
            found[name] = self._chart.roles[name]
            name = found[name].reports_to
        return list(found.values())
