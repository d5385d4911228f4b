"""What patterns say of their workspace, and what a repository says that their checks need."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from compiler.patterns import load_pattern
from schemas.patterns import WorkspaceSpec

NEEDS = {"setup": ["npm", "ci"], "setupKey": "package-lock.json", "copy": ["./.env"], "keep": ["cache/"]}


def chart(workspace: dict[str, Any] | None = None, run: str = "npm test") -> str:
    """An org chart with one check."""
    role = {"agentType": "command", "capabilities": ["x"], "agentConfig": {"command": ["true"]}}
    made = {
        "name": "p",
        "structure": {"name": "s", "roles": {"a": {**role, "verify": {"type": "command", "run": run}}}},
        "workflow": {"name": "w", "steps": [{"type": "assign", "role": "a", "task": "t"}]},
    }
    return json.dumps(made if workspace is None else {**made, "workspace": workspace})


FLAT = {"name": "p", "agents": {"capabilities": ["x"], "min": 1, "max": 1}, "execution": {"strategy": "parallel"}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", chart(NEEDS)),
        ("p.yaml", json.dumps({**FLAT, "workspace": NEEDS})),
        ("p.prism", f'export const pattern = {{name: "p", version: "1.0.0", workspace: {json.dumps(NEEDS)}}}\n1\n'),
    ],
)
def test_every_form_of_pattern_says_what_its_checks_need(name: str, text: str) -> None:
    """One path may stand for a list of one; paths are written as git writes them."""
    result = load_pattern(text, filename=name)
    assert result.pattern is not None, result.diagnostics
    assert result.pattern.workspace == WorkspaceSpec(
        setup=["npm", "ci"], setup_key=["package-lock.json"], copy=[".env"], keep=["cache"]
    )
    assert msgspec.convert(msgspec.to_builtins(result.pattern.workspace), WorkspaceSpec) == result.pattern.workspace


def test_a_pattern_that_needs_nothing_is_written_as_ever() -> None:
    """What stands in the log of older executions is what would be written today."""
    assert msgspec.to_builtins(WorkspaceSpec()) == {
        "enabled": True,
        "push": False,
        "create_pr": False,
        "branch_strategy": "",
        "pr": {},
    }


def found(text: str, *names: str) -> list[tuple[str, str]]:
    """Code and hint of what is said about a pattern for a repository with these names."""
    return [(one.code, one.hint) for one in load_pattern(text, filename="p.yaml", repository=names).diagnostics]


def test_a_set_up_is_proposed_for_the_lock_files_of_the_repository() -> None:
    """Where a check uses the tools, none is given, and what it would make is not committed."""
    proposed = [("missing-setup", "Add workspace: {setup: [npm, ci], setupKey: [package-lock.json]}.")]
    assert found(chart(), "package-lock.json", "src") == proposed
    assert found(chart()) == []
    assert found(chart(), "package-lock.json", "node_modules") == []
    assert (
        found(chart(run="make"), "uv.lock")[0][1]
        == "Add workspace: {setup: [uv, sync, --locked], setupKey: [uv.lock]}."
    )
    assert found(chart(run="cargo test"), "Cargo.lock") == []
    assert found(chart({"setup": "npm ci"}), "package-lock.json") == []
    assert found(chart({"keep": ["node_modules"]}), "package-lock.json") == []
    assert found(chart({"enabled": False}), "package-lock.json") == []
