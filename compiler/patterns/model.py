"""An org chart as it was read: values and places, before references are resolved."""

from __future__ import annotations

from typing import Any

from compiler.patterns.reader import Node
from schemas.base import Model
from schemas.patterns import WorkspaceSpec

STEP_TYPES = (
    "assign",
    "parallel",
    "sequential",
    "select",
    "review",
    "approve",
    "aggregate",
    "condition",
    "wait",
    "verify",
    "pattern",
)

HUMAN = "human"


class Role(Model, frozen=True, kw_only=True):
    """A role. `fields` is what the program gets, in the order in which it is printed."""

    id: str
    line: int
    column: int
    fields: dict[str, Any]
    reports_to: str = ""
    reports_to_node: Node | None = None
    judges: list[tuple[str, Node]] = []
    oracle_nodes: list[Node] = []

    @property
    def kinds(self) -> list[str]:
        """The agent kinds, in order of preference."""
        return list(self.fields["agentType"])


class Step(Model, frozen=True, kw_only=True):
    """A step of any type; a field that its type does not have is empty."""

    type: str
    id: str
    line: int
    column: int
    explicit: bool = False
    timeout_ms: int | None = None
    on_error: str = "fail"
    on_reject: str = ""
    on_reject_node: Node | None = None
    role: str = ""
    role_node: Node | None = None
    text: Node | None = None
    input: Node | None = None
    steps: list[Step] = []
    max_concurrency: int | None = None
    strategy: str = "all"
    min_results: int | None = None
    criteria: str = "availability"
    max_iterations: int | None = None
    method: str = ""
    sources: Node | None = None
    weights: dict[str, float] = {}
    weighed: list[Node] = []
    check: Node | None = None
    then_steps: list[Step] = []
    else_steps: list[Step] = []
    then_is_list: bool = False
    else_is_list: bool = False
    signal: str = ""
    oracles: list[dict[str, Any]] = []
    oracle_nodes: list[Node] = []
    pattern: Node | None = None
    combine: str = "min"
    judges: list[tuple[str, Node]] = []


class OrgChart(Model, frozen=True, kw_only=True):
    """A whole file."""

    name: str
    version: str
    description: str = ""
    roles: dict[str, Role] = {}
    input: dict[str, Any] = {}
    no_input: bool = False
    """Whether it says that there is none (`input: {}`); a file that says nothing about input takes any."""
    steps: list[Step] = []
    output: Node | None = None
    workspace: WorkspaceSpec = WorkspaceSpec()
    metadata: dict[str, Any] = {}
    timeout_ms: int | None = None
