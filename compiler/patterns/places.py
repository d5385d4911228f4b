"""Where code is being written, and what the steps are called there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from compiler.patterns.model import OrgChart
from compiler.patterns.references import Scope
from compiler.patterns.shapes import CONTEXT, WORKSPACE, Shape, Symbol, of_schema


@dataclass(slots=True)
class Variable:
    """What a step is called in the program. `function` is the branch whose code declares it.

    `made_by` is the call that makes it, `made_of` the variables that go into an aggregate.
    """

    code: str
    shape: Shape
    function: int
    names: list[str]
    works: bool = False
    number: int = 0
    parent: Variable | None = None
    index: int = 0
    children: list[Variable] = field(default_factory=list["Variable"])
    made_by: str = ""
    made_of: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Place:
    """Where code is being written: what is known there, in which branch, how deep.

    `hoisted` are steps inside the conditions of a branch whose variables are declared outside of it.
    """

    scope: Scope
    variables: dict[str, Variable]
    function: int = 0
    indent: str = ""
    declared: bool = False
    in_branch: bool = False
    integrates: bool = True
    bound: dict[str, str] = field(default_factory=dict[str, str])
    hoisted: dict[str, Variable] = field(default_factory=dict[str, "Variable"])
    last_works: Variable | None = None
    last_parallel: Variable | None = None

    def inside(self, **changes: Any) -> Place:
        """A place inside this one: what is learnt there stays there."""
        copied = replace(self, scope=self.scope.inner(), variables=dict(self.variables), bound=dict(self.bound))
        return replace(copied, **changes)

    def know(self, variable: Variable) -> None:
        """From here on references to the variable's names mean it."""
        variable.number = variable.number or len(self.variables) + 1
        for name in variable.names:
            self.scope.symbols[name] = Symbol(variable.code, variable.shape)
            self.scope.later.pop(name, None)
            self.variables[name] = variable


def globals_of(chart: OrgChart) -> dict[str, Symbol]:
    """What every step of a workflow can refer to."""
    schema = chart.input
    fields = {name: of_schema(rules) for name, rules in schema.items()} if schema or chart.no_input else None
    defaults = {name: rules["default"] for name, rules in schema.items() if "default" in rules}
    given = Shape("record", fields=fields)
    workspace = WORKSPACE if chart.workspace.enabled else Shape("null")
    return {
        "input": Symbol("input", given, defaults),
        "workspace": Symbol("workspace", workspace),
        "context": Symbol("execution", CONTEXT),
    }
