"""Files written for the original Parallax load unchanged, or a key that cannot be honoured is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.patterns import load_pattern
from schemas.effects import Signalled, Wait
from tests.compiler.drive import run, scripted, simply

OLDER = Path(__file__).parent / "older"


@pytest.mark.parametrize("name", ["startup.yaml", "review.yaml"])
def test_an_older_file_loads_without_a_word_and_runs(name: str) -> None:
    """`type` for `agentType`, `.1` for `[1]`, `timeout`, `wait` with a condition, `threadConfig`, bare sources."""
    result = load_pattern((OLDER / name).read_text("utf-8"), filename=name)
    assert result.diagnostics == []
    assert result.pattern is not None
    approve = {"verdict": "approve", "confidence": 0.9}
    answer = scripted(cto=["plan", approve, approve, approve, approve, approve], lead=[approve])
    life = run(result.pattern, lambda request, path: _world(answer, request, path), input={"task": "t", "code": "c"})
    assert life.error is None, life.error
    assert life.value is not None


def _world(answer: object, request: object, path: str) -> object:
    if isinstance(request, Wait):
        return Signalled(received=True)
    return answer(request, path) if callable(answer) else simply(request, path)


def test_what_a_thread_says_reaches_the_agent() -> None:
    """The objective as context, the environment as environment, the rest for the coding agent's adapter."""
    pattern = load_pattern((OLDER / "startup.yaml").read_text("utf-8"), filename="startup.yaml").pattern
    assert pattern is not None
    answer = scripted(cto=["plan", *[{"verdict": "approve"}] * 6])
    life = run(pattern, lambda request, path: _world(answer, request, path), input={"task": "t"})
    task = next(task for task in life.tasks if task.role == "dev")
    assert task.context == {"objective": "Write code"}
    assert task.agent.env == {"A": "b"}
    assert task.agent.config == {
        "model": "sonnet", "maxTurns": 10, "approvalPreset": "auto-edit", "policy": {"maxTurns": 3},
    }  # fmt: skip


def test_keys_that_cannot_be_honoured_are_refused_and_nothing_else() -> None:
    """Each where it stands; no key is taken and then ignored."""
    result = load_pattern((OLDER / "refused.yaml").read_text("utf-8"), filename="refused.yaml")
    assert result.pattern is None
    assert {one.code for one in result.diagnostics} == {"unsupported"}
    lines = [one.source_line.split(":")[0].strip(" -{") for one in result.diagnostics]
    assert lines == ["type", "branchStrategy", "createPr"]
