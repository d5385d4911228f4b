"""Shipped patterns on the real servers and services, with one program that plays every agent."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from dulwich import porcelain
from dulwich.objects import Blob
from dulwich.repo import Repo

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


CALLER = """
name: caller
version: 1.0.0
workspace: {enabled: true}
structure:
  name: Calls a pattern that ships
  roles:
    asker: {id: asker, name: Asker, agentType: custom, capabilities: [code_review]}
workflow:
  name: call
  input: {task: {type: string, required: true}}
  steps:
    - {type: pattern, id: gated, pattern: "quality-gate@1.x", input: {task: "${input.task}"}}
    - {type: assign, id: said, role: asker, task: "Say it: ${gated.result}"}
  output: gated
"""

WRONG, RIGHT = "def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n"
TEST = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose one test fails."""
    place = tmp_path / "origin"
    repo = porcelain.init(place)
    for name, text in {"calc.py": WRONG, "test_calc.py": TEST}.items():
        (place / name).write_text(text, encoding="utf-8")
        porcelain.add(repo, [place / name])
    porcelain.commit(repo, message=b"Begin", author=b"Test <test@example.org>", committer=b"Test <test@example.org>")
    repo.close()
    return place


def mend(workspace: Path) -> None:
    """What the worker does where there is something to be mended: it takes two turns to get it right."""
    calc = workspace / "calc.py"
    if not calc.is_file():
        return
    text = calc.read_text("utf-8")
    calc.write_text(RIGHT if text != WRONG else f"{WRONG}\n\n# to be mended\n", encoding="utf-8")


def at_tip(repository: Path, branch: str, name: str) -> str:
    """A file as a branch has it."""
    with Repo(str(repository)) as repo:
        found = porcelain.get_object_by_path(repo, name, branch.encode())
        assert isinstance(found, Blob)
        return found.data.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """The product with the patterns that ship, and an agent with every capability they ask for."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    patterns = tmp_path_factory.mktemp("shipped") / "patterns"
    shutil.copytree(PATTERNS, patterns)
    (patterns / "caller.yaml").write_text(CALLER, encoding="utf-8")
    async with embedded(env={"PARALLAX_PATTERNS_DIR": str(patterns)}) as running:
        agent = parallax.Agent("everybody", capabilities=CAPABILITIES, max_concurrency=32, url=running.nats_url)

        @agent.task
        async def work(task: parallax.Task) -> parallax.Result:
            """Answers by the role that is played."""
            asked = task.context if isinstance(task.context, dict) else {}
            if task.workspace is not None and task.role.endswith("worker"):
                mend(task.workspace)
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


@pytest.mark.parametrize("pattern", ["quality-gate", "caller"])
async def test_the_quality_gate_lets_through_what_its_checks_and_its_keeper_approve(
    stack: Stack, repository: Path, pattern: str
) -> None:
    """Asked for by itself or by another pattern: tests fail at first and pass then, the review and the gate agree."""
    async with parallax.connect(stack.nats_url) as px:
        execution = await px.request(pattern, input={"task": "mend add"}, repo=repository)
        outcome = await asyncio.wait_for(execution.result(), 90)
        events = await execution.history()
        assert (await px.replay(execution.id)).identical
    kinds = [event.type for event in events]
    verdicts = [event.data.passed for event in events if event.type == "verification.completed"]
    assert verdicts[0] is False
    assert verdicts[-1] is True
    assert kinds.count("execution.completed") == 1
    assert "worker" in repr(outcome.value)
    assert outcome.confidence is not None
    done = next(event.data for event in events if event.type == "execution.completed")
    clone = next(Path(event.data.path) for event in events if event.type == "workspace.ready") / "repository.git"
    assert at_tip(clone, done.branch, "calc.py") == RIGHT
