"""A flat pattern as it was read: a team of equals, the steps it takes, and what comes out."""

from __future__ import annotations

import re
from typing import Any, Literal

from compiler.patterns.reader import Node
from schemas.base import Model
from schemas.patterns import WorkspaceSpec

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


class FlatStep(Model, frozen=True, kw_only=True):
    """One step. `work` asks agents, `parallel` and `switch` hold steps, `merge` joins what earlier ones found.

    `call` runs another pattern.
    """

    kind: Literal["work", "parallel", "switch", "merge", "call"]
    id: str
    line: int
    column: int
    agents: dict[str, Any] = {}
    count: int = 1
    task_timeout: int | None = None
    task: Node | None = None
    input: Node | None = None
    execution: dict[str, Any] = {}
    aggregation: dict[str, Any] = {}
    validation: dict[str, Any] = {}
    output: Node | None = None
    steps: list[FlatStep] = []
    on: Node | None = None
    cases: dict[str, FlatStep] = {}
    default: FlatStep | None = None
    sources: Node | None = None
    pattern: Node | None = None

    @property
    def alias(self) -> str:
        """The other name that a step's record goes by: an `output` that is one word, as older files have it."""
        node = self.output
        return node.raw if node is not None and node.kind == "text" and _WORD.match(node.raw) else ""


class FlatPattern(Model, frozen=True, kw_only=True):
    """A whole flat file."""

    name: str
    version: str
    description: str = ""
    input: dict[str, Any] = {}
    no_input: bool = False
    """Whether it says that there is none (`input: {}`); a file that says nothing about input takes any."""
    steps: list[FlatStep] = []
    output: Node | None = None
    timeout_ms: int | None = None
    workspace: WorkspaceSpec = WorkspaceSpec()
    metadata: dict[str, Any] = {}
