"""Shipped patterns on the real servers and services, with one program that plays every agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import parallax
from compiler.patterns import load_pattern
from parallax.stack import Stack, embedded
from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from tests.conftest import missing

PATTERNS = Path(__file__).parents[2] / "patterns"
CAPABILITIES = sorted(
    {
        word
        for path in PATTERNS.iterdir()
        if path.suffix in {".yaml", ".prism"}
        for role in getattr(load_pattern(path.read_text("utf-8"), filename=path.name).pattern, "roles", {}).values()
        for word in role.get("capabilities", [])
    }
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

ANSWERS: dict[str, Any] = {
    "reader": "code", "planner": {"first": "one half", "second": "the other half"}, "first_round": {"choice": "x"},
    "alone": {"a": 1}, "together": {"a": 1},
}  # fmt: skip
"""What roles answer; whoever is asked for a verdict approves, and everybody else says who they are."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncGenerator[Stack]:
    """The product with the patterns that ship, and an agent with every capability they ask for."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    async with embedded(env={"PARALLAX_PATTERNS_DIR": str(PATTERNS)}) as running:
        agent = parallax.Agent("everybody", capabilities=CAPABILITIES, max_concurrency=32, url=running.nats_url)

        @agent.task
        async def work(task: parallax.Task) -> parallax.Result:
            """Answers by the role that is played."""
            asked = task.context if isinstance(task.context, dict) else {}
            given = {"verdict": "approve", "critique": ""} if "answer" in asked else ANSWERS.get(task.role, task.role)
            return parallax.Result(given, confidence=0.9)

        serving = asyncio.ensure_future(agent.serve())
        await agent.registered()
        try:
            yield running
        finally:
            agent.stop()
            await serving


@pytest.mark.parametrize(
    ("pattern", "given", "expected"),
    [
        ("cascade", {"task": "t"}, "quick"),
        ("uncertainty-router", {"task": "t"}, "coder"),
        ("best-of-n", {"task": "t", "attempts": 2}, "solver"),
        ("map-reduce", {"question": "q", "files": ["a", "b"]}, "reducer"),
        ("consensus", {"question": "q"}, {"a": 1}),
        ("multi-model-voting", {"question": "q", "options": ["x", "y"]}, "x"),
        ("document-analysis", {"document": "d"}, "editor"),
        ("planner-worker-judge", {"task": "t"}, "worker"),
        ("code-review", {"change": "c"}, "editor"),
        ("pair-programming", {"task": "t"}, "driver"),
        ("startup-team", {"task": "t"}, "developer"),
        ("enterprise-review", {"change": "c"}, "engineer"),
    ],
)
async def test_a_shipped_pattern_runs_to_its_end(stack: Stack, pattern: str, given: Any, expected: Any) -> None:
    """Every task of it is done by an agent, and its result comes out with a confidence."""
    async with parallax.connect(stack.nats_url) as px:
        execution = await px.request(pattern, input=given)
        outcome = await asyncio.wait_for(execution.result(), 60)
    assert repr(expected) in repr(outcome.value)
    assert outcome.confidence is not None
    assert 0 < outcome.confidence <= 1
