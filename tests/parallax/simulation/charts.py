"""Small patterns for tests of simulations, and worlds in which nothing happens by chance."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import Any

from compiler.patterns import load_pattern
from parallax.simulation.agents_file import agents_from
from parallax.simulation.execution import Execution
from parallax.simulation.model import Cast
from parallax.simulation.records import Outcome
from parallax.simulation.setting import Setting
from parallax.testing import CALM
from schemas.patterns import CompiledPattern

PATTERNS = Path(__file__).parents[3] / "patterns"
SHIPPED = sorted(path for path in PATTERNS.iterdir() if path.suffix in (".yaml", ".prism"))

ROLES = """\
writer: {name: Writer, agentType: custom, capabilities: [a], reportsTo: boss}
boss: {name: Boss, agentType: custom, capabilities: [a], singleton: true}
"""


def chart(steps: str, *, roles: str = ROLES, more: str = "workspace: {enabled: false}\n", inputs: str = "") -> str:
    """The text of an org chart with these steps."""
    return (
        "name: small\nversion: 1.0.0\n"
        + more
        + "structure:\n  name: Team\n  roles:\n"
        + indent(roles, "    ")
        + "workflow:\n  name: flow\n"
        + (f"  input:\n{indent(inputs, '    ')}" if inputs else "")
        + "  steps:\n"
        + indent(steps, "    ")
    )


def compiled(text: str, name: str = "small.yaml") -> CompiledPattern:
    """A pattern that is expected to compile."""
    result = load_pattern(text, filename=name)
    assert result.pattern is not None, result.diagnostics
    return result.pattern


def shipped(path: Path) -> CompiledPattern:
    """A pattern that ships."""
    return compiled(path.read_text("utf-8"), str(path))


def prism(text: str) -> CompiledPattern:
    """A pattern that is a program, without a workspace."""
    head = 'export const pattern = {name: "small", workspace: {enabled: false}}\n'
    return compiled(
        head + 'agents {\n  w: Agent { id: "w", agentType: "custom", capabilities: [] }\n}\n' + text, "small.prism"
    )


def setting(pattern: CompiledPattern, world: dict[str, Any] | None = None, **more: Any) -> Setting:
    """A setting with a calm world in which `world` differs, and with logs."""
    calm = agents_from(CALM).agents
    made = agents_from(world or {}, base=calm)
    assert made.agents is not None, made.diagnostics
    values: dict[str, Any] = {"seed": 1, "input": {}, "keep_log": True} | more
    return Setting(pattern=pattern, cast=Cast(made.agents), **values)


def played(pattern: CompiledPattern, world: dict[str, Any] | None = None, run: int = 1, **more: Any) -> Outcome:
    """One run in a calm world in which `world` differs."""
    return Execution(setting(pattern, world, **more), run).go()


def types(outcome: Outcome) -> list[str]:
    """The kinds of the events of a run, in order."""
    return [entry.type for entry in outcome.events]


def times(outcome: Outcome, kind: str) -> list[int]:
    """When events of a kind happened, in milliseconds."""
    return [entry.at_ms for entry in outcome.events if entry.type == kind]
